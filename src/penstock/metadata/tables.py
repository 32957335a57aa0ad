"""Penstock's own tables: runs, their nodes, what people approved, noted and tagged, views of artifacts, schedules."""

from __future__ import annotations

from penstock.errors import StoreError
from penstock.metadata import versions
from penstock.metadata.database import Database

# Version 2 added `penstock_approvals`, version 3 `penstock_plots` and `penstock_notes`, version 4
# `penstock_schedules` and `penstock_ticks`, version 5 the index of a pipeline's runs by state, version 6
# `penstock_tags` and `penstock_versions`, version 7 `penstock_logs`.
SCHEMA_VERSION = 7

# Times are seconds since the Unix epoch. `parameters`, `detail`, `parts` and, of summaries and plots, `content` hold
# JSON. `log` is a path relative to the store's folder.
_STATEMENTS = (
    "CREATE TABLE IF NOT EXISTS penstock_schema (version INTEGER NOT NULL)",
    """CREATE TABLE IF NOT EXISTS penstock_runs (
        run_id TEXT NOT NULL PRIMARY KEY,
        pipeline TEXT NOT NULL,
        state TEXT NOT NULL,
        created_at DOUBLE PRECISION NOT NULL,
        started_at DOUBLE PRECISION,
        finished_at DOUBLE PRECISION,
        environment TEXT,
        backend TEXT,
        parameters TEXT NOT NULL,
        source TEXT,
        project TEXT,
        ir {blob},
        error TEXT,
        host TEXT,
        pid INTEGER)""",
    "CREATE INDEX IF NOT EXISTS penstock_runs_newest ON penstock_runs (created_at, run_id)",
    "CREATE INDEX IF NOT EXISTS penstock_runs_pipeline ON penstock_runs (pipeline, created_at, run_id)",
    "CREATE INDEX IF NOT EXISTS penstock_runs_state ON penstock_runs (state, created_at, run_id)",
    "CREATE INDEX IF NOT EXISTS penstock_runs_pipeline_state ON penstock_runs (pipeline, state, created_at, run_id)",
    """CREATE TABLE IF NOT EXISTS penstock_nodes (
        run_id TEXT NOT NULL,
        node_id TEXT NOT NULL,
        position INTEGER NOT NULL,
        component TEXT,
        state TEXT NOT NULL,
        started_at DOUBLE PRECISION,
        finished_at DOUBLE PRECISION,
        execution_id BIGINT,
        attempt INTEGER NOT NULL,
        log TEXT,
        error TEXT,
        detail TEXT NOT NULL,
        PRIMARY KEY (run_id, node_id))""",
    "CREATE INDEX IF NOT EXISTS penstock_nodes_execution ON penstock_nodes (execution_id)",
    """CREATE TABLE IF NOT EXISTS penstock_cache_decisions (
        run_id TEXT NOT NULL,
        node_id TEXT NOT NULL,
        cache_key TEXT NOT NULL,
        outcome TEXT NOT NULL,
        reason TEXT NOT NULL,
        parts TEXT NOT NULL,
        PRIMARY KEY (run_id, node_id))""",
    """CREATE TABLE IF NOT EXISTS penstock_approvals (
        run_id TEXT NOT NULL,
        node_id TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        approved INTEGER NOT NULL,
        decided_by TEXT NOT NULL,
        decided_at DOUBLE PRECISION NOT NULL,
        comment TEXT NOT NULL,
        PRIMARY KEY (run_id, node_id, attempt))""",
    """CREATE TABLE IF NOT EXISTS penstock_summaries (
        artifact_id BIGINT NOT NULL PRIMARY KEY,
        kind TEXT NOT NULL,
        content TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS penstock_plots (
        artifact_id BIGINT NOT NULL,
        slice TEXT NOT NULL,
        content TEXT NOT NULL,
        PRIMARY KEY (artifact_id, slice))""",
    """CREATE TABLE IF NOT EXISTS penstock_notes (
        run_id TEXT NOT NULL PRIMARY KEY,
        name TEXT NOT NULL,
        description TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS penstock_schedules (
        name TEXT NOT NULL PRIMARY KEY,
        source TEXT NOT NULL,
        environment TEXT,
        parameters TEXT NOT NULL,
        cron TEXT NOT NULL,
        zone TEXT NOT NULL,
        catch_up INTEGER NOT NULL,
        overlap TEXT NOT NULL,
        new_spans INTEGER NOT NULL,
        jitter_seconds DOUBLE PRECISION NOT NULL,
        paused INTEGER NOT NULL,
        created_at DOUBLE PRECISION NOT NULL,
        handled_until DOUBLE PRECISION NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS penstock_ticks (
        schedule TEXT NOT NULL,
        due_at DOUBLE PRECISION NOT NULL,
        start_at DOUBLE PRECISION NOT NULL,
        state TEXT NOT NULL,
        run_id TEXT NOT NULL,
        span INTEGER,
        reason TEXT NOT NULL,
        PRIMARY KEY (schedule, run_id))""",
    """CREATE TABLE IF NOT EXISTS penstock_tags (
        run_id TEXT NOT NULL,
        tag TEXT NOT NULL,
        PRIMARY KEY (run_id, tag))""",
    "CREATE INDEX IF NOT EXISTS penstock_tags_tag ON penstock_tags (tag, run_id)",
    """CREATE TABLE IF NOT EXISTS penstock_logs (
        run_id TEXT NOT NULL,
        node_id TEXT NOT NULL,
        log TEXT NOT NULL,
        position BIGINT NOT NULL,
        content {blob} NOT NULL,
        PRIMARY KEY (run_id, node_id, log, position))""",
    """CREATE TABLE IF NOT EXISTS penstock_versions (
        run_id TEXT NOT NULL PRIMARY KEY,
        pipeline TEXT NOT NULL,
        digest TEXT NOT NULL,
        created_at DOUBLE PRECISION NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS penstock_versions_digest ON penstock_versions (pipeline, digest, created_at)",
)


def create(database: Database) -> None:
    """Makes the tables that are missing, also in a store that an older Penstock made. Several processes may do so."""
    if database.has_own_tables and version(database) >= SCHEMA_VERSION:
        return
    with database.transaction():
        database.lock_schema()
        for statement in _STATEMENTS:
            database.execute(statement.replace("{blob}", database.blob_type))
        found = version(database)
        if found == 0:
            database.execute("INSERT INTO penstock_schema (version) VALUES (:version)", {"version": SCHEMA_VERSION})
        elif found < SCHEMA_VERSION:
            if found < versions.SINCE_VERSION:
                versions.record_all(database)
            database.execute("UPDATE penstock_schema SET version = :version", {"version": SCHEMA_VERSION})
    database.has_own_tables = True


def check_version(database: Database) -> None:
    """Refuses tables of a newer layout. Those of an older one can be read.

    Raises:
        StoreError: the tables were made by a newer Penstock.
    """
    if not database.has_own_tables:
        return
    found = version(database)
    if found > SCHEMA_VERSION:
        raise StoreError(
            f"{database.location.display}: the store's tables have version {found}, this Penstock reads version "
            f"{SCHEMA_VERSION}. Use the Penstock that wrote the store, or upgrade this one."
        )


def version(database: Database) -> int:
    """The version of a store's tables; 0 while there are none."""
    return max((row["version"] for row in database.query("SELECT version FROM penstock_schema")), default=0)
