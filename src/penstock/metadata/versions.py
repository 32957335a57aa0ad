"""The versions of a pipeline: the distinct compiled declarations that its runs were made from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from penstock.metadata.database import Database

SINCE_VERSION = 6


@dataclass(frozen=True)
class Version:
    """One compiled declaration of a pipeline. Times are seconds since the Unix epoch.

    Attributes:
        digest: names it: the SHA-256 of the serialized IR, before a run's span was put into it.
        runs: how many runs were made from it.
        first_at: when the first of them was recorded.
        first_run: that run.
        last_at: when the last of them was recorded.
        last_run: that run.
    """

    digest: str
    runs: int
    first_at: float
    first_run: str
    last_at: float
    last_run: str

    @property
    def short(self) -> str:
        """As much of the digest as people need to tell versions apart."""
        return self.digest[:10]


def digest_of(ir: bytes) -> str:
    """The name of a version with this IR."""
    return hashlib.sha256(ir).hexdigest()


def record(database: Database, run_id: str, pipeline: str, digest: str, created_at: float) -> None:
    """Records which version a run was made from, in place of what was recorded before. Call it in a transaction."""
    database.execute(
        "INSERT INTO penstock_versions (run_id, pipeline, digest, created_at) "
        "VALUES (:run_id, :pipeline, :digest, :created_at) ON CONFLICT (run_id) DO UPDATE SET digest = excluded.digest",
        {"run_id": run_id, "pipeline": pipeline, "digest": digest, "created_at": created_at},
    )


def record_all(database: Database) -> None:
    """Records the versions of runs that were made before versions were recorded. Call it in a transaction."""
    rows = database.query("SELECT run_id, pipeline, created_at FROM penstock_runs WHERE ir IS NOT NULL")
    for row in rows:
        # One at a time: all of them together may be gigabytes.
        [found] = database.query("SELECT ir FROM penstock_runs WHERE run_id = :run_id", {"run_id": row["run_id"]})
        record(database, row["run_id"], row["pipeline"], digest_of(bytes(found["ir"])), row["created_at"])


def of_pipeline(database: Database, pipeline: str, limit: int) -> list[Version]:
    """The versions of a pipeline, the one that was used last first."""
    if database.tables_version < SINCE_VERSION:
        return []
    # No two runs of a store are recorded at the same time.
    rows = database.query(
        "SELECT v.digest, v.runs, v.first_at, v.last_at, f.run_id AS first_run, l.run_id AS last_run FROM ("
        "SELECT digest, count(*) AS runs, min(created_at) AS first_at, max(created_at) AS last_at "
        "FROM penstock_versions WHERE pipeline = :pipeline GROUP BY digest ORDER BY max(created_at) DESC LIMIT :limit"
        ") v JOIN penstock_versions f ON f.pipeline = :pipeline AND f.digest = v.digest AND f.created_at = v.first_at "
        "JOIN penstock_versions l ON l.pipeline = :pipeline AND l.digest = v.digest AND l.created_at = v.last_at "
        "ORDER BY v.last_at DESC",
        {"pipeline": pipeline, "limit": limit},
    )
    return [Version(**row) for row in rows]


def of_run(database: Database, run_id: str) -> str | None:
    """The digest of the version a run was made from; None where it is not recorded."""
    if database.tables_version < SINCE_VERSION:
        return None
    rows = database.query("SELECT digest FROM penstock_versions WHERE run_id = :run_id", {"run_id": run_id})
    return rows[0]["digest"] if rows else None
