"""The two databases a store may be in, as something to copy rows in: fast, and without a way back."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol


class Tables(Protocol):
    """One side of a store: tables that rows are copied in."""

    def run(self, sql: str) -> None:
        """Runs a statement."""

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Runs a statement, with `?` for parameters, for each of some rows."""

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query answers."""

    def columns(self, table: str) -> list[str]:
        """The names of a table's columns."""

    def indices(self) -> list[tuple[str, str]]:
        """(name, statement that makes it) of each index that is no constraint."""


class SqliteTables:
    """A SQLite file."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None)
        # What goes wrong here is made anew.
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000", "foreign_keys = OFF"):
            self._connection.execute(f"PRAGMA {pragma}").fetchall()

    def run(self, sql: str) -> None:
        self._connection.execute("BEGIN")
        self._connection.execute(sql)
        self._connection.execute("COMMIT")

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self._connection.execute("BEGIN")
        self._connection.executemany(sql, rows)
        self._connection.execute("COMMIT")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql).fetchall()

    def columns(self, table: str) -> list[str]:
        return [row[1] for row in self._connection.execute(f"PRAGMA table_info({table})")]

    def indices(self) -> list[tuple[str, str]]:
        return self.rows("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")

    def close(self) -> None:
        """Sets the mode in which Penstock has the file, and closes it."""
        self._connection.execute("PRAGMA journal_mode = WAL").fetchall()
        self._connection.close()


class PostgresTables:
    """A PostgreSQL database."""

    def __init__(self, url: str) -> None:
        import psycopg

        self._connection = psycopg.connect(url, autocommit=True)
        for setting in ("maintenance_work_mem = '1GB'", "work_mem = '256MB'"):
            self._connection.execute(f"SET {setting}")

    def run(self, sql: str) -> None:
        self._connection.execute(sql.encode())

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(re.sub(r"\?", "%s", sql).encode(), rows)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql.encode()).fetchall()

    def columns(self, table: str) -> list[str]:
        return [
            name
            for (name,) in self.rows(
                "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' "
                f"AND table_name = '{table.lower()}' ORDER BY ordinal_position"
            )
        ]

    def indices(self) -> list[tuple[str, str]]:
        return self.rows(
            "SELECT c.relname, pg_get_indexdef(c.oid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
            "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' "
            "AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = c.oid)"
        )

    def close(self) -> None:
        """Sets the counters of ids to where they are, gathers what the planner asks for, and closes the connection."""
        for table in ("Artifact", "Execution", "Context", "Event", "Association", "Attribution"):
            self.run(f"SELECT setval(pg_get_serial_sequence('{table.lower()}', 'id'), (SELECT max(id) FROM {table}))")
        self.run("ANALYZE")
        self._connection.close()
