"""A server for the whole session, and for each test a bucket of its own that this process may use."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from penstock.engine import light_tfx
from penstock.storage import buckets, waiting
from tests.objectstore.server import Faults, ObjectStore, google, running

# The tests' modules import what then is TFX's light library.
light_tfx.load()

_TOOLS = Path(__file__).with_name("tools.sh")


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


@pytest.fixture(scope="session")
def google_url() -> Iterator[str]:
    """The address of a stand-in for Google Cloud Storage."""
    done = subprocess.run(["bash", _TOOLS], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{_TOOLS.name} could not build the stand-in; see its messages", pytrace=False)
    with google(done.stdout.strip()) as url:
        yield url


@pytest.fixture(params=["s3", "gs"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an empty bucket in each kind of store."""
    if request.param == "s3":
        yield f"s3://{request.getfixturevalue('bucket')}"
        return
    url = request.getfixturevalue("google_url")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
    forget()
    name = f"bucket-{secrets.token_hex(4)}"
    answer = httpx.post(f"{url}/storage/v1/b", params={"project": "tests"}, json={"name": name})
    assert answer.status_code == 200, answer.text
    yield f"gs://{name}"
    forget()


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
    buckets._google.cache_clear()
    buckets._reached.clear()
    waiting._away.clear()
    waiting._hurried = False
