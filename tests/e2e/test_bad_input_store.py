"""Stores that cannot be used: not a store, locked, full, read-only, out of reach. What was recorded before stays."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import Penstock, Result
from tests.e2e.tiny import Project, make_project, wait_for

_WAITING = """\
open({began!r}, "w").close()
while not os.path.exists({go_on!r}):
    time.sleep(0.05)
return {{'made': number}}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, penstock: Penstock) -> Project:
    """The tiny project, run once and well."""
    project = make_project(tmp_path_factory.mktemp("stores") / "project", penstock)
    first = project.run("--run-id", "well")
    assert first.status == 0, first.stderr
    return project


def refused(project: Project, store: Path | str, tmp_path: Path, **environ: str) -> Result:
    """Runs on a store that cannot be used: a short answer, exit 1, and no worker was started for it."""
    environ = {"PENSTOCK_RUNTIME_DIR": str(tmp_path / "runtime"), **environ}
    answer = project.penstock("run", project.folder, "--store", store, environ=environ)
    assert answer.status == 1, answer.stderr
    assert_short(answer)
    assert not (tmp_path / "runtime").exists()
    return answer


def assert_short(answer: Result) -> None:
    """A few lines, and no traceback among them."""
    assert "Traceback" not in answer.stderr
    assert "Unexpected error" not in answer.stderr
    assert answer.stdout == ""


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another process holds a SQLite file for itself."""
    program = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)\n"
        "connection.execute('BEGIN EXCLUSIVE')\nprint('held', flush=True)\nsys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, database], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        yield
    finally:
        holder.communicate("")


def test_a_text_file_in_the_place_of_each_database(project: Project, tmp_path: Path) -> None:
    for name in ("metadata.db", "penstock.db"):
        store = tmp_path / name.partition(".")[0]
        store.mkdir()
        (store / name).write_text("Dear aunt, this is a letter and no database.\n" * 50)
        answer = refused(project, store, tmp_path)
        assert f"{store / name}: this is no metadata store" in answer.stderr
        assert "Move the file away" in answer.stderr
        assert (store / name).read_text().startswith("Dear aunt")


def test_another_programs_database(project: Project, tmp_path: Path) -> None:
    """It is not added to."""
    for name in ("metadata.db", "penstock.db"):
        store = tmp_path / name.partition(".")[0]
        store.mkdir()
        with sqlite3.connect(store / name) as other:
            other.execute("CREATE TABLE songs (title TEXT)")
        answer = refused(project, store, tmp_path)
        assert f"{store / name}: this SQLite database is no" in answer.stderr
        assert "it has no table" in answer.stderr and "--store" in answer.stderr
        with sqlite3.connect(store / name) as other:
            assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("songs",)]


def test_a_store_of_a_newer_ml_metadata(project: Project, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    copy = tmp_path / "store" / "metadata.db"
    with sqlite3.connect(project.store / "metadata.db") as source, sqlite3.connect(copy) as target:
        source.backup(target)
        target.execute("UPDATE MLMDEnv SET schema_version = 999")
    answer = project.penstock("run", project.folder, "--store", tmp_path / "store")
    assert answer.status == 1, answer.stderr
    assert_short(answer)
    assert f"{copy}: cannot be opened as a metadata store" in answer.stderr
    assert "999" in answer.stderr


def test_a_postgresql_server_out_of_reach(project: Project, tmp_path: Path) -> None:
    answer = refused(project, "postgresql://me:hush@127.0.0.1:9/pipelines", tmp_path)
    assert "postgresql://me:***@127.0.0.1:9/pipelines: no connection" in answer.stderr
    assert "hush" not in answer.stderr


@pytest.mark.parametrize("name", ["metadata.db", "penstock.db"])
def test_a_store_that_is_locked_from_the_start(project: Project, name: str) -> None:
    runs = project.runs()
    with locked(project.store / name):
        answer = project.run("-p", "seed=5", environ={"PENSTOCK_LOCK_TIMEOUT": "1"})
    assert answer.status == 1, answer.stderr
    assert_short(answer)
    assert str(project.store / name) in answer.stderr and "locked" in answer.stderr
    assert re.search(r"for (more than )?1 s\b", answer.stderr)
    assert runs[-1] in project.runs()
    assert project.run().status == 0
    assert set(project.states().values()) == {"cached"}


def test_a_lock_timeout_that_is_no_number(project: Project) -> None:
    for command in (["run", project.folder], ["runs", "list"]):
        environ = {"PENSTOCK_LOCK_TIMEOUT": "soon"}
        answer = project.penstock(*command, "--store", project.store, environ=environ)
        assert answer.status == 2, answer.stderr
        assert "PENSTOCK_LOCK_TIMEOUT='soon' is no number of seconds" in answer.stderr
        assert_short(answer)


def test_a_store_that_is_locked_in_the_middle_of_a_run(tmp_path: Path, penstock: Penstock) -> None:
    project = make_project(tmp_path / "project", penstock)
    began, go_on = tmp_path / "began", tmp_path / "go on"
    project.faulty(_WAITING.format(began=str(began), go_on=str(go_on)))
    process = project.start("--run-id", "locked-out", environ={"PENSTOCK_LOCK_TIMEOUT": "1"})
    wait_for(began.exists, process)
    with locked(project.store / "metadata.db"):
        go_on.touch()
        _, errors = process.communicate(timeout=120)
    answer = Result(process.returncode, "", errors)
    assert answer.status == 1, errors
    assert_short(answer)
    assert "metadata.db: locked by another program for more than 1 s" in errors
    [run] = project.runs()
    assert run["state"] == "failed" and "locked" in run["error"]
    assert project.states() == {"first": "succeeded", "apart": "succeeded", "faulty": "failed", "last": "waiting"}
    again = project.run()
    assert again.status == 0, again.stderr
    assert project.states() == {"first": "cached", "apart": "cached", "faulty": "succeeded", "last": "succeeded"}


def test_two_runs_at_once_on_a_new_store(tmp_path: Path, penstock: Penstock) -> None:
    project = make_project(tmp_path / "project", penstock)
    processes = [project.start("--run-id", f"run-{seed}", "-p", f"seed={seed}") for seed in (1, 2)]
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert {run["run_id"]: run["state"] for run in project.runs()} == {"run-1": "succeeded", "run-2": "succeeded"}
    for run in ("run-1", "run-2"):
        assert set(project.states(run).values()) <= {"succeeded", "cached"}


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    """A file system of its own, in memory, of a size like `64k`."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    """Changes a mounted file system."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def test_a_full_disk_under_the_logs(tmp_path: Path, penstock: Penstock) -> None:
    """A node that can write no more to its log fails and says why; with room it runs, and the rest is cached."""
    project = make_project(tmp_path / "project", penstock)
    project.faulty("for _ in range(20_000):\n    print('a line of some length for the log')\nreturn {'made': number}")
    with mounted(project.store / "runs", "128k"):
        failed = project.run()
        assert failed.status == 1, failed.stderr
        assert "Traceback" not in failed.stderr
        assert "the disk is full: free some space and run again" in failed.stderr
        assert f"{project.module}:" in failed.stderr
        states = {"first": "succeeded", "apart": "succeeded", "faulty": "failed", "last": "upstream_failed"}
        assert project.states() == states
        remount(project.store / "runs", "size=16m")
        again = project.run()
        assert again.status == 0, again.stderr
        assert project.states() == {"first": "cached", "apart": "cached", "faulty": "succeeded", "last": "succeeded"}
        assert project.runs()[1]["state"] == "failed"


def test_no_room_for_logs_costs_quiet_nodes_nothing(tmp_path: Path, penstock: Penstock) -> None:
    project = make_project(tmp_path / "project", penstock)
    with mounted(project.store / "runs", "64k"):
        fill(project.store / "runs")
        ran = project.run()
        assert ran.status == 0, ran.stderr
        assert set(project.states().values()) == {"succeeded"}


def test_a_full_disk_under_the_whole_store(tmp_path: Path, penstock: Penstock) -> None:
    project = make_project(tmp_path / "project", penstock)
    with mounted(project.store, "24m"):
        assert project.run("--run-id", "well").status == 0
        filler = fill(project.store)
        full = project.run("-p", "seed=2")
        assert full.status == 1, full.stderr
        assert_short(full)
        assert "full" in full.stderr or "No space left on device" in full.stderr
        filler.unlink()
        assert {"succeeded"} == set(project.states("well").values())
        again = project.run("-p", "seed=2")
        assert again.status == 0, again.stderr
        assert "well" in [run["run_id"] for run in project.runs()]


def fill(folder: Path) -> Path:
    """Writes a file until nothing more goes onto the disk."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(4096))
        except OSError:
            return filler


def test_a_store_that_can_only_be_read(tmp_path: Path, penstock: Penstock) -> None:
    project = make_project(tmp_path / "project", penstock)
    with mounted(project.store, "24m"):
        assert project.run("--run-id", "well").status == 0
        remount(project.store, "ro")
        answer = refused(project, project.store, tmp_path)
        assert str(project.store) in answer.stderr
        assert [run["run_id"] for run in project.runs()] == ["well"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_in_a_folder_one_may_not_write_to(project: Project, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    answer = refused(project, closed / "store", tmp_path)
    assert str(closed / "store") in answer.stderr


def test_a_full_disk_behind_standard_output(project: Project) -> None:
    with Path("/dev/full").open("w") as full:
        process = project.penstock.start("runs", "list", "--json", "--store", project.store, stdout=full)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.splitlines() == [
        "No space left on device. Make room on the disk and run again; what was recorded before is kept."
    ]
