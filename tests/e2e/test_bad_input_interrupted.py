"""Runs that are stopped, politely or not: no process stays, the run is shown as what it is, its results are reused."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import Penstock
from tests.e2e.tiny import Project, make_project, wait_for

# The worker and a program it started write their ids; both would go on for ten minutes.
_ENDLESS = """\
import subprocess
child = subprocess.Popen(["sleep", "600"])
with open({pids!r} + ".new", "w") as stream:
    stream.write(f"{{os.getpid()}} {{child.pid}}")
os.rename({pids!r} + ".new", {pids!r})
time.sleep(600)
"""
_STUBBORN = "signal.signal(signal.SIGTERM, lambda *_: open({asked!r}, 'w').close())\n"
_AFTERWARDS = {"first": "cached", "apart": "cached", "faulty": "succeeded", "last": "succeeded"}


@pytest.fixture
def project(tmp_path: Path, penstock: Penstock) -> Project:
    """The tiny project, with a `faulty` that never ends by itself."""
    project = make_project(tmp_path / "project", penstock)
    project.faulty(_ENDLESS.format(pids=str(tmp_path / "pids")))
    return project


def running_processes(file: Path) -> list[int]:
    """Those of the processes named in the file that are still there."""
    return [pid for pid in map(int, file.read_text().split()) if is_running(pid)]


def is_running(pid: int) -> bool:
    """Whether a process is there and is not merely waiting to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def assert_mended_run_reuses_what_finished(project: Project) -> None:
    project.mend()
    again = project.run()
    assert again.status == 0, again.stderr
    assert project.states() == _AFTERWARDS


def test_ctrl_c_while_a_node_runs(project: Project, tmp_path: Path) -> None:
    process = project.start("--run-id", "stopped")
    wait_for((tmp_path / "pids").exists, process)
    wait_for(lambda: project.states("stopped")["apart"] == "succeeded", process)
    assert len(running_processes(tmp_path / "pids")) == 2
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "Cancelled in" in errors
    wait_for(lambda: not running_processes(tmp_path / "pids"))
    assert [run["state"] for run in project.runs()] == ["cancelled"]
    states = {"first": "succeeded", "apart": "succeeded", "faulty": "cancelled", "last": "cancelled"}
    assert project.states("stopped") == states
    assert_mended_run_reuses_what_finished(project)
    assert project.states("stopped") == states


def test_a_second_ctrl_c_does_not_wait_for_a_node_that_will_not_end(project: Project, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    body = _ENDLESS.format(pids=str(tmp_path / "pids"))
    project.faulty(_STUBBORN.format(asked=str(asked)) + body + "time.sleep(600)\n")
    process = project.start()
    wait_for((tmp_path / "pids").exists, process)
    process.send_signal(signal.SIGINT)
    wait_for(asked.exists, process)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    # A node that has been asked once is given ten seconds.
    assert time.monotonic() - began < 9
    assert process.returncode == 130, errors
    wait_for(lambda: not running_processes(tmp_path / "pids"))
    assert [run["state"] for run in project.runs()] == ["cancelled"]


def test_ctrl_c_while_the_pipeline_is_compiled(project: Project, tmp_path: Path) -> None:
    """No run has begun yet, so none is shown."""
    pids = tmp_path / "pids"
    endless = "import os, time\n" + _ENDLESS.format(pids=str(pids))
    text = project.module.read_text()
    project.module.write_text(endless + text)
    process = project.start()
    wait_for(pids.exists, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert errors.endswith("Interrupted.\n")
    wait_for(lambda: not running_processes(pids))
    assert project.runs() == []


def test_a_scheduler_that_is_killed(project: Project, tmp_path: Path) -> None:
    """Its workers end with it, and the run shows as interrupted."""
    process = project.start("--run-id", "killed")
    wait_for((tmp_path / "pids").exists, process)
    wait_for(lambda: project.states("killed")["apart"] == "succeeded", process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    wait_for(lambda: not running_processes(tmp_path / "pids"))
    assert [run["state"] for run in project.runs()] == ["interrupted"]
    assert project.states("killed")["first"] == "succeeded"
    assert_mended_run_reuses_what_finished(project)
    assert {run["run_id"]: run["state"] for run in project.runs()}["killed"] == "interrupted"


def test_a_run_that_is_told_to_end_by_the_system(project: Project, tmp_path: Path) -> None:
    """SIGTERM, as from a machine that shuts down, cancels like Ctrl-C."""
    process = project.start()
    wait_for((tmp_path / "pids").exists, process)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    wait_for(lambda: not running_processes(tmp_path / "pids"))
    assert [run["state"] for run in project.runs()] == ["cancelled"]
