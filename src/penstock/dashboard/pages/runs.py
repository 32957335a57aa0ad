"""Is anything wrong? The latest state of each pipeline, and all runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from penstock.dashboard import app, words
from penstock.dashboard.lists import STATES_OF_RUNS, RunQuery
from penstock.metadata import runs as records
from penstock.metadata import tags
from penstock.metadata.database import Database
from penstock.metadata.key_metrics import KeyMetrics
from penstock.metadata.runs import Run
from penstock.metadata.states import INTERRUPTED

_PERIODS = {"1h": "the last hour", "24h": "the last day", "7d": "the last week", "30d": "the last month"}
_BAD_STATES = ("failed", INTERRUPTED)

router = APIRouter()


@dataclass(frozen=True)
class PipelineState:
    """A pipeline at a glance: its newest run, and its key metric over its newest evaluations, oldest first."""

    run: Run
    metric: str | None
    values: Sequence[float | None]

    @property
    def is_bad(self) -> bool:
        """Whether its newest run did not end well."""
        return self.run.state in _BAD_STATES


@router.get("/")
def start() -> Response:
    """The first page is the runs page."""
    return RedirectResponse("/runs", status_code=303)


@router.get("/runs")
def list_runs(request: Request, query: Annotated[RunQuery, Query()]) -> Response:
    """The runs that fit, newest first."""
    context = app.context_of(request)
    with context.connections.reading() as database:
        pipelines = pipeline_states(database, context.key_metrics)
        known_tags = tags.known(database)
        page = query.read(database, [entry.run.pipeline for entry in pipelines])
    values: dict[str, Any] = {
        "title": "Runs",
        "pipelines": sorted(pipelines, key=lambda entry: (not entry.is_bad, -entry.run.created_at)),
        "page": page,
        **query.shown(),
        "states": STATES_OF_RUNS,
        "known_tags": known_tags,
        "periods": _PERIODS,
        "seconds": words.run_seconds,
        "progress": words.progress,
    }
    return context.pages.page(request, "runs.html", values)


def pipeline_states(database: Database, key_metrics: KeyMetrics) -> list[PipelineState]:
    """Each pipeline at a glance, by name."""
    newest = records.latest_runs(database)
    metrics = key_metrics.read(database, newest)
    return [PipelineState(run, metrics[run.pipeline].name, metrics[run.pipeline].values) for run in newest]
