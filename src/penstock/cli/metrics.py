"""`penstock metrics`: a run's sliced metrics as a table."""

from __future__ import annotations

from typing import Any

import click

from penstock.cli import output
from penstock.cli.reading import json_option, open_for_reading, run_id_of, store_option
from penstock.errors import UsageError
from penstock.metadata import metrics as evaluations
from penstock.metadata.metrics import EXAMPLE_COUNT, Difference, Evaluation, SliceMetrics


@click.command()
@click.argument("run")
@click.option("--slice", "feature", metavar="FEATURE", help="Only overall and slices by FEATURE; a,b for crossed ones.")
@click.option("--baseline", metavar="RUN", help="Show how each metric changed since this run.")
@json_option
@store_option
def metrics(run: str, feature: str | None, baseline: str | None, as_json: bool, store: str | None) -> None:
    """Print a run's sliced metrics. RUN is a run's id, the start of one, or `latest`."""
    with open_for_reading(store) as database:
        run_id = run_id_of(database, run)
        found = evaluations.evaluations_of_run(database, run_id)
        baseline_id = run_id_of(database, baseline) if baseline else None
        others = evaluations.evaluations_of_run(database, baseline_id) if baseline_id else []
    if not found:
        if as_json:
            output.print_json([])
        output.say(f"Run {run_id} has no metrics: none of its nodes has output an evaluation. Add an Evaluator node.")
        return
    if baseline_id and not others:
        raise UsageError(f"Run {baseline_id} has no metrics to compare with. Choose another --baseline.")
    features = feature.split(",") if feature else None
    tables = [(evaluation, _select(evaluation, features)) for evaluation in found]
    pairs = [(e, rows, _counterpart(e, others)) for e, rows in tables]
    if as_json:
        output.print_json([_document(run_id, baseline_id, *pair) for pair in pairs])
        return
    for index, (evaluation, rows, other) in enumerate(pairs):
        if len(pairs) > 1:
            output.print_heading(evaluation.node) if index else click.echo(evaluation.node)
        if other is None:
            _print(rows)
        else:
            _print_changes(rows, other)
        for gate in evaluation.thresholds:
            if not gate.passed:
                from penstock.cli.runs import gate_in_words

                output.say(gate_in_words(gate))


def _select(evaluation: Evaluation, features: list[str] | None) -> list[SliceMetrics]:
    if features is None:
        return list(evaluation.slices)
    rows = evaluations.slices_by(evaluation, features)
    if not any(row.slice for row in rows):
        known = [",".join(key) for key in evaluations.sliced_features(evaluation)]
        raise UsageError(
            f"Node {evaluation.node} has no slices by {','.join(features)!r}. "
            f"Allowed: {' '.join(known) or 'none, it was evaluated overall only'}."
        )
    return rows


def _counterpart(evaluation: Evaluation, others: list[Evaluation]) -> Evaluation | None:
    """The baseline run's evaluation by the same node, or else its only one."""
    same = [other for other in others if other.node == evaluation.node]
    return same[0] if same else others[0] if others else None


def _print(rows: list[SliceMetrics]) -> None:
    names = evaluations.metric_names(rows)
    output.print_table(
        ["SLICE", *names],
        [[output.slice_name(row.slice), *(output.number(row.metrics.get(name)) for name in names)] for row in rows],
        right=names,
    )


def _print_changes(rows: list[SliceMetrics], other: Evaluation) -> None:
    """One line for each metric of each slice: side by side, the numbers would not fit."""
    output.print_table(
        ["SLICE", "METRIC", "VALUE", "BASELINE", "CHANGE"],
        [
            [
                output.slice_name(row.slice),
                row.metric,
                output.number(row.value),
                output.number(row.baseline),
                output.number(row.change, signed=True),
            ]
            for row in _changes(rows, other)
            if row.metric != EXAMPLE_COUNT or row.change
        ],
        right=["VALUE", "BASELINE", "CHANGE"],
    )


def _changes(rows: list[SliceMetrics], other: Evaluation) -> list[Difference]:
    wanted = {tuple(sorted(row.slice)) for row in rows}
    return evaluations.compare(rows, [row for row in other.slices if tuple(sorted(row.slice)) in wanted])


def _document(
    run_id: str, baseline_id: str | None, evaluation: Evaluation, rows: list[SliceMetrics], other: Evaluation | None
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "run": run_id,
        "node": evaluation.node,
        "artifact_id": evaluation.artifact_id,
        "model": evaluation.model,
        "blessed": evaluation.blessed,
        "slices": [{"slice": dict(row.slice), "metrics": dict(row.metrics)} for row in rows],
        "thresholds": [vars(gate) for gate in evaluation.thresholds],
    }
    if other is not None:
        document["baseline"] = baseline_id
        document["changes"] = [
            {
                "slice": dict(row.slice),
                "metric": row.metric,
                "value": row.value,
                "baseline": row.baseline,
                "change": row.change,
            }
            for row in _changes(rows, other)
        ]
    return document
