"""A node of a run: what it took and gave, its attempts, their logs, and why the cache answered as it did."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from penstock.dashboard import app, logs, queries, redaction, words
from penstock.dashboard.events import Update, stream
from penstock.dashboard.logs import Log
from penstock.dashboard.pages.run import exact_run
from penstock.errors import UsageError
from penstock.metadata import artifacts, cache, executions
from penstock.metadata import runs as records
from penstock.metadata.database import Database
from penstock.metadata.runs import NodeRecord, Run
from penstock.metadata.states import FINAL_NODE_STATES

_TABS = ("artifacts", "log", "cache", "properties")

router = APIRouter()


@router.get("/runs/{run_id}/nodes/{node_id}")
def show_node(
    request: Request,
    run_id: str,
    node_id: str,
    tab: str | None = None,
    attempt: str | None = None,
    text: str | None = None,
) -> Response:
    """A node's page; `tab` chooses what of it."""
    context = app.context_of(request)
    chosen = queries.choice("tab", tab, _TABS) or "artifacts"
    searched = queries.text("text", text)
    with context.connections.reading() as database:
        run, node = find_node(database, run_id, node_id)
        found = logs.attempts(context.settings.location, node)
        log = choose_attempt(found, attempt)
        values: dict[str, Any] = {
            "title": f"{node.node_id} of {run.run_id}",
            "run": run,
            "node": node,
            "tab": chosen,
            "tabs": _TABS,
            "seconds": words.node_seconds(node),
            "attempts": found,
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
        else:
            values["properties"] = redaction.shown_values(executions.read_properties(database, node.execution_id))
    return context.pages.page(request, "node.html", values)


@router.get("/runs/{run_id}/nodes/{node_id}/log.txt")
def download_log(request: Request, run_id: str, node_id: str, attempt: str | None = None) -> Response:
    """A whole log."""
    context = app.context_of(request)
    with context.connections.reading() as database:
        run, node = find_node(database, run_id, node_id)
    log = choose_attempt(logs.attempts(context.settings.location, node), attempt)
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
    request: Request, run_id: str, node_id: str, attempt: str | None = None, position: str | None = None
) -> Response:
    """Server-sent events: what is written to a log, until its node ends. `position` is where to go on, in bytes."""
    context = app.context_of(request)
    at = queries.whole("position", position) or 0
    queries.whole("attempt", attempt, 1)

    def check() -> None:
        with context.connections.reading() as database:
            find_node(database, run_id, node_id)

    await asyncio.to_thread(check)

    def read() -> Update:
        nonlocal at
        with context.connections.reading() as database:
            run, node = find_node(database, run_id, node_id)
        ended = node.state in FINAL_NODE_STATES or run.state != "running"
        log = choose_attempt(logs.attempts(context.settings.location, node), attempt)
        written = ""
        if log is not None:
            written, at = logs.since(log, at, context.redact)
        return Update({"text": written, "position": at, "state": node.state}, is_last=ended and not written)

    # Each listener is at a place of its own.
    return stream(request, context.broadcasts.listen(f"log {run_id} {node_id} {attempt} {id(request)}", read))


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


def _excerpt(log: Log, text: str | None, redact: redaction.Redactor) -> logs.Excerpt:
    return logs.search(log, text, redact) if text else logs.tail(log, redact)


def _explain(database: Database, run: Run, node: NodeRecord) -> tuple[cache.Explanation | None, str]:
    try:
        return cache.explain(database, run, node.node_id), ""
    except UsageError as error:
        return None, str(error)
