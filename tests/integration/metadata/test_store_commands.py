"""`penstock store`, for those who set a store up before anybody runs."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from penstock.metadata.database import connect
from penstock.metadata.location import StoreLocation
from penstock.metadata.tables import SCHEMA_VERSION
from tests.conftest import Penstock


def _name(location: StoreLocation) -> str:
    return location.database or str(location.folder)


def test_tables_are_missing_until_they_are_made(penstock: Penstock, location: StoreLocation, tmp_path: Path) -> None:
    before = penstock("store", "check", "--store", _name(location), cwd=tmp_path)
    assert before.status == 1
    assert "the store has no tables" in before.stderr and "penstock store migrate" in before.stderr
    made = penstock("store", "migrate", "--store", _name(location), cwd=tmp_path)
    assert made.status == 0, made.stderr
    after = penstock("store", "check", "--store", _name(location), cwd=tmp_path)
    assert after.status == 0, after.stderr
    with connect(location, create=False) as database:
        assert database.tables_version == SCHEMA_VERSION and database.has_mlmd()


def test_tables_of_an_older_penstock_are_brought_up_to_date(
    penstock: Penstock, location: StoreLocation, tmp_path: Path
) -> None:
    assert penstock("store", "migrate", "--store", _name(location), cwd=tmp_path).status == 0
    with connect(location, create=True) as database:
        database.execute("UPDATE penstock_schema SET version = 1")
    old = penstock("store", "check", "--store", _name(location), cwd=tmp_path)
    assert old.status == 1 and "tables of version 1" in old.stderr
    assert penstock("store", "migrate", "--store", _name(location), cwd=tmp_path).status == 0
    assert penstock("store", "check", "--store", _name(location), cwd=tmp_path).status == 0


def test_many_that_make_the_tables_at_once_all_succeed(
    penstock: Penstock, location: StoreLocation, tmp_path: Path
) -> None:
    started = [penstock.start("store", "migrate", "--store", _name(location), cwd=tmp_path) for _ in range(10)]
    ended = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0] * 10, ended


def test_what_is_not_there_yet_is_waited_for(penstock: Penstock, location: StoreLocation, tmp_path: Path) -> None:
    waiting = penstock.start("store", "check", "--wait", "2m", "--store", _name(location), cwd=tmp_path)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(timeout=4)
    assert penstock("store", "migrate", "--store", _name(location), cwd=tmp_path).status == 0
    said = waiting.communicate(timeout=60)[1]
    assert waiting.returncode == 0, said
    # Once for each reason: the second may be that one of the two sets of tables is there.
    assert said.count("Waiting for it") in (1, 2)


def test_a_server_that_does_not_come_is_given_up(penstock: Penstock, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"postgresql://penstock:s3cret@127.0.0.1:{probe.getsockname()[1]}/penstock"
    result = penstock("store", "migrate", "--wait", "3s", "--store", url, cwd=tmp_path)
    assert result.status == 1
    assert "no connection to the metadata store" in result.stderr
    assert "s3cret" not in result.stderr
