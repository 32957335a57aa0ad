"""Follows an artifact to what it was made from, or to what was made from it, with one recursive query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.errors import UsageError
from penstock.metadata.artifacts import Artifact, not_found, read_artifacts, read_events
from penstock.metadata.database import Database, Row
from penstock.metadata.executions import CACHED, FIRST_OUTPUT_SQL, INPUTS_SQL, OUTPUTS_SQL, Execution, Use

DIRECTIONS = ("up", "down")
BOTH = "both"

_PRODUCER = f"o.artifact_id = c.artifact_id AND o.type IN {OUTPUTS_SQL} AND {FIRST_OUTPUT_SQL}"
# An execution that was answered from the cache made nothing: what it output again has another producer.
_CONSUMER = (
    f"i.artifact_id = c.artifact_id AND i.type IN {INPUTS_SQL} "
    f"JOIN Execution x ON x.id = i.execution_id AND COALESCE(x.last_known_state, 0) <> {CACHED}"
)
_EVENT = "e.id, e.artifact_id, e.execution_id, e.type"

# Each step goes from the artifacts found so far over one execution to the next ones. With `increment` 0 all of them
# have step 0, so that UNION drops what was found before and the search ends by itself. SQLite keeps to the order of
# CROSS JOIN; left to itself it looks through all events for those that belong to the chain.
_UP = f"""
    WITH RECURSIVE chain(artifact_id, step) AS (
        SELECT CAST(:start AS INTEGER), CAST(0 AS INTEGER)
        UNION
        SELECT i.artifact_id, c.step + CAST(:increment AS INTEGER) FROM chain c
        JOIN Event o ON {_PRODUCER}
        JOIN Event i ON i.execution_id = o.execution_id AND i.type IN {INPUTS_SQL}
        WHERE c.step < :depth)
    SELECT DISTINCT {_EVENT} FROM chain c CROSS JOIN Event o CROSS JOIN Event e
    WHERE {_PRODUCER} AND e.execution_id = o.execution_id AND (e.id = o.id OR e.type IN {INPUTS_SQL})
    AND c.step < :depth ORDER BY e.id"""
_DOWN = f"""
    WITH RECURSIVE chain(artifact_id, step) AS (
        SELECT CAST(:start AS INTEGER), CAST(0 AS INTEGER)
        UNION
        SELECT o.artifact_id, c.step + CAST(:increment AS INTEGER) FROM chain c
        JOIN Event i ON {_CONSUMER}
        JOIN Event o ON o.execution_id = i.execution_id AND o.type IN {OUTPUTS_SQL} AND {FIRST_OUTPUT_SQL}
        WHERE c.step < :depth)
    SELECT DISTINCT {_EVENT}
    FROM chain c CROSS JOIN Event i CROSS JOIN Execution x CROSS JOIN Event o CROSS JOIN Event e
    WHERE i.artifact_id = c.artifact_id AND i.type IN {INPUTS_SQL}
    AND x.id = i.execution_id AND COALESCE(x.last_known_state, 0) <> {CACHED}
    AND o.execution_id = i.execution_id AND e.id = o.id
    AND (e.id = i.id OR (e.type IN {OUTPUTS_SQL} AND {FIRST_OUTPUT_SQL}))
    AND c.step < :depth ORDER BY e.id"""
_BOTH_SQL = f"SELECT * FROM ({_UP}) above UNION SELECT * FROM ({_DOWN}) below ORDER BY id"


@dataclass(frozen=True)
class Lineage:
    """A graph of artifacts and executions.

    Attributes:
        start: the id of the artifact it was asked for.
        artifacts: the artifacts by id, the start among them.
        executions: the executions by id.
        edges: an input goes from artifact to execution, an output from execution to artifact.
    """

    start: int
    artifacts: dict[int, Artifact]
    executions: dict[int, Execution]
    edges: Sequence[Use]


def lineage(database: Database, artifact_id: int, direction: str = "up", depth: int | None = None) -> Lineage:
    """Follows an artifact.

    Args:
        database: the store.
        artifact_id: where to start.
        direction: `up` to what it was made from, `down` to what was made from it, or `both`.
        depth: over how many executions at most; None for all the way.

    Raises:
        ArtifactNotFoundError: there is no such artifact.
        UsageError: the direction or depth is none.
    """
    if direction not in (*DIRECTIONS, BOTH):
        raise UsageError(f"Lineage has no direction {direction!r}. Allowed: {', '.join((*DIRECTIONS, BOTH))}.")
    if depth is not None and depth < 1:
        raise UsageError(f"Lineage cannot go over {depth} executions. Allowed: 1 and more.")
    events = _events(database, artifact_id, direction, depth) if database.has_mlmd() else []
    edges, artifacts = read_events(database, events)
    if artifact_id not in artifacts:
        artifacts = dict(sorted({**artifacts, **read_artifacts(database, [artifact_id])}.items()))
    if artifact_id not in artifacts:
        raise not_found(database, artifact_id)
    executions = {use.execution.execution_id: use.execution for use in edges}
    return Lineage(artifact_id, artifacts, dict(sorted(executions.items())), edges)


def neighbours(database: Database, artifact_id: int) -> Lineage:
    """An artifact's producer with what it took, and its consumers with what they put out.

    Raises:
        ArtifactNotFoundError: there is no such artifact.
    """
    if not database.has_mlmd():
        raise not_found(database, artifact_id)
    parameters = {"start": artifact_id, "increment": 1, "depth": 1}
    edges, artifacts = read_events(database, database.query(_BOTH_SQL, parameters))
    if artifact_id not in artifacts:
        artifacts = {**artifacts, **read_artifacts(database, [artifact_id])}
    if artifact_id not in artifacts:
        raise not_found(database, artifact_id)
    executions = {use.execution.execution_id: use.execution for use in edges}
    return Lineage(artifact_id, artifacts, dict(sorted(executions.items())), edges)


def _events(database: Database, artifact_id: int, direction: str, depth: int | None) -> list[Row]:
    parameters = {"start": artifact_id, "increment": 0 if depth is None else 1, "depth": depth or 1}
    return database.query({"up": _UP, "down": _DOWN, BOTH: _BOTH_SQL}[direction], parameters)
