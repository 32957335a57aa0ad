"""What can run here: the pipelines a project declares, run or not, their versions, schedules, runs and key metric."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from penstock.cli import output
from penstock.dashboard import app, compiled, due, ir, layout, queries, trends, words
from penstock.dashboard.declarations import Declared, default_text
from penstock.dashboard.due import ScheduleState
from penstock.dashboard.pages.actions import until_recorded
from penstock.dashboard.pages.forms import ParameterField, field_errors, fields_of, read_form, typed
from penstock.dashboard.pages.runs import PipelineState, pipeline_states
from penstock.dashboard.rendering import segment
from penstock.errors import PenstockError
from penstock.metadata import runs as records
from penstock.metadata import schedules, tags, versions
from penstock.metadata.database import Database
from penstock.metadata.runs import Run
from penstock.metadata.series import Point, key_metric, overall_metrics
from penstock.metadata.versions import Version

_CHART_RUNS = 100
_NEWEST_RUNS = 10
_MOST_VERSIONS = 50
_LAST_TICKS = 10

router = APIRouter()


@dataclass(frozen=True)
class PipelineRow:
    """A pipeline in the list: as it is declared, as it ran last, or both; and its schedules."""

    name: str
    declared: Sequence[Declared]
    state: PipelineState | None
    schedules: Sequence[ScheduleState]


@dataclass(frozen=True)
class DeclaredView:
    """A declaration on its pipeline's page: its graph laid out, and the form that starts it."""

    declared: Declared
    graph: layout.Layout[str]
    fields: Sequence[ParameterField]
    command: str
    error: str = ""
    environment: str | None = None
    span: str = ""


@router.get("/pipelines")
def list_pipelines(request: Request) -> Response:
    """Every pipeline that is declared here or has run."""
    context = app.context_of(request)
    with context.connections.reading() as database:
        rows, strangers = pipeline_rows(context, database)
    values: dict[str, Any] = {
        "title": "Pipelines",
        "rows": rows,
        "strangers": strangers,
        "folders": [str(folder) for folder in context.declarations.folders],
    }
    return context.pages.page(request, "pipelines.html", values)


@router.get("/pipelines/{name}")
def show_pipeline(request: Request, name: str) -> Response:
    """A pipeline's page."""
    return _pipeline_page(request, name)


@router.get("/pipelines/{name}/versions")
def compare_versions(request: Request, name: str, a: str | None = None, b: str | None = None) -> Response:
    """What differs between two versions of a pipeline: `a` the earlier and `b` the later one, by their digests."""
    context = app.context_of(request)
    with context.connections.reading() as database:
        known = {version.short: version for version in versions.of_pipeline(database, name, _MOST_VERSIONS)}
        if not known:
            raise app.NotFoundError(f"No versions of a pipeline {name!r} are recorded.")
        chosen = [queries.choice(key, value, known) for key, value in (("a", a), ("b", b))]
        later = known[chosen[1] or next(iter(known))]
        earlier = known[chosen[0]] if chosen[0] else _before(list(known.values()), later)
        serialized = [records.run_ir(database, version.last_run) for version in (earlier, later)]
    differences: Sequence[compiled.Difference] = ()
    lines: Sequence[str] | None = ()
    trouble = ""
    try:
        sides = [compiled.read(ir or b"", context.redact) for ir in serialized]
        differences, lines = compiled.differences(*sides), compiled.text_difference(*sides)
    except compiled.UnreadableError as error:
        trouble = str(error)
    values: dict[str, Any] = {
        "title": f"Versions of {name}",
        "name": name,
        "known": list(known.values()),
        "earlier": earlier,
        "later": later,
        "differences": differences,
        "lines": lines,
        "trouble": trouble,
    }
    return context.pages.page(request, "versions.html", values)


@router.post("/pipelines/{name}/start")
async def start(request: Request, name: str) -> Response:
    """Starts a declaration with the parameters of its form."""
    form = await read_form(request)
    context = app.context_of(request)
    file = str(form.get("file") or "")
    with context.connections.reading() as database:
        newest = records.find_page(database, pipeline=name, limit=1).runs
    declared = next((one for one in _declared(context, name, newest) if str(one.file) == file), None)
    if declared is None:
        raise app.NotFoundError(f"There is no declaration of {name!r} in {file or 'no file'}.")
    given = typed(form, {key: default_text(one) for key, one in declared.parameters.items()})
    environment, span = str(form.get("environment") or "") or None, str(form.get("span") or "")
    try:
        launch = context.launches.start(
            str(declared.file),
            environment,
            given,
            span=queries.whole("span", span),
            use_cache=form.get("no_cache") != "yes",
        )
    except PenstockError as error:
        return _pipeline_page(request, name, refused=(declared.file, error, given, environment, span), status=409)
    await until_recorded(request, launch, None)
    return RedirectResponse(f"/runs/{segment(launch.run_id)}", status_code=303)


@router.post("/schedules/{name}/pause")
async def pause(request: Request, name: str) -> Response:
    """Lets a schedule rest."""
    form = await read_form(request)
    with app.context_of(request).connections.writing() as database:
        schedules.pause(database, name)
    return _back(str(form.get("pipeline") or ""))


@router.post("/schedules/{name}/resume")
async def resume(request: Request, name: str) -> Response:
    """Lets a paused schedule go on."""
    form = await read_form(request)
    with app.context_of(request).connections.writing() as database:
        schedules.resume(database, name, time.time())
    return _back(str(form.get("pipeline") or ""))


def pipeline_rows(context: app.Context, database: Database) -> tuple[list[PipelineRow], list[ScheduleState]]:
    """All pipelines by name, and the schedules of pipelines that neither are declared here nor have run."""
    states = {state.run.pipeline: state for state in pipeline_states(database, context.key_metrics)}
    declared: dict[str, list[Declared]] = {}
    for one in context.declarations.find(_folders(state.run for state in states.values())):
        declared.setdefault(one.name, []).append(one)
    every = due.states(database, schedules.list_schedules(database), ticks=1)
    rows = []
    taken: set[str] = set()
    for name in sorted({*states, *declared}):
        sources = _sources(declared.get(name, ()), states[name].run if name in states else None)
        own = [state for state in every if state.schedule.source in sources]
        taken |= {state.schedule.name for state in own}
        rows.append(PipelineRow(name, declared.get(name, ()), states.get(name), own))
    return rows, [state for state in every if state.schedule.name not in taken]


def _pipeline_page(
    request: Request,
    name: str,
    *,
    refused: tuple[Path, PenstockError, Mapping[str, str], str | None, str] | None = None,
    status: int = 200,
) -> Response:
    """A pipeline's page; `refused` is what could not be started, why, and what was typed."""
    context = app.context_of(request)
    with context.connections.reading() as database:
        page = records.find_page(database, pipeline=name, limit=_NEWEST_RUNS)
        newest = page.runs[0] if page.runs else None
        found = _declared(context, name, page.runs[:1])
        if newest is None and not found:
            raise app.NotFoundError(
                f"There is no pipeline {name!r}: no run of it is recorded, and no declaration of it was found."
            )
        last_graph = None
        if newest is not None and not any(one.graph.components for one in found):
            last_graph = _recorded_graph(database, newest)
        sources = _sources(found, newest)
        own = [one for one in schedules.list_schedules(database) if one.source in sources]
        values: dict[str, Any] = {
            "title": name,
            "name": name,
            "description": next((one.description for one in found if one.description), ""),
            "views": [_view(one, refused) for one in found],
            "last_graph": None if last_graph is None else layout.layered(list(last_graph.components), last_graph.edges),
            "components": {} if last_graph is None else last_graph.components,
            "page": page,
            "tags": tags.find(database, [run.run_id for run in page.runs]),
            "schedules": due.states(database, own, ticks=_LAST_TICKS),
            "versions": versions.of_pipeline(database, name, _MOST_VERSIONS),
            "seconds": words.run_seconds,
            **_chart(context.evaluations.of_runs(database, name, _CHART_RUNS)),
        }
    return context.pages.page(request, "pipeline.html", values, status=status)


def _view(
    declared: Declared, refused: tuple[Path, PenstockError, Mapping[str, str], str | None, str] | None
) -> DeclaredView:
    graph = layout.layered(list(declared.graph.components), declared.graph.edges)
    command = f"penstock run {output.shortest_path(declared.path)}"
    required = [name for name, parameter in declared.parameters.items() if parameter.required]
    command += "".join(f" -p {name}=…" for name in required)
    if refused is None or refused[0] != declared.file:
        return DeclaredView(declared, graph, fields_of(declared.parameters, {}), command)
    _, error, typed_values, environment, span = refused
    fields = fields_of(declared.parameters, typed_values, field_errors(error))
    return DeclaredView(declared, graph, fields, command, str(error), environment, span)


def _declared(context: app.Context, name: str, newest: Sequence[Run]) -> list[Declared]:
    """The declarations of a pipeline, in the project and where its newest run was started."""
    return [one for one in context.declarations.find(_folders(newest)) if one.name == name]


def _folders(runs: Any) -> list[Path]:
    """The projects of runs that are there."""
    return [Path(run.project) for run in runs if run.project and Path(run.project).is_dir()]


def _sources(declared: Sequence[Declared], newest: Run | None) -> set[str]:
    """What schedules of a pipeline may name as their source."""
    found = {str(one.file) for one in declared}
    return found | {newest.source} if newest is not None and newest.source else found


def _recorded_graph(database: Database, run: Run) -> ir.PipelineGraph | None:
    serialized = records.run_ir(database, run.run_id)
    try:
        return None if serialized is None else ir.read(serialized)
    except ValueError:
        return None


def _chart(points: Sequence[Point]) -> dict[str, Any]:
    """The key metric over the newest evaluations."""
    metric = key_metric(points[-1].evaluation) if points else None
    if metric is None:
        return {"metric": None, "chart": None}
    values = [overall_metrics(point.evaluation).get(metric) for point in points]
    return {"metric": metric, "chart": trends.draw(points, values, metric, width=640, height=160)}


def _before(known: Sequence[Version], later: Version) -> Version:
    """The version that was used before another; that one itself where it is the first."""
    index = known.index(later)
    return known[min(index + 1, len(known) - 1)]


def _back(pipeline: str) -> Response:
    return RedirectResponse(f"/pipelines/{segment(pipeline)}" if pipeline else "/pipelines", status_code=303)
