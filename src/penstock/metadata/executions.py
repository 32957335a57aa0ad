"""Reads executions and the events that tie them to artifacts from ml-metadata's tables."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from penstock.metadata.database import Database, Row, in_parts

# ml_metadata.proto.metadata_store_pb2, numbers and names alike.
EXECUTION_STATES = ("unknown", "new", "running", "complete", "failed", "cached", "canceled")
ARTIFACT_STATES = ("unknown", "pending", "live", "marked_for_deletion", "deleted", "abandoned", "reference")
CACHED = EXECUTION_STATES.index("cached")
INPUT_EVENTS = (2, 3)
# A resolver passes artifacts on with INTERNAL_OUTPUT (6), which is not among these: it did not make them.
OUTPUT_EVENTS = (1, 4)
INTERNAL_OUTPUT_EVENT = 6
INPUTS_SQL = "(2, 3)"
OUTPUTS_SQL = "(1, 4)"

# ml-metadata stores a google.protobuf.Struct as text: this, then the message in base 64.
_STRUCT_PREFIX = "mlmd-struct::"
# Whether an OUTPUT event `o` is the artifact's first: executions that took it from the cache output it again.
FIRST_OUTPUT_SQL = (
    "NOT EXISTS (SELECT 1 FROM Event earlier WHERE earlier.artifact_id = o.artifact_id "
    f"AND earlier.type IN {OUTPUTS_SQL} AND earlier.id < o.id)"
)


@dataclass(frozen=True)
class Execution:
    """One execution, with the contexts TFX puts it in. Times are seconds since the Unix epoch.

    Attributes:
        execution_id: its id in ml-metadata.
        type: its type, the component's class path as TFX names it.
        state: one of `EXECUTION_STATES`.
        created_at: when it was registered.
        updated_at: when it last changed.
        pipeline: the pipeline; of a sub-pipeline's node the outermost one.
        run: the run's id.
        node: the node's id.
    """

    execution_id: int
    type: str
    state: str
    created_at: float
    updated_at: float
    pipeline: str | None = None
    run: str | None = None
    node: str | None = None


@dataclass(frozen=True)
class Use:
    """One artifact's part in one execution.

    Attributes:
        artifact_id: the artifact.
        execution: the execution.
        direction: `input` or `output`.
        key: the name of the node's input or output.
        index: its place among the artifacts under that name.
    """

    artifact_id: int
    execution: Execution
    direction: str
    key: str | None = None
    index: int = 0


@dataclass
class _Contexts:
    pipelines: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)


def executions_of_run(database: Database, run_id: str) -> list[Execution]:
    """The executions of a run, in the order they were registered; none if there is no such run."""
    if not database.has_mlmd():
        return []
    rows = database.query(
        "SELECT a.execution_id FROM Context c JOIN Type t ON t.id = c.type_id "
        "JOIN Association a ON a.context_id = c.id WHERE t.name = 'pipeline_run' AND c.name = :run",
        {"run": run_id},
    )
    return list(read_executions(database, [row["execution_id"] for row in rows]).values())


def list_executions(
    database: Database,
    *,
    type: str | None = None,
    state: str | None = None,
    run: str | None = None,
    limit: int = 50,
    before: int | None = None,
) -> list[Execution]:
    """Lists executions, newest first.

    Args:
        database: the store.
        type: only executions of this type.
        state: only executions in this state, one of `EXECUTION_STATES`.
        run: only executions of the run of this id.
        limit: how many at most.
        before: only executions with a lower id: the last id of a page asks for the next page.
    """
    if not database.has_mlmd():
        return []
    conditions = []
    parameters: dict[str, Any] = {"limit": limit}
    if type is not None:
        conditions.append("x.type_id IN (SELECT id FROM Type WHERE name = :type)")
        parameters["type"] = type
    if state is not None:
        conditions.append("COALESCE(x.last_known_state, 0) = :state")
        parameters["state"] = EXECUTION_STATES.index(state)
    if run is not None:
        # A run has few executions of many: they are looked up, not tried one by one.
        conditions.append(
            "x.id IN (SELECT s.execution_id FROM Type ct CROSS JOIN Context c CROSS JOIN Association s "
            "WHERE ct.name = 'pipeline_run' AND c.type_id = ct.id AND c.name = :run AND s.context_id = c.id)"
        )
        parameters["run"] = run
    if before is not None:
        conditions.append("x.id < :before")
        parameters["before"] = before
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    rows = database.query(f"SELECT x.id FROM Execution x {where}ORDER BY x.id DESC LIMIT :limit", parameters)
    found = read_executions(database, [row["id"] for row in rows])
    return [found[row["id"]] for row in rows if row["id"] in found]


def execution_types(database: Database) -> list[str]:
    """The types of the executions there are, by name."""
    if not database.has_mlmd():
        return []
    rows = database.query(
        "SELECT DISTINCT t.name FROM Type t WHERE EXISTS (SELECT 1 FROM Execution x WHERE x.type_id = t.id) "
        "ORDER BY t.name"
    )
    return [row["name"] for row in rows]


def read_executions(database: Database, execution_ids: Iterable[int]) -> dict[int, Execution]:
    """These executions by id, in ascending order; ids that do not exist are left out."""
    ids = sorted(set(execution_ids))
    executions: dict[int, Execution] = {}
    for names, values in in_parts(ids):
        for row in database.query(
            "SELECT x.id, t.name AS type, x.last_known_state AS state, x.create_time_since_epoch AS created, "
            "x.last_update_time_since_epoch AS updated FROM Execution x JOIN Type t ON t.id = x.type_id "
            f"WHERE x.id IN ({names}) ORDER BY x.id",
            values,
        ):
            executions[row["id"]] = Execution(
                execution_id=row["id"],
                type=row["type"],
                state=EXECUTION_STATES[row["state"] or 0],
                created_at=row["created"] / 1000,
                updated_at=row["updated"] / 1000,
            )
    for execution_id, contexts in _contexts(database, ids).items():
        if execution_id in executions:
            executions[execution_id] = _placed(executions[execution_id], contexts)
    return executions


def first_outputs(database: Database, artifact_ids: Sequence[int]) -> dict[int, Use]:
    """For each of these artifacts its producer: the first execution that output it."""
    return {use.artifact_id: use for use in read_uses(database, first_output_events(database, artifact_ids))}


def first_output_events(database: Database, artifact_ids: Sequence[int]) -> list[Row]:
    """The event (id, artifact_id, execution_id, type) by which each of these artifacts was first output."""
    rows: list[Row] = []
    for names, values in in_parts(artifact_ids):
        rows += database.query(
            "SELECT o.id, o.artifact_id, o.execution_id, o.type FROM Event o "
            f"WHERE o.artifact_id IN ({names}) AND o.type IN {OUTPUTS_SQL} AND {FIRST_OUTPUT_SQL}",
            values,
        )
    return rows


def read_uses(database: Database, events: Sequence[Row]) -> list[Use]:
    """Completes rows of Event (id, artifact_id, execution_id, type), in their order, with execution and key.

    An artifact that one execution takes under several names has one event, and comes once for each name.
    """
    executions = read_executions(database, (event["execution_id"] for event in events))
    places: dict[int, list[tuple[str | None, int]]] = {}
    for names, values in in_parts([event["id"] for event in events]):
        # Keys and indexes alternate; ml-metadata keeps no other order than that of the rows.
        for row in database.query(
            f"SELECT event_id, is_index_step, step_index, step_key FROM EventPath WHERE event_id IN ({names})", values
        ):
            of_event = places.setdefault(row["event_id"], [])
            if not row["is_index_step"]:
                of_event.append((row["step_key"], 0))
            elif of_event:
                of_event[-1] = (of_event[-1][0], row["step_index"])
    return [
        Use(
            artifact_id=event["artifact_id"],
            execution=executions[event["execution_id"]],
            direction="output" if event["type"] in (*OUTPUT_EVENTS, INTERNAL_OUTPUT_EVENT) else "input",
            key=key,
            index=index,
        )
        for event in events
        if event["execution_id"] in executions
        for key, index in places.get(event["id"]) or [(None, 0)]
    ]


def read_properties(database: Database, execution_id: int | None) -> dict[str, Any]:
    """An execution's properties, custom ones included; none if there is no such execution."""
    if execution_id is None or not database.has_mlmd():
        return {}
    rows = database.query(
        "SELECT name, is_custom_property, int_value, double_value, string_value, byte_value, bool_value, proto_value "
        "FROM ExecutionProperty WHERE execution_id = :id ORDER BY name",
        {"id": execution_id},
    )
    return {row["name"]: property_value(row) for row in rows}


def property_value(row: Row) -> Any:
    """A property's value as Python has it; bytes as hexadecimal text, a protobuf message as its size."""
    if row["bool_value"] is not None:
        return bool(row["bool_value"])
    if row["string_value"] is not None:
        text: str = row["string_value"]
        return _struct(text) if text.startswith(_STRUCT_PREFIX) else text
    if row["byte_value"] is not None:
        return bytes(row["byte_value"]).hex()
    if row["proto_value"] is not None:
        return f"<protobuf message, {len(row['proto_value'])} bytes>"
    return row["int_value"] if row["int_value"] is not None else row["double_value"]


def _struct(text: str) -> Any:
    from google.protobuf import json_format, struct_pb2

    return json_format.MessageToDict(struct_pb2.Struct.FromString(b64decode(text.removeprefix(_STRUCT_PREFIX))))


def _contexts(database: Database, execution_ids: Sequence[int]) -> dict[int, _Contexts]:
    found: dict[int, _Contexts] = {}
    for names, values in in_parts(execution_ids):
        for row in database.query(
            # SQLite keeps to the order of CROSS JOIN; left to itself it looks through every context of these types.
            "SELECT a.execution_id, t.name AS type, c.name FROM Association a CROSS JOIN Context c CROSS JOIN Type t "
            "WHERE c.id = a.context_id AND t.id = c.type_id AND t.name IN ('pipeline', 'pipeline_run', 'node') "
            f"AND a.execution_id IN ({names}) ORDER BY a.id",
            values,
        ):
            contexts = found.setdefault(row["execution_id"], _Contexts())
            {"pipeline": contexts.pipelines, "pipeline_run": contexts.runs, "node": contexts.nodes}[row["type"]].append(
                row["name"]
            )
    return found


def _placed(execution: Execution, contexts: _Contexts) -> Execution:
    """Reads pipeline, run and node off an execution's contexts, named as TFX's compiler names them.

    A node's context is PIPELINE.NODE. A sub-pipeline's nodes are in the contexts of all pipelines around them too,
    among these OUTER.INNER as a node, and its run is INNER_RUN.
    """
    split = [
        (pipeline, name[len(pipeline) + 1 :])
        for name in contexts.nodes
        for pipeline in contexts.pipelines
        if name.startswith(f"{pipeline}.")
    ]
    inner = {node for _, node in split if node in contexts.pipelines}
    outermost = [pipeline for pipeline in contexts.pipelines if pipeline not in inner]
    own = [node for _, node in split if node not in inner]
    return replace(
        execution,
        pipeline=next(iter(outermost or contexts.pipelines), None),
        run=min(contexts.runs, key=len, default=None),
        node=own[-1] if own else None,
    )
