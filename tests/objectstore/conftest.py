"""A server for the whole session, and for each test a bucket of its own that this process may use."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from penstock.storage import buckets, waiting
from tests.objectstore.server import Faults, ObjectStore, running


@pytest.fixture(scope="session")
def server() -> Iterator[ObjectStore]:
    """The server."""
    with running() as server:
        yield server


@pytest.fixture
def store(server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """The server, which this process finds by its environment; without faults when the test begins and ends."""
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    forget()
    yield server
    reset(server)
    forget()


@pytest.fixture
def bucket(store: ObjectStore) -> str:
    """The name of an empty bucket."""
    return new_bucket(store)


def new_bucket(store: ObjectStore) -> str:
    """Makes an empty bucket and returns its name."""
    name = f"bucket-{secrets.token_hex(4)}"
    store.client().create_bucket(Bucket=name)
    return name


def reset(server: ObjectStore) -> None:
    """Takes all faults away, and forgets the requests."""
    server.faults.stalled.clear()
    vars(server.faults).update(vars(Faults()))


def forget() -> None:
    """Lets this process make its connections anew."""
    buckets._s3.cache_clear()
    buckets._reached.clear()
    waiting._away.clear()
    waiting._hurried = False
