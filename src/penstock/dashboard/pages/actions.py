"""Forms that cancel a run, take it up again, start it anew, or decide what it waits for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from penstock.backends.cancel import cancel_run
from penstock.dashboard import app
from penstock.dashboard.guard import visitor_of
from penstock.dashboard.launches import Launch, parameter_texts
from penstock.dashboard.pages.forms import ParameterField, field_errors, read_form, typed
from penstock.dashboard.pages.run import exact_run, run_fields
from penstock.dashboard.rendering import segment
from penstock.errors import PenstockError
from penstock.metadata import approvals, notes, tags
from penstock.metadata.location import StoreLocation
from penstock.metadata.runs import Run, find_run

_MOST_WAITED_SECONDS = 5.0

router = APIRouter()


@router.post("/runs/{run_id}/cancel")
async def cancel(request: Request, run_id: str) -> Response:
    """Asks whatever runs a run to stop."""
    await read_form(request)
    run = _run(request, run_id)
    try:
        # A cluster may take its time to answer.
        await asyncio.to_thread(cancel_run, app.context_of(request).settings.location, run)
    except PenstockError as error:
        return _refused(request, run, "This run cannot be cancelled", error)
    return _to_run(run.run_id)


@router.post("/runs/{run_id}/resume")
async def resume(request: Request, run_id: str) -> Response:
    """Takes a run up again."""
    await read_form(request)
    run = _run(request, run_id)
    context = app.context_of(request)
    try:
        if run.is_on_cluster:
            await asyncio.to_thread(resume_on_cluster, context.settings.location, run)
            return _to_run(run.run_id)
        launch = context.launches.resume(run)
    except PenstockError as error:
        return _refused(request, run, "This run cannot be taken up again", error)
    await until_recorded(request, launch, run)
    return _to_run(run.run_id)


@router.post("/runs/{run_id}/rerun")
async def rerun(request: Request, run_id: str) -> Response:
    """Starts a run once more as a new one, with the parameters of the form."""
    form = await read_form(request)
    run = _run(request, run_id)
    context = app.context_of(request)
    changes = typed(form, parameter_texts(run))
    try:
        launch = context.launches.rerun(run, changes, use_cache=form.get("no_cache") != "yes")
    except PenstockError as error:
        fields = run_fields(run, changes, field_errors(error))
        return _refused(request, run, "The run was not started", error, fields)
    await until_recorded(request, launch, None)
    return _to_run(launch.run_id)


@router.post("/runs/{run_id}/nodes/{node_id}/decide")
async def decide(request: Request, run_id: str, node_id: str) -> Response:
    """Approves or rejects what a node waits for."""
    form = await read_form(request)
    run = _run(request, run_id)
    try:
        with app.context_of(request).connections.writing() as database:
            approvals.decide(
                database,
                run.run_id,
                node_id,
                approved=form.get("decision") == "approve",
                # Whom a proxy names cannot decide in another one's name.
                decided_by=(visitor_of(request).user or str(form.get("by") or "dashboard"))[:100],
                comment=str(form.get("comment") or "")[:2000],
            )
    except PenstockError as error:
        return _refused(request, run, "Nothing was decided", error)
    return _to_run(run.run_id)


@router.post("/runs/{run_id}/note")
async def note(request: Request, run_id: str) -> Response:
    """Gives a run a name and a description."""
    form = await read_form(request)
    run = _run(request, run_id)
    given = notes.Note(str(form.get("name") or "").strip(), str(form.get("description") or "").strip())
    try:
        with app.context_of(request).connections.writing() as database:
            notes.put(database, run.run_id, given)
    except PenstockError as error:
        return _refused(request, run, "The note was not kept", error)
    return _to_run(run.run_id)


@router.post("/runs/{run_id}/tags")
async def change_tags(request: Request, run_id: str) -> Response:
    """Puts a tag on a run, or takes one off."""
    form = await read_form(request)
    run = _run(request, run_id)
    try:
        with app.context_of(request).connections.writing() as database:
            if added := str(form.get("add") or "").strip():
                tags.add(database, run.run_id, [added])
            if removed := str(form.get("remove") or ""):
                tags.remove(database, run.run_id, [removed])
    except PenstockError as error:
        return _refused(request, run, "The tag was not kept", error)
    return _to_run(run.run_id)


def _run(request: Request, run_id: str) -> Run:
    with app.context_of(request).connections.reading() as database:
        return exact_run(database, run_id)


def resume_on_cluster(location: StoreLocation, run: Run) -> None:
    """Has a run's cluster take it up again; loads the client of Kubeflow Pipelines."""
    from penstock.backends.kubeflow.resume import resume_run

    resume_run(location, run)


def _to_run(run_id: str) -> Response:
    return RedirectResponse(f"/runs/{segment(run_id)}", status_code=303)


def _refused(
    request: Request, run: Run, title: str, error: PenstockError, fields: Sequence[ParameterField] = ()
) -> Response:
    """Says why not, and keeps what was typed."""
    values: dict[str, Any] = {"title": title, "run": run, "text": str(error), "fields": fields}
    return app.context_of(request).pages.page(request, "refused.html", values, status=409)


async def until_recorded(request: Request, launch: Launch, before: Run | None) -> None:
    """Waits a little, so that the page that comes next has something to show."""

    def has_begun() -> bool:
        with app.context_of(request).connections.reading() as database:
            run = find_run(database, launch.run_id)
        return run is not None and (before is None or run.started_at != before.started_at)

    deadline = time.monotonic() + _MOST_WAITED_SECONDS
    while time.monotonic() < deadline and launch.status is None and not await asyncio.to_thread(has_begun):
        await asyncio.sleep(0.1)
