"""A node of a run: what it took and gave, its attempts, their logs, and why the cache answered as it did."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from penstock.dashboard import app, compiled, logs, queries, redaction, words
from penstock.dashboard.events import Update, stream
from penstock.dashboard.logs import Log
from penstock.dashboard.pages.run import exact_run
from penstock.errors import UsageError
from penstock.metadata import artifacts, cache, executions
from penstock.metadata import logs as kept_logs
from penstock.metadata import runs as records
from penstock.metadata.database import Database
from penstock.metadata.runs import NodeRecord, Run
from penstock.metadata.states import FINAL_NODE_STATES

_TABS = ("artifacts", "log", "attempts", "cache", "properties")
_RECORDED = ("state", "started_at", "seconds", "cpu_seconds", "peak_bytes", "error")
_MOST_PARTS = 1_000_000
_PART = re.compile(r"part-([1-9][0-9]{0,6})")

router = APIRouter()


@dataclass(frozen=True)
class AttemptRow:
    """One attempt of a node; what is not known of it is None.

    Attributes:
        attempt: its number, from 1.
        part: which of the node's executions it is of, from 1; None where there is one.
        state: how it ended, or how it goes.
        started_at: when it was handed to a worker, in seconds since the epoch.
        seconds: how long it took.
        cpu_seconds: processor time of its processes.
        peak_bytes: the most memory that one of its processes had.
        error: why it failed, in a line.
        log: its log, if it is there.
    """

    attempt: int
    part: int | None
    state: str | None = None
    started_at: float | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None
    peak_bytes: float | None = None
    error: str | None = None
    log: Log | None = None


def attempt_rows(node: NodeRecord, found: Sequence[Log], part: int | None, is_live: bool) -> list[AttemptRow]:
    """The attempts of a node, the first one first: those that are recorded, and those that left a log.

    Args:
        node: the node.
        found: the logs there are of its attempts, of one of its executions where there are several.
        part: which execution these are of.
        is_live: whether the node's last attempt may go on.
    """
    logs_by_number = {log.attempt: log for log in found}
    rows = []
    for entry in node.attempts:
        of_part = entry.get("part")
        log = logs_by_number.pop(entry["attempt"], None) if of_part == part else None
        known = {name: entry.get(name) for name in _RECORDED}
        rows.append(AttemptRow(entry["attempt"], of_part, log=log, **known))
    for number, log in logs_by_number.items():
        is_last = number == node.attempt
        # Those before the last one of a node that an older Penstock ran, or of a run that was cut short.
        state = node.state if is_last and (is_live or not node.attempts) else None
        rows.append(AttemptRow(number, part, state, log=log))
    return sorted(rows, key=lambda row: (row.part or 0, row.attempt))


@router.get("/runs/{run_id}/nodes/{node_id}")
def show_node(
    request: Request,
    run_id: str,
    node_id: str,
    tab: str | None = None,
    attempt: str | None = None,
    part: str | None = None,
    text: str | None = None,
) -> Response:
    """A node's page; `tab` chooses what of it."""
    context = app.context_of(request)
    chosen = queries.choice("tab", tab, _TABS) or "artifacts"
    searched = queries.text("text", text)
    with context.connections.reading() as database:
        run, node = find_node(database, run_id, node_id)
        part_number = choose_part(node, part)
        found = logs_of(database, run, node, part_number)
        log = choose_attempt(found, attempt)
        values: dict[str, Any] = {
            "title": f"{node.node_id} of {run.run_id}",
            "run": run,
            "node": node,
            "tab": chosen,
            "tabs": _TABS,
            "seconds": words.node_seconds(node),
            "attempts": found,
            "part": part_number,
            "parts": node.detail.get("executions"),
            "log": log,
            "text": searched,
            "is_live": run.state == "running" and node.state not in FINAL_NODE_STATES,
        }
        if chosen == "artifacts":
            values["uses"] = artifacts.artifacts_of_node(database, run.run_id, node.node_id)
        elif chosen == "log":
            values["excerpt"] = None if log is None else _excerpt(log, searched, context.redact)
        elif chosen == "cache":
            values["explanation"], values["no_explanation"] = _explain(database, run, node)
        elif chosen == "attempts":
            values["rows"] = attempt_rows(node, found, part_number, values["is_live"])
        else:
            values["properties"] = redaction.shown_values(executions.read_properties(database, node.execution_id))
            values["compiled"] = _compiled_node(database, run, node, context.redact)
            values["cpu_seconds"] = sum(entry.get("cpu_seconds", 0.0) for entry in node.attempts)
            values["peak_bytes"] = max((entry.get("peak_bytes", 0) for entry in node.attempts), default=0)
    return context.pages.page(request, "node.html", values)


@router.get("/runs/{run_id}/nodes/{node_id}/log.txt")
def download_log(
    request: Request, run_id: str, node_id: str, attempt: str | None = None, part: str | None = None
) -> Response:
    """A whole log."""
    context = app.context_of(request)
    with context.connections.reading() as database:
        run, node = find_node(database, run_id, node_id)
        log = choose_attempt(logs_of(database, run, node, choose_part(node, part)), attempt)
    if log is None:
        raise app.NotFoundError(f"Node {node.node_id} of run {run.run_id} has no log.")

    def lines() -> Iterator[str]:
        yield from logs.whole(log, context.redact)

    name = f"{run.run_id}-{node.node_id}-{log.attempt}.txt".replace('"', "")
    return StreamingResponse(
        lines(),
        media_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name.encode("ascii", "replace").decode()}"'},
    )


@router.get("/runs/{run_id}/nodes/{node_id}/log/events")
async def log_events(
    request: Request,
    run_id: str,
    node_id: str,
    attempt: str | None = None,
    part: str | None = None,
    position: str | None = None,
) -> Response:
    """Server-sent events: what is written to a log, until its node ends. `position` is where to go on, in bytes."""
    context = app.context_of(request)
    at = queries.whole("position", position) or 0
    queries.whole("attempt", attempt, 1)
    queries.whole("part", part, 1, _MOST_PARTS)

    def check() -> None:
        with context.connections.reading() as database:
            find_node(database, run_id, node_id)

    await asyncio.to_thread(check)

    def read() -> Update:
        nonlocal at
        with context.connections.reading() as database:
            run, node = find_node(database, run_id, node_id)
            log = choose_attempt(logs_of(database, run, node, choose_part(node, part)), attempt)
        ended = node.state in FINAL_NODE_STATES or run.state != "running"
        written = ""
        if log is not None:
            written, at = logs.since(log, at, context.redact)
        return Update({"text": written, "position": at, "state": node.state}, is_last=ended and not written)

    # Each listener is at a place of its own.
    return stream(request, context.broadcasts.listen(f"log {run_id} {node_id} {part} {attempt} {id(request)}", read))


def find_node(database: Database, run_id: str, node_id: str) -> tuple[Run, NodeRecord]:
    """The run and node that a path names.

    Raises:
        RunNotFoundError: there is no such run.
        NotFoundError: the run has no such node.
    """
    run = exact_run(database, run_id)
    try:
        return run, records.get_node(database, run.run_id, node_id)
    except UsageError as error:
        raise app.NotFoundError(str(error)) from error


def choose_attempt(found: list[Log], attempt: str | None) -> Log | None:
    """The log of the attempt that is asked for, or else of the last one; None if there is none."""
    number = queries.whole("attempt", attempt, 1)
    if number is None:
        return found[-1] if found else None
    for log in found:
        if log.attempt == number:
            return log
    known = ", ".join(str(log.attempt) for log in found) or "none"
    raise app.NotFoundError(f"There is no log of attempt {number}. Attempts with one: {known}.")


def choose_part(node: NodeRecord, part: str | None) -> int | None:
    """Which of a node's executions is asked for, or else the one its record points to; None where there is one."""
    number = queries.whole("part", part, 1, _MOST_PARTS)
    if number is not None or node.log is None:
        return number
    for name in PurePosixPath(node.log).parts:
        if match := _PART.fullmatch(name):
            return int(match[1])
    return None


def logs_of(database: Database, run: Run, node: NodeRecord, part: int | None) -> list[Log]:
    """The logs of a node's attempts, of one of its executions where there are several, the first one first."""
    if run.is_on_cluster:
        kept_logs.fetch(database, run.run_id, node.node_id)
    if part is not None:
        node = replace(node, log=f"runs/{node.run_id}/{node.node_id}/part-{part}/attempt-1/log.txt")
    return logs.attempts(database.location, node)


def _compiled_node(
    database: Database, run: Run, node: NodeRecord, redact: redaction.Redactor
) -> compiled.CompiledNode | None:
    """A node as it was compiled; None where that is not recorded or cannot be read."""
    serialized = records.run_ir(database, run.run_id)
    try:
        return None if serialized is None else compiled.nodes(compiled.read(serialized, redact)).get(node.node_id)
    except compiled.UnreadableError:
        return None


def _excerpt(log: Log, text: str | None, redact: redaction.Redactor) -> logs.Excerpt:
    return logs.search(log, text, redact) if text else logs.tail(log, redact)


def _explain(database: Database, run: Run, node: NodeRecord) -> tuple[cache.Explanation | None, str]:
    try:
        return cache.explain(database, run, node.node_id), ""
    except UsageError as error:
        return None, str(error)
