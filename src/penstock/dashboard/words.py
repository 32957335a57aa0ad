"""How states, times and numbers are worded. Each state has a mark and a word; colour comes from its class in CSS."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from penstock.cli import output
from penstock.metadata.metrics import Threshold
from penstock.metadata.runs import NodeRecord, Run
from penstock.metadata.states import AWAITING_APPROVAL

NOTHING = "–"
MARKS = {
    "waiting": "○",
    "running": "◐",
    "succeeded": "✔",
    "cached": "◇",
    "failed": "✖",
    "skipped": "↷",
    "upstream_failed": "⊘",
    "cancelled": "■",
    "interrupted": "▲",
    "awaiting_approval": "?",
    "starting": "◌",
}
_STATE_WORDS = {"upstream_failed": "upstream failed", "awaiting_approval": "waits for approval"}


def state_word(state: str) -> str:
    """A state as people say it."""
    return _STATE_WORDS.get(state, state.replace("_", " "))


def state(name: str) -> Markup:
    """A state's mark and word."""
    return Markup('<span class="state {}"><i aria-hidden="true">{}</i> {}</span>').format(
        name, MARKS.get(name, "·"), state_word(name)
    )


def moment(seconds: float | None) -> Markup:
    """A time relative to now, with the exact one on hover; the page's script keeps it current, in the viewer's zone."""
    if seconds is None:
        return Markup(NOTHING)
    iso = output.exact(seconds)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(iso, iso, output.ago(seconds))


def coming(seconds: float, now: float | None = None) -> Markup:
    """A time to come relative to now, with the exact one on hover."""
    left = max(0.0, seconds - (time.time() if now is None else now))
    iso = output.exact(seconds)
    for unit, size, limit in (("s", 1, 60), ("m", 60, 3600), ("h", 3600, 86400), ("d", 86400, math.inf)):
        if left < limit:
            return Markup('<time datetime="{}" title="{}">in {}{}</time>').format(iso, iso, int(left // size), unit)
    return Markup(NOTHING)


def duration(seconds: float | None) -> str:
    """4.2s, 1m 05s, 2h 03m, or 3d 04h."""
    return NOTHING if seconds is None else output.duration(seconds)


def number(value: Any, signed: bool = False) -> str:
    """A metric's value: whole numbers as such, others with four decimals or four significant digits if small."""
    if value is None:
        return NOTHING
    return output.number(float(value), signed).replace("-", "−", 1)


def short(value: Any) -> str:
    """A number with four significant digits, for dense tables."""
    if value is None:
        return NOTHING
    number_ = float(value)
    if not math.isfinite(number_):
        return str(value)
    text = f"{number_:,.0f}" if abs(number_) >= 1000 or number_ == int(number_) else f"{number_:.4g}"
    return text.replace("-", "−")


def count(value: Any) -> str:
    """A whole number with separators."""
    return NOTHING if value is None else f"{int(value):,}"


def share(value: float | None) -> str:
    """A part of 1 in per cent."""
    if value is None or not math.isfinite(value):
        return NOTHING
    per_cent = 100 * value
    return f"{per_cent:.0f} %" if per_cent in (0, 100) else f"{per_cent:.1f} %"


def size(number_of_bytes: float | None) -> str:
    """A number of bytes in the unit that suits it."""
    if number_of_bytes is None:
        return NOTHING
    for unit, limit in (("B", 1e3), ("kB", 1e6), ("MB", 1e9)):
        if number_of_bytes < limit:
            return f"{number_of_bytes / limit * 1e3:.{0 if unit == 'B' else 1}f} {unit}"
    return f"{number_of_bytes / 1e9:.2f} GB"


def run_seconds(run: Run) -> float | None:
    """How long a run took, or takes so far."""
    return output.elapsed(run.started_at, run.finished_at, run.state == "running")


def node_seconds(node: NodeRecord) -> float | None:
    """How long a node took, or takes so far."""
    return output.elapsed(node.started_at, node.finished_at, node.state in ("running", AWAITING_APPROVAL))


def facts(detail: Mapping[str, Any]) -> str:
    """A node's facts in a few words."""
    return output.facts_in_words(detail)


def slice_name(features: Mapping[str, str]) -> str:
    """A slice in words."""
    return output.slice_name(features)


def gate(threshold: Threshold) -> str:
    """Which metric, on which slice, has which value, against which bound."""
    baseline = "" if threshold.baseline is None else f", baseline {number(threshold.baseline)}"
    return (
        f"{threshold.metric} on {slice_name(threshold.slice)} is {number(threshold.value)}{baseline}; "
        f"bound {threshold.bound}"
    )


def first_line(text: str | None, length: int = 160) -> str:
    """The first line of a text, cut to a length."""
    line = (text or "").strip().split("\n")[0]
    return line if len(line) <= length else line[: length - 1] + "…"


def progress(counts: Mapping[str, int]) -> str:
    """How many of a run's nodes have what they should have, of all."""
    done = sum(counts.get(name, 0) for name in ("succeeded", "cached", "skipped"))
    return f"{done}/{sum(counts.values())}" if counts else NOTHING


def sparkline(values: Sequence[float | None], width: int = 96, height: int = 18) -> Markup:
    """A small line over values in order of time, the last one marked; nothing for fewer than two."""
    points = [(index, value) for index, value in enumerate(values) if value is not None and math.isfinite(value)]
    if len(points) < 2:
        return Markup("")
    low, high = min(v for _, v in points), max(v for _, v in points)
    spread = (high - low) or 1.0
    margin = 3.0
    placed = [
        (
            margin + (width - 2 * margin) * index / (len(values) - 1),
            height - margin - (height - 2 * margin) * ((value - low) / spread if high > low else 0.5),
        )
        for index, value in points
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    x, y = placed[-1]
    return Markup(
        '<svg class="spark" width="{}" height="{}" role="img" aria-label="{} values from {} to {}">'
        '<polyline points="{}"/><circle cx="{:.1f}" cy="{:.1f}" r="2"/></svg>'
    ).format(width, height, len(points), number(low), number(high), path, x, y)


def utc(seconds: float | None) -> str | None:
    """A time as ISO 8601 in UTC, for programs."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
