"""Pipelines in the REST API: those that are declared or have run, and the versions of their declarations."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.responses import JSONResponse

from penstock.cli import output
from penstock.dashboard import app
from penstock.dashboard.api.answers import answer, make_router, shown_run
from penstock.dashboard.due import ScheduleState
from penstock.dashboard.pages.pipelines import pipeline_rows
from penstock.metadata import versions

router = make_router("pipelines")


@router.get("/pipelines")
def list_pipelines(request: Request) -> JSONResponse:
    """Every pipeline that is declared where the dashboard looks, or has run: its latest run, its schedules."""
    context = app.context_of(request)
    with context.connections.reading() as database:
        rows, _ = pipeline_rows(context, database)
    document = [
        {
            "name": row.name,
            "declared_in": [str(one.file) for one in row.declared],
            "nodes": [
                {"node": node, "component": component}
                for one in row.declared[:1]
                for node, component in one.graph.components.items()
            ],
            "edges": [{"from": a, "to": b} for one in row.declared[:1] for a, b in one.graph.edges],
            "latest_run": None if row.state is None else shown_run(row.state.run),
            "schedules": [_schedule(entry) for entry in row.schedules],
        }
        for row in rows
    ]
    return answer(request, {"pipelines": document})


@router.get("/pipelines/{name}/versions")
def list_versions(request: Request, name: str) -> JSONResponse:
    """The versions of a pipeline's declaration that runs were made from, the one used last first."""
    with app.context_of(request).connections.reading() as database:
        found = versions.of_pipeline(database, name, 200)
    if not found:
        raise app.NotFoundError(f"No versions of a pipeline {name!r} are recorded.")
    document = [
        {**vars(entry), "first_at": output.exact(entry.first_at), "last_at": output.exact(entry.last_at)}
        for entry in found
    ]
    return answer(request, {"versions": document})


def _schedule(entry: ScheduleState) -> dict[str, Any]:
    schedule = entry.schedule
    return {
        "name": schedule.name,
        "cron": schedule.cron,
        "zone": schedule.zone,
        "paused": schedule.paused,
        "next_at": output.exact(entry.next_at),
        "last": [
            {"due_at": output.exact(tick.due_at), "state": tick.state, "run_id": tick.run_id, "reason": tick.reason}
            for tick in entry.ticks
        ],
    }
