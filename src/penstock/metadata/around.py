"""What the page of an artifact shows of others around it, each in one query."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from penstock.metadata.database import Database
from penstock.metadata.executions import FIRST_OUTPUT_SQL, INPUTS_SQL, OUTPUTS_SQL

_NEWEST = (
    "SELECT id, create_time_since_epoch AS created FROM Artifact WHERE type_id = "
    "(SELECT max(id) FROM Type WHERE name = :type AND type_kind = 1) ORDER BY id DESC LIMIT :limit"
)
_MAKER = (
    f"LEFT JOIN Event o ON o.artifact_id = a.id AND o.type IN {OUTPUTS_SQL} AND {FIRST_OUTPUT_SQL} "
    "LEFT JOIN penstock_nodes n ON n.execution_id = o.execution_id"
)


@dataclass(frozen=True)
class Examples:
    """The examples that a run's node put out first.

    Attributes:
        artifact_id: the artifact.
        run_id: the run.
        created_at: when it was registered, in seconds since the epoch.
        span: its span; None where it has none.
        version: the span's version.
        counts: number of examples by split, None where it is not known.
    """

    artifact_id: int
    run_id: str | None
    created_at: float
    span: int | None
    version: int | None
    counts: dict[str, int | None]


@dataclass(frozen=True)
class Told:
    """The summary of an artifact, with the run that put it out first and when, in seconds since the epoch."""

    artifact_id: int
    kind: str
    content: Any
    run_id: str | None
    created_at: float


def examples_of_node(database: Database, pipeline: str, node: str, type_name: str, limit: int) -> list[Examples]:
    """The examples that a node put out, the newest first, among so many newest examples of the whole store."""
    if not database.has_own_tables or not database.has_mlmd():
        return []
    rows = database.query(
        "SELECT a.id, a.created, n.run_id AS run, s.int_value AS span, v.int_value AS version, m.content "
        f"FROM ({_NEWEST}) a {_MAKER} JOIN penstock_runs r ON r.run_id = n.run_id "
        "LEFT JOIN ArtifactProperty s ON s.artifact_id = a.id AND s.name = 'span' "
        "LEFT JOIN ArtifactProperty v ON v.artifact_id = a.id AND v.name = 'version' "
        "LEFT JOIN penstock_summaries m ON m.artifact_id = a.id AND m.kind = 'examples' "
        "WHERE r.pipeline = :pipeline AND n.node_id = :node ORDER BY a.id DESC",
        {"type": type_name, "limit": limit, "pipeline": pipeline, "node": node},
    )
    return [
        Examples(
            row["id"],
            row["run"],
            row["created"] / 1000,
            row["span"],
            row["version"],
            json.loads(row["content"])["splits"] if row["content"] else {},
        )
        for row in rows
    ]


def model_run_beside(database: Database, execution_ids: Sequence[int]) -> tuple[int, str, dict[str, Any]] | None:
    """The id, URI and training curves of the model run that one of these executions put out; None if none did."""
    if not execution_ids or not database.has_own_tables or not database.has_mlmd():
        return None
    rows = database.query(
        "SELECT m.artifact_id, a.uri, m.content FROM Event e "
        "JOIN penstock_summaries m ON m.artifact_id = e.artifact_id "
        f"JOIN Artifact a ON a.id = e.artifact_id WHERE e.execution_id = :id AND e.type IN {OUTPUTS_SQL} "
        "AND m.kind = 'model_run' ORDER BY m.artifact_id",
        {"id": execution_ids[0]},
    )
    if not rows:
        return None
    return rows[0]["artifact_id"], rows[0]["uri"] or "", json.loads(rows[0]["content"]).get("curves", {})


def told_around_push(database: Database, artifact_id: int, limit: int) -> list[Told]:
    """What is told of a pushed model's surroundings, by artifact id.

    That are the newest pushed models, so many; the model that was pushed; and the examples and statistics of the runs
    that put the model out.
    """
    if not database.has_own_tables or not database.has_mlmd():
        return []
    rows = database.query(
        f"WITH newest AS ({_NEWEST}), taken AS (SELECT i.artifact_id AS id FROM Event p "
        f"JOIN Event i ON i.execution_id = p.execution_id AND i.type IN {INPUTS_SQL} "
        f"WHERE p.artifact_id = :id AND p.type IN {OUTPUTS_SQL}), "
        "wanted AS (SELECT id FROM newest UNION SELECT CAST(:id AS BIGINT) UNION SELECT id FROM taken UNION "
        "SELECT e.artifact_id FROM taken CROSS JOIN Event p CROSS JOIN Association x CROSS JOIN Context c "
        "CROSS JOIN Type t CROSS JOIN Association y CROSS JOIN Event e "
        f"WHERE p.artifact_id = taken.id AND p.type IN {OUTPUTS_SQL} AND x.execution_id = p.execution_id "
        "AND c.id = x.context_id AND t.id = c.type_id AND t.name = 'pipeline_run' AND y.context_id = c.id "
        "AND e.execution_id = y.execution_id) "
        "SELECT m.artifact_id, m.kind, m.content, a.create_time_since_epoch AS created, n.run_id AS run "
        # SQLite keeps to the order of CROSS JOIN; left to itself it goes through all summaries.
        f"FROM wanted CROSS JOIN penstock_summaries m CROSS JOIN Artifact a {_MAKER} "
        "WHERE m.artifact_id = wanted.id AND a.id = wanted.id "
        "AND m.kind IN ('pushed_model', 'model', 'examples', 'statistics') ORDER BY m.artifact_id",
        {"type": "PushedModel", "limit": limit, "id": artifact_id},
    )
    return [
        Told(row["artifact_id"], row["kind"], json.loads(row["content"]), row["run"], row["created"] / 1000)
        for row in rows
    ]
