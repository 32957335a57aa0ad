"""A metric over all models of a pipeline, overall or on one slice, and the evaluations it is from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from penstock.dashboard import app, queries, trends, words
from penstock.metadata import plots
from penstock.metadata.artifacts import pipeline_names
from penstock.metadata.metrics import metric_names
from penstock.metadata.series import Point, key_metric, newest_evaluations

_MOST = 365

router = APIRouter()


@router.get("/models")
def show_models(
    request: Request, pipeline: str | None = None, metric: str | None = None, slice: str | None = None
) -> Response:
    """The evaluations of a pipeline's models over time; `slice` is the key of a slice."""
    context = app.context_of(request)
    with context.connections.reading() as database:
        pipelines = pipeline_names(database)
        chosen = queries.choice("pipeline", pipeline, pipelines)
        if chosen is None:
            # The pipeline evaluated last is the one most likely meant.
            newest = newest_evaluations(database, 1)
            chosen = newest[0].pipeline if newest else None
            chosen = chosen or next(iter(pipelines), None)
        points = context.evaluations.series(database, chosen, _MOST) if chosen else []
    # What can be chosen is what the newest evaluation has; going through all of them would take longer than the rest.
    rows = points[-1].evaluation.slices if points else []
    metrics = metric_names(rows)
    slices = {plots.slice_key(row.slice): row.slice for row in rows}
    key = queries.choice("slice", slice, slices) or plots.slice_key({})
    name = queries.choice("metric", metric, metrics) or (key_metric(points[-1].evaluation) if points else None)
    values = [_value(point, slices.get(key, {}), name) for point in points]
    bounds = [
        gate
        for gate in (points[-1].evaluation.thresholds if points else ())
        if gate.metric == name and plots.slice_key(gate.slice) == key and gate.baseline is None
    ]
    content: dict[str, Any] = {
        "title": "Models",
        "pipelines": pipelines,
        "metrics": metrics,
        "slices": {text: words.slice_name(features) for text, features in slices.items()},
        "pipeline": chosen,
        "metric": name,
        "slice": key,
        "chart": trends.draw(points, values, name, width=1000, height=240),
        "gates": bounds,
        "rows": list(zip(points, values, strict=True))[::-1],
        "most": _MOST,
    }
    return context.pages.page(request, "models.html", content)


def _value(point: Point, wanted: Mapping[str, str], metric: str | None) -> float | None:
    for row in point.evaluation.slices:
        if metric is not None and row.slice == wanted:
            return row.metrics.get(metric)
    return None
