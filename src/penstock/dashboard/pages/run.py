"""What is a run doing, and why is it slow? Its graph with live states, and under it the timeline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from penstock.backends.local.exit_handlers import FAILURES_FILE
from penstock.dashboard import app, compiled, ir, layout, timeline, words
from penstock.dashboard.events import Update, stream
from penstock.dashboard.launches import Launch, parameter_texts
from penstock.dashboard.pages.forms import ParameterField, fields_of, recorded_fields
from penstock.errors import PenstockError, RunNotFoundError
from penstock.metadata import cache, metrics, notes
from penstock.metadata import runs as records
from penstock.metadata import tags as run_tags
from penstock.metadata.database import Database
from penstock.metadata.runs import NodeRecord, Run
from penstock.spec import ParameterSpec
from penstock.spec.loader import read_outline

# More than this is for a program to read.
_MOST_LINES = 20_000
_MOST_SHOWN = 4000

router = APIRouter()


@router.get("/runs/{run_id}")
def show_run(request: Request, run_id: str) -> Response:
    """A run's page."""
    context = app.context_of(request)
    with context.connections.reading() as database:
        try:
            run = exact_run(database, run_id)
        except RunNotFoundError:
            launch = context.launches.find(run_id)
            if launch is None:
                raise
            return starting(request, launch)
        live = live_values(database, run)
        nodes_by_execution = {
            node.execution_id: node.node_id for node in live["nodes"] if node.execution_id is not None
        }
        evaluations, verdict = metrics.results_of_run(database, run.run_id, nodes_by_execution)
        note = notes.find(database, [run.run_id]).get(run.run_id, notes.Note())
        own_tags, known_tags = run_tags.of_run(database, run.run_id)
        packages = cache.packages_of_run(database, run.run_id)
    launch = context.launches.find(run_id)
    values: dict[str, Any] = {
        **live,
        "title": note.name or f"{run.pipeline} {run.run_id}",
        "evaluations": evaluations,
        "overall": {e.node: next((row.metrics for row in e.slices if not row.slice), {}) for e in evaluations},
        "verdict": verdict,
        "note": note,
        "longest_name": notes.LONGEST_NAME,
        "longest_description": notes.LONGEST_DESCRIPTION,
        "fields": run_fields(run),
        "tags": own_tags,
        "longest_tag": run_tags.LONGEST_TAG,
        "known_tags": known_tags,
        "packages": packages,
        "exit_failures": _exit_failures(context, run),
        "launch": launch if launch is not None and launch.status not in (None, 0) else None,
        "now": time.time(),
    }
    return context.pages.page(request, "run.html", values)


@router.get("/runs/{run_id}/events")
async def run_events(request: Request, run_id: str) -> Response:
    """Server-sent events: the page's live part whenever it changed, and a last one when the run has ended."""
    context = app.context_of(request)

    def check() -> None:
        with context.connections.reading() as database:
            if records.find_run(database, run_id) is None and context.launches.find(run_id) is None:
                raise app.NotFoundError(f"There is no run {run_id!r}.")

    await asyncio.to_thread(check)

    def read() -> Update:
        with context.connections.reading() as database:
            run = records.find_run(database, run_id)
            if run is None:
                launch = context.launches.find(run_id)
                text = launch.output() if launch else ""
                return Update({"starting": context.redact(text)}, is_last=launch is None or launch.status is not None)
            values = live_values(database, run)
        html = context.pages.text("run_live.html", values)
        return Update({"html": html, "state": run.state}, is_last=run.state != "running")

    return stream(request, context.broadcasts.listen(f"run {run_id}", read))


@router.get("/runs/{run_id}/compiled")
def show_compiled(request: Request, run_id: str) -> Response:
    """The compiled pipeline a run was made from, as text."""
    context = app.context_of(request)
    run, serialized = _compiled(request, run_id)
    written, trouble, policy = "", "", {}
    try:
        document = compiled.read(serialized, context.redact)
        written, policy = compiled.text(document), dict(compiled.policy(document))
    except compiled.UnreadableError as error:
        trouble = str(error)
    lines = written.splitlines()
    values: dict[str, Any] = {
        "title": f"Compiled pipeline of {run.run_id}",
        "run": run,
        "lines": lines[:_MOST_LINES],
        "is_cut": len(lines) > _MOST_LINES,
        "size": len(serialized),
        "trouble": trouble,
        "policy": compiled.text(policy) if policy else "",
    }
    return context.pages.page(request, "compiled.html", values)


@router.get("/runs/{run_id}/compiled.yaml")
def download_compiled_text(request: Request, run_id: str) -> Response:
    """The compiled pipeline a run was made from, as YAML."""
    context = app.context_of(request)
    run, serialized = _compiled(request, run_id)
    try:
        written = compiled.text(compiled.read(serialized, context.redact))
    except compiled.UnreadableError as error:
        raise app.NotFoundError(str(error)) from error
    return _download(context.redact(written).encode(), f"{run.run_id}.yaml", "application/yaml; charset=utf-8")


@router.get("/runs/{run_id}/compiled.pb")
def download_compiled(request: Request, run_id: str) -> Response:
    """The compiled pipeline a run was made from, TFX IR as serialized protobuf."""
    context = app.context_of(request)
    run, serialized = _compiled(request, run_id)
    return _download(context.redact.binary(serialized), f"{run.run_id}.pb", "application/octet-stream")


def _compiled(request: Request, run_id: str) -> tuple[Run, bytes]:
    with app.context_of(request).connections.reading() as database:
        run = exact_run(database, run_id)
        found = records.run_ir(database, run.run_id)
    if found is None:
        raise app.NotFoundError(f"Run {run.run_id} has no compiled pipeline recorded.")
    return run, found


def _download(content: bytes, name: str, kind: str) -> Response:
    return Response(content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def exact_run(database: Database, run_id: str) -> Run:
    """The run a path names: its id, or `latest`.

    Raises:
        RunNotFoundError: there is none.
    """
    run = records.get_run(database, run_id) if run_id == records.LATEST else records.find_run(database, run_id)
    if run is None:
        raise RunNotFoundError(f"There is no run {run_id!r} in {database.location.display}. See the list of runs.")
    return run


def live_values(database: Database, run: Run) -> dict[str, Any]:
    """What the live part of a run's page shows."""
    nodes = records.nodes_of(database, run.run_id)
    graph = graph_of(database, run, nodes)
    return {
        "run": run,
        "nodes": nodes,
        "graph": draw(graph, nodes),
        "by_id": {node.node_id: node for node in nodes},
        "timeline": timeline.make(run, nodes, graph.edges),
        "seconds": words.run_seconds(run),
        "node_seconds": words.node_seconds,
        "failed": [node for node in nodes if node.state == "failed"],
        "awaiting": [node for node in nodes if node.state == "awaiting_approval" and run.state == "running"],
        "counts": _counts(nodes),
    }


def graph_of(database: Database, run: Run, nodes: Sequence[NodeRecord]) -> ir.PipelineGraph:
    """The graph of a run's pipeline; without edges where the compiled pipeline is not recorded."""
    serialized = records.run_ir(database, run.run_id)
    if serialized is None:
        return ir.PipelineGraph({node.node_id: node.component or "" for node in nodes}, ())
    try:
        graph = ir.read(serialized)
    except ValueError:
        return ir.PipelineGraph({node.node_id: node.component or "" for node in nodes}, ())
    # What the scheduler does not run, as the ends of sub-pipelines may be, has no state to show.
    known = {node.node_id for node in nodes} or set(graph.components)
    return ir.PipelineGraph(
        {name: component for name, component in graph.components.items() if name in known},
        tuple((a, b) for a, b in graph.edges if a in known and b in known),
    )


def draw(graph: ir.PipelineGraph, nodes: Sequence[NodeRecord]) -> layout.Layout[str]:
    """Lays the graph out with every recorded node in it."""
    names = list(dict.fromkeys([*graph.components, *(node.node_id for node in nodes)]))
    return layout.layered(names, graph.edges)


def run_fields(
    run: Run, values: Mapping[str, str] | None = None, errors: Mapping[str, str] | None = None
) -> list[ParameterField]:
    """The fields of the form that starts a run again: the parameters its declaration has by now, or the recorded ones.

    Args:
        run: the run.
        values: what was typed, where it differs from what is recorded.
        errors: what was wrong with which parameter.
    """
    texts = {**parameter_texts(run), **(values or {})}
    declared = _declared(run)
    return recorded_fields(texts, errors) if declared is None else fields_of(declared, texts, errors)


def _exit_failures(context: app.Context, run: Run) -> str:
    """What is kept of the exit handlers that failed; empty where none did."""
    folder = context.settings.location.folder.resolve()
    file = (context.settings.location.run_folder(run.run_id) / FAILURES_FILE).resolve()
    try:
        return file.read_text(encoding="utf-8", errors="replace")[:_MOST_SHOWN] if file.is_relative_to(folder) else ""
    except OSError:
        return ""


def _declared(run: Run) -> Mapping[str, ParameterSpec] | None:
    if run.source is None or not Path(run.source).is_file():
        return None
    try:
        return read_outline(run.source).parameters
    except PenstockError:
        # The form of the recorded parameters still tells what is wrong when it is sent.
        return None


def starting(request: Request, launch: Launch) -> Response:
    """The page of a run that was asked for and is not recorded yet, or never will be."""
    context = app.context_of(request)
    values: dict[str, Any] = {
        "title": f"Run {launch.run_id}",
        "run_id": launch.run_id,
        "exit_status": launch.status,
        "output": launch.output(),
    }
    return context.pages.page(request, "starting.html", values)


def _counts(nodes: Sequence[NodeRecord]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for node in nodes:
        counts[node.state] = counts.get(node.state, 0) + 1
    return counts
