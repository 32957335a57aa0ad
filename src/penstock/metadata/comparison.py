"""What differs between two runs: from a worse metric back to what changed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.metadata import cache, metrics
from penstock.metadata.cache import Change
from penstock.metadata.database import Database
from penstock.metadata.runs import NodeRecord, Run, nodes_of


@dataclass(frozen=True)
class Pair:
    """One thing in both runs; None where a run does not have it."""

    name: str
    first: Any
    second: Any

    @property
    def differs(self) -> bool:
        """Whether the runs differ in it."""
        return bool(self.first != self.second)


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        first: the run before.
        second: the run after.
        parameters: the pipelines' parameters.
        nodes: the nodes' records.
        changes: what changed in the nodes' cache keys, by node: code, inputs, parameters, packages.
        overall: the overall metrics, changed or not.
        slices: every metric of every slice of which both runs' values are known.
    """

    first: Run
    second: Run
    parameters: Sequence[Pair]
    nodes: Sequence[Pair]
    changes: Mapping[str, Sequence[Change]]
    overall: Sequence[metrics.Difference]
    slices: Sequence[metrics.Difference]


def compare(database: Database, first: Run, second: Run) -> Comparison:
    """Sets two runs side by side."""
    nodes: list[dict[str, NodeRecord]] = [
        {node.node_id: node for node in nodes_of(database, run.run_id)} for run in (first, second)
    ]
    evaluations = metrics.evaluations_of_runs(database, [first.run_id, second.run_id])
    rows = [[row for found in evaluations[run.run_id] for row in found.slices] for run in (first, second)]
    differences = metrics.compare(rows[1], rows[0])
    return Comparison(
        first=first,
        second=second,
        parameters=_pairs(first.parameters, second.parameters),
        nodes=_pairs(*nodes),
        changes=_changes(database, first, second),
        overall=[row for row in differences if not row.slice],
        slices=[row for row in differences if row.slice and row.change is not None],
    )


def _pairs(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Pair]:
    return [Pair(name, first.get(name), second.get(name)) for name in dict.fromkeys([*first, *second])]


def _changes(database: Database, first: Run, second: Run) -> dict[str, Sequence[Change]]:
    if not database.has_own_tables:
        return {}
    parts: dict[str, dict[str, Any]] = {first.run_id: {}, second.run_id: {}}
    for row in database.query(
        "SELECT run_id, node_id, parts FROM penstock_cache_decisions WHERE run_id IN (:first, :second)",
        {"first": first.run_id, "second": second.run_id},
    ):
        parts[row["run_id"]][row["node_id"]] = json.loads(row["parts"])
    before, after = parts[first.run_id], parts[second.run_id]
    changes = {node: cache.compare(before[node], after[node]) for node in after if node in before}
    return {node: found for node, found in changes.items() if found}
