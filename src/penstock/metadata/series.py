"""Metrics over time: the overall metrics of a pipeline's evaluations, and those of chosen slices."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penstock.metadata.artifacts import Artifact, list_artifacts
from penstock.metadata.database import Database
from penstock.metadata.executions import FIRST_OUTPUT_SQL, OUTPUTS_SQL
from penstock.metadata.metrics import EVALUATION, EXAMPLE_COUNT, Evaluation, evaluation_of
from penstock.metadata.runs import find_summaries

EVALUATION_TYPE = "ModelEvaluation"
# Two years of daily models and then some; an entry of a hundred slices takes some 50 kB.
_KEPT = 1000


@dataclass(frozen=True)
class Point:
    """One evaluation in a series. `created_at` is in seconds since the epoch."""

    artifact_id: int
    run_id: str | None
    pipeline: str | None
    node: str | None
    created_at: float
    evaluation: Evaluation


class Evaluations:
    """Reads evaluations, each once: a summary never changes. May be shared by threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, Evaluation] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, database: Database, artifacts: Sequence[Artifact]) -> dict[int, Evaluation]:
        """The evaluations among these artifacts that have a summary, by artifact id."""
        with self._lock:
            found = {a.artifact_id: self._kept[a.artifact_id] for a in artifacts if a.artifact_id in self._kept}
        missing = {artifact.artifact_id: artifact for artifact in artifacts if artifact.artifact_id not in found}
        for artifact_id, summary in find_summaries(database, list(missing), EVALUATION).items():
            producer = missing[artifact_id].producer
            node = producer.execution.node if producer is not None else None
            found[artifact_id] = evaluation_of(node or "", artifact_id, summary.content)
        with self._lock:
            for artifact_id, evaluation in found.items():
                self._kept[artifact_id] = evaluation
                self._kept.move_to_end(artifact_id)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found

    def series(self, database: Database, pipeline: str | None, limit: int) -> list[Point]:
        """The newest evaluations, of one pipeline or of all, oldest first."""
        artifacts = list_artifacts(database, type=EVALUATION_TYPE, pipeline=pipeline, limit=limit)
        evaluations = self.read(database, artifacts)
        return [
            Point(
                artifact_id=artifact.artifact_id,
                run_id=artifact.producer.execution.run if artifact.producer else None,
                pipeline=artifact.producer.execution.pipeline if artifact.producer else None,
                node=artifact.producer.execution.node if artifact.producer else None,
                created_at=artifact.created_at,
                evaluation=evaluations[artifact.artifact_id],
            )
            for artifact in reversed(artifacts)
            if artifact.artifact_id in evaluations
        ]


@dataclass(frozen=True)
class EvaluationChoice:
    """An evaluation to choose: its artifact, and the run and pipeline that put it out first."""

    artifact_id: int
    run_id: str | None
    pipeline: str | None


def newest_evaluations(database: Database, limit: int) -> list[EvaluationChoice]:
    """The newest evaluations, the newest first, in one query; whether they have a summary is not looked at.

    Run and pipeline are those that Penstock recorded; of another program's evaluations they are None.
    """
    if not database.has_mlmd() or not database.has_own_tables:
        return []
    rows = database.query(
        "SELECT a.id, n.run_id AS run, r.pipeline AS pipeline "
        "FROM (SELECT id FROM Artifact WHERE type_id IN (SELECT id FROM Type WHERE name = :type) "
        "ORDER BY id DESC LIMIT :limit) a "
        f"LEFT JOIN Event o ON o.artifact_id = a.id AND o.type IN {OUTPUTS_SQL} AND {FIRST_OUTPUT_SQL} "
        "LEFT JOIN penstock_nodes n ON n.execution_id = o.execution_id "
        "LEFT JOIN penstock_runs r ON r.run_id = n.run_id ORDER BY a.id DESC",
        {"type": EVALUATION_TYPE, "limit": limit},
    )
    return [EvaluationChoice(row["id"], row["run"], row["pipeline"]) for row in rows]


def key_metric(evaluation: Evaluation) -> str | None:
    """The metric that stands for an evaluation: that of its first gate, or else its first one but for the count."""
    if evaluation.thresholds:
        return evaluation.thresholds[0].metric
    overall = overall_metrics(evaluation)
    return next((name for name in overall if name != EXAMPLE_COUNT), None)


def overall_metrics(evaluation: Evaluation) -> Mapping[str, float | None]:
    """The metrics of the slice of all examples; empty if there is none."""
    return next((row.metrics for row in evaluation.slices if not row.slice), {})
