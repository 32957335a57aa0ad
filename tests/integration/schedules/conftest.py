"""A PostgreSQL server beside SQLite."""

from __future__ import annotations

from tests.servers.postgres import postgres_server

__all__ = ["postgres_server"]
