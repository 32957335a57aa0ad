"""A PostgreSQL server for tests: started on loopback from the installed package, gone with the test session."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

# initdb and postgres refuse to work for root.
_UNPRIVILEGED_USERS = ("postgres", "nobody")
_PASSWORD = "s3cret@:/w"
_START_SECONDS = 60


class PostgresServer:
    """A server that holds nothing but what tests put into it.

    Attributes:
        port: where it listens on 127.0.0.1.
        password: of its one user, `penstock`; has characters that a URL must escape.
    """

    def __init__(self, folder: Path):
        self.password = _PASSWORD
        self._folder = folder
        self._programs = _find_programs()
        self._user = _unprivileged_user(folder) if os.geteuid() == 0 else None
        self._make_cluster()
        self.port = _free_port()
        with (folder / "server.log").open("w") as log:
            # Nothing has to outlive the tests, so nothing has to reach the disk.
            settings = ["listen_addresses=127.0.0.1", "fsync=off", "synchronous_commit=off"]
            self._process = subprocess.Popen(
                [
                    *(self._programs / "postgres", "-D", folder / "data", "-p", str(self.port), "-k", folder),
                    *(part for setting in settings for part in ("-c", setting)),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                user=self._user,
            )
        self._wait_until_it_answers()

    def url(self, database: str) -> str:
        """The URL of one of its databases."""
        return f"postgresql://penstock:{quote(self.password, safe='')}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Makes an empty database and returns its URL."""
        name = f"store_{secrets.token_hex(6)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def stop(self) -> None:
        """Ends the server and waits for it."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(timeout=30)

    def _make_cluster(self) -> None:
        password_file = self._folder / "password"
        password_file.write_text(self.password)
        done = subprocess.run(
            [
                *(self._programs / "initdb", "-D", self._folder / "data", "-U", "penstock", "-A", "scram-sha-256"),
                *("--pwfile", password_file, "-E", "UTF8", "--locale", "C.UTF-8", "--no-sync"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self._folder,
            user=self._user,
            check=False,
        )
        if done.returncode:
            pytest.fail(f"initdb failed:\n{done.stdout}", pytrace=False)

    def _wait_until_it_answers(self) -> None:
        give_up = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > give_up:
                    self._process.kill()
                    log = (self._folder / "server.log").read_text()
                    pytest.fail(f"PostgreSQL did not start:\n{log}", pytrace=False)
                time.sleep(0.1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One running server for the whole session; tests ask it for databases of their own."""
    # Not pytest's temporary folder: that one is closed to the user the server runs as.
    folder = Path(tempfile.mkdtemp(prefix="penstock-postgres-"))
    try:
        server = PostgresServer(folder)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _find_programs() -> Path:
    """The newest installed server's folder of programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if found:
        return found[-1].parent
    if on_path:
        return Path(on_path).resolve().parent
    pytest.fail("These tests need a PostgreSQL server, and none is installed. Run: make test-servers", pytrace=False)


def _unprivileged_user(folder: Path) -> str:
    for user in _UNPRIVILEGED_USERS:
        try:
            shutil.chown(folder, user)
        except LookupError:
            continue
        return user
    pytest.fail(f"PostgreSQL refuses to run as root, and there is none of the users {_UNPRIVILEGED_USERS}.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
