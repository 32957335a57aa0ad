"""Nodes of runs in the REST API: their records and their logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from starlette.responses import JSONResponse, Response

from penstock.cli.artifacts import artifact_document
from penstock.cli.runs import node_document
from penstock.dashboard import app, logs, queries
from penstock.dashboard.api.answers import RunId, answer, make_router
from penstock.dashboard.pages.nodes import choose_attempt, choose_part, find_node, logs_of
from penstock.errors import UsageError
from penstock.metadata import artifacts, cache

router = make_router("runs")


@router.get("/runs/{run_id}/nodes/{node_id}")
def get_node(request: Request, run_id: RunId, node_id: str) -> JSONResponse:
    """A node of a run: its record, its inputs and outputs, and what the cache answered."""
    with app.context_of(request).connections.reading() as database:
        run, node = find_node(database, run_id, node_id)
        uses = artifacts.artifacts_of_node(database, run.run_id, node.node_id)
        try:
            explanation: Any = vars(cache.explain(database, run, node.node_id))
            explanation["changes"] = [vars(change) for change in explanation["changes"]]
        except UsageError:
            explanation = None
    document = {
        **node_document(node),
        "inputs": _by_key(uses.inputs),
        "outputs": _by_key(uses.outputs),
        "cache": explanation,
    }
    return answer(request, document)


@router.get(
    "/runs/{run_id}/nodes/{node_id}/log",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
)
def get_log(
    request: Request, run_id: RunId, node_id: str, attempt: str | None = None, text: str | None = None
) -> Response:
    """The end of a log, or its lines that hold a text."""
    context = app.context_of(request)
    searched = queries.text("text", text)
    with context.connections.reading() as database:
        run, node = find_node(database, run_id, node_id)
        log = choose_attempt(logs_of(database, run, node, choose_part(node, None)), attempt)
    if log is None:
        raise app.NotFoundError(f"Node {node.node_id} has no log.")
    found = logs.search(log, searched, context.redact) if searched else logs.tail(log, context.redact)
    return Response("".join(f"{line}\n" for _, line in found.lines), media_type="text/plain; charset=utf-8")


def _by_key(found: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    return {key: [artifact_document(artifact) for artifact in listed] for key, listed in found.items()}
