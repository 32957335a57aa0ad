"""Evaluations in the REST API: sliced metrics, as JSON and CSV, and what plots are drawn from."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from fastapi import Request
from starlette.responses import JSONResponse, Response

from penstock.cli import output
from penstock.dashboard import app, queries
from penstock.dashboard.api.answers import ArtifactId, answer, make_router
from penstock.dashboard.pages.artifacts import check_id
from penstock.dashboard.pages.evaluation import find_evaluation
from penstock.metadata import plots
from penstock.metadata.metrics import Evaluation, metric_names, sliced_features, slices_by

router = make_router("evaluations")


@router.get("/evaluations/{artifact_id}")
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
    return answer(request, document)


@router.get(
    "/evaluations/{artifact_id}/slices.csv",
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


@router.get("/evaluations/{artifact_id}/plots")
def get_plots(request: Request, artifact_id: ArtifactId, slice: str | None = None) -> JSONResponse:
    """What the plots of one slice are drawn from; `slice` is a JSON object, {} for overall."""
    evaluation = _evaluation(request, artifact_id)
    by_key = {plots.slice_key(row.slice): row.slice for row in evaluation.slices}
    key = queries.choice("slice", slice, by_key) or plots.slice_key({})
    with app.context_of(request).connections.reading() as database:
        found = plots.find(database, artifact_id, [by_key.get(key, {})])
    return answer(request, {"slice": dict(by_key.get(key, {})), "plots": found.get(key, {}).get("plots", {})})


def _evaluation(request: Request, artifact_id: int) -> Evaluation:
    check_id(artifact_id)
    context = app.context_of(request)
    with context.connections.reading() as database:
        return find_evaluation(database, context.evaluations, artifact_id)


def _slices(evaluation: Evaluation, feature: str | None) -> Sequence[Any]:
    chosen = queries.choice("feature", feature, [",".join(names) for names in sliced_features(evaluation)])
    return slices_by(evaluation, chosen.split(",")) if chosen else evaluation.slices


def _cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
