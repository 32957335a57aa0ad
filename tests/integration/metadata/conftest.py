"""Every test that asks for `location` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.metadata.database import Database, connect
from penstock.metadata.location import StoreLocation
from tests.servers.postgres import postgres_server

__all__ = ["postgres_server"]


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> StoreLocation:
    """An empty store of each kind."""
    folder = tmp_path / ".penstock"
    if request.param == "sqlite":
        return StoreLocation(folder)
    return StoreLocation(folder, request.getfixturevalue("postgres_server").new_database())


@pytest.fixture
def database(location: StoreLocation) -> Iterator[Database]:
    """A store opened for writing."""
    with connect(location, create=True) as opened:
        yield opened
