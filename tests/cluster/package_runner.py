"""Runs the steps of a pipeline package as processes of this machine, in the order and as often as the package says.

It stands for Kubeflow's part alone: what runs before what, retries, exit handlers, parameters. Commands are the
package's own; where its image would have `python`, this interpreter is.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_RUN_ID = "{{$.pipeline_job_uuid}}"
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


@dataclass
class Ran:
    """What came of a package: how often each task ran, whether it succeeded in the end, what it said, nodes' logs."""

    attempts: dict[str, int] = field(default_factory=dict)
    succeeded: dict[str, bool] = field(default_factory=dict)
    said: str = ""
    logs: dict[str, str] = field(default_factory=dict)


def run(package: Package, run_id: str, parameters: Mapping[str, Any], cwd: Path, environ: Mapping[str, str]) -> Ran:
    """Runs a package to its end."""
    ran = Ran()
    names = package.names()
    given = {**defaults(package), **parameters}
    remaining = dict(package.nodes)
    while remaining:
        ready = [
            name
            for name, task in remaining.items()
            if all(ran.succeeded.get(names[key]) for key in task.get("dependentTasks", ()))
        ]
        if not ready:
            break
        for name in ready:
            _run_task(package, name, remaining.pop(name), run_id, given, cwd, environ, ran)
    _run_task(package, "end", package.last, run_id, given, cwd, environ, ran)
    return ran


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
    ran: Ran,
) -> None:
    tries = 1 + int(task.get("retryPolicy", {}).get("maxRetryCount", 0))
    for attempt in range(1, tries + 1):
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
        ran.attempts[name] = attempt
        ran.succeeded[name] = done.returncode == 0
        ran.said += f"--- {name}, attempt {attempt}: status {done.returncode}\n{done.stderr}"
        ran.logs[name] = ran.logs.get(name, "") + done.stdout
        if done.returncode in (0, 2):
            return
