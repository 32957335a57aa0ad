"""Reads sliced metrics and gate results out of the summaries of a run's evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.metadata.artifacts import outputs_of_run, read_properties
from penstock.metadata.database import Database, Row, in_parts
from penstock.metadata.executions import OUTPUTS_SQL
from penstock.metadata.runs import find_summaries

EVALUATION = "evaluation"
EXAMPLE_COUNT = "example_count"


@dataclass(frozen=True)
class SliceMetrics:
    """The metrics of one slice; `slice` maps features to their values and is empty for overall.

    `intervals` has the lower and upper bound of each metric's 95 % confidence interval, where it was computed.
    """

    slice: Mapping[str, str]
    metrics: Mapping[str, float | None]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Threshold:
    """One gate of an evaluation.

    Attributes:
        metric: the metric's name.
        slice: the slice it was checked on; empty for overall.
        bound: what it was checked against, in words, like ">= 0.8".
        value: the metric's value.
        baseline: its value for the baseline model, if there was one.
        passed: whether it held.
    """

    metric: str
    slice: Mapping[str, str]
    bound: str
    value: float | None
    baseline: float | None
    passed: bool


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of a run.

    Attributes:
        node: the node that made it.
        artifact_id: the evaluation's artifact.
        model: the evaluated model's name or path, if it is recorded.
        slices: overall first, then by features and values.
        thresholds: the gates.
        blessed: whether the model passed all gates; None where none were set.
    """

    node: str
    artifact_id: int
    model: str | None
    slices: Sequence[SliceMetrics]
    thresholds: Sequence[Threshold]
    blessed: bool | None


@dataclass(frozen=True)
class Difference:
    """One metric on one slice in two evaluations; None where one of them does not have it."""

    slice: Mapping[str, str]
    metric: str
    value: float | None
    baseline: float | None

    @property
    def change(self) -> float | None:
        """How much larger the value is than the baseline's."""
        return None if self.value is None or self.baseline is None else self.value - self.baseline


@dataclass(frozen=True)
class Verdict:
    """What a run decided on a model: the blessing's result and where it was pushed to, each None if it did neither."""

    blessed: bool | None
    pushed_to: str | None


def evaluations_of_run(database: Database, run_id: str) -> list[Evaluation]:
    """The evaluations a run's nodes output, also from the cache, that have a summary."""
    outputs = outputs_of_run(database, run_id)
    summaries = find_summaries(database, [artifact.artifact_id for _, artifact in outputs], EVALUATION)
    return [
        evaluation_of(node, artifact.artifact_id, summaries[artifact.artifact_id].content)
        for node, artifact in outputs
        if artifact.artifact_id in summaries
    ]


def results_of_run(database: Database, run_id: str, nodes: Mapping[int, str]) -> tuple[list[Evaluation], Verdict]:
    """The evaluations of a run and what it decided, as the functions beside this one tell, in three queries.

    Args:
        database: the store.
        run_id: the run.
        nodes: node id by execution id.
    """
    rows = _decisive_outputs(database, [run_id])
    return _evaluations(database, rows, nodes), _verdict(database, {row["artifact_id"]: row["type"] for row in rows})


def evaluations_of_runs(database: Database, run_ids: Sequence[str]) -> dict[str, list[Evaluation]]:
    """The evaluations of several runs by run id, without the names of their nodes, in two queries."""
    rows = _decisive_outputs(database, run_ids)
    found = {evaluation.artifact_id: evaluation for evaluation in _evaluations(database, rows, {})}
    return {
        run_id: [found[row["artifact_id"]] for row in rows if row["run"] == run_id and row["artifact_id"] in found]
        for run_id in run_ids
    }


def _decisive_outputs(database: Database, run_ids: Sequence[str]) -> list[Row]:
    """What runs put out of evaluations, blessings and pushed models: artifact_id, execution_id, type and run."""
    rows: list[Row] = []
    if not database.has_mlmd():
        return rows
    for names, values in in_parts(run_ids):
        rows += database.query(
            "SELECT e.artifact_id, e.execution_id, at.name AS type, c.name AS run "
            "FROM Context c JOIN Type t ON t.id = c.type_id "
            "JOIN Association s ON s.context_id = c.id JOIN Event e ON e.execution_id = s.execution_id "
            "JOIN Artifact a ON a.id = e.artifact_id JOIN Type at ON at.id = a.type_id "
            f"WHERE t.name = 'pipeline_run' AND c.name IN ({names}) AND e.type IN {OUTPUTS_SQL} "
            "AND at.name IN ('ModelEvaluation', 'ModelBlessing', 'PushedModel') ORDER BY e.id",
            values,
        )
    return rows


def _evaluations(database: Database, rows: Sequence[Row], nodes: Mapping[int, str]) -> list[Evaluation]:
    summaries = find_summaries(database, [row["artifact_id"] for row in rows], EVALUATION)
    return [
        evaluation_of(nodes.get(row["execution_id"], ""), row["artifact_id"], summaries[row["artifact_id"]].content)
        for row in rows
        if row["artifact_id"] in summaries
    ]


def slices_by(evaluation: Evaluation, features: Sequence[str]) -> list[SliceMetrics]:
    """Overall and the slices by exactly these features."""
    return [row for row in evaluation.slices if not row.slice or set(row.slice) == set(features)]


def sliced_features(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """The features, alone and crossed, that an evaluation has slices by."""
    return sorted({tuple(sorted(row.slice)) for row in evaluation.slices if row.slice}, key=lambda key: (len(key), key))


def compare(current: Sequence[SliceMetrics], baseline: Sequence[SliceMetrics]) -> list[Difference]:
    """Sets two evaluations' metrics side by side, in the order of the first; then what only the second has."""
    others = {_slice_key(row.slice): row.metrics for row in baseline}
    order = [
        *current,
        *(row for row in baseline if _slice_key(row.slice) not in {_slice_key(r.slice) for r in current}),
    ]
    values = {_slice_key(row.slice): row.metrics for row in current}
    differences = []
    for row in order:
        key = _slice_key(row.slice)
        mine, other = values.get(key, {}), others.get(key, {})
        differences += [
            Difference(row.slice, metric, mine.get(metric), other.get(metric))
            for metric in metric_names([SliceMetrics({}, mine), SliceMetrics({}, other)])
        ]
    return differences


def metric_names(rows: Sequence[SliceMetrics]) -> list[str]:
    """All metrics of these slices, the number of examples first, then as they were given."""
    names = dict.fromkeys(name for row in rows for name in row.metrics)
    return sorted(names, key=lambda name: name != EXAMPLE_COUNT)


def verdict_of_run(database: Database, run_id: str) -> Verdict:
    """Reads a run's blessing and push off the properties TFX's Evaluator and Pusher give their outputs."""
    return _verdict(database, {artifact.artifact_id: artifact.type for _, artifact in outputs_of_run(database, run_id)})


def _verdict(database: Database, types: Mapping[int, str]) -> Verdict:
    decisive = [artifact_id for artifact_id, type_ in types.items() if type_ in ("ModelBlessing", "PushedModel")]
    blessed: bool | None = None
    pushed_to: str | None = None
    for artifact_id, properties in read_properties(database, decisive).items():
        if types[artifact_id] == "ModelBlessing" and "blessed" in properties:
            blessed = bool(properties["blessed"])
        elif types[artifact_id] == "PushedModel" and properties.get("pushed"):
            pushed_to = str(properties.get("pushed_destination", "")) or None
    return Verdict(blessed, pushed_to)


def evaluation_of(node: str, artifact_id: int, content: Mapping[str, Any]) -> Evaluation:
    """Reads the summary of an evaluation that a node put out."""
    rows = [
        SliceMetrics(
            {k: str(v) for k, v in row["slice"].items()},
            row["metrics"],
            {name: (low, high) for name, (low, high) in row.get("intervals", {}).items()},
        )
        for row in content.get("slices", [])
    ]
    return Evaluation(
        node=node,
        artifact_id=artifact_id,
        model=content.get("model"),
        slices=sorted(rows, key=lambda row: _slice_order(row.slice)),
        thresholds=[
            Threshold(
                metric=gate["metric"],
                slice=gate.get("slice") or {},
                bound=str(gate["bound"]),
                value=gate.get("value"),
                baseline=gate.get("baseline"),
                passed=bool(gate["passed"]),
            )
            for gate in content.get("thresholds", [])
        ],
        blessed=content.get("blessed"),
    )


def _slice_key(slice_: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(slice_.items()))


def _slice_order(slice_: Mapping[str, str]) -> tuple[int, list[str], list[tuple[int, float, str]]]:
    """Overall, then single features, then crossed ones; values that are numbers by their size."""
    key = _slice_key(slice_)
    return len(key), [feature for feature, _ in key], [_value_order(value) for _, value in key]


def _value_order(value: str) -> tuple[int, float, str]:
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value
