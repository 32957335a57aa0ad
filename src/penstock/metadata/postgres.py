"""The store in PostgreSQL. Imported only for `postgresql://` stores, because psycopg takes its time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row

from penstock.errors import StoreError
from penstock.metadata.database import NO_PARAMETERS, Database, Row
from penstock.metadata.location import StoreLocation

# Strings, quoted names and comments are passed over; a double colon is a cast; what is left of `:name` is a parameter.
_TOKEN = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|::|:(?P<name>[A-Za-z_]\w*)|%""",
    re.DOTALL,
)
# A server that does not answer within this time is out of reach; a lock may be held for longer.
_CONNECT_SECONDS = 10
# Any number will do, as long as every Penstock takes the same.
_SCHEMA_LOCK = 7351


def translate(sql: str) -> str:
    """Turns `:name` into psycopg's `%(name)s` and doubles every `%`, which psycopg would take for its own."""

    def replace(match: re.Match[str]) -> str:
        name = match["name"]
        return f"%({name})s" if name else match[0].replace("%", "%%")

    return _TOKEN.sub(replace, sql)


class PostgresDatabase(Database):
    """Both sets of tables in one PostgreSQL database."""

    blob_type = "BYTEA"

    def __init__(self, location: StoreLocation, create: bool, busy_timeout_seconds: float):
        super().__init__(location)
        assert location.database is not None
        self._busy_timeout_seconds = busy_timeout_seconds
        self._mlmd_found = False
        try:
            self._connection: psycopg.Connection[Row] = psycopg.connect(
                location.database,
                autocommit=True,
                row_factory=dict_row,
                connect_timeout=max(2, min(_CONNECT_SECONDS, int(busy_timeout_seconds))),
                application_name="penstock",
            )
        except psycopg.Error as error:
            reason = " ".join(str(error).split())
            if location.postgres is not None and location.postgres.password:
                reason = reason.replace(location.postgres.password, "***")
            raise StoreError(
                f"{location.display}: no connection to the metadata store ({reason}). Check that the server runs and "
                "that user, password and database are right."
            ) from error
        milliseconds = int(busy_timeout_seconds * 1000)
        self.execute("SELECT set_config('lock_timeout', :value, false)", {"value": f"{milliseconds}ms"})
        if not create:
            self.execute("SET default_transaction_read_only = on")
        self.has_own_tables = self._has_table("penstock_schema")

    def query(self, sql: str, parameters: Mapping[str, Any] = NO_PARAMETERS) -> list[Row]:
        with self._lock, self._explained():
            return self._connection.execute(translate(sql), parameters).fetchall()

    def execute(self, sql: str, parameters: Mapping[str, Any] = NO_PARAMETERS) -> int:
        with self._lock, self._explained():
            return self._connection.execute(translate(sql), parameters).rowcount

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._lock, self._explained(), self._connection.transaction():
            yield

    def has_mlmd(self) -> bool:
        self._mlmd_found = self._mlmd_found or self._has_table("artifact")
        return self._mlmd_found

    def lock_schema(self) -> None:
        self.execute("SELECT pg_advisory_xact_lock(:key)", {"key": _SCHEMA_LOCK})

    def json_sql(self, column: str, *path: str | int) -> str:
        return f"CAST({column} AS json) #>> '{{{','.join(map(str, path))}}}'"

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _has_table(self, name: str) -> bool:
        return self.query("SELECT to_regclass(:name) IS NOT NULL AS found", {"name": name})[0]["found"] is True

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns PostgreSQL's errors into ones that name the store and say what to do."""
        try:
            yield
        except psycopg.errors.LockNotAvailable as error:
            raise StoreError(
                f"{self.location.display}: another process has held the store locked for "
                f"{self._busy_timeout_seconds:g} s. Wait for it to end and try again."
            ) from error
        except psycopg.Error as error:
            reason = " ".join(str(error).split())
            raise StoreError(f"{self.location.display}: the metadata store answered: {reason}") from error
