"""Workers: a warm zygote, a clean process a job, and nothing left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.backends.local.workers import Ended, Workers
from penstock.errors import WorkerError
from tests.conftest import Penstock

# Blocks until somebody writes to the pipe, and leaves a child of its own running beside it.
BLOCKING = """
import os, subprocess
def pipeline(pipe, pids):
    child = subprocess.Popen(["sleep", "600"])
    with open(pids, "w") as stream:
        stream.write(f"{os.getpid()} {child.pid}\\n")
    open(pipe).read()
"""


@pytest.fixture
def workers(penstock: Penstock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    for name, value in penstock.environ.items():
        monkeypatch.setenv(name, value)
    with Workers() as connected:
        assert connected.wait_ready(300)
        yield connected


def start_ping(workers: Workers, job: str, folder: Path) -> None:
    workers.start(job, "ping", {}, cwd=folder, env=dict(os.environ))


def start_blocking(workers: Workers, job: str, folder: Path) -> tuple[int, int]:
    """Starts a job that does not end by itself; returns its process id and that of the child it started."""
    (folder / "blocking.py").write_text(BLOCKING)
    pipe, pids = folder / f"{job}.pipe", folder / f"{job}.pids"
    os.mkfifo(pipe)
    request: dict[str, Any] = {
        "source": f"{folder / 'blocking.py'}:pipeline",
        "parameters": {"pipe": str(pipe), "pids": str(pids)},
        "environment": None,
        "pipeline_root": str(folder),
    }
    workers.start(job, "compile", request, log=folder / f"{job}.log", cwd=folder, env=dict(os.environ))
    wait_for(lambda: pids.exists() and pids.read_text().endswith("\n"))
    pid, child = map(int, pids.read_text().split())
    return pid, child


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def collect(workers: Workers, count: int) -> dict[str, Ended]:
    ended: dict[str, Ended] = {}
    while len(ended) < count:
        ended.update({one.job: one for one in workers.events(60)})
    return ended


def test_every_job_is_a_process_of_its_own(workers: Workers, tmp_path: Path) -> None:
    for number in range(10):
        start_ping(workers, str(number), tmp_path)
    ended = collect(workers, 10)
    assert all(one.outcome == {"ok": True} and one.status == 0 for one in ended.values())


def test_a_job_starts_in_milliseconds(workers: Workers, tmp_path: Path) -> None:
    seconds = []
    for number in range(5):
        began = time.monotonic()
        start_ping(workers, str(number), tmp_path)
        workers.wait(str(number))
        seconds.append(time.monotonic() - began)
    assert min(seconds) < 0.5


def test_a_killed_job_says_so_and_leaves_the_zygote_alone(workers: Workers, tmp_path: Path) -> None:
    _, child = start_blocking(workers, "blocked", tmp_path)
    workers.kill("blocked", signal.SIGKILL)
    ended = collect(workers, 1)["blocked"]
    assert ended.outcome is None
    assert "killed by SIGKILL" in ended.cause_of_death
    wait_for(lambda: is_gone(child))
    start_ping(workers, "after", tmp_path)
    assert workers.wait("after").outcome == {"ok": True}


def test_jobs_end_with_the_scheduler_that_asked_for_them(workers: Workers, tmp_path: Path) -> None:
    with Workers() as other:
        pid, child = start_blocking(other, "orphan", tmp_path)
    wait_for(lambda: is_gone(pid) and is_gone(child))
    start_ping(workers, "mine", tmp_path)
    assert workers.wait("mine").outcome == {"ok": True}


def test_an_error_comes_back_with_the_users_frames_and_stands_in_the_log(workers: Workers, tmp_path: Path) -> None:
    file = tmp_path / "mistaken.py"
    file.write_text("def pipeline():\n    return {}['examples']\n")
    request: dict[str, Any] = {
        "source": f"{file}:pipeline",
        "parameters": {},
        "environment": None,
        "pipeline_root": str(tmp_path),
    }
    log = tmp_path / "log.txt"
    workers.start("bad", "compile", request, log=log, cwd=tmp_path, env=dict(os.environ), sys_path=[tmp_path])
    outcome = workers.wait("bad").outcome
    assert outcome is not None and not outcome["ok"]
    assert outcome["failure"]["kind"] == "KeyError"
    assert [frame["line"] for frame in outcome["failure"]["frames"]] == [2]
    assert "Traceback" in log.read_text()


def test_a_zygote_that_cannot_load_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "tensorflow.py").write_text("raise ImportError('this TensorFlow is broken')\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(broken), os.environ.get("PYTHONPATH", "")]))
    runtime = tmp_path / "runtime"
    monkeypatch.setenv("PENSTOCK_RUNTIME_DIR", str(runtime))
    with Workers() as connected, pytest.raises(WorkerError, match="this TensorFlow is broken"):
        connected.wait_ready(60)


def test_a_runtime_folder_that_others_may_write_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    monkeypatch.setenv("PENSTOCK_RUNTIME_DIR", str(folder))
    with pytest.raises(WorkerError, match="writable by nobody else"):
        Workers()


def test_a_runtime_folder_with_a_path_too_long_for_sockets_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_RUNTIME_DIR", str(tmp_path / ("long" * 40)))
    with pytest.raises(WorkerError, match="PENSTOCK_RUNTIME_DIR"):
        Workers()
