"""What has been executed, as ml-metadata records it: by Penstock's runs and by other programs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from penstock.dashboard import app
from penstock.dashboard.lists import ExecutionQuery
from penstock.metadata.executions import EXECUTION_STATES, execution_types

router = APIRouter()


@router.get("/executions")
def list_executions(request: Request, query: Annotated[ExecutionQuery, Query()]) -> Response:
    """The executions that fit, newest first."""
    context = app.context_of(request)
    with context.connections.reading() as database:
        types = execution_types(database)
        page = query.read(database, types)
    values: dict[str, Any] = {
        "title": "Executions",
        "page": page,
        "types": types,
        "states": EXECUTION_STATES,
        **query.shown(),
    }
    return context.pages.page(request, "executions.html", values)
