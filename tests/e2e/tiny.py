"""A project of four quick nodes: `first` feeds `faulty`, which feeds `last`; `apart` stands alone.

What `faulty` does is for each test to say; it has a module of its own, so that mending it leaves the others cached.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.conftest import Penstock, Result

NODES = ("first", "apart", "faulty", "last")
MENDED = "return {'made': number + 1}"

_DECLARATION = """\
penstock: 1
name: tiny
parameters:
  seed: {type: int, default: 1}
nodes:
  first:
    component: steps:first
    seed: ${parameters.seed}
  apart:
    component: steps:apart
  faulty:
    component: broken:faulty
    number: ${nodes.first.made}
  last:
    component: steps:last
    number: ${nodes.faulty.made}
"""

_STEPS = """\
from tfx.dsl.component.experimental.annotations import OutputDict, Parameter
from tfx.dsl.component.experimental.decorators import component


@component
def first(seed: Parameter[int]) -> OutputDict(made=int):
    return {"made": seed}


@component
def apart() -> OutputDict(made=int):
    return {"made": 7}


@component
def last(number: int) -> OutputDict(made=int):
    return {"made": number}
"""

_BROKEN = """\
import os, signal, sys, time
from tfx.dsl.component.experimental.annotations import OutputDict
from tfx.dsl.component.experimental.decorators import component


@component
def faulty(number: int) -> OutputDict(made=int):
"""


@dataclass(frozen=True)
class Project:
    """The project's folder, its store, and the command to run it with."""

    folder: Path
    penstock: Penstock

    @property
    def store(self) -> Path:
        """The folder of its store, which need not be there yet."""
        return self.folder / "store"

    @property
    def module(self) -> Path:
        """The file that `faulty` is in."""
        return self.folder / "broken.py"

    def faulty(self, body: str) -> None:
        """Writes what `faulty` does: the lines of the function, which has an argument `number`."""
        lines = dedent(body).splitlines()
        self.module.write_text(_BROKEN + "".join(f"    {line}\n" for line in lines))

    def mend(self) -> None:
        """Makes `faulty` right."""
        self.faulty(MENDED)

    def line_of(self, text: str) -> str:
        """The place of a line in the module as `FILE:LINE`."""
        for number, line in enumerate(self.module.read_text().splitlines(), start=1):
            if text in line:
                return f"{self.module}:{number}"
        raise ValueError(text)

    def run(self, *options: str, environ: dict[str, str] | None = None, timeout: float = 300) -> Result:
        """Runs the pipeline to its end."""
        return self.penstock("run", self.folder, "--store", self.store, *options, environ=environ, timeout=timeout)

    def start(self, *options: str, environ: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Starts a run and returns its process."""
        return self.penstock.start("run", self.folder, "--store", self.store, *options, environ=environ)

    def runs(self) -> list[dict[str, Any]]:
        """What `runs list` says, latest first."""
        listed = self.penstock("runs", "list", "--json", "--store", self.store)
        assert listed.status == 0, listed.stderr
        return listed.json

    def states(self, run: str = "latest") -> dict[str, str]:
        """The state of each node of a run."""
        shown = self.penstock("runs", "show", run, "--json", "--store", self.store)
        assert shown.status == 0, shown.stderr
        return {node["node_id"]: node["state"] for node in shown.json["nodes"]}


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str] | None = None, seconds: float = 180) -> None:
    """Waits until a condition holds; fails at once when a process that is to bring it about has ended."""
    deadline = time.monotonic() + seconds
    while not condition():
        if process is not None and process.poll() is not None:
            pytest.fail(f"the process ended with status {process.returncode}: {process.communicate()[1]}")
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:g} s in vain")
        time.sleep(0.05)


def make_project(folder: Path, penstock: Penstock) -> Project:
    """Writes the project, with a `faulty` that is right."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pipeline.yaml").write_text(_DECLARATION)
    (folder / "steps.py").write_text(_STEPS)
    project = Project(folder, penstock)
    project.mend()
    return project
