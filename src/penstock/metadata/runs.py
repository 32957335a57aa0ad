"""Reads what is recorded of runs and their nodes."""

from __future__ import annotations

import difflib
import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, Unpack

from penstock.errors import RunNotFoundError, UsageError
from penstock.metadata import process
from penstock.metadata.database import Database, Row, in_parts
from penstock.metadata.states import INTERRUPTED, NODE_STATES

LATEST = "latest"
# Under this name `detail` of a node holds its attempts.
ATTEMPTS = "attempts"
# Older stores have no tags and versions.
_TAGS_SINCE_VERSION = 6
# Under this name a run's span is recorded among its parameters, none of whose own names has a dot.
SPAN_PARAMETER = "penstock.span"
# Everything but the IR, which can be megabytes.
_COLUMNS = (
    "run_id, pipeline, state, created_at, started_at, finished_at, environment, backend, parameters, source, project, "
    "error, host, pid"
)
# What LIKE takes as itself, with `!` as its escape.
_LITERAL = str.maketrans({"!": "!!", "%": "!%", "_": "!_"})
# So many runs are searched for a text in a twentieth of a second.
_LOOKED_AT = 20_000


CLUSTER_BACKEND = "kubeflow"
# The fact of a node on a cluster that its failure is not worth another attempt.
NO_RETRY = "no_retry"


@dataclass(frozen=True)
class Run:
    """One run of a pipeline. Times are seconds since the Unix epoch.

    Attributes:
        run_id: its id, also the name of its pipeline_run context.
        pipeline: the pipeline's name.
        state: running, succeeded, failed, cancelled, or interrupted: recorded as running, but its process is gone.
        created_at: when it was recorded; later than that of all runs before it, also where a clock was set back.
        started_at: when its first node could start.
        finished_at: when it reached its last state; None while it runs or if it was interrupted.
        environment: the environment's name.
        backend: what schedules its nodes.
        parameters: the pipeline's parameters with the values used.
        source: path of the declaration, or FILE.py:CALLABLE.
        project: the project's root folder.
        error: why it failed, in a line.
        host: the machine its scheduler runs on; of a run on a cluster where that answers, if it is known.
        pid: the scheduler's process id there; None on a cluster.
    """

    run_id: str
    pipeline: str
    state: str
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    environment: str | None = None
    backend: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None
    project: str | None = None
    error: str | None = None
    host: str | None = None
    pid: int | None = None

    @property
    def is_on_cluster(self) -> bool:
        """Whether containers run its nodes, and no process of one machine."""
        return self.backend == CLUSTER_BACKEND


class RunFilters(TypedDict, total=False):
    """Which runs a list holds. What is left out or None filters nothing.

    Attributes:
        pipeline: only runs of this pipeline.
        state: only runs in this state, `interrupted` among them.
        text: only runs with this in their id, pipeline, parameters or error, in upper or lower case.
        tags: only runs with all of these tags.
        version: only runs made from the version of a declaration with this digest, see `versions`.
        since: only runs recorded at this time or later, in seconds since the epoch.
    """

    pipeline: str | None
    state: str | None
    text: str | None
    tags: Sequence[str]
    version: str | None
    since: float | None


@dataclass(frozen=True)
class RunPage:
    """A part of a list of runs, newest first.

    Attributes:
        runs: those of the part; fewer than were asked for, and even none, where few fit among many.
        next: the id that `before` must be for the part after; None at the end of the list.
    """

    runs: Sequence[Run]
    next: str | None


@dataclass(frozen=True)
class NodeRecord:
    """What is recorded of one node of a run. Times are seconds since the Unix epoch.

    Attributes:
        run_id: the run.
        node_id: the node.
        position: its place in the order of the declaration, from 0.
        component: the component's name.
        state: one of `states.NODE_STATES`.
        started_at: when its first attempt started.
        finished_at: when it reached its last state.
        execution_id: its execution in ml-metadata.
        attempt: the attempt's number, from 1; 0 before the first.
        log: the last attempt's log, as a path relative to the store's folder.
        error: why it failed, in a line.
        detail: facts to show, like {"examples": 15002}.
        attempts: what is known of its attempts, the first one first, see `recording.set_node`.
    """

    run_id: str
    node_id: str
    position: int
    component: str | None
    state: str
    started_at: float | None = None
    finished_at: float | None = None
    execution_id: int | None = None
    attempt: int = 0
    log: str | None = None
    error: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    attempts: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Summary:
    """The small view of an artifact; `content` is decoded JSON whose layout `kind` names."""

    artifact_id: int
    kind: str
    content: Any


def list_runs(
    database: Database, *, limit: int = 50, before: str | None = None, **filters: Unpack[RunFilters]
) -> list[Run]:
    """Lists runs, newest first.

    Args:
        database: the store.
        limit: how many at most.
        before: only runs older than the run of this id: the last id of a page asks for the next page.
        filters: which runs.

    Raises:
        RunNotFoundError: there is no run `before`.
    """
    found: list[Run] = []
    while len(found) < limit:
        page = find_page(database, limit=limit - len(found), before=before, **filters)
        found += page.runs
        if page.next is None:
            break
        before = page.next
    return found


def find_page(
    database: Database, *, limit: int = 50, before: str | None = None, **filters: Unpack[RunFilters]
) -> RunPage:
    """Lists runs as `list_runs` does, but looks at no more than `_LOOKED_AT` of them to find those that fit."""
    if not database.has_own_tables:
        return RunPage([], None)
    # What an index finds, and what has to be looked at row by row.
    found_by: list[str] = []
    looked_at: list[str] = []
    values: dict[str, Any] = {}
    pipeline, state, version = filters.get("pipeline"), filters.get("state"), filters.get("version")
    text, tags, since = filters.get("text"), filters.get("tags", ()), filters.get("since")
    if pipeline is not None:
        found_by.append("pipeline = :pipeline")
        values["pipeline"] = pipeline
    if state is not None:
        found_by.append("state = :state")
        values["state"] = "running" if state == INTERRUPTED else state
    if since is not None:
        found_by.append("created_at >= :since")
        values["since"] = since
    if (tags or version is not None) and database.tables_version < _TAGS_SINCE_VERSION:
        return RunPage([], None)
    for index, tag in enumerate(dict.fromkeys(tags)):
        found_by.append(f"run_id IN (SELECT run_id FROM penstock_tags WHERE tag = :tag_{index})")
        values[f"tag_{index}"] = tag
    if version is not None:
        found_by.append("run_id IN (SELECT run_id FROM penstock_versions WHERE digest = :version)")
        values["version"] = version
    if before is not None:
        last = find_run(database, before)
        if last is None:
            raise RunNotFoundError(
                f"There is no run {before!r} in {database.location.display} to list the runs before."
            )
        found_by.append("(created_at, run_id) < (:created_at, :before)")
        values |= {"created_at": last.created_at, "before": before}
    ends: list[Row] = []
    if text:
        # The last run that is looked at, by its value, so that PostgreSQL knows how few they are.
        ends = database.query(
            f"SELECT created_at, run_id FROM penstock_runs WHERE {' AND '.join(found_by) or '1 = 1'} "
            f"ORDER BY created_at DESC, run_id DESC LIMIT 1 OFFSET {_LOOKED_AT - 1}",
            values,
        )
        if ends:
            looked_at.append("created_at >= :end")
            values["end"] = ends[0]["created_at"]
        # SQLite reads what stands behind the IR at the cost of reading that too; most runs have no error.
        looked_at.append(
            "(lower(run_id || ' ' || pipeline || ' ' || parameters) LIKE :text ESCAPE '!' "
            "OR (error IS NOT NULL AND lower(error) LIKE :text ESCAPE '!'))"
        )
        values["text"] = f"%{text.lower().translate(_LITERAL)}%"
    rows = database.query(
        f"SELECT {_COLUMNS} FROM penstock_runs WHERE {' AND '.join([*found_by, *looked_at]) or '1 = 1'} "
        "ORDER BY created_at DESC, run_id DESC LIMIT :limit",
        {**values, "limit": limit + 1},
    )
    following: str | None = None
    if len(rows) > limit:
        following = rows[limit - 1]["run_id"]
    elif ends:
        following = ends[0]["run_id"]
    # Only readers tell running from interrupted, so a page can hold fewer runs of the wanted state than rows.
    return RunPage([run for run in map(_run, rows[:limit]) if state is None or run.state == state], following)


def latest_runs(database: Database) -> list[Run]:
    """The newest run of each pipeline, by the pipelines' names."""
    if not database.has_own_tables:
        return []
    rows = database.query(
        # From one pipeline to the next by the index: "SELECT DISTINCT" would go through all runs.
        "WITH RECURSIVE known(pipeline) AS (SELECT min(pipeline) FROM penstock_runs UNION ALL "
        "SELECT (SELECT min(r.pipeline) FROM penstock_runs r WHERE r.pipeline > known.pipeline) FROM known "
        "WHERE known.pipeline IS NOT NULL) "
        f"SELECT {_COLUMNS} FROM penstock_runs WHERE run_id IN (SELECT (SELECT r.run_id FROM penstock_runs r "
        "WHERE r.pipeline = known.pipeline ORDER BY r.created_at DESC, r.run_id DESC LIMIT 1) FROM known) "
        "ORDER BY pipeline"
    )
    return [_run(row) for row in rows]


def parameters_since(database: Database, created_after: float, limit: int) -> list[tuple[float, dict[str, Any]]]:
    """(when it was recorded, its parameters) of so many runs recorded after a time, the oldest, oldest first."""
    if not database.has_own_tables:
        return []
    rows = database.query(
        "SELECT created_at, parameters FROM penstock_runs WHERE created_at > :after ORDER BY created_at LIMIT :limit",
        {"after": created_after, "limit": limit},
    )
    return [(row["created_at"], json.loads(row["parameters"])) for row in rows]


def runs_of_source(database: Database, source: str) -> list[Run]:
    """All runs of a declaration or `FILE.py:CALLABLE`, newest first."""
    if not database.has_own_tables:
        return []
    sql = f"SELECT {_COLUMNS} FROM penstock_runs WHERE source = :source ORDER BY created_at DESC, run_id DESC"
    return [_run(row) for row in database.query(sql, {"source": source})]


def find_run(database: Database, run_id: str) -> Run | None:
    """The run with exactly this id, or None."""
    if not database.has_own_tables:
        return None
    rows = database.query(f"SELECT {_COLUMNS} FROM penstock_runs WHERE run_id = :run_id", {"run_id": run_id})
    return _run(rows[0]) if rows else None


def find_runs(database: Database, run_ids: Sequence[str]) -> dict[str, Run]:
    """The runs with these ids; ids without a run are left out."""
    found: dict[str, Run] = {}
    if database.has_own_tables:
        for names, values in in_parts(sorted(set(run_ids))):
            for row in database.query(f"SELECT {_COLUMNS} FROM penstock_runs WHERE run_id IN ({names})", values):
                found[row["run_id"]] = _run(row)
    return found


def get_run(database: Database, name: str) -> Run:
    """The run a person means.

    Args:
        database: the store.
        name: a run's id, the start of one that no other run's id has, or `latest`.

    Raises:
        RunNotFoundError: there is none, or several; the message names the nearest ids.
    """
    if name == LATEST:
        newest = list_runs(database, limit=1)
        if newest:
            return newest[0]
        raise RunNotFoundError(f"There is no run yet in {database.location.display}. Start one: penstock run PATH")
    exact = find_run(database, name)
    if exact is not None:
        return exact
    return _get_by_start(database, name)


def run_ir(database: Database, run_id: str) -> bytes | None:
    """The serialized TFX IR (proto `tfx.orchestration.Pipeline`) a run was made from, if it is recorded."""
    if not database.has_own_tables:
        return None
    rows = database.query("SELECT ir FROM penstock_runs WHERE run_id = :run_id", {"run_id": run_id})
    return bytes(rows[0]["ir"]) if rows and rows[0]["ir"] is not None else None


def nodes_of(database: Database, run_id: str) -> list[NodeRecord]:
    """The nodes of a run in the order of its declaration; none if there is no such run."""
    if not database.has_own_tables:
        return []
    rows = database.query(
        "SELECT * FROM penstock_nodes WHERE run_id = :run_id ORDER BY position, node_id", {"run_id": run_id}
    )
    return [node_of(row) for row in rows]


def node_of(row: Row) -> NodeRecord:
    """A node from its row; what `detail` holds of its attempts is no fact to show."""
    detail = json.loads(row["detail"])
    attempts = detail.pop(ATTEMPTS, ())
    return NodeRecord(**{**row, "detail": detail, "attempts": attempts})


def get_node(database: Database, run_id: str, node_id: str) -> NodeRecord:
    """A node of a run.

    Raises:
        UsageError: the run has no such node.
    """
    nodes = {node.node_id: node for node in nodes_of(database, run_id)}
    if node_id in nodes:
        return nodes[node_id]
    near = difflib.get_close_matches(node_id, nodes, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UsageError(f"Run {run_id} has no node {node_id!r}.{hint} Nodes: {', '.join(nodes) or 'none yet'}.")


def count_nodes(database: Database, run_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """For each of these runs how many nodes are in which state; states no node is in are left out."""
    counts: dict[str, dict[str, int]] = {run_id: {} for run_id in run_ids}
    if not database.has_own_tables:
        return counts
    for names, values in in_parts(run_ids):
        rows = database.query(
            "SELECT run_id, state, count(*) AS number FROM penstock_nodes "
            f"WHERE run_id IN ({names}) GROUP BY run_id, state",
            values,
        )
        for row in sorted(rows, key=lambda row: NODE_STATES.index(row["state"])):
            counts[row["run_id"]][row["state"]] = row["number"]
    return counts


def find_summary(database: Database, artifact_id: int) -> Summary | None:
    """An artifact's summary, or None if none was made."""
    return find_summaries(database, [artifact_id]).get(artifact_id)


def find_summaries(database: Database, artifact_ids: Sequence[int], kind: str | None = None) -> dict[int, Summary]:
    """The summaries of these artifacts, by artifact id; only those of one kind if it is given."""
    found: dict[int, Summary] = {}
    if not database.has_own_tables:
        return found
    for names, values in in_parts(sorted(set(artifact_ids))):
        sql = f"SELECT artifact_id, kind, content FROM penstock_summaries WHERE artifact_id IN ({names})"
        if kind is not None:
            sql, values = f"{sql} AND kind = :kind", {**values, "kind": kind}
        for row in database.query(sql, values):
            found[row["artifact_id"]] = Summary(row["artifact_id"], row["kind"], json.loads(row["content"]))
    return found


def summaries_beside(database: Database, execution_id: int, kind: str) -> dict[int, Summary]:
    """The summaries of a kind of what an execution took and put out, by artifact id."""
    if not database.has_own_tables or not database.has_mlmd():
        return {}
    rows = database.query(
        "SELECT artifact_id, kind, content FROM penstock_summaries WHERE kind = :kind "
        "AND artifact_id IN (SELECT artifact_id FROM Event WHERE execution_id = :id) ORDER BY artifact_id",
        {"kind": kind, "id": execution_id},
    )
    return {row["artifact_id"]: Summary(row["artifact_id"], row["kind"], json.loads(row["content"])) for row in rows}


def _get_by_start(database: Database, start: str) -> Run:
    store = database.location.display
    if not database.has_own_tables:
        raise RunNotFoundError(f"There is no run {start!r}: {store} holds none yet. Start one: penstock run PATH")
    rows = database.query(
        f"SELECT {_COLUMNS} FROM penstock_runs WHERE substr(run_id, 1, :length) = :start "
        "ORDER BY created_at DESC, run_id DESC LIMIT 6",
        {"length": len(start), "start": start},
    )
    if len(rows) == 1:
        return _run(rows[0])
    ids = [str(row["run_id"]) for row in rows]
    if ids:
        more = ", …" if len(ids) > 5 else ""
        raise RunNotFoundError(f"Several runs in {store} start with {start!r}: {', '.join(ids[:5])}{more}. Name one.")
    from difflib import get_close_matches

    sql = "SELECT run_id FROM penstock_runs ORDER BY created_at DESC, run_id DESC LIMIT 1000"
    known = [row["run_id"] for row in database.query(sql)]
    near = get_close_matches(start, known, n=3, cutoff=0.5) or known[:3]
    hint = f" Nearest: {', '.join(near)}." if near else " It holds none yet. Start one: penstock run PATH"
    raise RunNotFoundError(f"There is no run {start!r} in {store}.{hint}")


def _run(row: Row) -> Run:
    run = {**row, "parameters": json.loads(row["parameters"])}
    if run["state"] == "running" and _is_abandoned(row):
        run["state"] = INTERRUPTED
    return Run(**run)


def _is_abandoned(row: Row) -> bool:
    """Whether a run's process is known to be gone: only its own host can tell, and a cluster's run has none."""
    if row["backend"] == CLUSTER_BACKEND or row["pid"] is None or row["host"] != socket.gethostname():
        return False
    return not process.is_alive(row["pid"], before=max(row["created_at"], row["started_at"] or 0.0))
