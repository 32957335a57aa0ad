"""When a run's nodes waited and computed, on one axis."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.metadata.runs import NodeRecord, Run
from penstock.metadata.states import AWAITING_APPROVAL, INTERRUPTED

_LABEL = 150.0
_WIDTH = 860.0
_RIGHT = 76.0
_ROW = 20.0
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400)


@dataclass(frozen=True)
class Bar:
    """One node's row: when it waited for its turn and when it computed, in pixels, and seconds in words' stead."""

    node: NodeRecord
    y: float
    wait_x: float
    wait_width: float
    x: float
    width: float
    waited_seconds: float
    seconds: float


@dataclass(frozen=True)
class Tick:
    """A mark on the axis."""

    x: float
    seconds: float


@dataclass(frozen=True)
class Timeline:
    """The whole drawing, in pixels."""

    width: float
    height: float
    label_width: float
    bars: Sequence[Bar]
    ticks: Sequence[Tick]
    row: float = _ROW


def make(
    run: Run, nodes: Sequence[NodeRecord], edges: Sequence[tuple[str, str]], now: float | None = None
) -> Timeline | None:
    """Lays the timeline out; None while no node has started.

    A node waits from the end of the last node before it, or the run's start, to its own start.
    """
    started = [node.started_at for node in nodes if node.started_at is not None]
    if not started:
        return None
    now = time.time() if now is None else now
    begin = min(started if run.started_at is None else [*started, run.started_at])
    ends = [_end(run, node, now) for node in nodes if node.started_at is not None]
    span = max(max(ends) - begin, 0.001)
    before: dict[str, list[str]] = {}
    for source, target in edges:
        before.setdefault(target, []).append(source)
    finished = {node.node_id: node.finished_at for node in nodes}

    def place(moment: float) -> float:
        return _LABEL + (moment - begin) / span * _WIDTH

    bars = []
    rows = [node for node in nodes if node.started_at is not None]
    for index, node in enumerate(sorted(rows, key=lambda node: (node.started_at or 0.0, node.position))):
        start = node.started_at or begin
        end = _end(run, node, now)
        ready = max([begin, *(moment for name in before.get(node.node_id, ()) if (moment := finished.get(name)))])
        ready = min(ready, start)
        bars.append(
            Bar(
                node=node,
                y=24 + index * _ROW,
                wait_x=place(ready),
                wait_width=place(start) - place(ready),
                x=place(start),
                width=max(2.0, place(end) - place(start)),
                waited_seconds=start - ready,
                seconds=end - start,
            )
        )
    step = next((step for step in _STEPS if span / step <= 8), _STEPS[-1])
    ticks = [Tick(place(begin + index * step), index * step) for index in range(int(span / step) + 1)]
    return Timeline(_LABEL + _WIDTH + _RIGHT, 32 + len(bars) * _ROW, _LABEL, bars, ticks)


def _end(run: Run, node: NodeRecord, now: float) -> float:
    start = node.started_at or now
    if node.finished_at is not None:
        return max(start, node.finished_at)
    if node.state in ("running", AWAITING_APPROVAL) and run.state != INTERRUPTED and run.finished_at is None:
        return max(start, now)
    return max(start, run.finished_at or start)
