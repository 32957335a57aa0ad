"""What runs made: a list, and a page for each artifact that a person would rather look at than read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from penstock.dashboard import app, charts, histograms, queries
from penstock.dashboard.guard import visitor_of
from penstock.dashboard.lists import ArtifactQuery
from penstock.dashboard.pages import kinds
from penstock.dashboard.redaction import shown_values
from penstock.errors import ArtifactNotFoundError
from penstock.metadata import artifacts as records
from penstock.metadata.around import model_run_beside
from penstock.metadata.artifacts import Artifact
from penstock.metadata.database import Database
from penstock.metadata.executions import ARTIFACT_STATES, Execution
from penstock.metadata.lineage import Lineage, neighbours
from penstock.metadata.metrics import EVALUATION, Evaluation, evaluation_of
from penstock.metadata.runs import Summary, find_summaries, summaries_beside
from penstock.metadata.series import newest_of_type

_STATISTICS, _SCHEMA, _BLESSING, _MODEL_RUN = "statistics", "schema", "blessing", "model_run"
_EXAMPLES, _MODEL, _PUSHED_MODEL, _FILES = "examples", "model", "pushed_model", "files"
_COMPARABLE = (_STATISTICS, _SCHEMA)
_ORDERS = {"change": "change (skew)", "missing": "missing", "zeros": "zeros", "name": "name"}
_FACETS = {"numeric": "numbers", "categorical": "texts"}
LARGEST_ID = 2**53

router = APIRouter()


@dataclass(frozen=True)
class Step:
    """One execution next to an artifact, with what it took and gave, by the names of its inputs and outputs."""

    execution: Execution
    inputs: Sequence[tuple[str, Artifact]]
    outputs: Sequence[tuple[str, Artifact]]


class ViewQuery(BaseModel):
    """What the page of an artifact can be asked for: any text, until it is checked.

    Attributes:
        a: the split of statistics to show.
        b: the split to lay over it.
        against: the id of another artifact of its type to compare with.
        order: what features are sorted by.
        kind: only features of this kind.
    """

    a: str | None = None
    b: str | None = None
    against: str | None = None
    order: str | None = None
    kind: str | None = None


@router.get("/artifacts")
def list_artifacts(request: Request, query: Annotated[ArtifactQuery, Query()]) -> Response:
    """The artifacts that fit, newest first."""
    context = app.context_of(request)
    with context.connections.reading() as database:
        types, pipelines = records.artifact_types(database), records.pipeline_names(database)
        page = query.read(database, types, pipelines)
    values: dict[str, Any] = {
        "title": "Artifacts",
        "page": page,
        "types": types,
        "pipelines": pipelines,
        "states": ARTIFACT_STATES,
        **query.shown(),
    }
    return context.pages.page(request, "artifacts.html", values)


@router.get("/artifacts/{artifact_id}")
def show_artifact(request: Request, artifact_id: int, query: Annotated[ViewQuery, Query()]) -> Response:
    """An artifact's page."""
    context = app.context_of(request)
    check_id(artifact_id)
    with context.connections.reading() as database:
        around = neighbours(database, artifact_id)
        artifact = around.artifacts[artifact_id]
        properties = records.read_properties(database, [artifact_id])[artifact_id]
        compared = queries.whole("against", query.against, 1)
        summaries = find_summaries(database, [artifact_id, *([compared] if compared else [])])
        summary = summaries.get(artifact_id)
        if summary is not None and not sees_rows(request):
            summary = kinds.without_rows(summary)
        maker = artifact.producer.execution.execution_id if artifact.producer else None
        every = steps(around)
        values: dict[str, Any] = {
            "title": f"{artifact.type} {artifact_id}",
            "artifact": artifact,
            "properties": shown_values(dict(sorted(properties.items()))),
            "summary": summary,
            "kind": summary.kind if summary else None,
            "made_by": [step for step in every if step.execution.execution_id == maker],
            "used_by": [step for step in every if step.execution.execution_id != maker],
        }
        if summary is not None:
            values |= _of_kind(
                request,
                database,
                artifact,
                summary,
                summaries.get(compared) if compared else None,
                query,
                values["made_by"],
            )
    # What a frame shows may bring styles of its own, and nothing else.
    has_frame = summary is not None and summary.kind == _FILES
    return context.pages.page(request, "artifact.html", values, plots=has_frame)


def check_id(artifact_id: int) -> None:
    """Refuses an id that no database could have."""
    if not 0 < artifact_id < LARGEST_ID:
        raise ArtifactNotFoundError(f"There is no artifact {artifact_id}.")


def steps(graph: Lineage) -> list[Step]:
    """The executions of a lineage with what they took and gave."""
    sides: dict[tuple[int, str], list[tuple[str, Artifact]]] = {}
    for use in graph.edges:
        side = sides.setdefault((use.execution.execution_id, use.direction), [])
        side.append((use.key or "", graph.artifacts[use.artifact_id]))
    return [
        Step(execution, sides.get((key, "input"), []), sides.get((key, "output"), []))
        for key, execution in graph.executions.items()
    ]


def _of_kind(
    request: Request,
    database: Database,
    artifact: Artifact,
    summary: Summary,
    compared: Summary | None,
    query: ViewQuery,
    made_by: Sequence[Step],
) -> dict[str, Any]:
    """What the page of a kind of artifact needs beyond its summary."""
    values: dict[str, Any] = {}
    other: Summary | None = None
    may_see_rows = sees_rows(request)
    if summary.kind in _COMPARABLE:
        against = queries.whole("against", query.against, 1)
        same_type = newest_of_type(database, artifact.type, queries.PAGE_SIZE)
        values["others"] = [entry for entry in same_type if entry.artifact_id != artifact.artifact_id]
        values["against"] = against
        if against is not None:
            other = compared
            if other is None or other.kind != summary.kind:
                raise queries.BadQueryError(f"against: artifact {against} is no {artifact.type} with a summary.")
    if summary.kind == _STATISTICS:
        values |= statistics_values(summary.content, other.content if other else None, query)
    elif summary.kind == _SCHEMA:
        values["differences"] = schema_differences(other.content, summary.content) if other else None
    elif summary.kind == EVALUATION:
        values["evaluation"] = evaluation_of("", artifact.artifact_id, summary.content)
    elif summary.kind == _BLESSING:
        values["evaluation"] = _evaluation_beside(database, made_by)
    elif summary.kind == _MODEL_RUN:
        values["curves"] = _curves(summary.content.get("curves", {}))
    elif summary.kind == _MODEL:
        beside = model_run_beside(database, [step.execution.execution_id for step in made_by])
        values |= {"model_run": beside, "curves": _curves(beside[2]) if beside else {}}
    elif summary.kind == _EXAMPLES:
        values |= kinds.examples_values(
            database,
            artifact,
            summary,
            shows_rows=app.context_of(request).settings.shows_rows,
            may_see_rows=may_see_rows,
        )
    elif summary.kind == _FILES:
        values["documents"] = kinds.documents(summary.content)
    elif summary.kind == _PUSHED_MODEL:
        inputs = [pair for step in made_by for pair in step.inputs]
        values |= kinds.pushed_values(database, artifact, summary, inputs, rows=may_see_rows)
    return values


def sees_rows(request: Request) -> bool:
    """Whether who asks may see rows of examples."""
    return app.context_of(request).settings.shows_rows and visitor_of(request).may_administer


def _curves(curves: Mapping[str, Sequence[Sequence[float]]]) -> dict[str, Any]:
    return {tag: _curve(tag, points) for tag, points in curves.items() if points}


def statistics_values(content: Mapping[str, Any], other: Mapping[str, Any] | None, query: ViewQuery) -> dict[str, Any]:
    """Two sets of statistics over one another: two splits of one artifact, or splits of two artifacts."""
    splits, other_splits = content["splits"], (other or content)["splits"]
    first = queries.choice("a", query.a, splits) or next(iter(splits), None)
    if query.b:
        second = queries.choice("b", query.b, other_splits)
    elif other is not None:
        second = first if first in other_splits else next(iter(other_splits), None)
    else:
        second = next((name for name in splits if name != first), None)
    order = queries.choice("order", query.order, _ORDERS) or ("change" if second is not None else "name")
    one = splits.get(first, {"examples": 0, "features": []})
    rows = histograms.rows(one, other_splits.get(second) if second is not None else None)
    facet = queries.choice("kind", query.kind, _FACETS)
    if facet is not None:
        # Whole numbers may be categories, too.
        rows = [row for row in rows if ("mean" in row.either) == (facet == "numeric")]
    if order == "change":
        rows.sort(key=lambda row: (row.distance is None, -(row.distance or 0.0), row.name))
    elif order == "missing":
        rows.sort(key=lambda row: (-max(row.first_share or 0.0, row.second_share or 0.0), row.name))
    elif order == "zeros":
        rows.sort(key=lambda row: (-max(_zeros(row.first), _zeros(row.second)), row.name))
    else:
        rows.sort(key=lambda row: row.name)
    return {
        "rows": rows,
        "splits": list(splits),
        "other_splits": list(other_splits),
        "first": first,
        "second": second,
        "order": order,
        "orders": _ORDERS,
        "facet": facet,
        "facets": _FACETS,
        "sizes": [one["examples"], other_splits[second]["examples"] if second is not None else None],
    }


def _zeros(feature: Mapping[str, Any] | None) -> float:
    """The share of a feature's values that are 0."""
    return feature.get("zeros", 0) / feature["values"] if feature and feature.get("values") else 0.0


def schema_differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """(feature, what, before, after) for all that differs between two schemas."""
    sides = [{feature["name"]: feature for feature in side["features"]} for side in (before, after)]
    found = []
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        old, new = sides[0].get(name), sides[1].get(name)
        if old is None or new is None:
            found.append((name, "feature", "–" if old is None else "there", "–" if new is None else "there"))
            continue
        for key in ("type", "required"):
            if old[key] != new[key]:
                found.append((name, key, str(old[key]), str(new[key])))
        domains = [set(side["domain"] or ()) for side in (old, new)]
        if domains[0] != domains[1]:
            gone, come = sorted(domains[0] - domains[1]), sorted(domains[1] - domains[0])
            found.append((name, "domain", "− " + ", ".join(gone[:20]), "+ " + ", ".join(come[:20])))
    return found


def _evaluation_beside(database: Database, made_by: Sequence[Step]) -> Evaluation | None:
    """The evaluation that the execution which gave a blessing took or put out too."""
    for step in made_by:
        for artifact_id, summary in summaries_beside(database, step.execution.execution_id, EVALUATION).items():
            return evaluation_of("", artifact_id, summary.content)
    return None


def _curve(tag: str, points: Sequence[Sequence[float]]) -> Any:
    marks = [charts.ChartPoint(step, value, f"step {step:,.0f}: {value:.6g}") for step, value in points]
    first, last = (f"step {points[index][0]:,.0f}" for index in (0, -1))
    return charts.line(marks, x_labels=(first, last), label=tag, width=420, height=160)
