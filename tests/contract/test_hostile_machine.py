"""Disks that are full or read-only, folders that vanish, clocks that are set: a clear error; what was published stays.

Each run is mended and taken up again. The file systems are real ones, in memory; mounting them takes root on Linux.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Penstock, Result
from tests.contract.backend import Outcome, Project, Store
from tests.e2e.tiny import wait_for

pytestmark = pytest.mark.exhaustive

_PIPELINE = """\
penstock: 1
name: hostile
nodes:
  one: {{component: 'steps:number', value: 1}}
  two: {{component: 'hostile:two', a: '${{nodes.one.made}}'}}
  three: {{component: 'hostile:three', table: '${{nodes.two.table}}'}}
environments:
  local: {{backend: local, pipeline_root: '{root}'}}
"""
_PARTS = """\
import os, shutil, time
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, OutputDict
from tfx.dsl.component.experimental.decorators import component
from steps import Table


@component
def two(a: int, table: OutputArtifact[Table]):
    with open(os.path.join(table.uri, "rows.csv"), "w") as stream:
        stream.write("x\\n" * {rows})
    table.rows = {rows}
    {two}


@component
def three(table: InputArtifact[Table]) -> OutputDict(rows=int):
    {three}
    with open(os.path.join(table.uri, "rows.csv")) as stream:
        return {{"rows": len(stream.readlines())}}
"""
_PAUSE = "open({began!r}, 'w').close()\n    while not os.path.exists({go_on!r}): time.sleep(0.02)"


class Machine:
    """A project whose pipeline root and store can each be on a file system of its own."""

    def __init__(self, folder: Path, penstock: Penstock):
        self.folder = folder
        self.penstock = penstock
        self.project = Project.make(folder)
        self.root = folder / "root"
        self.began, self.go_on = folder / "began", folder / "go on"
        (self.project.folder / "pipeline.yaml").write_text(_PIPELINE.format(root=self.root))
        self._mounted: list[Path] = []
        self.write()

    def write(self, two: str = "pass", three: str = "pass", rows: int = 3) -> None:
        """Writes what the nodes do besides; each has a module in common, so that a change is one of both."""
        (self.project.folder / "hostile.py").write_text(_PARTS.format(two=two, three=three, rows=rows))

    @property
    def pause(self) -> str:
        """Code that says it is there and waits until it may go on."""
        return _PAUSE.format(began=str(self.began), go_on=str(self.go_on))

    def mount(self, folder: Path, size: str) -> None:
        """Puts a file system in memory there, of a size like `64k`."""
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("needs the right to mount a file system")
        self._mounted.append(folder)

    def remount(self, folder: Path, options: str) -> None:
        """Changes it."""
        subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)

    def unmount(self) -> None:
        """Takes all of them away."""
        while self._mounted:
            subprocess.run(["umount", "--lazy", str(self._mounted.pop())], check=True)

    def run(self, *options: str, environ: dict[str, str] | None = None) -> Outcome:
        """Runs the pipeline, or takes a run up."""
        path = () if "--resume" in options else (self.project.folder,)
        done = self.penstock("run", *path, "--store", self.project.store, *options, environ=environ)
        return self.outcome(done)

    def run_meanwhile(self) -> subprocess.Popen[str]:
        """Starts the pipeline and waits until a node pauses."""
        process = self.penstock.start("run", self.project.folder, "--store", self.project.store)
        wait_for(self.began.exists, process)
        return process

    def end(self, process: subprocess.Popen[str]) -> Outcome:
        """Lets the node go on, and waits for the end of the run."""
        self.go_on.touch()
        _, errors = process.communicate(timeout=120)
        return self.outcome(Result(process.returncode, "", errors))

    def outcome(self, done: Result) -> Outcome:
        """How a command ended, which must have said so shortly."""
        assert "Traceback" not in done.stderr
        assert "Unexpected error" not in done.stderr
        store = Store(str(self.project.store))
        recorded = store.read("runs", "list")
        assert recorded, done.stderr
        return Outcome(done.status, done.stderr, store, recorded[0]["run_id"])


@pytest.fixture
def machine(tmp_path: Path, penstock: Penstock) -> Iterator[Machine]:
    made = Machine(tmp_path, penstock)
    yield made
    made.unmount()


def states(outcome: Outcome) -> dict[str, str]:
    """The state of each node."""
    return {name: node["state"] for name, node in outcome.nodes.items()}


def assert_failed(outcome: Outcome, *said: str) -> None:
    """Node `two` failed with these words, and what `one` published is there."""
    assert outcome.status == 1, outcome.said
    assert outcome.state == "failed"
    for words in said:
        assert words in outcome.said, outcome.said
    assert states(outcome) == {"one": "succeeded", "two": "failed", "three": "upstream_failed"}
    assert outcome.value("one.made") == "1"
    assert list(outcome.outputs()) == ["one.made"]


def assert_taken_up(machine: Machine, cut_short: Outcome, rows: int = 3) -> None:
    """Resuming the run ends it well, with one set of outputs; what `one` published stays and is not run again."""
    [before] = cut_short.outputs()["one.made"]
    outcome = machine.run("--resume", "latest")
    assert outcome.status == 0, outcome.said
    assert outcome.run_id == cut_short.run_id
    assert states(outcome) == dict.fromkeys(("one", "two", "three"), "succeeded")
    assert outcome.nodes["one"]["attempt"] == 1
    assert outcome.value("three.rows") == str(rows)
    everything = outcome.store.read("artifacts", "list", "--limit", "100")
    assert sorted(artifact["producer"]["node"] for artifact in everything) == ["one", "three", "two"]
    assert before["artifact_id"] in [artifact["artifact_id"] for artifact in everything]


def test_a_full_disk_while_a_node_writes_its_artifact(machine: Machine) -> None:
    machine.mount(machine.root, "256k")
    machine.write(rows=1_000_000)
    full = machine.run()
    assert_failed(full, "OSError: [Errno 28] No space left on device", "the disk is full", "hostile.py")
    assert not list(machine.root.glob("**/two/table/*/*")), "nothing half written stays, which would need the room"
    machine.remount(machine.root, "size=16m")
    assert_taken_up(machine, full, rows=1_000_000)


def test_a_full_disk_while_the_store_is_written(machine: Machine) -> None:
    """The store's disk fills up while a node runs: its result cannot be recorded."""
    machine.mount(machine.project.store, "16m")
    machine.write(two=machine.pause)
    process = machine.run_meanwhile()
    filler = fill(machine.project.store)
    outcome = machine.end(process)
    assert outcome.status == 1, outcome.said
    assert "disk is full" in outcome.said or "No space left on device" in outcome.said
    assert "Make room" in outcome.said
    filler.unlink()
    assert outcome.value("one.made") == "1"
    assert_taken_up(machine, outcome)


def fill(folder: Path) -> Path:
    """Writes a file until nothing more goes onto the disk."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(4096))
        except OSError:
            return filler


def test_a_pipeline_root_that_can_only_be_read(machine: Machine) -> None:
    machine.mount(machine.root, "1m")
    machine.remount(machine.root, "ro")
    outcome = machine.run()
    assert outcome.status == 1, outcome.said
    assert str(machine.root) in outcome.said
    assert "Read-only file system" in outcome.said
    assert states(outcome) == {"one": "failed", "two": "upstream_failed", "three": "upstream_failed"}
    machine.remount(machine.root, "rw")
    resumed = machine.run("--resume", "latest")
    assert resumed.status == 0, resumed.said


def test_a_pipeline_root_that_becomes_read_only_under_a_running_node(machine: Machine) -> None:
    machine.mount(machine.root, "1m")
    again = "open(os.path.join(table.uri, 'more.csv'), 'w').close()"
    machine.write(two=f"{machine.pause}\n    {again}")
    process = machine.run_meanwhile()
    machine.remount(machine.root, "ro")
    outcome = machine.end(process)
    assert_failed(outcome, "Read-only file system", str(machine.root), again)
    machine.remount(machine.root, "rw")
    assert_taken_up(machine, outcome)


def test_an_output_folder_that_is_deleted_under_a_running_node(machine: Machine) -> None:
    """It is not published as if it were there."""
    machine.write(two=machine.pause)
    process = machine.run_meanwhile()
    [folder] = (machine.root / "two" / "table").iterdir()
    shutil.rmtree(folder)
    outcome = machine.end(process)
    assert_failed(outcome, f"{folder}: the folder of output 'table' was deleted while the node ran")
    assert_taken_up(machine, outcome)


def test_the_folder_of_a_run_that_is_deleted_under_a_running_node(machine: Machine) -> None:
    """Logs are gone then; results are not."""
    machine.write(two=machine.pause)
    process = machine.run_meanwhile()
    shutil.rmtree(machine.project.store / "runs")
    outcome = machine.end(process)
    assert outcome.status == 0, outcome.said
    assert outcome.value("three.rows") == "3"


def test_an_input_that_is_deleted(machine: Machine) -> None:
    """Before its reader starts and while it reads. What is made anew is what is missing."""
    machine.write(three=f"if os.path.exists({str(machine.folder)!r} + '/delete'): shutil.rmtree(table.uri)")
    (machine.folder / "delete").touch()
    outcome = machine.run()
    [table] = outcome.outputs()["two.table"]
    assert outcome.status == 1, outcome.said
    assert f"FileNotFoundError: [Errno 2] No such file or directory: '{table['uri']}/rows.csv'" in outcome.said
    (machine.folder / "delete").unlink()

    resumed = machine.run("--resume", "latest")
    assert resumed.status == 1
    assert f"{table['uri']}: input 'table', artifact {table['artifact_id']}, is gone. Put it back" in resumed.said
    anew = machine.run()
    assert anew.status == 0, anew.said
    assert states(anew) == {"one": "cached", "two": "succeeded", "three": "succeeded"}

    [table] = anew.outputs()["two.table"]
    shutil.move(table["uri"], machine.folder / "aside")
    assert machine.run("--no-cache", "--from", "three").status == 1
    shutil.move(machine.folder / "aside", table["uri"])
    assert machine.run("--resume", "latest").status == 0


# Python runs this module of a process at its start. The clock of the process is off by the seconds in a file.
_CLOCK = """\
import time
_time = time.time
def _off():
    with open({offset!r}) as stream:
        return float(stream.read() or 0)
time.time = lambda: _time() + _off()
"""


class Clock:
    """The time of day as a command reads it."""

    def __init__(self, folder: Path):
        folder.mkdir()
        self._offset = folder / "offset"
        (folder / "sitecustomize.py").write_text(_CLOCK.format(offset=str(self._offset)))
        self.environ = {"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)])}
        self.set(0)

    def set(self, hours: float) -> None:
        """Sets it so many hours forward or back from what it is."""
        other = self._offset.with_suffix(".new")
        other.write_text(str(hours * 3600))
        other.replace(self._offset)


def test_a_clock_that_is_set_back_between_two_runs(machine: Machine) -> None:
    """The latest run is the one that was started last, for whatever asks for it."""
    clock = Clock(machine.folder / "clock")
    machine.run()  # the workers, which all runs share, do not start with such a clock
    clock.set(+48)
    assert machine.run("--run-id", "before", environ=clock.environ).status == 0
    clock.set(-48)
    machine.write(rows=7)
    after = machine.run("--run-id", "after", environ=clock.environ)
    assert after.status == 0, after.said
    assert [run["run_id"] for run in after.store.read("runs", "list")][:2] == ["after", "before"]
    assert after.store.read("runs", "show", "latest")["run_id"] == "after"
    # A part of the pipeline works on the outputs of the latest run.
    part = machine.run("--run-id", "part", "--no-cache", "--from", "three", environ=clock.environ)
    assert part.status == 0, part.said
    assert part.value("three.rows") == "7"
    # And what the cache gives is right, with an execution from the future among what it has to choose from.
    text = (machine.project.folder / "pipeline.yaml").read_text()
    cached = machine.run("--run-id", "cached", environ=clock.environ)
    assert set(states(cached).values()) == {"cached"}
    assert cached.value("three.rows") == "7"
    (machine.project.folder / "pipeline.yaml").write_text(text.replace("value: 1}", "value: 1, cache: {ttl: 1h}}"))
    stale = machine.run("--run-id", "stale", environ=clock.environ)
    assert states(stale)["one"] == "succeeded"
    explained = stale.store.read("cache", "explain", "stale", "one")
    assert "lies in the future by this machine's clock" in explained["reason"]


def test_a_clock_that_is_set_back_during_a_run(machine: Machine) -> None:
    """Time limits, durations and the order of events are those of a clock that nobody sets."""
    clock = Clock(machine.folder / "clock")
    text = (machine.project.folder / "pipeline.yaml").read_text()
    (machine.project.folder / "pipeline.yaml").write_text(text.replace("made}'}", "made}', timeout: 4s}", 1))
    machine.write(two=machine.pause)
    command = ("run", machine.project.folder, "--store", machine.project.store)
    process = machine.penstock.start(*command, environ=clock.environ)
    wait_for(machine.began.exists, process)
    began = time.monotonic()
    clock.set(-48)
    _, errors = process.communicate(timeout=60)
    assert 2 < time.monotonic() - began < 20, "the time limit is heeded, neither at once nor two days late"
    outcome = machine.outcome(Result(process.returncode, "", errors))
    assert_failed(outcome, "timed out after 4 s")
    nodes = outcome.nodes
    assert 0 < nodes["one"]["seconds"] < 30
    assert 4 <= nodes["two"]["seconds"] < 30
    assert nodes["one"]["finished_at"] <= nodes["two"]["started_at"] < nodes["two"]["finished_at"]
    machine.go_on.touch()
    resumed = machine.run("--resume", "latest", environ=clock.environ)
    assert resumed.status == 0, resumed.said
    assert all(node["seconds"] >= 0 for node in resumed.nodes.values())
