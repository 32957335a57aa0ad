"""Runs the steps of a pipeline package as processes of this machine, in the order and as often as the package says.

It stands for Kubeflow's part alone: what runs before what and beside what, retries, exit handlers, parameters. Commands
are the package's own; where its image would have `python`, this interpreter is.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_RUN_ID = "{{$.pipeline_job_uuid}}"
# What all tasks have together; one that asks for more runs alone.
CPUS = 3
_INPUT = re.compile(r"\{\{\$\.inputs\.parameters\['(\w+)'\]\}\}")


@dataclass(frozen=True)
class Package:
    """A package that was read back.

    Attributes:
        spec: the pipeline spec.
        platform: the platform spec; empty if there is none.
    """

    spec: Mapping[str, Any]
    platform: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Package:
        """Reads a file."""
        documents = list(yaml.safe_load_all(path.read_text()))
        return cls(documents[0], documents[1] if len(documents) > 1 else {})

    @property
    def nodes(self) -> dict[str, Any]:
        """The tasks of the run by what they are called, without the last step."""
        [inner] = [each for name, each in self.spec["components"].items() if "dag" in each]
        return {task["taskInfo"]["name"]: task for task in inner["dag"]["tasks"].values()}

    @property
    def last(self) -> Any:
        """The task that runs when the others have ended."""
        tasks = self.spec["root"]["dag"]["tasks"].values()
        [last] = [task for task in tasks if "triggerPolicy" in task]
        return last

    def names(self) -> dict[str, str]:
        """What each task is called, by its key."""
        [inner] = [each for name, each in self.spec["components"].items() if "dag" in each]
        return {key: task["taskInfo"]["name"] for key, task in inner["dag"]["tasks"].items()}

    def container(self, task: Any) -> Any:
        """A task's container."""
        label = self.spec["components"][task["componentRef"]["name"]]["executorLabel"]
        return self.spec["deploymentSpec"]["executors"][label]["container"]

    def platform_of(self, task: Any) -> Any:
        """What only Kubernetes knows of a task."""
        label = self.spec["components"][task["componentRef"]["name"]]["executorLabel"]
        executors = self.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        return executors.get(label, {})


@dataclass(frozen=True)
class Ended:
    """What came of a task: how often it ran, whether it succeeded in the end, what it said, what its node wrote."""

    attempts: int
    succeeded: bool
    said: str
    log: str


@dataclass
class Ran:
    """What came of a package's tasks, in the order in which they ended."""

    tasks: dict[str, Ended] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Whether every task that ran did."""
        return all(task.succeeded for task in self.tasks.values())

    @property
    def said(self) -> str:
        """What all tasks said."""
        return "".join(task.said for task in self.tasks.values())


def run(package: Package, run_id: str, parameters: Mapping[str, Any], cwd: Path, environ: Mapping[str, str]) -> Ran:
    """Runs a package to its end."""
    ran = Ran()
    names = package.names()
    given = {**defaults(package), **parameters}
    remaining = dict(package.nodes)
    running: dict[Future[Ended], str] = {}
    with ThreadPoolExecutor(CPUS) as pool:
        while True:
            for name, task in list(remaining.items()):
                upstream = [ran.tasks.get(names[key]) for key in task.get("dependentTasks", ())]
                others = sum(_cpus(package, package.nodes[other]) for other in running.values())
                fits = not running or others + _cpus(package, task) <= CPUS
                if fits and all(each is not None and each.succeeded for each in upstream):
                    del remaining[name]
                    running[pool.submit(_run_task, package, name, task, run_id, given, cwd, environ)] = name
            if not running:
                break
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                ran.tasks[running.pop(ended)] = ended.result()
    ran.tasks["end"] = _run_task(package, "end", package.last, run_id, given, cwd, environ)
    return ran


def _cpus(package: Package, task: Any) -> float:
    return float(package.container(task).get("resources", {}).get("resourceCpuRequest", 1))


def defaults(package: Package) -> dict[str, Any]:
    """The values that parameters have where none are given."""
    inputs = package.spec["root"].get("inputDefinitions", {}).get("parameters", {})
    return {name: entry["defaultValue"] for name, entry in inputs.items() if "defaultValue" in entry}


def command(package: Package, task: Any, run_id: str, parameters: Mapping[str, Any]) -> list[str]:
    """A task's command line, with this interpreter for `python`."""
    container = package.container(task)
    arguments: list[str] = []
    for part in container["args"]:
        arguments += _filled(part, run_id, parameters)
    assert container["command"][0] == "python"
    return [sys.executable, *container["command"][1:], *arguments]


def _filled(part: str, run_id: str, parameters: Mapping[str, Any]) -> list[str]:
    if part.startswith('{"IfPresent"'):
        wanted = json.loads(part)["IfPresent"]
        if parameters.get(wanted["InputName"]) is None:
            return []
        return [text for inner in wanted["Then"] for text in _filled(_text(inner), run_id, parameters)]
    if part.startswith('{"Concat"'):
        pieces = json.loads(part)["Concat"]
        return ["".join(text for piece in pieces for text in _filled(_text(piece), run_id, parameters))]
    return [_INPUT.sub(lambda match: _shown(parameters[match[1]]), part.replace(_RUN_ID, run_id))]


def _text(piece: Any) -> str:
    return piece if isinstance(piece, str) else json.dumps(piece)


def _shown(value: Any) -> str:
    """A value as KFP writes it into a command line."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value)


def _run_task(
    package: Package,
    name: str,
    task: Any,
    run_id: str,
    parameters: Mapping[str, Any],
    cwd: Path,
    environ: Mapping[str, str],
) -> Ended:
    said = log = ""
    retries = task.get("retryPolicy", {"maxRetryCount": 0})
    for attempt in range(1, int(retries["maxRetryCount"]) + 2):
        if attempt > 1:
            time.sleep(float(retries["backoffDuration"].removesuffix("s")) * retries["backoffFactor"] ** (attempt - 2))
        done = subprocess.run(
            command(package, task, run_id, parameters),
            cwd=cwd,
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        said += f"--- {name}, attempt {attempt}: status {done.returncode}\n{done.stderr}"
        log += done.stdout
        if done.returncode in (0, 2):
            break
    return Ended(attempt, done.returncode == 0, said, log)
