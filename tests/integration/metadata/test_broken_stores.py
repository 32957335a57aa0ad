"""Stores that cannot be used: each answers with the file, what is wrong, and what to do."""

from __future__ import annotations

import json
import os
import pwd
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2 as proto

from penstock.errors import StoreError
from penstock.metadata import artifacts, recording, runs
from penstock.metadata.database import connect
from penstock.metadata.location import StoreLocation
from penstock.metadata.mlmd import open_store
from tests.integration.metadata.stores import StoreWriter
from tests.servers.postgres import PostgresServer

SOURCE = Path(__file__).parents[3] / "src"


@pytest.fixture
def store(tmp_path: Path) -> StoreLocation:
    """A SQLite store with one run in it."""
    location = StoreLocation(tmp_path / "store")
    with connect(location, create=True) as database:
        recording.create_run(database, "r1", "taxi")
    return location


@pytest.mark.parametrize("create", [True, False])
def test_a_file_that_is_no_database(tmp_path: Path, create: bool) -> None:
    (tmp_path / "penstock.db").write_bytes(b"This is a letter to my aunt, and not a database.\n" * 50)
    with pytest.raises(StoreError, match=r"penstock\.db: this is no metadata store .*Move the file away"):
        connect(StoreLocation(tmp_path), create=create)
    assert (tmp_path / "penstock.db").read_bytes().startswith(b"This is a letter")


def test_an_ml_metadata_file_that_is_no_database(store: StoreLocation) -> None:
    store.mlmd_path.write_bytes(b"x" * 5000)
    with connect(store, create=False) as database:
        assert [run.run_id for run in runs.list_runs(database)] == ["r1"]
        with pytest.raises(StoreError, match=r"metadata\.db: this is no metadata store"):
            artifacts.list_artifacts(database)


def test_another_programs_database_in_ml_metadatas_place(store: StoreLocation) -> None:
    with sqlite3.connect(store.mlmd_path) as other:
        other.execute("CREATE TABLE songs (title TEXT)")
    with connect(store, create=False) as database, pytest.raises(StoreError, match="no ml-metadata store"):
        artifacts.list_artifacts(database)


def test_an_empty_file_reads_as_an_empty_store(tmp_path: Path) -> None:
    (tmp_path / "penstock.db").touch()
    (tmp_path / "metadata.db").touch()
    with connect(StoreLocation(tmp_path), create=False) as database:
        assert runs.list_runs(database) == []
        assert artifacts.list_artifacts(database) == []


def test_a_truncated_database(store: StoreLocation) -> None:
    store.own_path.write_bytes(store.own_path.read_bytes()[:5000])
    with pytest.raises(StoreError, match=r"penstock\.db: "), connect(store, create=False) as database:
        runs.get_run(database, "r1")


@pytest.mark.parametrize("create", [True, False])
def test_a_folder_in_the_databases_place(tmp_path: Path, create: bool) -> None:
    (tmp_path / "penstock.db").mkdir()
    with pytest.raises(StoreError, match=r"penstock\.db: the store cannot be opened"):
        connect(StoreLocation(tmp_path), create=create)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="the store's folder cannot be made"):
        connect(StoreLocation(tmp_path / "file" / "store"), create=True)


def test_a_locked_store_is_waited_for_and_then_named_and_keeps_what_it_had(store: StoreLocation) -> None:
    holder = sqlite3.connect(store.own_path, isolation_level=None)
    with connect(store, create=True, busy_timeout_seconds=0.2) as database:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match=r"penstock\.db: another process has held the store locked for 0\.2 s"):
            recording.set_run_state(database, "r1", "failed")
        assert runs.get_run(database, "r1").state == "running"
        holder.execute("ROLLBACK")
        recording.set_run_state(database, "r1", "failed")
        assert runs.get_run(database, "r1").state == "failed"
    holder.close()


def test_a_locked_ml_metadata_database_is_named(store: StoreLocation) -> None:
    writer = StoreWriter(store)
    writer.execute("p", "r1", "n", outputs={"x": [writer.artifact("D", "/d")]})
    holder = sqlite3.connect(store.mlmd_path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with (
        connect(store, create=False, busy_timeout_seconds=0.2) as database,
        pytest.raises(StoreError, match=r"metadata\.db: another process has held"),
    ):
        artifacts.list_artifacts(database)
    holder.close()


def test_a_finished_store_without_its_log_files_is_readable(store: StoreLocation) -> None:
    """What is left once the last connection is closed is one file, and reading leaves no other behind."""
    with connect(store, create=False) as database:
        runs.list_runs(database)
    assert [path.name for path in store.folder.iterdir()] == ["penstock.db"]


def test_a_postgresql_server_that_is_not_there(tmp_path: Path) -> None:
    location = StoreLocation(tmp_path, "postgresql://me:hush%21@127.0.0.1:9/db")
    with pytest.raises(StoreError) as caught:
        connect(location, create=False)
    assert "postgresql://me:***@127.0.0.1:9/db: no connection" in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_wrong_password_is_not_repeated(tmp_path: Path, postgres_server: PostgresServer) -> None:
    location = StoreLocation(tmp_path, f"postgresql://penstock:opensesame@127.0.0.1:{postgres_server.port}/postgres")
    with pytest.raises(StoreError, match="Check that the server runs") as caught:
        connect(location, create=False)
    assert "opensesame" not in str(caught.value)


def test_a_locked_table_in_postgresql_is_named(tmp_path: Path, postgres_server: PostgresServer) -> None:
    location = StoreLocation(tmp_path, postgres_server.new_database())
    with (
        connect(location, create=True) as holder,
        connect(location, create=True, busy_timeout_seconds=0.2) as database,
        holder.transaction(),
    ):
        holder.execute("LOCK TABLE penstock_runs IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreError, match=r"held the store locked for 0\.2 s"):
            recording.create_run(database, "r", "p")


def test_what_the_engine_writes_is_read_by_others_while_it_is_open_and_afterwards(store: StoreLocation) -> None:
    mlmd = open_store(store)
    type_id = mlmd.put_artifact_type(proto.ArtifactType(name="D"))
    for number in range(3):
        mlmd.put_artifacts([proto.Artifact(type_id=type_id, uri=f"/{number}")])
        assert _uris_elsewhere(store) == [f"/{earlier}" for earlier in reversed(range(number + 1))]
    mlmd.close()
    assert _uris_elsewhere(store) == ["/2", "/1", "/0"]


def _uris_elsewhere(store: StoreLocation) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "artifacts", "list", "--json", "--store", str(store.folder)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        check=True,
    )
    return [artifact["uri"] for artifact in json.loads(done.stdout)]


@pytest.mark.skipif(os.geteuid() != 0, reason="changes to another user, which only root may")
def test_a_store_one_may_not_write_to_can_be_read(store: StoreLocation) -> None:
    """As another user in a folder that is closed to writing, alone and beside a writer."""
    StoreWriter(store).execute("p", "r1", "n")
    for folder in (store.folder, *store.folder.parents[:3]):
        folder.chmod(0o755)
    assert _run_ids_as_nobody(store) == ["r1"]
    with connect(store, create=True) as database:
        recording.create_run(database, "r2", "taxi")
        assert _run_ids_as_nobody(store) == ["r2", "r1"]


def _run_ids_as_nobody(store: StoreLocation) -> list[str]:
    os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        with connect(store, create=False) as database:
            assert artifacts.list_artifacts(database) == []
            return [run.run_id for run in runs.list_runs(database)]
    finally:
        os.seteuid(0)
