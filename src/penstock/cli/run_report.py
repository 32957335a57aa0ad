"""What `penstock run` says at the end: blessing and reasons, main metrics, the push, and what to type next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from penstock.cli import output
from penstock.cli.output import shortest_path
from penstock.cli.progress import Progress, log_tail
from penstock.metadata import metrics
from penstock.metadata.artifacts import outputs_of_run
from penstock.metadata.database import Database
from penstock.metadata.runs import find_summaries
from penstock.summaries.detail import ANOMALIES

_MOST_METRICS = 8
_MOST_ANOMALIES = 10


def print_report(progress: Progress, state: str, database: Database, error: str | None) -> None:
    """Prints the end of a run to standard error."""
    assert progress.run_id is not None
    counts = progress.counts()
    parts = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in counts.items())
    _say("")
    _say(click.style(f"{state.capitalize()} in {output.duration(progress.seconds)}", bold=True) + f": {parts}.")
    if error is not None and not progress.failures:
        _say(error)
    for node_id in progress.failures:
        _print_failure(progress, node_id)
    _print_anomalies(database, progress.run_id)
    _print_evaluations(database, progress.run_id)
    _print_verdict(database, progress.run_id)
    _print_next(progress, state, database)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _print_failure(progress: Progress, node_id: str) -> None:
    error, log = progress.failures[node_id]
    _say("")
    _say(click.style(f"{node_id} failed", fg="red", bold=True))
    _say("\n".join(f"  {line}" for line in error.splitlines()))
    tail = log_tail(log, node_id) if log is not None else []
    if tail:
        _say(f"\nThe end of its log, {shortest_path(str(log))}:")
        _say("\n".join(tail))


def _print_anomalies(database: Database, run_id: str) -> None:
    """Prints what is wrong with the data: one line for each finding, with the splits it is in."""
    outputs = outputs_of_run(database, run_id)
    summaries = find_summaries(database, [artifact.artifact_id for _, artifact in outputs], ANOMALIES)
    for node, artifact in outputs:
        if artifact.artifact_id not in summaries:
            continue
        # Descriptions carry shares, which differ between splits.
        found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for anomaly in summaries[artifact.artifact_id].content["anomalies"]:
            found.setdefault((anomaly["feature"] or "the data", anomaly["short"]), []).append(anomaly)
        if not found:
            continue
        _say(click.style("\nAnomalies", fg="red", bold=True) + f" ({node})")
        for (feature, short), anomalies in list(found.items())[:_MOST_ANOMALIES]:
            splits = ", ".join(anomaly["split"] for anomaly in anomalies if anomaly["split"])
            where = f" ({splits})" if splits else ""
            _say(f"  {feature}{where}: {' '.join((anomalies[0]['description'] or short).split())}")
        more = len(found) - _MOST_ANOMALIES
        _say(
            f"  {f'{more} more, and ' if more > 0 else ''}each in full: penstock artifacts show {artifact.artifact_id}"
        )


def _print_evaluations(database: Database, run_id: str) -> None:
    for evaluation in metrics.evaluations_of_run(database, run_id):
        overall = next((row for row in evaluation.slices if not row.slice), None)
        if overall is not None:
            named = [(name, overall.metrics[name]) for name in metrics.metric_names([overall])][:_MOST_METRICS]
            width = max((len(name) for name, _ in named), default=0)
            _say(f"\n{click.style('Metrics', bold=True)} ({evaluation.node}, overall)")
            for name, value in named:
                _say(f"  {name:<{width}}  {output.number(value):>8}")
        if evaluation.thresholds:
            _say(click.style("\nGate", bold=True))
        for gate in evaluation.thresholds:
            mark = "✔ passed" if gate.passed else "✘ failed"
            against = "" if gate.baseline is None else f"  (baseline {output.number(gate.baseline)})"
            where = "" if not gate.slice else f" on {output.slice_name(gate.slice)}"
            _say(f"  {mark}  {gate.metric}{where} {output.number(gate.value)}  wanted {gate.bound}{against}")


def _print_verdict(database: Database, run_id: str) -> None:
    verdict = metrics.verdict_of_run(database, run_id)
    if verdict.blessed is not None:
        _say(
            click.style("\nBlessed", fg="green", bold=True)
            if verdict.blessed
            else click.style("\nNot blessed", fg="red")
        )
    if verdict.pushed_to is not None:
        _say(f"Pushed to {shortest_path(verdict.pushed_to)}")
    elif verdict.blessed is False:
        _say("Not pushed: only a blessed model is.")


def _print_next(progress: Progress, state: str, database: Database) -> None:
    _say(click.style("\nNext", bold=True))
    if state != "succeeded":
        _say("  mend the cause and run again: what finished comes from the cache")
        for node_id in progress.failures:
            _say(f"  penstock runs logs {progress.run_id} {node_id}")
        _say(f"  penstock runs show {progress.run_id}")
        return
    assert progress.run_id is not None
    for evaluation in metrics.evaluations_of_run(database, progress.run_id):
        for features in metrics.sliced_features(evaluation)[:1]:
            _say(f"  penstock metrics {progress.run_id} --slice {','.join(features)}")
    _say(f"  penstock runs show {progress.run_id}")
    _say(f"  penstock artifacts list --run {progress.run_id}")
