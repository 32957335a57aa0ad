"""Records runs, their nodes and summaries of artifacts: one transaction for each change."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.errors import StoreError, UsageError
from penstock.metadata import clock, plots, versions
from penstock.metadata.database import Database
from penstock.metadata.runs import CLUSTER_BACKEND, LATEST, Run, find_run, node_of
from penstock.metadata.states import FINAL_NODE_STATES, check_node_change, check_run_change

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# What tells two runs apart that would be created at the same time.
_STEP_SECONDS = 0.001
# No vowels, so that no words come up, and nothing that looks like something else.
_SUFFIX_LETTERS = "23456789bcdfghjkmnpqrstvwxz"


def new_run_id() -> str:
    """An id that sorts by time (UTC) and that no other run has, like 20261120-143015-k3f9."""
    suffix = "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(4))
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{suffix}"


def check_run_id(run_id: str) -> None:
    """Raises UsageError if a run cannot have this id: it is reserved, or would not do as a folder's name."""
    if not _RUN_ID.fullmatch(run_id) or run_id == LATEST:
        raise UsageError(
            f"{run_id!r} cannot be a run's id. Allowed: up to 100 letters, digits, '.', '_' and '-', beginning with a "
            f"letter or digit, and not {LATEST!r}."
        )


def create_run(
    database: Database,
    run_id: str,
    pipeline: str,
    *,
    source: str | None = None,
    project: str | None = None,
    environment: str | None = None,
    backend: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    ir: bytes | None = None,
    version: str | None = None,
    nodes: Sequence[tuple[str, str]] = (),
    cluster: str | None = None,
) -> Run:
    """Records a run as running, here or on a cluster, and with it, all or nothing, its nodes as waiting.

    Args:
        database: the store.
        run_id: the run's id.
        pipeline: the pipeline's name.
        source: the declaration's path or `FILE.py:CALLABLE`.
        project: the project's root.
        environment: the environment's name.
        backend: what runs the nodes.
        parameters: the values of its parameters.
        ir: the serialized TFX IR it is made from.
        version: names the version of the declaration, see `versions`; None for the digest of the IR.
        nodes: (node id, component's name) in the order of the declaration.
        cluster: where the cluster answers that runs it, "" if that is not known; None for this process.

    Raises:
        UsageError: the id is taken, reserved, or would not do as a folder's name.
    """
    check_run_id(run_id)
    now = clock.now()
    with database.transaction():
        # Runs are told apart by when they were created, the later from the earlier, even if the clock was set back.
        [newest] = database.query("SELECT max(created_at) AS created_at FROM penstock_runs")
        created_at = max(now, (newest["created_at"] or 0.0) + _STEP_SECONDS)
        if database.query("SELECT 1 AS found FROM penstock_runs WHERE run_id = :run_id", {"run_id": run_id}):
            raise UsageError(f"There already is a run {run_id!r} in {database.location.display}. Choose another id.")
        database.execute(
            "INSERT INTO penstock_runs (run_id, pipeline, state, created_at, started_at, environment, backend, "
            "parameters, source, project, ir, host, pid) VALUES (:run_id, :pipeline, 'running', :created_at, :now, "
            ":environment, :backend, :parameters, :source, :project, :ir, :host, :pid)",
            {
                "run_id": run_id,
                "pipeline": pipeline,
                "created_at": created_at,
                "now": now,
                "environment": environment,
                "backend": backend,
                "parameters": json.dumps(dict(parameters or {}), default=str),
                "source": source,
                "project": project,
                "ir": ir,
                "host": socket.gethostname() if cluster is None else cluster or None,
                "pid": os.getpid() if cluster is None else None,
            },
        )
        _insert_nodes(database, run_id, nodes)
        if ir is not None:
            versions.record(database, run_id, pipeline, version or versions.digest_of(ir), created_at)
    run = find_run(database, run_id)
    assert run is not None
    return run


def set_run_ir(database: Database, run_id: str, ir: bytes) -> None:
    """Stores the serialized TFX IR a run is made from."""
    with database.transaction():
        rows = database.query(
            "SELECT pipeline, created_at FROM penstock_runs WHERE run_id = :run_id", {"run_id": run_id}
        )
        if not rows:
            raise StoreError(f"There is no run {run_id!r} in {database.location.display}.")
        database.execute("UPDATE penstock_runs SET ir = :ir WHERE run_id = :run_id", {"ir": ir, "run_id": run_id})
        versions.record(database, run_id, rows[0]["pipeline"], versions.digest_of(ir), rows[0]["created_at"])


def set_run_state(database: Database, run_id: str, state: str, error: str | None = None) -> None:
    """Records that a run's state changed now.

    `running` takes a run up again that failed, was cancelled or interrupted: it then belongs to this process, unless a
    cluster has it.

    Raises:
        StoreError: there is no such run, or its state cannot become this one.
    """
    with database.transaction():
        rows = database.query("SELECT state, backend FROM penstock_runs WHERE run_id = :run_id", {"run_id": run_id})
        if not rows:
            raise StoreError(f"There is no run {run_id!r} in {database.location.display}.")
        check_run_change(run_id, rows[0]["state"], state)
        changes: dict[str, Any] = {"state": state, "error": error}
        if state == "running":
            changes |= {"started_at": clock.now(), "finished_at": None}
            if rows[0]["backend"] != CLUSTER_BACKEND:
                changes |= {"host": socket.gethostname(), "pid": os.getpid()}
        else:
            changes["finished_at"] = clock.now()
        database.execute(
            f"UPDATE penstock_runs SET {_assignments(changes)} WHERE run_id = :run_id", {**changes, "run_id": run_id}
        )


def create_nodes(database: Database, run_id: str, nodes: Sequence[tuple[str, str]]) -> None:
    """Records the nodes of a run as waiting; (node id, component's name) in the order of the declaration."""
    with database.transaction():
        _insert_nodes(database, run_id, nodes)


def set_node(
    database: Database,
    run_id: str,
    node_id: str,
    *,
    state: str | None = None,
    execution_id: int | None = None,
    attempt: int | None = None,
    log: str | None = None,
    error: str | None = None,
    detail: Mapping[str, Any] | None = None,
    started_at: float | None = None,
    finished_at: float | None = None,
) -> None:
    """Records a change of a node. What is None stays as it is.

    Times need not be given: `running` sets `started_at` if it is not set yet, a final state sets `finished_at`.
    `waiting` and `running` clear the error and `finished_at` of an attempt before.

    Args:
        database: the store.
        run_id: the run.
        node_id: the node.
        state: its new state, one of `states.NODE_STATES`.
        execution_id: its execution in ml-metadata.
        attempt: the attempt's number, from 1.
        log: the attempt's log, as a path relative to the store's folder.
        error: why it failed, in a line.
        detail: facts to add to those recorded; a fact of the same name is replaced. What is under `runs.ATTEMPTS` is a
            list of attempts: `attempt` (its number), `part` (of several executions), `state`, `started_at` (seconds
            since the epoch), `seconds`, `cpu_seconds`, `peak_bytes` and, in a line, `error`.
        started_at: when its first attempt started, in seconds since the epoch.
        finished_at: when it reached its last state, in seconds since the epoch.

    Raises:
        StoreError: there is no such node, or its state cannot become this one.
    """
    key = {"run_id": run_id, "node_id": node_id}
    where = "WHERE run_id = :run_id AND node_id = :node_id"
    with database.transaction():
        rows = database.query(f"SELECT * FROM penstock_nodes {where}", key)
        if not rows:
            raise StoreError(f"Run {run_id} has no node {node_id!r} in {database.location.display}.")
        old, old_detail = node_of(rows[0]), json.loads(rows[0]["detail"])
        changes: dict[str, Any] = {}
        if state is not None:
            check_node_change(run_id, node_id, old.state, state)
            changes["state"] = state
            if state in FINAL_NODE_STATES:
                changes["finished_at"] = clock.now()
            else:
                changes |= {"finished_at": None, "error": None}
            if state == "running" and old.started_at is None:
                changes["started_at"] = clock.now()
            if state == "waiting" and old.state in FINAL_NODE_STATES:
                changes["started_at"] = None
        if detail:
            changes["detail"] = json.dumps({**old_detail, **detail}, default=str)
        given = {
            "execution_id": execution_id,
            "attempt": attempt,
            "log": log,
            "error": error,
            "started_at": started_at,
            "finished_at": finished_at,
        }
        changes |= {name: value for name, value in given.items() if value is not None}
        if changes:
            database.execute(f"UPDATE penstock_nodes SET {_assignments(changes)} {where}", {**changes, **key})


def put_cache_decision(
    database: Database, run_id: str, node_id: str, *, key: str, outcome: str, reason: str, parts: Mapping[str, Any]
) -> None:
    """Records what the cache answered for a node: the key, what it was made of, `hit`, `miss` or `off`, and why."""
    database.execute(
        "INSERT INTO penstock_cache_decisions (run_id, node_id, cache_key, outcome, reason, parts) "
        "VALUES (:run_id, :node_id, :key, :outcome, :reason, :parts) "
        "ON CONFLICT (run_id, node_id) DO UPDATE SET cache_key = excluded.cache_key, outcome = excluded.outcome, "
        "reason = excluded.reason, parts = excluded.parts",
        {
            "run_id": run_id,
            "node_id": node_id,
            "key": key,
            "outcome": outcome,
            "reason": reason,
            "parts": json.dumps(parts),
        },
    )


def put_summary(database: Database, artifact_id: int, kind: str, content: Any) -> None:
    """Stores the small view of an artifact, JSON, in place of one stored before; its "plots" apart from the rest.

    Raises:
        StoreError: the content is no JSON.
    """
    drawn: Sequence[Mapping[str, Any]] | None = None
    if isinstance(content, dict) and "plots" in content:
        drawn = content["plots"]
        content = {name: value for name, value in content.items() if name != "plots"}
    try:
        text = json.dumps(content, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StoreError(f"The {kind} summary of artifact {artifact_id} is no JSON: {error}.") from error
    if drawn is not None:
        with database.transaction():
            plots.put(database, artifact_id, drawn)
    database.execute(
        "INSERT INTO penstock_summaries (artifact_id, kind, content) VALUES (:artifact_id, :kind, :content) "
        "ON CONFLICT (artifact_id) DO UPDATE SET kind = excluded.kind, content = excluded.content",
        {"artifact_id": artifact_id, "kind": kind, "content": text},
    )


def _insert_nodes(database: Database, run_id: str, nodes: Sequence[tuple[str, str]]) -> None:
    for position, (node_id, component) in enumerate(nodes):
        database.execute(
            "INSERT INTO penstock_nodes (run_id, node_id, position, component, state, attempt, detail) "
            "VALUES (:run_id, :node_id, :position, :component, 'waiting', 0, '{}')",
            {"run_id": run_id, "node_id": node_id, "position": position, "component": component},
        )


def _assignments(changes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = :{name}" for name in changes)
