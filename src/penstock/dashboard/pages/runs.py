"""Is anything wrong? The latest state of each pipeline, and all runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from penstock.dashboard import app, queries, words
from penstock.dashboard.queries import PageLimit
from penstock.errors import RunNotFoundError
from penstock.metadata import notes, tags
from penstock.metadata import runs as records
from penstock.metadata.database import Database
from penstock.metadata.notes import Note
from penstock.metadata.runs import Run
from penstock.metadata.series import Point, key_metric, overall_metrics
from penstock.metadata.states import INTERRUPTED, RUN_STATES

_PERIODS = {"1h": "the last hour", "24h": "the last day", "7d": "the last week", "30d": "the last month"}
_STATES = (*RUN_STATES, INTERRUPTED)
_SPARK_POINTS = 20
_SPARK_EVALUATIONS = 60
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


@dataclass(frozen=True)
class RunPage:
    """A page of runs, with the number of nodes in each state, notes and tags, and the id that older ones go on from."""

    runs: Sequence[Run]
    counts: Mapping[str, Mapping[str, int]]
    notes: Mapping[str, Note]
    tags: Mapping[str, Sequence[str]]
    next: str | None


@router.get("/")
def start() -> Response:
    """The first page is the runs page."""
    return RedirectResponse("/runs", status_code=303)


@router.get("/runs")
def list_runs(
    request: Request,
    limit: PageLimit,
    pipeline: str | None = None,
    state: str | None = None,
    text: str | None = None,
    tag: str | None = None,
    version: str | None = None,
    since: str | None = None,
    before: str | None = None,
) -> Response:
    """The runs that fit, newest first."""
    context = app.context_of(request)
    with context.connections.reading() as database:
        pipelines = pipeline_states(database, context.evaluations.newest(database, _SPARK_EVALUATIONS))
        known_tags = tags.known(database)
        page = run_page(
            database,
            pipelines=[entry.run.pipeline for entry in pipelines],
            pipeline=pipeline,
            state=state,
            text=text,
            tag=tag,
            version=version,
            since=since,
            before=before,
            limit=limit,
        )
    filters = {"pipeline": pipeline, "state": state, "tag": tag, "text": text, "since": since, "version": version}
    values: dict[str, Any] = {
        "title": "Runs",
        "pipelines": sorted(pipelines, key=lambda entry: (not entry.is_bad, -entry.run.created_at)),
        "page": page,
        "filters": filters,
        "is_filtered": any(filters.values()) or before is not None,
        "before": before,
        "states": _STATES,
        "known_tags": known_tags,
        "periods": _PERIODS,
        "limit": limit if limit != queries.PAGE_SIZE else None,
        "seconds": words.run_seconds,
        "progress": words.progress,
    }
    return context.pages.page(request, "runs.html", values)


def run_page(
    database: Database,
    *,
    pipelines: Sequence[str],
    pipeline: str | None = None,
    state: str | None = None,
    text: str | None = None,
    tag: str | None = None,
    version: str | None = None,
    since: str | None = None,
    before: str | None = None,
    limit: int,
) -> RunPage:
    """Reads a page of runs. Raises BadQueryError for filters and page tokens that cannot be."""
    seconds = queries.period("since", since)
    if tag and not tags.is_known(database, tag):
        known = ", ".join(tags.known(database, 30)) or "none yet"
        raise queries.BadQueryError(f"tag: no run has the tag {tag[: tags.LONGEST_TAG]!r}. Allowed: {known}.")
    try:
        found = records.find_page(
            database,
            pipeline=queries.choice("pipeline", pipeline, pipelines),
            state=queries.choice("state", state, _STATES),
            text=queries.text("text", text),
            tags=[tag] if tag else [],
            version=queries.digest("version", version),
            since=None if seconds is None else time.time() - seconds,
            limit=limit,
            before=queries.run_token("before", before),
        )
    except RunNotFoundError as error:
        raise queries.BadQueryError(f"before: there is no run {before!r} to go on from.") from error
    ids = [run.run_id for run in found.runs]
    return RunPage(
        found.runs,
        records.count_nodes(database, ids),
        notes.find(database, ids),
        tags.find(database, ids),
        found.next,
    )


def pipeline_states(database: Database, points: Sequence[Point]) -> list[PipelineState]:
    """Each pipeline at a glance, by name."""
    states = []
    for run in records.latest_runs(database):
        own = [point for point in points if point.pipeline == run.pipeline][-_SPARK_POINTS:]
        metric = key_metric(own[-1].evaluation) if own else None
        values = [overall_metrics(point.evaluation).get(metric) for point in own] if metric else []
        states.append(PipelineState(run, metric, values))
    return states
