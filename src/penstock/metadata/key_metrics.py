"""The key metric of each pipeline at a glance: over its newest evaluations, for lists of pipelines."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.metadata import series
from penstock.metadata.database import Database, in_parts
from penstock.metadata.metrics import EVALUATION
from penstock.metadata.runs import Run
from penstock.metadata.series import EVALUATION_TYPE

# How many newest evaluations of the store are taken in each time, and of how many newest runs of a pipeline, once.
_NEWEST = 60
_RUNS = 20
# Pipelines whose runs are gone through at once; where there are more, the others follow the next time.
_AT_ONCE = 200


@dataclass(frozen=True)
class KeyMetric:
    """A pipeline's key metric: its name, None where there is no evaluation, and its values, oldest first."""

    name: str | None
    values: Sequence[float | None]


@dataclass(frozen=True)
class _Evaluation:
    """What is kept of an evaluation: the metric of its first gate, if it has one, and its overall metrics."""

    gate: str | None
    overall: Mapping[str, float | None]


class KeyMetrics:
    """Reads key metrics, each evaluation once. May be shared by threads."""

    def __init__(self) -> None:
        # By pipeline: the newest run that it had when its runs were gone through, and its newest evaluations by id.
        self._known: dict[str, tuple[str, dict[int, _Evaluation]]] = {}
        self._lock = threading.Lock()

    def read(self, database: Database, newest_runs: Sequence[Run]) -> dict[str, KeyMetric]:
        """The key metrics of pipelines, by their names, in two queries.

        Args:
            database: the store.
            newest_runs: the newest run of each pipeline.
        """
        runs = {run.pipeline: run.run_id for run in newest_runs}
        with self._lock:
            known = {name: self._known[name] for name in runs if name in self._known}
        changed = [name for name, run_id in runs.items() if name not in known or known[name][0] != run_id][:_AT_ONCE]
        ids = {name: set(known[name][1]) if name in known else set() for name in runs}
        for artifact_id, pipeline in _newest(database, changed).items():
            if pipeline in ids:
                ids[pipeline].add(artifact_id)
        wanted = {name: sorted(found)[-_RUNS:] for name, found in ids.items()}
        read = {artifact_id: found for _, kept in known.values() for artifact_id, found in kept.items()}
        read |= _read(database, {artifact_id for found in wanted.values() for artifact_id in found} - read.keys())
        evaluations = {
            name: {artifact_id: read[artifact_id] for artifact_id in found if artifact_id in read}
            for name, found in wanted.items()
        }
        with self._lock:
            self._known.update({name: (runs[name], evaluations[name]) for name in changed})
            self._known.update({name: (known[name][0], evaluations[name]) for name in known if name not in changed})
        return {name: _key_metric(list(found.values())) for name, found in evaluations.items()}


def _newest(database: Database, pipelines: Sequence[str]) -> dict[int, str | None]:
    """The pipelines of the newest evaluations of the store, and of those of the newest runs of some, by id."""
    if not database.has_mlmd() or not database.has_own_tables:
        return {}
    values: dict[str, Any] = {"type": EVALUATION_TYPE, "limit": _NEWEST, "runs": _RUNS}
    statements = [series.NEWEST_SQL]
    for index, pipeline in enumerate(pipelines):
        values[f"pipeline_{index}"] = pipeline
        statements.append(series.of_pipeline_sql(f"pipeline_{index}"))
    choices = map(series.choice_of, database.query(" UNION ALL ".join(statements), values))
    return {choice.artifact_id: choice.pipeline for choice in choices}


def _read(database: Database, artifact_ids: Collection[int]) -> dict[int, _Evaluation]:
    """Reads what is kept of evaluations; of the rest of what is recorded of them, slices and gates, there is much."""
    found = {}
    first_slice = database.json_sql("content", "slices", 0)
    gate = database.json_sql("content", "thresholds", 0, "metric")
    for names, values in in_parts(sorted(artifact_ids)):
        rows = database.query(
            f"SELECT artifact_id, {first_slice} AS first_slice, {gate} AS gate FROM penstock_summaries "
            f"WHERE kind = :kind AND artifact_id IN ({names})",
            {**values, "kind": EVALUATION},
        )
        for row in rows:
            first = json.loads(row["first_slice"] or "{}")
            found[row["artifact_id"]] = _Evaluation(row["gate"], {} if first.get("slice") else first.get("metrics", {}))
    return found


def _key_metric(evaluations: Sequence[_Evaluation]) -> KeyMetric:
    if not evaluations:
        return KeyMetric(None, [])
    last = evaluations[-1]
    name = last.gate or series.first_metric(last.overall)
    return KeyMetric(name, [evaluation.overall.get(name) for evaluation in evaluations] if name else [])
