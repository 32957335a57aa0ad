"""Runs in the REST API: lists of them, one, two compared, and what can be done to one."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from penstock.backends.cancel import cancel_run
from penstock.cli.runs import comparison_document, node_document
from penstock.dashboard import app, queries
from penstock.dashboard.api.answers import Problem, RunId, answer, json_only, make_router, shown_run
from penstock.dashboard.lists import RunQuery
from penstock.dashboard.pages.actions import resume_on_cluster
from penstock.dashboard.pages.run import exact_run, graph_of
from penstock.dashboard.redaction import shown_values
from penstock.errors import PenstockError
from penstock.metadata import notes, tags
from penstock.metadata import runs as records
from penstock.metadata.runs import Run

router = make_router("runs")


class Rerun(BaseModel):
    """How to start a run once more."""

    parameters: dict[str, str] = Field(default_factory=dict, description="Parameters to change, as text.")
    use_cache: bool = Field(True, description="Whether nodes whose inputs did not change take their earlier results.")


class Started(BaseModel):
    """A run that was asked for; it is recorded once its process has started."""

    run_id: str


class NoteBody(BaseModel):
    """A run's name and description."""

    name: str = Field("", max_length=notes.LONGEST_NAME)
    description: str = Field("", max_length=notes.LONGEST_DESCRIPTION)


class TagsBody(BaseModel):
    """The tags of a run."""

    tags: list[str] = Field(max_length=tags.MOST_TAGS, description="All tags the run is to have.")


@router.get("/runs")
def list_runs(request: Request, query: Annotated[RunQuery, Query()]) -> JSONResponse:
    """Runs, newest first. `before` is the id of the last run of the page before; `next` asks for the one after."""
    with app.context_of(request).connections.reading() as database:
        page = query.read(database, [run.pipeline for run in records.latest_runs(database)])
    return answer(
        request,
        {
            "runs": [
                {**shown_run(run), "tags": page.tags.get(run.run_id, []), "nodes": dict(page.counts[run.run_id])}
                for run in page.runs
            ],
            "next": page.next,
        },
    )


@router.get("/runs/{run_id}")
def get_run(request: Request, run_id: RunId) -> JSONResponse:
    """A run with its nodes, the edges between them, and its note."""
    with app.context_of(request).connections.reading() as database:
        run = exact_run(database, run_id)
        nodes = records.nodes_of(database, run.run_id)
        graph = graph_of(database, run, nodes)
        note = notes.find(database, [run.run_id]).get(run.run_id, notes.Note())
        own_tags = tags.find(database, [run.run_id]).get(run.run_id, [])
    document = {
        **shown_run(run),
        "name": note.name,
        "description": note.description,
        "tags": own_tags,
        "nodes": [node_document(node) for node in nodes],
        "edges": [{"from": source, "to": target} for source, target in graph.edges],
    }
    return answer(request, document)


@router.put("/runs/{run_id}/note", dependencies=[Depends(json_only)])
def put_note(request: Request, run_id: RunId, body: NoteBody) -> JSONResponse:
    """Gives a run a name and a description."""
    run = _find(request, run_id)
    with app.context_of(request).connections.writing() as database:
        notes.put(database, run.run_id, notes.Note(body.name, body.description))
    return answer(request, {"run_id": run.run_id, **body.model_dump()})


@router.put("/runs/{run_id}/tags", dependencies=[Depends(json_only)])
def put_tags(request: Request, run_id: RunId, body: TagsBody) -> JSONResponse:
    """Gives a run these tags in place of those it has."""
    run = _find(request, run_id)
    for tag in body.tags:
        tags.check(tag)
    with app.context_of(request).connections.writing() as database:
        had = tags.find(database, [run.run_id]).get(run.run_id, [])
        tags.remove(database, run.run_id, [tag for tag in had if tag not in body.tags])
        tags.add(database, run.run_id, body.tags)
    return answer(request, {"run_id": run.run_id, "tags": sorted(set(body.tags))})


@router.post(
    "/runs/{run_id}/cancel",
    status_code=202,
    responses={409: {"description": "The run cannot be cancelled.", "model": Problem}},
    dependencies=[Depends(json_only)],
)
def cancel(request: Request, run_id: RunId) -> JSONResponse:
    """Asks whatever runs a run to stop."""
    run = _find(request, run_id)
    try:
        cancel_run(app.context_of(request).settings.location, run)
    except PenstockError as error:
        return answer(request, {"detail": str(error)}, 409)
    return answer(request, {"run_id": run.run_id}, 202)


@router.post(
    "/runs/{run_id}/resume",
    status_code=202,
    response_model=Started,
    responses={409: {"description": "The run cannot be taken up again.", "model": Problem}},
    dependencies=[Depends(json_only)],
)
def resume(request: Request, run_id: RunId) -> JSONResponse:
    """Takes up a run that failed or was cut short."""
    run = _find(request, run_id)
    context = app.context_of(request)
    try:
        if run.is_on_cluster:
            resume_on_cluster(context.settings.location, run)
            return answer(request, {"run_id": run.run_id}, 202)
        launch = context.launches.resume(run)
    except PenstockError as error:
        return answer(request, {"detail": str(error)}, 409)
    return answer(request, {"run_id": launch.run_id}, 202)


@router.post(
    "/runs/{run_id}/rerun",
    status_code=202,
    response_model=Started,
    responses={409: {"description": "The run cannot be started again so.", "model": Problem}},
    dependencies=[Depends(json_only)],
)
def rerun(request: Request, run_id: RunId, body: Rerun) -> JSONResponse:
    """Starts a run once more as a new one."""
    run = _find(request, run_id)
    try:
        launch = app.context_of(request).launches.rerun(run, body.parameters, use_cache=body.use_cache)
    except PenstockError as error:
        return answer(request, {"detail": str(error)}, 409)
    return answer(request, {"run_id": launch.run_id}, 202)


@router.get("/compare")
def compare(request: Request, a: str, b: str) -> JSONResponse:
    """Two runs side by side: parameters, nodes, overall metrics."""
    with app.context_of(request).connections.reading() as database:
        first = exact_run(database, queries.run_token("a", a) or "")
        second = exact_run(database, queries.run_token("b", b) or "")
        document = comparison_document(database, first, second)
    document["runs"] = [shown_run(first), shown_run(second)]
    for row in document["parameters"]:
        row["values"] = [shown_values({row["parameter"]: value})[row["parameter"]] for value in row["values"]]
    return answer(request, document)


def _find(request: Request, run_id: str) -> Run:
    with app.context_of(request).connections.reading() as database:
        return exact_run(database, run_id)
