"""Line charts over time or steps, drawn on the server: they need no script, and print."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from penstock.dashboard import words

_MARGIN_LEFT, _MARGIN_RIGHT, _MARGIN_TOP, _MARGIN_BOTTOM = 52.0, 14.0, 10.0, 20.0


@dataclass(frozen=True)
class ChartPoint:
    """A point of a chart: its place on both axes, what hovering tells, and where a click leads."""

    x: float
    y: float
    title: str = ""
    link: str | None = None
    low: float | None = None
    high: float | None = None


def line(
    points: Sequence[ChartPoint],
    *,
    x_labels: tuple[str, str],
    label: str,
    width: float = 640,
    height: float = 200,
    bounds: Sequence[float] = (),
) -> Markup:
    """A line over points in order of x.

    Args:
        points: the points; those that are not finite are left out.
        x_labels: what the two ends of the x axis are called.
        label: what the chart shows, for who does not see it.
        width: of the whole, in pixels.
        height: of the whole, in pixels.
        bounds: values to draw a dashed line at.
    """
    points = [point for point in points if math.isfinite(point.y)]
    if not points:
        return Markup("")
    values = [value for point in points for value in (point.y, point.low, point.high) if value is not None]
    low, high = min([*values, *bounds]), max([*values, *bounds])
    spread = high - low or abs(high) or 1.0
    low, high = low - 0.06 * spread, high + 0.06 * spread
    left, right = min(point.x for point in points), max(point.x for point in points)

    def place(point: ChartPoint) -> tuple[float, float]:
        share = (point.x - left) / (right - left) if right > left else 0.5
        return _MARGIN_LEFT + share * (width - _MARGIN_LEFT - _MARGIN_RIGHT), level(point.y)

    def level(value: float) -> float:
        return _MARGIN_TOP + (high - value) / (high - low) * (height - _MARGIN_TOP - _MARGIN_BOTTOM)

    parts = []
    for tick in _ticks(low, high):
        parts.append(
            Markup(
                '<line class="tick" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/>'
                '<text class="tick" x="{3}" y="{4:.1f}" text-anchor="end">{5}</text>'
            ).format(_MARGIN_LEFT, width - _MARGIN_RIGHT, level(tick), _MARGIN_LEFT - 6, level(tick) + 4, f"{tick:g}")
        )
    for bound in bounds:
        parts.append(
            Markup('<line class="bound" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/>').format(
                _MARGIN_LEFT, width - _MARGIN_RIGHT, level(bound)
            )
        )
    route = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, points))
    parts.append(Markup('<polyline points="{}"/>').format(route))
    if len(points) <= 400:
        parts += [_dot(point, *place(point), level) for point in points]
    parts.append(
        Markup('<text class="tick" x="{0}" y="{1}">{2}</text><text class="tick" x="{3}" y="{1}" {4}>{5}</text>').format(
            _MARGIN_LEFT, height - 4, x_labels[0], width - _MARGIN_RIGHT, Markup('text-anchor="end"'), x_labels[1]
        )
    )
    return Markup(
        '<svg class="chart" width="{0:.0f}" height="{1:.0f}" viewBox="0 0 {0:.0f} {1:.0f}" role="group" '
        'aria-label="{2}">{3}</svg>'
    ).format(width, height, label, Markup("").join(parts))


def _dot(point: ChartPoint, x: float, y: float, level: object) -> Markup:
    assert callable(level)
    whisker = Markup("")
    if point.low is not None and point.high is not None:
        whisker = Markup('<line class="whisker" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/>').format(
            x, level(point.low), level(point.high)
        )
    circle = Markup('{}<circle cx="{:.1f}" cy="{:.1f}" r="3"><title>{}</title></circle>').format(
        whisker, x, y, point.title or words.number(point.y)
    )
    return Markup('<a href="{}">{}</a>').format(point.link, circle) if point.link else circle


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers within a range."""
    step = 10.0 ** math.floor(math.log10(high - low))
    while (high - low) / step > 6:
        step *= 2
    while (high - low) / step < 3:
        step /= 2
    first = math.ceil(low / step)
    return [round(index * step, 12) for index in range(first, math.floor(high / step) + 1)]
