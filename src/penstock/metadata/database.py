"""A thin layer over sqlite3 and psycopg: named parameters, dictionaries as rows, errors that name the store.

Plain SQL and no SQLAlchemy: importing that alone would take most of the half second a read command may take.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from penstock.errors import StoreError
from penstock.metadata.location import StoreLocation
from penstock.metadata.lock_timeout import lock_timeout_seconds

Row = dict[str, Any]
NO_PARAMETERS: Mapping[str, Any] = {}
# Below the least number of parameters any of the databases takes; that of SQLite was 999 once.
_AT_ONCE = 5000 if sqlite3.sqlite_version_info >= (3, 32) else 500


class Database(ABC):
    """One connection to a store. May be shared by threads: calls, and whole transactions, exclude each other.

    Attributes:
        location: the store this is a connection to.
        has_own_tables: whether Penstock's tables were there when the connection was made.
        tables_version: which version they had then; 0 if they were not there.
    """

    blob_type: str
    has_own_tables: bool
    tables_version: int = 0

    def __init__(self, location: StoreLocation):
        self.location = location
        self._lock = threading.RLock()

    @abstractmethod
    def query(self, sql: str, parameters: Mapping[str, Any] = NO_PARAMETERS) -> list[Row]:
        """Runs a statement with `:name` parameters and returns all rows, keyed by lower-case column names."""

    @abstractmethod
    def execute(self, sql: str, parameters: Mapping[str, Any] = NO_PARAMETERS) -> int:
        """Runs a statement with `:name` parameters and returns the number of rows it changed."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """Makes the statements inside happen together or not at all. Must not be nested."""

    @abstractmethod
    def has_mlmd(self) -> bool:
        """Whether ml-metadata's tables are there. They may appear while the connection is open.

        With SQLite this opens `metadata.db`, which a process that has it open through ml-metadata must not do: that
        brings a SQLite of its own, and two of them in one process do not see each other's locks.
        """

    @abstractmethod
    def lock_schema(self) -> None:
        """Inside a transaction: keeps other processes from creating tables until it ends."""

    @abstractmethod
    def json_sql(self, column: str, *path: str | int) -> str:
        """SQL for what the JSON text of a column holds at a path of keys and indices, itself as text; or NULL."""

    @abstractmethod
    def close(self) -> None:
        """Closes the connection."""

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(location: StoreLocation, *, create: bool, busy_timeout_seconds: float | None = None) -> Database:
    """Opens a store.

    Args:
        location: the store.
        create: True to write: the folder and Penstock's tables are made if missing. False to read: nothing is
            created, and a store that does not exist yet answers with empty results.
        busy_timeout_seconds: how long to wait for another process's lock; None for what PENSTOCK_LOCK_TIMEOUT says.

    Raises:
        UsageError: PENSTOCK_LOCK_TIMEOUT is no number of seconds.
        StoreError: the store is no database, cannot be read, is locked, or comes from a newer Penstock.
    """
    from penstock.metadata import tables

    if busy_timeout_seconds is None:
        busy_timeout_seconds = lock_timeout_seconds()
    database: Database
    if location.database is not None:
        from penstock.metadata.postgres import PostgresDatabase

        database = PostgresDatabase(location, create, busy_timeout_seconds)
    else:
        database = SqliteDatabase(location, create, busy_timeout_seconds)
    try:
        if create:
            tables.create(database)
        tables.check_version(database)
        if database.has_own_tables:
            database.tables_version = tables.version(database)
    except BaseException:
        database.close()
        raise
    return database


def in_parts(values: Sequence[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Cuts values for `IN (…)` into parts a database takes at once: parameter names to write there, and parameters."""
    for start in range(0, len(values), _AT_ONCE):
        part = {f"value_{index}": value for index, value in enumerate(values[start : start + _AT_ONCE])}
        yield ", ".join(f":{name}" for name in part), part


class SqliteDatabase(Database):
    """Penstock's SQLite file with ml-metadata's attached to it for reading."""

    blob_type = "BLOB"

    def __init__(self, location: StoreLocation, create: bool, busy_timeout_seconds: float):
        super().__init__(location)
        self._mlmd_attached = False
        self._mlmd_mode = "ro" if create else "rw"
        self._busy_timeout_seconds = busy_timeout_seconds
        if create:
            try:
                location.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(
                    f"{location.folder}: the store's folder cannot be made ({error.strerror}). "
                    "Choose another with --store or PENSTOCK_STORE."
                ) from error
        self._connection = self._open(location.own_path, create)
        try:
            self.has_own_tables = self._look_for_own_tables(refuse_others=create)
        except StoreError:
            self.close()
            raise

    def query(self, sql: str, parameters: Mapping[str, Any] = NO_PARAMETERS) -> list[Row]:
        with self._lock, self._explained():
            return self._connection.execute(sql, parameters).fetchall()

    def execute(self, sql: str, parameters: Mapping[str, Any] = NO_PARAMETERS) -> int:
        with self._lock, self._explained():
            return self._connection.execute(sql, parameters).rowcount

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._lock:
            self.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def has_mlmd(self) -> bool:
        with self._lock:
            if not self._mlmd_attached and _exists(self.location.mlmd_path):
                self._attach_mlmd(self.location.mlmd_path)
            return self._mlmd_attached

    def lock_schema(self) -> None:
        """Nothing to do: BEGIN IMMEDIATE already is exclusive."""

    def json_sql(self, column: str, *path: str | int) -> str:
        steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
        return f"json_extract({column}, '${steps}')"

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _open(self, path: Path, create: bool) -> sqlite3.Connection:
        if not create and not _exists(path):
            return self._connect(":memory:")
        with self._explained(path):
            connection = self._connect(f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}")
            try:
                if create:
                    use_write_ahead_log(connection, self._busy_timeout_seconds)
                else:
                    connection.execute("PRAGMA query_only = ON")
                    connection.execute("SELECT count(*) FROM sqlite_master")
            except sqlite3.OperationalError:
                connection.close()
                # In a folder nobody may write to, SQLite cannot make the index of a write-ahead log. Without a log
                # the file is complete by itself.
                if create or Path(f"{path}-wal").exists():
                    raise
                connection = self._connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1")
                connection.execute("SELECT count(*) FROM sqlite_master")
            except BaseException:
                connection.close()
                raise
        return connection

    def _connect(self, uri: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            uri, uri=True, timeout=self._busy_timeout_seconds, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = _row
        return connection

    def _attach_mlmd(self, path: Path) -> None:
        uri = f"{path.absolute().as_uri()}?mode={self._mlmd_mode}"
        with self._explained(path):
            self._connection.execute("ATTACH DATABASE :uri AS mlmd", {"uri": uri})
            try:
                tables = {row["name"] for row in self._connection.execute("SELECT name FROM mlmd.sqlite_master")}
            except BaseException:
                self._connection.execute("DETACH DATABASE mlmd")
                raise
        if "Artifact" in tables:
            self._mlmd_attached = True
            return
        self._connection.execute("DETACH DATABASE mlmd")
        if tables:
            raise StoreError(
                f"{path}: this SQLite database is no ml-metadata store: it has no table Artifact. "
                "Move it away, or choose another store with --store or PENSTOCK_STORE."
            )

    def _look_for_own_tables(self, refuse_others: bool) -> bool:
        """Asks once: between two questions another process may make the tables."""
        rows = self.query("SELECT name FROM main.sqlite_master WHERE type = 'table' ORDER BY name")
        names = [row["name"] for row in rows]
        if "penstock_schema" in names:
            return True
        if names and refuse_others:
            raise StoreError(
                f"{self.location.own_path}: this SQLite database is no store of Penstock's: it has no table "
                f"penstock_schema, but {', '.join(names[:5])}. Move it away, or choose another store with --store or "
                "PENSTOCK_STORE."
            )
        return False

    @contextmanager
    def _explained(self, path: Path | None = None) -> Iterator[None]:
        """Turns SQLite's errors into ones that name the file and say what to do."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise StoreError(self._explain(error, path or self.location.own_path)) from error

    def _explain(self, error: sqlite3.DatabaseError, path: Path) -> str:
        text = str(error)
        if "not a database" in text or "malformed" in text:
            return (
                f"{path}: this is no metadata store ({text}). Move the file away, or choose another store with "
                "--store or PENSTOCK_STORE."
            )
        if "locked" in text or "busy" in text:
            return (
                f"{path}: another process has held the store locked for {self._busy_timeout_seconds:g} s. Wait for it "
                "to end and try again. Teams that share a store use postgresql://."
            )
        if "unable to open" in text or "readonly" in text:
            return f"{path}: the store cannot be opened ({text}). Check that it is a file you may read and write."
        if "disk I/O" in text:
            return (
                f"{path}: the disk cannot be written, which reading needs too ({text}). If it is full, make room and "
                "try again; what was recorded before is kept."
            )
        if "full" in text:
            return f"{path}: the disk is full. Make room and try again; what was recorded before is kept."
        return f"{path}: the store answered: {text}"


def _row(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> Row:
    return {column[0]: value for column, value in zip(cursor.description, values, strict=True)}


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise StoreError(f"{path}: the store cannot be read ({error.strerror}). Check the folder's rights.") from error


def use_write_ahead_log(connection: sqlite3.Connection, timeout_seconds: float) -> None:
    """Switches the journal mode, which takes a lock that SQLite does not always wait for."""
    give_up = time.monotonic() + timeout_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.02)
