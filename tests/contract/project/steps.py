# mypy: ignore-errors
"""Quick components for small pipelines. A test copies this folder next to the pipelines it writes."""

import json
import os
import signal
import subprocess
import time

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, OutputDict, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.artifact import Artifact, Property, PropertyType
from tfx.types.standard_artifacts import Model, ModelBlessing, String

from penstock.errors import DoNotRetry


class Table(Artifact):
    """An artifact type of the user's own, with a property."""

    TYPE_NAME = "Table"
    PROPERTIES = {"rows": Property(type=PropertyType.INT)}  # noqa: RUF012


def _tries(file):
    """Notes the time of a try, and returns how many there were before."""
    with open(file, "a+") as stream:
        stream.seek(0)
        before = len(stream.readlines())
        stream.write(f"{time.time()}\n")
    return before


@component
def number(value: Parameter[int]) -> OutputDict(made=int):
    return {"made": value}


@component
def add(a: int, b: int = 0) -> OutputDict(made=int):
    return {"made": a + b}


@component
def add_each(a: int, b: int, c: int, d: int) -> OutputDict(made=int):
    return {"made": a + b + c + d}


@component
def divide(dividend: int, divisor: int) -> OutputDict(quotient=int, rest=int):
    return {"quotient": dividend // divisor, "rest": dividend % divisor}


@component
def check(a: int, most: Parameter[int]) -> OutputDict(made=int):
    if a > most:
        raise ValueError(f"{a} is more than {most}")
    return {"made": a}


@component
def of_each_type() -> OutputDict(whole=int, real=float, text=str, truth=bool, document=dict[str, list[int]]):
    return {"whole": -7, "real": 0.1, "text": "ä\n", "truth": True, "document": {"a": [1, 2]}}


@component
def tell(whole: int, real: float, text: str, truth: bool, document: dict[str, list[int]], told: OutputArtifact[String]):
    told.value = json.dumps([whole, real, text, truth, document])


@component
def variable(name: Parameter[str]) -> OutputDict(value=str):
    return {"value": os.environ.get(name, "unset")}


@component
def make_table(rows: Parameter[int], table: OutputArtifact[Table]):
    os.makedirs(table.uri, exist_ok=True)
    with open(os.path.join(table.uri, "rows.csv"), "w") as stream:
        stream.write("x\n" * rows)
    table.rows = rows


@component
def read_table(table: InputArtifact[Table]) -> OutputDict(rows=int, files=str):
    return {"rows": table.rows, "files": ",".join(sorted(os.listdir(table.uri)))}


@component
def copy_table(
    table: InputArtifact[Table], copy: OutputArtifact[Table], tries: Parameter[str], refused: Parameter[str]
):
    """Notes each try by the rows of its table; refuses tables with as many rows as a file has characters, if any."""
    with open(tries, "a") as stream:
        stream.write(f"{table.rows} ")
    if os.path.exists(refused) and os.path.getsize(refused) == table.rows:
        raise ValueError(f"no tables of {table.rows} rows today")
    with open(os.path.join(copy.uri, "rows.csv"), "w") as stream:
        stream.write("x\n" * table.rows)
    copy.rows = table.rows


@component
def read_tables(tables: InputArtifact[list[Table]]) -> OutputDict(rows=int):
    return {"rows": sum(table.rows for table in tables)}


@component
def flaky(tries: Parameter[str], failures: Parameter[int], table: OutputArtifact[Table]):
    """Leaves a file of its own each time; dies the first time, raises until it has failed often enough."""
    before = _tries(tries)
    os.makedirs(table.uri, exist_ok=True)
    with open(os.path.join(table.uri, f"try-{before + 1}.csv"), "w") as stream:
        stream.write("x\n")
    if before < failures:
        if before == 0:
            os._exit(3)
        raise OSError("not this time")
    table.rows = 1


@component
def hopeless(tries: Parameter[str]) -> OutputDict(made=int):
    _tries(tries)
    raise DoNotRetry("the input will never be right")


@component
def endless(pids: Parameter[str], tries: Parameter[str]) -> OutputDict(made=int):
    """Goes on for ten minutes, and so does a process that it starts, which does not end when asked."""
    _tries(tries)
    child = subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 600 & wait; wait"])
    with open(pids, "a") as stream:
        stream.write(f"{os.getpid()} {child.pid} ")
    time.sleep(600)
    return {"made": 0}


@component
def greedy(megabytes: Parameter[int]) -> OutputDict(made=int):
    held = bytearray(os.urandom(1 << 20)) * megabytes
    time.sleep(60)
    return {"made": len(held)}


@component
def meet(mine: Parameter[str], other: Parameter[str]) -> OutputDict(met=bool):
    """Waits until another node is there too."""
    open(mine, "w").close()
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if os.path.exists(other):
            return {"met": True}
        time.sleep(0.02)
    raise TimeoutError(other)


@component
def alone(marker: Parameter[str]) -> OutputDict(made=int):
    """Fails if another node with the same marker runs at the same time."""
    descriptor = os.open(marker, os.O_CREAT | os.O_EXCL)
    os.close(descriptor)
    time.sleep(0.3)
    os.unlink(marker)
    return {"made": 1}


@component
def exists(path: Parameter[str]) -> OutputDict(there=bool):
    return {"there": os.path.exists(path)}


@component
def touch(path: Parameter[str]) -> OutputDict(made=int):
    time.sleep(0.2)
    open(path, "w").close()
    return {"made": 1}


@component
def make_model(weight: Parameter[int], model: OutputArtifact[Model]):
    os.makedirs(model.uri, exist_ok=True)
    with open(os.path.join(model.uri, "weight"), "w") as stream:
        stream.write(str(weight))


@component
def judge(model: InputArtifact[Model], blessed: Parameter[int], blessing: OutputArtifact[ModelBlessing]):
    blessing.set_int_custom_property("blessed", blessed)
    blessing.set_int_custom_property("current_model_id", model.id)
    os.makedirs(blessing.uri, exist_ok=True)


@component
def weigh(model: InputArtifact[Model] = None) -> OutputDict(weight=str):
    if model is None:
        return {"weight": "none"}
    with open(os.path.join(model.uri, "weight")) as stream:
        return {"weight": stream.read()}


@component
def counted(name: Parameter[str], folder: Parameter[str], killed: Parameter[str], a: int = 0) -> OutputDict(made=int):
    """Counts how often it ran. The first time it dies where `killed` says, or kills the process that started it."""
    before = _tries(os.path.join(folder, name))
    when = killed if before == 0 else ""
    if when == "raises":
        raise OSError("not this time")
    if when == "start":
        os.killpg(0, signal.SIGKILL)
    if when == "zygote":
        child = subprocess.Popen(["sleep", "600"])
        with open(os.path.join(folder, "pids"), "w") as stream:
            stream.write(f"{os.getpid()} {child.pid}")
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(600)
    if when == "midway":
        subprocess.Popen(["sleep", "600"])
        os.killpg(0, signal.SIGKILL)
    if when == "end":
        # What the worker does last is to report its result so.
        os.pwrite = lambda *_: os.killpg(0, signal.SIGKILL)
    return {"made": a + 1}
