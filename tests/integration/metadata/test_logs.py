"""Logs in the store: those of containers, read where nobody ever had their files."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from penstock.cli.main import cli
from penstock.dashboard.app import create_app
from penstock.dashboard.settings import Settings
from penstock.errors import StoreError
from penstock.metadata import garbage, logs, recording, runs
from penstock.metadata.database import Database, connect
from penstock.metadata.location import StoreLocation

LOG = "runs/r/n/attempt-1/log.txt"


@pytest.fixture
def elsewhere(database: Database, location: StoreLocation) -> StoreLocation:
    """A store with a run on a cluster, whose log nobody has here."""
    recording.create_run(database, "r", "p", backend="kubeflow", nodes=[("n", "N")], cluster="")
    recording.set_node(database, "r", "n", state="running", attempt=1, log=LOG)
    return location


def put(database: Database, position: int, content: bytes, log: str = LOG) -> None:
    logs.put(database, "r", "n", log, position, content)


def test_a_log_comes_in_pieces_and_is_brought_up_to_them(database: Database, elsewhere: StoreLocation) -> None:
    file = elsewhere.folder / LOG
    logs.fetch(database, "r", "n")
    assert not file.exists()
    put(database, 0, b"one\n")
    for _ in range(2):
        logs.fetch(database, "r", "n")
        assert file.read_bytes() == b"one\n"
    put(database, 0, b"one\n")  # by a writer that did not hear that it was taken
    put(database, 4, "zwei ✓\n".encode())
    logs.fetch(database, "r", "n")
    assert file.read_text() == "one\nzwei ✓\n"
    file.write_bytes(b"one\nzw")  # a reader was ended in the middle of a piece
    logs.fetch(database, "r", "n")
    assert file.read_text() == "one\nzwei ✓\n"
    shutil.rmtree(file.parent)
    logs.fetch(database, "r", "n")
    assert file.read_text() == "one\nzwei ✓\n"


def test_attempts_and_executions_each_have_a_log(database: Database, elsewhere: StoreLocation) -> None:
    others = ["runs/r/n/attempt-2/log.txt", "runs/r/n/part-3/attempt-1/log.txt"]
    for log in (LOG, *others):
        put(database, 0, log.encode(), log)
    logs.fetch(database, "r", "n")
    logs.fetch(database, "r", "other")
    assert [(elsewhere.folder / log).read_text() for log in (LOG, *others)] == [LOG, *others]


def test_a_large_log_is_whole_and_a_huge_one_is_cut(database: Database, elsewhere: StoreLocation) -> None:
    content = bytes(range(256)) * 3000
    put(database, 0, content)
    logs.fetch(database, "r", "n")
    assert (elsewhere.folder / LOG).read_bytes() == content
    huge = "runs/r/n/attempt-2/log.txt"
    put(database, 0, b"x" * (logs.MOST_BYTES - 10), huge)
    put(database, logs.MOST_BYTES - 10, b"y" * 100, huge)
    put(database, logs.MOST_BYTES + 90, b"z" * 100, huge)
    logs.fetch(database, "r", "n")
    kept = (elsewhere.folder / huge).read_bytes()
    assert kept[logs.MOST_BYTES - 20 : logs.MOST_BYTES] == b"x" * 10 + b"y" * 10
    assert kept[logs.MOST_BYTES :].decode().strip().endswith("in the output of its container alone")


def test_many_may_read_at_once(database: Database, elsewhere: StoreLocation) -> None:
    content = b"".join(b"%06d\n" % number for number in range(100_000))
    put(database, 0, content)
    failures: list[BaseException] = []

    def read() -> None:
        try:
            with connect(elsewhere, create=False) as reader:
                logs.fetch(reader, "r", "n")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert (elsewhere.folder / LOG).read_bytes() == content


@pytest.mark.parametrize("log", ["../outside.txt", "/etc/penstock-outside", "runs/../../outside.txt"])
def test_nothing_is_written_outside_the_folder(
    database: Database, elsewhere: StoreLocation, log: str, tmp_path: Path
) -> None:
    put(database, 0, b"x", log)
    with pytest.raises(StoreError, match="outside the store's folder"):
        logs.fetch(database, "r", "n")
    assert not list(tmp_path.rglob("*outside*"))


def test_the_command_and_the_page_show_it(
    database: Database, elsewhere: StoreLocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the folder of a store in PostgreSQL is looked for
    put(database, 0, b"first line\nsecond line\n")
    recording.set_node(database, "r", "n", state="succeeded")
    recording.set_run_state(database, "r", "succeeded")
    store = elsewhere.database or str(elsewhere.folder)
    for more in ([], ["--follow"]):
        shutil.rmtree(elsewhere.folder / "runs", ignore_errors=True)
        done = CliRunner(env={"PENSTOCK_STORE": str(store)}).invoke(cli, ["runs", "logs", "r", "n", *more])
        assert done.exit_code == 0, done.output
        assert done.output == "first line\nsecond line\n"
    shutil.rmtree(elsewhere.folder / "runs")
    client = TestClient(create_app(Settings(elsewhere)), base_url="http://localhost")
    assert "second line" in client.get("/runs/r/nodes/n?tab=log").text
    assert client.get("/runs/r/nodes/n/log.txt").text == "first line\nsecond line\n"
    assert client.get("/api/v1/runs/r/nodes/n/log").text == "first line\nsecond line\n"


def test_it_goes_with_its_run(database: Database, elsewhere: StoreLocation) -> None:
    put(database, 0, b"x")
    recording.set_node(database, "r", "n", state="succeeded")
    recording.set_run_state(database, "r", "succeeded")
    garbage.remove(garbage.Garbage((runs.get_run(database, "r"),), (), 0, 0), elsewhere)
    assert database.query("SELECT count(*) AS kept FROM penstock_logs") == [{"kept": 0}]


def test_a_store_of_an_older_version_has_none(database: Database, elsewhere: StoreLocation) -> None:
    database.execute("DROP TABLE penstock_logs")
    database.execute("UPDATE penstock_schema SET version = 6")
    with connect(elsewhere, create=False) as reader:
        logs.fetch(reader, "r", "n")
