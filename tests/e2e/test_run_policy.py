"""The run as a whole: how long it may take, what happens beside others of its pipeline, and who hears of its end."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Penstock, Result
from tests.e2e.tiny import wait_for

STEPS = """\
import os, time
from tfx.dsl.component.experimental.annotations import OutputDict, Parameter
from tfx.dsl.component.experimental.decorators import component


@component
def hold(folder: Parameter[str], name: Parameter[str]) -> OutputDict(made=int):
    open(os.path.join(folder, name + ".began"), "w").close()
    while not os.path.exists(os.path.join(folder, name + ".go")):
        time.sleep(0.02)
    return {"made": 1}
"""
NODE = """\
penstock: 1
name: holding
parameters: {name: {type: str, default: first}}
nodes:
  hold: {component: "steps:hold", folder: "${project}", name: "${parameters.name}", cache: false}
"""


class Project:
    """A pipeline of one node that waits for a file."""

    def __init__(self, folder: Path, penstock: Penstock, policy: str):
        self.folder, self.penstock = folder, penstock
        (folder / "pyproject.toml").write_text("")
        (folder / "steps.py").write_text(STEPS)
        (folder / "pipeline.yaml").write_text(NODE + policy)

    def start(self, name: str) -> Any:
        """Starts a run; its node then waits for `release`."""
        return self.penstock.start("run", self.folder, "-p", f"name={name}", "--run-id", name, cwd=self.folder)

    def run(self, name: str) -> Result:
        """Runs to the end."""
        return self.penstock("run", self.folder, "-p", f"name={name}", "--run-id", name, cwd=self.folder)

    def has_begun(self, name: str) -> bool:
        """Whether the node of a run is at work."""
        return (self.folder / f"{name}.began").exists()

    def release(self, name: str) -> None:
        """Lets the node of a run end."""
        (self.folder / f"{name}.go").touch()

    def states(self) -> dict[str, str]:
        """The state of each run."""
        return {run["run_id"]: run["state"] for run in self.penstock("runs", "list", "--json", cwd=self.folder).json}


def make(folder: Path, penstock: Penstock, policy: str) -> Project:
    return Project(folder, penstock, policy)


def test_a_run_that_takes_too_long_fails(tmp_path: Path, penstock: Penstock) -> None:
    project = make(tmp_path, penstock, "timeout: 1s\n")
    result = project.run("first")
    assert result.status == 1
    assert "the run timed out after 1 s" in result.stderr
    assert project.states() == {"first": "failed"}


def test_handlers_hear_of_the_end(tmp_path: Path, penstock: Penstock) -> None:
    handlers = 'always:\n  - command: [sh, -c, "cat > ended.json"]\non_failure:\n  - command: [touch, failed]\n'
    project = make(tmp_path, penstock, handlers + 'on_success:\n  - command: ["false"]\n')
    project.release("first")
    result = project.run("first")
    assert result.status == 0
    assert "Exit handler failed: false: ended with status 1" in result.stderr
    ended = json.loads((tmp_path / "ended.json").read_text())
    assert ended == {
        "run_id": "first",
        "pipeline": "holding",
        "state": "succeeded",
        "error": None,
        "nodes": {"hold": "succeeded"},
    }
    assert not (tmp_path / "failed").exists()


@pytest.mark.parametrize("policy", ["skip", "queue", "replace"])
def test_a_run_beside_another_of_its_pipeline(tmp_path: Path, penstock: Penstock, policy: str) -> None:
    project = make(tmp_path, penstock, f"concurrency: {{policy: {policy}}}\n")
    with project.start("first") as first:
        wait_for(lambda: project.has_begun("first"), first)
        if policy == "skip":
            second = project.run("second")
            assert second.status == 0
            assert "holding is running already (first)" in second.stderr
            assert not project.has_begun("second")
            project.release("first")
            first.communicate(timeout=120)
            assert project.states() == {"first": "succeeded"}
            return
        project.release("second")
        with project.start("second") as waiting:
            if policy == "queue":
                assert "Waiting until fewer than 1 runs" in next(line for line in waiting.stderr if "Waiting" in line)
                assert not project.has_begun("second")
                project.release("first")
            first.communicate(timeout=120)
            waiting.communicate(timeout=120)
    expected = "succeeded" if policy == "queue" else "cancelled"
    assert project.states() == {"first": expected, "second": "succeeded"}


def test_the_time_limit_of_a_node_does_not_count_how_long_workers_load(tmp_path: Path, penstock: Penstock) -> None:
    project = make(tmp_path, penstock, "")
    file = tmp_path / "pipeline.yaml"
    file.write_text(file.read_text().replace("cache: false", "cache: false, timeout: 2s"))
    for name in ("first", "second"):
        project.release(name)
        assert project.run(name).status == 0
    runtime = tempfile.mkdtemp(prefix="penstock-")
    # The pipeline of `second` is compiled already, so that the node is the first job of these new workers.
    command = ("run", tmp_path, "-p", "name=second", "--run-id", "third")
    cold = {"PENSTOCK_RUNTIME_DIR": runtime, "PENSTOCK_WARM_MINUTES": "0"}
    done = penstock(*command, cwd=tmp_path, environ=cold)
    shutil.rmtree(runtime)
    assert done.status == 0, done.stderr
    assert "Starting workers" in done.stderr
