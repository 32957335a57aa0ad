"""Bars over slices with their intervals, drawn on the server; a click chooses a slice."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup

from penstock.dashboard import words
from penstock.dashboard.slices import SliceRow

_LABEL, _WIDTH, _RIGHT, _ROW = 190.0, 560.0, 150.0, 22.0
_TOP = 20.0


def draw(
    rows: Sequence[SliceRow],
    overall: SliceRow | None,
    metric: str,
    chosen: Sequence[str],
    link: Callable[[SliceRow], str],
) -> Markup:
    """A bar for each slice that has a value, in the order given; the axis starts at zero where values are not negative.

    Args:
        rows: the slices.
        overall: the row to draw a line for.
        metric: what the bars show.
        chosen: keys of the slices that are chosen.
        link: where a click on a slice leads.
    """
    shown = [row for row in rows if row.value is not None and math.isfinite(row.value)]
    if not shown:
        return Markup("")
    ends = [row.value for row in shown if row.value is not None]
    ends += [end for row in shown if row.interval for end in (row.interval.low, row.interval.high)]
    if overall is not None and overall.value is not None and math.isfinite(overall.value):
        ends.append(overall.value)
    low, high = min(0.0, *ends), max(0.0, *ends)
    # Shares are read against their whole.
    high = 1.0 if 0.5 < high <= 1 and low >= 0 else high
    spread = (high - low) or 1.0

    def place(value: float) -> float:
        return _LABEL + (value - low) / spread * _WIDTH

    height = _TOP + len(shown) * _ROW + 4
    parts = []
    for step in range(5):
        value = low + spread * step / 4
        parts.append(
            Markup(
                '<line class="tick" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>'
                '<text class="tick" x="{0:.1f}" y="12" text-anchor="middle">{3}</text>'
            ).format(place(value), _TOP - 4, height, f"{value:.3g}")
        )
    for index, row in enumerate(shown):
        parts.append(_bar(row, _TOP + index * _ROW, place, low, row.key in chosen, metric, link(row)))
    if overall is not None and overall.value is not None and math.isfinite(overall.value):
        parts.append(
            Markup(
                '<line class="overall" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"><title>{3}</title></line>'
            ).format(place(overall.value), _TOP - 4, height, f"Overall: {words.number(overall.value)}")
        )
    width = _LABEL + _WIDTH + _RIGHT
    return Markup(
        '<svg class="bars" width="{0:.0f}" height="{1:.0f}" viewBox="0 0 {0:.0f} {1:.0f}" role="group" '
        'aria-label="{2} by slice">{3}</svg>'
    ).format(width, height, metric, Markup("").join(parts))


def _bar(
    row: SliceRow, y: float, place: Callable[[float], float], low: float, is_chosen: bool, metric: str, link: str
) -> Markup:
    value = row.value or 0.0
    start, end = sorted((place(max(0.0, low)), place(value)))
    whisker = Markup("")
    told = f"{words.slice_name(row.slice)}: {metric} {words.number(value)}, {words.count(row.examples)} examples"
    rightmost = end
    if row.interval is not None:
        left, right = place(row.interval.low), place(row.interval.high)
        rightmost = max(end, right)
        whisker = Markup('<path class="whisker" d="M{0:.1f},{2:.1f} v8 m0,-4 H{1:.1f} m0,-4 v8"/>').format(
            left, right, y + 5
        )
        told += f", 95 % interval {words.number(row.interval.low)} to {words.number(row.interval.high)}"
    label = ", ".join(str(text) for text in row.slice.values()) or "Overall"
    return Markup(
        '<a href="{0}" class="slice{1}" data-slice="{13}" data-examples="{14}"><title>{2}</title>'
        '<text x="{3}" y="{4:.1f}" text-anchor="end">{5}</text>'
        '<rect class="value" x="{6:.1f}" y="{7:.1f}" width="{8:.1f}" height="14"/>{9}'
        '<text x="{10:.1f}" y="{4:.1f}">{11} <tspan class="tick">{12}</tspan></text></a>'
    ).format(
        link,
        " chosen" if is_chosen else "",
        told,
        _LABEL - 8,
        y + 13,
        words.first_line(label, 28),
        start,
        y + 2,
        max(end - start, 1.0),
        whisker,
        rightmost + 6,
        words.number(value),
        f"n {words.count(row.examples)}" if row.examples is not None else "",
        row.key,
        row.examples,
    )
