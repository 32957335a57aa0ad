"""Writing to ml-metadata's store: one connection, guarded against other writers of the same SQLite file."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml_metadata import errors
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2

from penstock.errors import StoreError
from penstock.metadata import backslashes, indices
from penstock.metadata.database import Database, connect, use_write_ahead_log
from penstock.metadata.location import StoreLocation
from penstock.metadata.lock_timeout import lock_timeout_seconds

# What ml-metadata reports when the database itself fails; all other errors answer a question it was asked.
_BROKEN = (errors.InternalError, errors.DataLossError, errors.UnavailableError, errors.UnknownError)


def connection_config(location: StoreLocation) -> metadata_store_pb2.ConnectionConfig:
    """Returns ml-metadata's connection settings for a store."""
    config = metadata_store_pb2.ConnectionConfig()
    address = location.postgres
    if address is None:
        config.sqlite.filename_uri = str(location.mlmd_path)
        config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        return config
    config.postgresql.host = address.host
    config.postgresql.port = str(address.port)
    config.postgresql.user = address.user
    config.postgresql.password = address.password
    config.postgresql.dbname = address.dbname
    return config


class GuardedMetadataStore(metadata_store.MetadataStore):
    """A MetadataStore whose calls wait for each other across processes.

    SQLite answers "database is locked" at once where ml-metadata opened it; a file lock around each call keeps
    Penstock's own processes in line, and what other programs lock is waited for.
    """

    def __init__(self, location: StoreLocation):
        in_file = location.database is None
        self._lock_file = location.folder / "metadata.lock" if in_file else None
        self._timeout_seconds = lock_timeout_seconds()
        self._name = str(location.mlmd_path) if in_file else location.display
        self._locked = False
        with self._patience():
            if in_file:
                _prepare_sqlite(location.mlmd_path, self._timeout_seconds)
            self._connect(connection_config(location))

    def close(self) -> None:
        """Closes the connection; the store must not be used any more."""
        self._metadata_store = None

    def _connect(self, config: metadata_store_pb2.ConnectionConfig) -> None:
        deadline = time.monotonic() + self._timeout_seconds
        while True:
            try:
                super().__init__(config)
                return
            except (errors.StatusError, RuntimeError) as error:
                if not _is_locked(error):
                    raise StoreError(_unusable(self._name, error)) from error
                self._wait(deadline)

    def _call_method(self, method_name: str, request: Any, response: Any) -> None:
        with self._patience():
            deadline = time.monotonic() + self._timeout_seconds
            while True:
                try:
                    super()._call_method(method_name, request, response)
                    return
                except errors.StatusError as error:
                    if isinstance(error, _BROKEN):
                        raise StoreError(_broken(self._name, error)) from error
                    if not _is_locked(error):
                        raise
                    self._wait(deadline)

    def _wait(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise _locked(self._name, self._timeout_seconds)
        time.sleep(0.05)

    @contextmanager
    def _patience(self) -> Iterator[None]:
        """Holds the lock file for the block; nested use is free."""
        if self._lock_file is None or self._locked:
            yield
            return
        try:
            descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreError(f"{self._lock_file}: cannot be written: {error.strerror}") from error
        try:
            deadline = time.monotonic() + self._timeout_seconds
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    self._wait(deadline)
            self._locked = True
            yield
        finally:
            self._locked = False
            os.close(descriptor)


class PostgresMetadataStore(GuardedMetadataStore):
    """A MetadataStore in PostgreSQL, which also takes properties with backslashes."""

    def __init__(self, location: StoreLocation):
        self._location = location
        self._database: Database | None = None
        super().__init__(location)

    def close(self) -> None:
        """Closes the connections; the store must not be used any more."""
        if self._database is not None:
            self._database.close()
        super().close()

    def _call_method(self, method_name: str, request: Any, response: Any) -> None:
        changed = backslashes.replaced(request)
        super()._call_method(method_name, request if changed is None else changed, response)
        if changed is not None:
            self._database = self._database or connect(self._location, create=True)
            backslashes.restore(self._database, response)


def open_store(location: StoreLocation) -> GuardedMetadataStore:
    """Opens, and makes if missing, the ml-metadata store of a location.

    Raises:
        StoreError: if it cannot be opened, is no metadata store, or stays locked.
    """
    if location.database is not None:
        with connect(location, create=True) as database:
            if not database.has_mlmd():
                _make_in_postgres(location, database)
            indices.create_in_postgres(database)
        return PostgresMetadataStore(location)
    try:
        location.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{location.folder}: cannot be made: {error.strerror}") from error
    return GuardedMetadataStore(location)


def _make_in_postgres(location: StoreLocation, database: Database) -> None:
    """Makes ml-metadata's tables, which may be there by now: two that make them at the same time fail."""
    with database.transaction():
        database.lock_schema()
        PostgresMetadataStore(location).close()


def _prepare_sqlite(path: Path, timeout_seconds: float) -> None:
    """Makes the file if missing, and sets the mode in which readers never block a commit; the mode stays in the file.

    Refuses another program's database, which ml-metadata would add its tables to.

    Must come before ml-metadata opens the file: that brings a SQLite of its own, and two SQLite libraries in one
    process do not see each other's locks. For the same reason a process that has a store open here must not open its
    `metadata.db` by other means.
    """
    import sqlite3

    try:
        connection = sqlite3.connect(path, timeout=timeout_seconds)
        try:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if tables and "MLMDEnv" not in tables:
                raise StoreError(
                    f"{path}: this SQLite database is no metadata store: it has no table MLMDEnv, but"
                    f" {', '.join(sorted(tables)[:5])}. Move it away, or name another store with --store."
                )
            use_write_ahead_log(connection, timeout_seconds)
            # In a store that is made now, they come when it is opened the next time.
            if "Artifact" in tables:
                known = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
                for statement in indices.missing(known):
                    connection.execute(statement)
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):
            raise _locked(str(path), timeout_seconds) from error
        if "not a database" in str(error) or "malformed" in str(error):
            raise StoreError(
                f"{path}: this is no metadata store ({error}). Move the file away, or name another store with --store."
            ) from error
        raise StoreError(_broken(str(path), error)) from error


def _locked(name: str, seconds: float) -> StoreError:
    return StoreError(
        f"{name}: locked by another program for more than {seconds:g} s.\n"
        "  See which one holds it with `fuser`, end it, and run again; nothing that finished is lost."
    )


def _is_locked(error: Exception) -> bool:
    text = str(error)
    # AbortedError is how ml-metadata ends its own, shorter waiting for a lock.
    return isinstance(error, errors.AbortedError) or "database is locked" in text or "database table is locked" in text


def _broken(name: str, error: Exception) -> str:
    text = _first_line(error)
    if "full" in text:
        return f"{name}: the disk is full. Make room and run again; what was recorded before is kept."
    if "disk I/O" in text:
        return f"{name}: the disk cannot be written ({text}). If it is full, make room and run again."
    if "readonly" in text or "unable to open" in text:
        return f"{name}: cannot be written ({text}). Change the rights, or name another store with --store."
    return f"{name}: the store answered: {text}"


def _unusable(name: str, error: Exception) -> str:
    if "://" in name:
        return (
            f"{name}: cannot be opened as a metadata store: {_first_line(error)}\n"
            "  Check that the server runs and can be reached, and that name and password are right."
        )
    return (
        f"{name}: cannot be opened as a metadata store: {_first_line(error)}\n"
        "  It must be a database that ml-metadata made, of a version it knows."
        " Move it away, or name another store with --store."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
