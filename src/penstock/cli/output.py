"""How results look: aligned tables, durations, times, JSON. Colours and bold only on a terminal."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

# A state is always written out too: colour is never its only carrier.
_STATE_COLOURS = {
    "running": "blue",
    "succeeded": "green",
    "complete": "green",
    "live": "green",
    "blessed": "green",
    "passed": "green",
    "cached": "magenta",
    "failed": "red",
    "not blessed": "red",
    "interrupted": "red",
    "awaiting_approval": "yellow",
    "upstream_failed": "yellow",
    "cancelled": "yellow",
    "canceled": "yellow",
    "waiting": "bright_black",
    "skipped": "bright_black",
}
_GAP = "  "
NOTHING = "-"


def print_json(document: Any) -> None:
    """Writes one JSON document to standard output."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def say(message: str) -> None:
    """Writes a message for people to standard error."""
    click.echo(message, err=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[str] = ()) -> None:
    """Writes an aligned table to standard output.

    On a terminal the head is bold, states are coloured and the last column is cut to what fits.

    Args:
        columns: the heads.
        rows: as many cells each.
        right: heads of the columns that are aligned to the right.
    """
    lines = [list(columns), *([_one_line(cell) for cell in row] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    terminal = on_terminal()
    if terminal:
        taken = sum(widths[:-1]) + len(_GAP) * (len(widths) - 1)
        widths[-1] = min(widths[-1], max(20, shutil.get_terminal_size().columns - taken))
    to_right = set(right)
    for number, line in enumerate(lines):
        cells = []
        for index, cell in enumerate(line):
            text = cell if len(cell) <= widths[index] else cell[: widths[index] - 1] + "…"
            padded = text.rjust(widths[index]) if columns[index] in to_right else text.ljust(widths[index])
            if terminal:
                padded = click.style(padded, bold=True) if number == 0 else _coloured(cell, padded)
            cells.append(padded)
        click.echo(_GAP.join(cells).rstrip(), color=terminal)


def print_facts(facts: Iterable[tuple[str, str | None]]) -> None:
    """Writes names and values under each other to standard output; what is None is left out."""
    shown = [(name, value) for name, value in facts if value is not None]
    width = max((len(name) for name, _ in shown), default=0)
    terminal = on_terminal()
    for name, value in shown:
        head, text = name.ljust(width), value
        if terminal:
            head, text = click.style(head, bold=True), _coloured(value, value)
        click.echo(f"{head}{_GAP}{text}", color=terminal)


def print_heading(text: str) -> None:
    """Writes a heading with an empty line before it to standard output."""
    terminal = on_terminal()
    click.echo("\n" + (click.style(text, bold=True) if terminal else text), color=terminal)


def on_terminal() -> bool:
    """Whether standard output is a terminal that colours may be sent to."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def duration(seconds: float | None) -> str:
    """4.2s, 1m 05s, 2h 03m, or 3d 04h."""
    if seconds is None:
        return NOTHING
    seconds = max(0.0, seconds)
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60:02}m"
    return f"{whole // 86400}d {whole % 86400 // 3600:02}h"


def ago(moment: float | None, now: float | None = None) -> str:
    """A time relative to now: 5s ago, 3m ago, 2h ago, 4d ago, and the date from 30 days on."""
    if moment is None:
        return NOTHING
    seconds = int((time.time() if now is None else now) - moment)
    if seconds < 0:
        return exact(moment) or NOTHING
    for unit, size, limit in (("s", 1, 60), ("m", 60, 3600), ("h", 3600, 86400), ("d", 86400, 30 * 86400)):
        if seconds < limit:
            return f"{seconds // size}{unit} ago"
    return datetime.fromtimestamp(moment).strftime("%Y-%m-%d")


def exact(moment: float | None) -> str | None:
    """A time as ISO 8601 in UTC with milliseconds."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def elapsed(started_at: float | None, finished_at: float | None, running: bool) -> float | None:
    """Seconds from start to end, or to now while it runs; None if it did not start or its end is not known.

    No less than 0: what was resumed may have ended, by a clock that was set back, before it began.
    """
    if started_at is None:
        return None
    if finished_at is not None:
        return max(0.0, finished_at - started_at)
    return max(0.0, time.time() - started_at) if running else None


def number(value: float | None, signed: bool = False) -> str:
    """A metric's value: whole numbers as such, others with four decimals or four significant digits if small."""
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        return str(value)
    sign = "+" if signed else ""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):{sign},}" if value or not signed else "0"
    return f"{value:{sign}.4f}" if abs(value) >= 0.001 else f"{value:{sign}.3e}"


def facts_in_words(facts: Mapping[str, Any]) -> str:
    """A node's facts in a few words: `15,002 examples`, `blessed`, `no anomalies`."""
    words = []
    for name, value in sorted(facts.items()):
        if name == "blessed":
            words.append("blessed" if value else "not blessed")
        elif name == "pushed_to":
            words.append(f"pushed to {shortest_path(value)}")
        elif name == "pushed":
            words.append("not pushed")
        elif value == 0:
            words.append(f"no {name}")
        elif isinstance(value, int | float):
            words.append(f"{value:,} {_singular(name) if value == 1 else name}")
        else:
            words.append(f"{name.replace('_', ' ')} {value}")
    return ", ".join(words)


def shortest_path(path: str) -> str:
    """A path as short as it can be typed from here."""
    if "://" in path:
        return path
    relative = os.path.relpath(path)
    return relative if len(relative) < len(path) and not relative.startswith("../..") else path


def _singular(name: str) -> str:
    return "anomaly" if name == "anomalies" else name.removesuffix("s")


def slice_name(slice_: Any) -> str:
    """A slice in words: Overall, or feature=value, crossed ones joined by a comma."""
    return ", ".join(f"{feature}={value}" for feature, value in slice_.items()) or "Overall"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _coloured(state: str, text: str) -> str:
    colour = _STATE_COLOURS.get(state)
    return click.style(text, fg=colour) if colour else text
