"""The REST API beside the pages: the same store, as JSON and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from penstock.backends.local.cancel import cancel_run
from penstock.cli import output
from penstock.cli.artifacts import artifact_document, lineage_document
from penstock.cli.runs import comparison_document, node_document, run_document
from penstock.dashboard import app, logs, queries
from penstock.dashboard.due import ScheduleState
from penstock.dashboard.pages.artifacts import artifact_page, check_id, sees_rows
from penstock.dashboard.pages.evaluation import find_evaluation
from penstock.dashboard.pages.executions import execution_page
from penstock.dashboard.pages.kinds import without_rows
from penstock.dashboard.pages.nodes import choose_attempt, find_node
from penstock.dashboard.pages.pipelines import pipeline_rows
from penstock.dashboard.pages.run import exact_run, graph_of
from penstock.dashboard.pages.runs import run_page
from penstock.dashboard.queries import PageLimit
from penstock.dashboard.redaction import shown_values
from penstock.errors import PenstockError, UsageError
from penstock.metadata import artifacts, cache, executions, notes, plots, tags, versions
from penstock.metadata import runs as records
from penstock.metadata.lineage import DIRECTIONS, lineage
from penstock.metadata.metrics import Evaluation, metric_names, sliced_features, slices_by
from penstock.metadata.runs import Run

_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The request asks for something there cannot be; `detail` says what is allowed."},
    401: {"description": "A token is needed: `Authorization: Bearer TOKEN`."},
    403: {"description": "A viewer may not do this, or the request comes from another site."},
    404: {"description": "There is no such thing in the store."},
    421: {"description": "The dashboard does not answer to that host name."},
    503: {"description": "The store does not answer."},
}
RunId = Annotated[str, Path(description="A run's id, or `latest`.", max_length=100)]
ArtifactId = Annotated[int, Path(description="An artifact's id.", ge=1, lt=2**53)]


class Problem(BaseModel):
    """What went wrong."""

    detail: str


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


def _json_only(request: Request) -> None:
    """Refuses what a form of another site could send: browsers ask before they send JSON across sites."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise UsageError("Send JSON: Content-Type: application/json.")


router = APIRouter(prefix="/api/v1", responses={**{code: {**text, "model": Problem} for code, text in _ERRORS.items()}})


@router.get("/runs", tags=["runs"])
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
) -> JSONResponse:
    """Runs, newest first. `before` is the id of the last run of the page before; `next` asks for the one after."""
    context = app.context_of(request)
    with context.connections.reading() as database:
        known = [run.pipeline for run in records.latest_runs(database)]
        page = run_page(
            database,
            pipelines=known,
            pipeline=pipeline,
            state=state,
            text=text,
            tag=tag,
            version=version,
            since=since,
            before=before,
            limit=limit,
        )
    return _json(
        request,
        {
            "runs": [
                {**_run(run), "tags": page.tags.get(run.run_id, []), "nodes": dict(page.counts[run.run_id])}
                for run in page.runs
            ],
            "next": page.next,
        },
    )


@router.get("/runs/{run_id}", tags=["runs"])
def get_run(request: Request, run_id: RunId) -> JSONResponse:
    """A run with its nodes, the edges between them, and its note."""
    with app.context_of(request).connections.reading() as database:
        run = exact_run(database, run_id)
        nodes = records.nodes_of(database, run.run_id)
        graph = graph_of(database, run, nodes)
        note = notes.find(database, [run.run_id]).get(run.run_id, notes.Note())
        own_tags = tags.find(database, [run.run_id]).get(run.run_id, [])
    document = {
        **_run(run),
        "name": note.name,
        "description": note.description,
        "tags": own_tags,
        "nodes": [node_document(node) for node in nodes],
        "edges": [{"from": source, "to": target} for source, target in graph.edges],
    }
    return _json(request, document)


@router.put("/runs/{run_id}/note", tags=["runs"], dependencies=[Depends(_json_only)])
def put_note(request: Request, run_id: RunId, body: NoteBody) -> JSONResponse:
    """Gives a run a name and a description."""
    context = app.context_of(request)
    with context.connections.reading() as database:
        run = exact_run(database, run_id)
    with context.connections.writing() as database:
        notes.put(database, run.run_id, notes.Note(body.name, body.description))
    return _json(request, {"run_id": run.run_id, **body.model_dump()})


@router.put("/runs/{run_id}/tags", tags=["runs"], dependencies=[Depends(_json_only)])
def put_tags(request: Request, run_id: RunId, body: TagsBody) -> JSONResponse:
    """Gives a run these tags in place of those it has."""
    context = app.context_of(request)
    with context.connections.reading() as database:
        run = exact_run(database, run_id)
    for tag in body.tags:
        tags.check(tag)
    with context.connections.writing() as database:
        had = tags.find(database, [run.run_id]).get(run.run_id, [])
        tags.remove(database, run.run_id, [tag for tag in had if tag not in body.tags])
        tags.add(database, run.run_id, body.tags)
    return _json(request, {"run_id": run.run_id, "tags": sorted(set(body.tags))})


@router.post(
    "/runs/{run_id}/cancel",
    tags=["runs"],
    status_code=202,
    responses={409: {"description": "The run cannot be cancelled.", "model": Problem}},
    dependencies=[Depends(_json_only)],
)
def cancel(request: Request, run_id: RunId) -> JSONResponse:
    """Asks a run's process to stop."""
    run = _find(request, run_id)
    try:
        cancel_run(run)
    except PenstockError as error:
        return _json(request, {"detail": str(error)}, 409)
    return _json(request, {"run_id": run.run_id}, 202)


@router.post(
    "/runs/{run_id}/resume",
    tags=["runs"],
    status_code=202,
    response_model=Started,
    responses={409: {"description": "The run cannot be taken up again.", "model": Problem}},
    dependencies=[Depends(_json_only)],
)
def resume(request: Request, run_id: RunId) -> JSONResponse:
    """Takes up a run that failed or was cut short."""
    run = _find(request, run_id)
    try:
        launch = app.context_of(request).launches.resume(run)
    except PenstockError as error:
        return _json(request, {"detail": str(error)}, 409)
    return _json(request, {"run_id": launch.run_id}, 202)


@router.post(
    "/runs/{run_id}/rerun",
    tags=["runs"],
    status_code=202,
    response_model=Started,
    responses={409: {"description": "The run cannot be started again so.", "model": Problem}},
    dependencies=[Depends(_json_only)],
)
def rerun(request: Request, run_id: RunId, body: Rerun) -> JSONResponse:
    """Starts a run once more as a new one."""
    run = _find(request, run_id)
    try:
        launch = app.context_of(request).launches.rerun(run, body.parameters, use_cache=body.use_cache)
    except PenstockError as error:
        return _json(request, {"detail": str(error)}, 409)
    return _json(request, {"run_id": launch.run_id}, 202)


@router.get("/runs/{run_id}/nodes/{node_id}", tags=["runs"])
def get_node(request: Request, run_id: RunId, node_id: str) -> JSONResponse:
    """A node of a run: its record, its inputs and outputs, and what the cache answered."""
    with app.context_of(request).connections.reading() as database:
        run, node = find_node(database, run_id, node_id)
        uses = artifacts.artifacts_of_node(database, run.run_id, node.node_id)
        try:
            explanation: Any = vars(cache.explain(database, run, node.node_id))
            explanation["changes"] = [vars(change) for change in explanation["changes"]]
        except UsageError:
            explanation = None
    document = {
        **node_document(node),
        "inputs": _by_key(uses.inputs),
        "outputs": _by_key(uses.outputs),
        "cache": explanation,
    }
    return _json(request, document)


@router.get(
    "/runs/{run_id}/nodes/{node_id}/log",
    tags=["runs"],
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
)
def get_log(
    request: Request, run_id: RunId, node_id: str, attempt: str | None = None, text: str | None = None
) -> Response:
    """The end of a log, or its lines that hold a text."""
    context = app.context_of(request)
    searched = queries.text("text", text)
    with context.connections.reading() as database:
        _, node = find_node(database, run_id, node_id)
    log = choose_attempt(logs.attempts(context.settings.location, node), attempt)
    if log is None:
        raise app.NotFoundError(f"Node {node.node_id} has no log.")
    found = logs.search(log, searched, context.redact) if searched else logs.tail(log, context.redact)
    return Response("".join(f"{line}\n" for _, line in found.lines), media_type="text/plain; charset=utf-8")


@router.get("/compare", tags=["runs"])
def compare(request: Request, a: str, b: str) -> JSONResponse:
    """Two runs side by side: parameters, nodes, overall metrics."""
    with app.context_of(request).connections.reading() as database:
        first = exact_run(database, queries.run_token("a", a) or "")
        second = exact_run(database, queries.run_token("b", b) or "")
        document = comparison_document(database, first, second)
    document["runs"] = [_run(first), _run(second)]
    for row in document["parameters"]:
        row["values"] = [shown_values({row["parameter"]: value})[row["parameter"]] for value in row["values"]]
    return _json(request, document)


@router.get("/pipelines", tags=["pipelines"])
def list_pipelines(request: Request) -> JSONResponse:
    """Every pipeline that is declared where the dashboard looks, or has run: its latest run, its schedules."""
    context = app.context_of(request)
    with context.connections.reading() as database:
        rows, _ = pipeline_rows(context, database, ())
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
            "latest_run": None if row.state is None else _run(row.state.run),
            "schedules": [_schedule(entry) for entry in row.schedules],
        }
        for row in rows
    ]
    return _json(request, {"pipelines": document})


@router.get("/pipelines/{name}/versions", tags=["pipelines"])
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
    return _json(request, {"versions": document})


@router.get("/executions", tags=["artifacts"])
def list_executions(
    request: Request,
    limit: PageLimit,
    type: str | None = None,
    state: str | None = None,
    run: str | None = None,
    before: str | None = None,
) -> JSONResponse:
    """Executions, newest first. `next` is what `before` has to be for the page after."""
    with app.context_of(request).connections.reading() as database:
        found, has_more = execution_page(
            database,
            types=executions.execution_types(database),
            type=type,
            state=state,
            run=run,
            before=before,
            limit=limit,
        )
    document = [
        {**vars(entry), "created_at": output.exact(entry.created_at), "updated_at": output.exact(entry.updated_at)}
        for entry in found
    ]
    return _json(request, {"executions": document, "next": found[-1].execution_id if has_more else None})


@router.get("/artifacts", tags=["artifacts"])
def list_artifacts(
    request: Request,
    limit: PageLimit,
    type: str | None = None,
    pipeline: str | None = None,
    run: str | None = None,
    state: str | None = None,
    before: str | None = None,
) -> JSONResponse:
    """Artifacts, newest first. `next` is what `before` has to be for the page after."""
    with app.context_of(request).connections.reading() as database:
        page = artifact_page(
            database,
            types=artifacts.artifact_types(database),
            pipelines=artifacts.pipeline_names(database),
            type=type,
            pipeline=pipeline,
            run=run,
            state=state,
            before=before,
            limit=limit,
        )
    return _json(
        request,
        {
            "artifacts": [artifact_document(artifact) for artifact in page.artifacts],
            "next": page.next,
        },
    )


@router.get("/artifacts/{artifact_id}", tags=["artifacts"])
def get_artifact(request: Request, artifact_id: ArtifactId) -> JSONResponse:
    """An artifact with its properties and its summary."""
    check_id(artifact_id)
    with app.context_of(request).connections.reading() as database:
        details = artifacts.get_artifact(database, artifact_id)
        summary = records.find_summary(database, artifact_id)
    if summary is not None and not sees_rows(request):
        summary = without_rows(summary)
    document = {
        **artifact_document(details.artifact),
        "properties": shown_values(details.properties),
        "custom_properties": shown_values(details.custom_properties),
        "summary": None if summary is None else {"kind": summary.kind, "content": summary.content},
    }
    return _json(request, document)


@router.get("/artifacts/{artifact_id}/lineage", tags=["artifacts"])
def get_lineage(
    request: Request, artifact_id: ArtifactId, direction: str | None = None, depth: str | None = None
) -> JSONResponse:
    """What an artifact was made from (`up`), or what was made from it (`down`)."""
    chosen = queries.choice("direction", direction, DIRECTIONS) or DIRECTIONS[0]
    with app.context_of(request).connections.reading() as database:
        graph = lineage(database, artifact_id, chosen, queries.whole("depth", depth, 1, 10_000))
    return _json(request, lineage_document(graph, chosen))


@router.get("/evaluations/{artifact_id}", tags=["evaluations"])
def get_evaluation(request: Request, artifact_id: ArtifactId, feature: str | None = None) -> JSONResponse:
    """An evaluation's sliced metrics and gates; `feature` keeps overall and the slices by it, a,b for crossed ones."""
    evaluation = _evaluation(request, artifact_id)
    document = {
        "artifact_id": artifact_id,
        "model": evaluation.model,
        "blessed": evaluation.blessed,
        "slices": [
            {
                "slice": dict(row.slice),
                "metrics": dict(row.metrics),
                "intervals": {name: list(bounds) for name, bounds in row.intervals.items()},
            }
            for row in _slices(evaluation, feature)
        ],
        "thresholds": [{**vars(gate), "slice": dict(gate.slice)} for gate in evaluation.thresholds],
    }
    return _json(request, document)


@router.get(
    "/evaluations/{artifact_id}/slices.csv",
    tags=["evaluations"],
    response_class=Response,
    responses={200: {"content": {"text/csv": {}}}},
)
def get_slices_csv(
    request: Request, artifact_id: ArtifactId, feature: str | None = None, least: str | None = None
) -> Response:
    """An evaluation's sliced metrics as CSV; `least` leaves out slices with fewer examples."""
    evaluation = _evaluation(request, artifact_id)
    fewest = queries.whole("least", least) or 0
    names = metric_names(evaluation.slices)
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["slice", *names])
    for row in _slices(evaluation, feature):
        count = row.metrics.get("example_count")
        if not row.slice or count is None or count >= fewest:
            writer.writerow([_cell(output.slice_name(row.slice)), *(row.metrics.get(name) for name in names)])
    return Response(
        app.context_of(request).redact(stream.getvalue()),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="slices-{artifact_id}.csv"'},
    )


@router.get("/evaluations/{artifact_id}/plots", tags=["evaluations"])
def get_plots(request: Request, artifact_id: ArtifactId, slice: str | None = None) -> JSONResponse:
    """What the plots of one slice are drawn from; `slice` is a JSON object, {} for overall."""
    evaluation = _evaluation(request, artifact_id)
    by_key = {plots.slice_key(row.slice): row.slice for row in evaluation.slices}
    key = queries.choice("slice", slice, by_key) or plots.slice_key({})
    with app.context_of(request).connections.reading() as database:
        found = plots.find(database, artifact_id, [by_key.get(key, {})])
    return _json(request, {"slice": dict(by_key.get(key, {})), "plots": found.get(key, {}).get("plots", {})})


def _run(run: Run) -> dict[str, Any]:
    return {**run_document(run), "parameters": shown_values(run.parameters)}


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


def _find(request: Request, run_id: str) -> Run:
    with app.context_of(request).connections.reading() as database:
        return exact_run(database, run_id)


def _evaluation(request: Request, artifact_id: int) -> Evaluation:
    check_id(artifact_id)
    context = app.context_of(request)
    with context.connections.reading() as database:
        return find_evaluation(database, context.evaluations, artifact_id)


def _slices(evaluation: Evaluation, feature: str | None) -> Sequence[Any]:
    chosen = queries.choice("feature", feature, [",".join(names) for names in sliced_features(evaluation)])
    return slices_by(evaluation, chosen.split(",")) if chosen else evaluation.slices


def _by_key(found: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    return {key: [artifact_document(artifact) for artifact in listed] for key, listed in found.items()}


def _cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _json(request: Request, document: Any, status: int = 200) -> JSONResponse:
    redact = app.context_of(request).redact
    return JSONResponse(_redacted(document, redact), status_code=status)


def _redacted(value: Any, redact: Any) -> Any:
    """A document with the secrets taken out of its texts."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(str(key)): _redacted(entry, redact) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(entry, redact) for entry in value]
    return value
