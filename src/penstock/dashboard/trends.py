"""A metric over the models of a pipeline, as a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.cli import output
from penstock.dashboard import charts, words
from penstock.dashboard.rendering import url
from penstock.metadata.series import Point


def draw(
    points: Sequence[Point], values: Sequence[float | None], metric: str | None, *, width: int, height: int
) -> Any:
    """Draws a metric's values at points, oldest first; each mark leads to the slices of its evaluation."""
    marks = [
        charts.ChartPoint(
            index,
            value,
            f"{output.exact(point.created_at)}: {words.number(value)}, run {point.run_id}",
            url(f"/artifacts/{point.artifact_id}/slices", metric=metric),
        )
        for index, (point, value) in enumerate(zip(points, values, strict=True))
        if value is not None
    ]
    first, last = ((output.exact(points[index].created_at) or "")[:10] if points else "" for index in (0, -1))
    return charts.line(marks, x_labels=(first, last), label=f"{metric} over models", width=width, height=height)
