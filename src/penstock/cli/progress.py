"""What `penstock run` shows while it goes on: a live table on a terminal, a line for each change elsewhere.

Everything goes to standard error.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from penstock.cli import output
from penstock.cli.output import facts_in_words
from penstock.engine.failures import TRACEBACK_HEADING
from penstock.metadata.states import AWAITING_APPROVAL

# Shape and word both carry the state; colour only helps.
_MARKS = {
    "waiting": "·",
    "running": "▶",
    AWAITING_APPROVAL: "?",
    "succeeded": "✔",
    "cached": "≡",
    "failed": "✘",
    "skipped": "○",
    "upstream_failed": "–",
    "cancelled": "■",
}
_STYLES = {
    "waiting": "bright_black",
    "running": "blue",
    AWAITING_APPROVAL: "bold yellow",
    "succeeded": "green",
    "cached": "magenta",
    "failed": "bold red",
    "skipped": "bright_black",
    "upstream_failed": "yellow",
    "cancelled": "yellow",
}
_LOG_LINES = 15


@dataclass
class _Row:
    component: str
    state: str = "waiting"
    started: float | None = None
    ended: float | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def seconds(self) -> float | None:
        return None if self.started is None else (self.ended or time.monotonic()) - self.started


class Progress:
    """Shows a run as it goes on. Also the scheduler's `RunListener`."""

    def __init__(self) -> None:
        self.run_id: str | None = None
        self._began = time.monotonic()
        self._rows: dict[str, _Row] = {}
        self._live: Any = None
        self._title = ""
        self.failures: dict[str, tuple[str, Path | None]] = {}

    @property
    def seconds(self) -> float:
        """Seconds since the command began."""
        return time.monotonic() - self._began

    def say(self, text: str) -> None:
        """Prints a line for people, above the live table if there is one."""
        if self._live is not None:
            self._live.console.print(text, markup=False)
        else:
            click.echo(text, err=True)

    def watch(self, graph: Any, run_id: str) -> Progress:
        """Begins to show a run's nodes."""
        self.run_id = run_id
        self._rows = {node.id: _Row(node.component) for node in graph.nodes.values()}
        self._title = f"{graph.pipeline}  run {run_id}"
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            self._live = _live_display(self._table)
        else:
            self.say(f"{self._title}: {len(self._rows)} nodes")
        return self

    def node_changed(self, node_id: str, state: str, **facts: Any) -> None:
        """A node is in another state."""
        row = self._rows[node_id]
        if state == "running" and row.state != "running":
            row.started = time.monotonic()
        elif row.started is not None and state not in ("running", AWAITING_APPROVAL):
            row.ended = time.monotonic()
        row.state = state
        row.detail.update(facts.get("detail") or {})
        if state == "failed":
            self.failures[node_id] = (facts["error"], facts.get("log_path"))
        if self._live is None and state != "running":
            cells = [
                f"{self.seconds:6.1f}s",
                f"{node_id:<{self._width()}}",
                f"{_MARKS[state]} {state.replace('_', ' '):<9}",
            ]
            cells += [f"{output.duration(row.seconds):>7}", facts_in_words(row.detail)]
            self.say("  ".join(cells).rstrip())
        if state == AWAITING_APPROVAL:
            self.say(f"{node_id} waits: penstock runs approve {self.run_id} {node_id} --comment '…'  (or: reject)")

    def retrying(self, node_id: str, failed: int, attempts: int, pause_seconds: float, cause: str) -> None:
        """An attempt of a node failed, and another follows."""
        pause = f" in {output.duration(pause_seconds)}" if pause_seconds >= 0.05 else ""
        first_line = cause.splitlines()[0]
        self._rows[node_id].note = f"attempt {failed} of {attempts} failed: {first_line}"
        if self._live is None:
            cells = [
                f"{self.seconds:6.1f}s",
                f"{node_id:<{self._width()}}",
                f"{self._rows[node_id].note}; again{pause}",
            ]
            self.say("  ".join(cells))

    def tick(self) -> None:
        """Redraws the live table."""
        if self._live is not None:
            self._live.refresh()

    def close(self) -> None:
        """Leaves the last table on the screen."""
        if self._live is not None:
            self._live.refresh()
            self._live.stop()
            self._live = None

    def counts(self) -> Mapping[str, int]:
        """How many nodes are in each state."""
        states = [row.state for row in self._rows.values()]
        return {state: states.count(state) for state in _MARKS if state in states}

    def _width(self) -> int:
        return max((len(node_id) for node_id in self._rows), default=0)

    def _table(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        for _ in range(5):
            table.add_column(no_wrap=True)
        table.columns[3].justify = "right"
        table.title = Text(f"{self._title}  {output.duration(self.seconds)}", style="bold")
        table.title_justify = "left"
        for node_id, row in self._rows.items():
            style = _STYLES[row.state]
            table.add_row(
                Text(f"{_MARKS[row.state]} {node_id}", style=style),
                Text(row.component, style="bright_black"),
                Text(row.state.replace("_", " "), style=style),
                "" if row.seconds is None else output.duration(row.seconds),
                facts_in_words(row.detail) or (row.note if row.state == "running" else ""),
            )
        return table


def log_tail(log: Path, node_id: str, lines: int = _LOG_LINES) -> list[str]:
    """The last lines of a log, each after the node's name."""
    try:
        content = log.read_text(errors="replace").splitlines()
    except OSError as error:
        return [f"{node_id} | (the log cannot be read: {error.strerror})"]
    # The cause is told elsewhere, with those frames of the traceback that are its reader's own.
    end = next((index for index, line in enumerate(content) if line.endswith(TRACEBACK_HEADING)), len(content))
    return [f"{node_id} | {line}" for line in content[:end][-lines:]]


def _live_display(render: Callable[[], Any]) -> Any:
    from rich.console import Console
    from rich.live import Live

    live = Live(
        get_renderable=render,
        console=Console(stderr=True, highlight=False),
        refresh_per_second=10,
        auto_refresh=False,
        vertical_overflow="visible",
    )
    live.start()
    return live
