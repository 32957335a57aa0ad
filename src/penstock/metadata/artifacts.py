"""Reads artifacts from ml-metadata's tables: pages of them, one with all it has, a node's inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, Unpack

from penstock.errors import ArtifactNotFoundError, UsageError
from penstock.metadata.database import Database, Row, in_parts
from penstock.metadata.executions import (
    ARTIFACT_STATES,
    INPUTS_SQL,
    INTERNAL_OUTPUT_EVENT,
    OUTPUTS_SQL,
    Use,
    first_output_events,
    first_outputs,
    property_value,
    read_uses,
)
from penstock.metadata.indices import LIVE

_COLUMNS = (
    "a.id, t.name AS type, a.uri, a.state, a.name, a.create_time_since_epoch AS created, "
    "a.last_update_time_since_epoch AS updated"
)
_PIPELINE_SQL = (
    "(SELECT pc.id FROM Context pc JOIN Type pt ON pt.id = pc.type_id "
    "WHERE pt.name = 'pipeline' AND pc.name = :pipeline LIMIT 1)"
)


@dataclass(frozen=True)
class Artifact:
    """One artifact. Times are seconds since the Unix epoch.

    Attributes:
        artifact_id: its id in ml-metadata.
        type: its type's name, like Examples or Model.
        uri: where its content is.
        state: one of `executions.ARTIFACT_STATES`.
        created_at: when it was registered.
        updated_at: when it last changed.
        name: its name, if it has one.
        producer: the first execution that output it; None for one that was put in by other means.
    """

    artifact_id: int
    type: str
    uri: str
    state: str
    created_at: float
    updated_at: float
    name: str | None = None
    producer: Use | None = None


@dataclass(frozen=True)
class ArtifactDetails:
    """One artifact with everything recorded of it.

    Attributes:
        artifact: the artifact.
        properties: the properties its type declares.
        custom_properties: those it has besides, as TFX's components set them.
        consumers: the executions that took it as an input, in the order they did.
    """

    artifact: Artifact
    properties: Mapping[str, Any] = field(default_factory=dict)
    custom_properties: Mapping[str, Any] = field(default_factory=dict)
    consumers: Sequence[Use] = ()


class ArtifactFilters(TypedDict, total=False):
    """Which artifacts a list holds. What is left out or None filters nothing.

    Attributes:
        type: only artifacts of this type.
        pipeline: only what nodes of this pipeline output.
        run: only what nodes of the run of this id output, also from the cache; not what its resolvers found.
        state: only artifacts in this state, one of `executions.ARTIFACT_STATES`.
    """

    type: str | None
    pipeline: str | None
    run: str | None
    state: str | None


@dataclass(frozen=True)
class ArtifactPage:
    """A part of a list of artifacts, newest first.

    Attributes:
        artifacts: those of the part; fewer than were asked for, and even none, where few fit among many.
        next: what `before` must be for the part after; None at the end of the list.
    """

    artifacts: Sequence[Artifact]
    next: int | None


@dataclass(frozen=True)
class NodeArtifacts:
    """What a node took and gave in a run: artifacts by the name of the node's input or output."""

    inputs: Mapping[str, Sequence[Artifact]]
    outputs: Mapping[str, Sequence[Artifact]]


def list_artifacts(
    database: Database, *, limit: int = 50, before: int | None = None, **filters: Unpack[ArtifactFilters]
) -> list[Artifact]:
    """Lists artifacts, newest first.

    Args:
        database: the store.
        limit: how many at most.
        before: only artifacts with a lower id: the last id of a page asks for the next page.
        filters: which artifacts.

    Raises:
        UsageError: there is no such state.
    """
    found: list[Artifact] = []
    while len(found) < limit:
        page = find_page(database, limit=limit - len(found), before=before, **filters)
        found += page.artifacts
        if page.next is None:
            break
        before = page.next
    return found


def find_page(
    database: Database,
    *,
    limit: int = 50,
    before: int | None = None,
    looks: int = 5000,
    **filters: Unpack[ArtifactFilters],
) -> ArtifactPage:
    """Lists artifacts as `list_artifacts` does, but looks at no more than `looks` of them to find those that fit."""
    state = filters.get("state")
    if state is not None and state not in ARTIFACT_STATES:
        raise UsageError(f"There is no artifact state {state!r}. Allowed: {', '.join(ARTIFACT_STATES)}.")
    if not database.has_mlmd():
        return ArtifactPage([], None)
    search = _search(database, filters, before=before, looks=looks)
    rows = database.query(search.sql, {**search.values, "limit": limit + 1})
    if len(rows) > limit:
        following = rows[limit - 1]["id"]
    else:
        ends = database.query(search.end_sql, search.values) if search.end_sql else []
        # The artifact there has not been looked at.
        following = ends[0]["id"] + 1 if ends else None
    return ArtifactPage(_with_producers(database, rows[:limit]), following)


def newest_artifacts(database: Database, type: str, pipeline: str, limit: int, looks: int) -> list[Artifact]:
    """The newest artifacts of a type that a pipeline's nodes output, looked for among its `looks` newest ones."""
    if not database.has_mlmd():
        return []
    search = _search(database, {"type": type, "pipeline": pipeline}, looks=looks)
    return _with_producers(database, database.query(search.sql, {**search.values, "limit": limit}))


@dataclass(frozen=True)
class _Search:
    """How artifacts are looked for.

    Attributes:
        sql: finds `:limit` of them.
        end_sql: finds the first one that was not looked at; None where all that fit are found.
        values: the parameters of both.
    """

    sql: str
    end_sql: str | None
    values: Mapping[str, Any]


def _search(database: Database, filters: ArtifactFilters, *, before: int | None = None, looks: int) -> _Search:
    conditions, values = _conditions(database, filters)
    # What is looked at one by one is what fits the one condition that leaves the fewest and that an index knows.
    table, artifact_id, looked_at = "Artifact a", "a.id", "1 = 1"
    if "run" in conditions:
        looked_at = conditions.pop("run")
    elif filters.get("state") not in (None, "live"):
        looked_at = conditions.pop("state")
    elif "pipeline" in conditions:
        # An execution's inputs and outputs are in its contexts too; this tells artifacts, but not who made them.
        table, artifact_id = "Attribution b CROSS JOIN Artifact a", "b.artifact_id"
        looked_at = f"b.context_id = {_PIPELINE_SQL}"
        conditions["artifact"] = "a.id = b.artifact_id"
    elif "type" in conditions:
        looked_at = conditions.pop("type")
    where = [looked_at]
    if before is not None:
        where.append(f"{artifact_id} < :before")
        values["before"] = before
    end_sql = (
        f"SELECT {artifact_id} AS id FROM {table.partition(' CROSS ')[0]} WHERE {' AND '.join(where)} "
        f"ORDER BY {artifact_id} DESC LIMIT 1 OFFSET {looks}"
    )
    is_bounded = bool(conditions) and filters.get("run") is None
    if is_bounded:
        where.append(f"{artifact_id} > COALESCE(({end_sql}), 0)")
    # SQLite keeps to the order of CROSS JOIN.
    sql = (
        f"SELECT {_COLUMNS} FROM {table} CROSS JOIN Type t WHERE t.id = a.type_id "
        f"AND {' AND '.join([*where, *conditions.values()])} ORDER BY {artifact_id} DESC LIMIT :limit"
    )
    return _Search(sql, end_sql if is_bounded else None, values)


def _conditions(database: Database, filters: ArtifactFilters) -> tuple[dict[str, str], dict[str, Any]]:
    """What the artifacts `a` of a list have to fit, by what is asked for, and the values of its parameters."""
    conditions: dict[str, str] = {}
    values: dict[str, Any] = {}
    type, pipeline = filters.get("type"), filters.get("pipeline")
    run, state = filters.get("run"), filters.get("state")
    if type is not None:
        rows = database.query("SELECT id FROM Type WHERE name = :type AND type_kind = 1", {"type": type})
        # One, but where programs other than TFX give types versions. None is left where there is no such type.
        names = [f"type_{index}" for index, _ in enumerate(rows)]
        conditions["type"] = (
            f"a.type_id = :{names[0]}"
            if len(names) == 1
            else f"a.type_id IN ({', '.join(f':{name}' for name in names) or 'NULL'})"
        )
        values |= {name: row["id"] for name, row in zip(names, rows, strict=True)}
    if state is not None:
        conditions["state"] = "COALESCE(a.state, 0) = :state"
        if state != "live":
            # What the index of those that are not live asks for.
            conditions["state"] += f" AND COALESCE(a.state, 0) <> {LIVE}"
        values["state"] = ARTIFACT_STATES.index(state)
    if pipeline is not None:
        conditions["pipeline"] = (
            "EXISTS (SELECT 1 FROM Event e CROSS JOIN Association s WHERE e.artifact_id = a.id "
            f"AND e.type IN {OUTPUTS_SQL} AND s.execution_id = e.execution_id AND s.context_id = {_PIPELINE_SQL} "
            # With an offset PostgreSQL asks for one artifact at a time, not for all of the pipeline's.
            "LIMIT 1 OFFSET 0)"
        )
        values["pipeline"] = pipeline
    if run is not None:
        # A run has few artifacts, where a pipeline may have most of them: they are looked up, not tried one by one.
        conditions["run"] = (
            "a.id IN (SELECT e.artifact_id "
            "FROM Type ct CROSS JOIN Context c CROSS JOIN Association s CROSS JOIN Event e "
            "WHERE ct.name = 'pipeline_run' AND c.type_id = ct.id AND c.name = :run AND s.context_id = c.id "
            f"AND e.execution_id = s.execution_id AND e.type IN {OUTPUTS_SQL})"
        )
        values["run"] = run
    return conditions, values


def read_artifacts(database: Database, artifact_ids: Sequence[int]) -> dict[int, Artifact]:
    """These artifacts by id, in ascending order; ids that do not exist are left out."""
    found: dict[int, Artifact] = {}
    if database.has_mlmd():
        for names, values in in_parts(sorted(set(artifact_ids))):
            for artifact in _read(database, f"a.id IN ({names}) ORDER BY a.id", values):
                found[artifact.artifact_id] = artifact
    return found


def artifact_types(database: Database) -> list[str]:
    """The types of the artifacts there are, by name."""
    if not database.has_mlmd():
        return []
    rows = database.query(
        "SELECT DISTINCT t.name FROM Type t WHERE EXISTS (SELECT 1 FROM Artifact a WHERE a.type_id = t.id) "
        "ORDER BY t.name"
    )
    return [row["name"] for row in rows]


def pipeline_names(database: Database) -> list[str]:
    """The pipelines that have executions recorded, sub-pipelines among them, by name."""
    if not database.has_mlmd():
        return []
    rows = database.query(
        # From one pipeline to the next by the index: each run has a context too, and PostgreSQL would go through all.
        "WITH RECURSIVE known(type_id, name) AS ("
        "SELECT t.id, (SELECT min(c.name) FROM Context c WHERE c.type_id = t.id) FROM Type t WHERE t.name = 'pipeline' "
        "UNION ALL SELECT known.type_id, (SELECT min(c.name) FROM Context c WHERE c.type_id = known.type_id "
        "AND c.name > known.name) FROM known WHERE known.name IS NOT NULL) "
        "SELECT DISTINCT name FROM known WHERE name IS NOT NULL ORDER BY name"
    )
    return [row["name"] for row in rows]


def get_artifact(database: Database, artifact_id: int) -> ArtifactDetails:
    """One artifact with its properties, producer and consumers.

    Raises:
        ArtifactNotFoundError: there is none with this id; the message says which ids there are.
    """
    if not database.has_mlmd():
        raise not_found(database, artifact_id)
    events = database.query(
        f"SELECT id, artifact_id, execution_id, type FROM Event WHERE artifact_id = :id AND type IN {INPUTS_SQL} "
        "ORDER BY id",
        {"id": artifact_id},
    )
    consumers, found = read_events(database, events)
    if not found:
        found = read_artifacts(database, [artifact_id])
    if not found:
        raise not_found(database, artifact_id)
    properties: dict[str, Any] = {}
    custom: dict[str, Any] = {}
    rows = database.query(
        "SELECT name, is_custom_property, int_value, double_value, string_value, byte_value, bool_value, proto_value "
        "FROM ArtifactProperty WHERE artifact_id = :id ORDER BY name",
        {"id": artifact_id},
    )
    for row in rows:
        (custom if row["is_custom_property"] else properties)[row["name"]] = property_value(row)
    return ArtifactDetails(
        found[artifact_id], properties, custom, [use for use in consumers if use.direction == "input"]
    )


def not_found(database: Database, artifact_id: int) -> ArtifactNotFoundError:
    """The error for an id no artifact has; it says which ids there are."""
    where = database.location.display
    first = last = None
    if database.has_mlmd():
        [ends] = database.query("SELECT min(id) AS first, max(id) AS last FROM Artifact")
        first, last = ends["first"], ends["last"]
    if first is None:
        return ArtifactNotFoundError(
            f"There is no artifact {artifact_id}: {where} holds none yet. Make some: penstock run PATH"
        )
    return ArtifactNotFoundError(f"There is no artifact {artifact_id} in {where}. It holds ids from {first} to {last}.")


def read_properties(database: Database, artifact_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """For each of these artifacts its properties, custom ones included; none for ids that do not exist."""
    found: dict[int, dict[str, Any]] = {artifact_id: {} for artifact_id in artifact_ids}
    if database.has_mlmd():
        for names, values in in_parts(artifact_ids):
            for row in database.query(f"SELECT * FROM ArtifactProperty WHERE artifact_id IN ({names})", values):
                found[row["artifact_id"]][row["name"]] = property_value(row)
    return found


def artifacts_of_node(database: Database, run_id: str, node_id: str) -> NodeArtifacts:
    """What a node took and gave in a run; a resolver gives what it found. Empty if it has not executed.

    An attempt that failed counts for its inputs alone.
    """
    every, artifacts = read_events(database, _events_of_run(database, run_id))
    uses = [use for use in every if use.execution.node == node_id]
    sides: dict[str, dict[str, list[Artifact]]] = {"input": {}, "output": {}}
    for use in sorted(uses, key=lambda use: (use.key or "", use.index)):
        listed = sides[use.direction].setdefault(use.key or "", [])
        artifact = artifacts[use.artifact_id]
        if artifact not in listed:
            listed.append(artifact)
    return NodeArtifacts(inputs=sides["input"], outputs=sides["output"])


def outputs_of_run(database: Database, run_id: str) -> list[tuple[str, Artifact]]:
    """(node id, artifact) for everything a run's nodes output, also from the cache, in the order they did."""
    uses, artifacts = read_events(database, _events_of_run(database, run_id, f"AND e.type IN {OUTPUTS_SQL}"))
    return [(use.execution.node, artifacts[use.artifact_id]) for use in uses if use.execution.node is not None]


def read_events(database: Database, events: Sequence[Row]) -> tuple[list[Use], dict[int, Artifact]]:
    """Completes rows of Event, in their order, and reads their artifacts, by id in ascending order.

    Executions and keys of both, the events and the artifacts' producers, are read at once.
    """
    ids = sorted({event["artifact_id"] for event in events})
    rows: list[Row] = []
    for names, values in in_parts(ids):
        rows += _rows(database, f"a.id IN ({names}) ORDER BY a.id", values)
    firsts = first_output_events(database, ids)
    known = {event["id"] for event in events}
    read = read_uses(database, [*events, *(first for first in firsts if first["id"] not in known)])
    makers = {(first["artifact_id"], first["execution_id"]) for first in firsts}
    producers = {
        use.artifact_id: use
        for use in read
        if use.direction == "output" and (use.artifact_id, use.execution.execution_id) in makers
    }
    asked = {(event["artifact_id"], event["execution_id"]) for event in events}
    uses = [use for use in read if (use.artifact_id, use.execution.execution_id) in asked]
    return uses, {row["id"]: _artifact(row, producers.get(row["id"])) for row in rows}


def _events_of_run(database: Database, run_id: str, condition: str = "") -> list[Row]:
    if not database.has_mlmd():
        return []
    return database.query(
        "SELECT e.id, e.artifact_id, e.execution_id, e.type FROM Context c JOIN Type t ON t.id = c.type_id "
        "JOIN Association s ON s.context_id = c.id JOIN Event e ON e.execution_id = s.execution_id "
        "WHERE t.name = 'pipeline_run' AND c.name = :run "
        f"AND e.type IN (1, 2, 3, 4, 5, {INTERNAL_OUTPUT_EVENT}) {condition} ORDER BY e.id",
        {"run": run_id},
    )


def _read(database: Database, condition: str, parameters: Mapping[str, Any]) -> list[Artifact]:
    return _with_producers(database, _rows(database, condition, parameters))


def _with_producers(database: Database, rows: Sequence[Row]) -> list[Artifact]:
    producers = first_outputs(database, [row["id"] for row in rows])
    return [_artifact(row, producers.get(row["id"])) for row in rows]


def _rows(database: Database, condition: str, parameters: Mapping[str, Any]) -> list[Row]:
    return database.query(
        f"SELECT {_COLUMNS} FROM Artifact a JOIN Type t ON t.id = a.type_id WHERE {condition}", parameters
    )


def _artifact(row: Row, producer: Use | None) -> Artifact:
    return Artifact(
        artifact_id=row["id"],
        type=row["type"],
        uri=row["uri"] or "",
        state=ARTIFACT_STATES[row["state"] or 0],
        created_at=row["created"] / 1000,
        updated_at=row["updated"] / 1000,
        name=row["name"],
        producer=producer,
    )
