"""Artifacts, their lineage, and executions in the REST API."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request
from starlette.responses import JSONResponse

from penstock.cli import output
from penstock.cli.artifacts import artifact_document, lineage_document
from penstock.dashboard import app, queries
from penstock.dashboard.api.answers import ArtifactId, answer, make_router
from penstock.dashboard.lists import ArtifactQuery, ExecutionQuery
from penstock.dashboard.pages.artifacts import check_id, sees_rows
from penstock.dashboard.pages.kinds import without_rows
from penstock.dashboard.redaction import shown_values
from penstock.metadata import artifacts, executions
from penstock.metadata.lineage import DIRECTIONS, lineage
from penstock.metadata.runs import find_summary

router = make_router("artifacts")


@router.get("/executions")
def list_executions(request: Request, query: Annotated[ExecutionQuery, Query()]) -> JSONResponse:
    """Executions, newest first. `next` is what `before` has to be for the page after."""
    with app.context_of(request).connections.reading() as database:
        page = query.read(database, executions.execution_types(database))
    document = [
        {**vars(entry), "created_at": output.exact(entry.created_at), "updated_at": output.exact(entry.updated_at)}
        for entry in page.executions
    ]
    return answer(request, {"executions": document, "next": page.next})


@router.get("/artifacts")
def list_artifacts(request: Request, query: Annotated[ArtifactQuery, Query()]) -> JSONResponse:
    """Artifacts, newest first. `next` is what `before` has to be for the page after."""
    with app.context_of(request).connections.reading() as database:
        page = query.read(database, artifacts.artifact_types(database), artifacts.pipeline_names(database))
    document = [artifact_document(artifact) for artifact in page.artifacts]
    return answer(request, {"artifacts": document, "next": page.next})


@router.get("/artifacts/{artifact_id}")
def get_artifact(request: Request, artifact_id: ArtifactId) -> JSONResponse:
    """An artifact with its properties and its summary."""
    check_id(artifact_id)
    with app.context_of(request).connections.reading() as database:
        details = artifacts.get_artifact(database, artifact_id)
        summary = find_summary(database, artifact_id)
    if summary is not None and not sees_rows(request):
        summary = without_rows(summary)
    document = {
        **artifact_document(details.artifact),
        "properties": shown_values(details.properties),
        "custom_properties": shown_values(details.custom_properties),
        "summary": None if summary is None else {"kind": summary.kind, "content": summary.content},
    }
    return answer(request, document)


@router.get("/artifacts/{artifact_id}/lineage")
def get_lineage(
    request: Request, artifact_id: ArtifactId, direction: str | None = None, depth: str | None = None
) -> JSONResponse:
    """What an artifact was made from (`up`), or what was made from it (`down`)."""
    chosen = queries.choice("direction", direction, DIRECTIONS) or DIRECTIONS[0]
    with app.context_of(request).connections.reading() as database:
        graph = lineage(database, artifact_id, chosen, queries.whole("depth", depth, 1, 10_000))
    return answer(request, lineage_document(graph, chosen))
