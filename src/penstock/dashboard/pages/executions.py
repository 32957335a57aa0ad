"""What has been executed, as ml-metadata records it: by Penstock's runs and by other programs."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from penstock.dashboard import app, queries
from penstock.dashboard.queries import PageLimit
from penstock.metadata import executions as records
from penstock.metadata.database import Database
from penstock.metadata.executions import EXECUTION_STATES, Execution
from penstock.metadata.runs import find_run

router = APIRouter()


@router.get("/executions")
def list_executions(
    request: Request,
    limit: PageLimit,
    type: str | None = None,
    state: str | None = None,
    run: str | None = None,
    before: str | None = None,
) -> Response:
    """The executions that fit, newest first."""
    context = app.context_of(request)
    with context.connections.reading() as database:
        types = records.execution_types(database)
        found, has_more = execution_page(
            database, types=types, type=type, state=state, run=run, before=before, limit=limit
        )
    filters = {"type": type, "state": state, "run": run}
    values: dict[str, Any] = {
        "title": "Executions",
        "executions": found,
        "has_more": has_more,
        "types": types,
        "states": EXECUTION_STATES,
        "filters": filters,
        "is_filtered": any(filters.values()) or before is not None,
        "before": before,
        "limit": limit if limit != queries.PAGE_SIZE else None,
    }
    return context.pages.page(request, "executions.html", values)


def execution_page(
    database: Database,
    *,
    types: list[str],
    type: str | None,
    state: str | None,
    run: str | None,
    before: str | None,
    limit: int,
) -> tuple[list[Execution], bool]:
    """Reads a page of executions, and whether there are older ones.

    Raises:
        BadQueryError: a filter or page token cannot be.
    """
    run_id = queries.run_token("run", run)
    if run_id is not None and find_run(database, run_id) is None and not records.executions_of_run(database, run_id):
        raise queries.BadQueryError(f"run: there is no run {run_id!r}.")
    found = records.list_executions(
        database,
        type=queries.choice("type", type, types),
        state=queries.choice("state", state, EXECUTION_STATES),
        run=run_id,
        limit=limit + 1,
        before=queries.whole("before", before, 1),
    )
    return found[:limit], len(found) > limit
