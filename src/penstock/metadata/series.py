"""Metrics over time: the overall metrics of a pipeline's evaluations, and those of chosen slices."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from penstock.metadata.artifacts import Artifact, newest_artifacts
from penstock.metadata.database import Database, Row
from penstock.metadata.executions import FIRST_OUTPUT_SQL, OUTPUTS_SQL
from penstock.metadata.metrics import EVALUATION, EXAMPLE_COUNT, Evaluation, evaluation_of
from penstock.metadata.runs import find_summaries

EVALUATION_TYPE = "ModelEvaluation"
# Two years of daily models and then some; an entry of a hundred slices takes some 50 kB.
_KEPT = 1000
_LOOKED_AT = 20_000


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
        nodes = {a.artifact_id: a.producer.execution.node if a.producer is not None else None for a in artifacts}
        return self._read(database, nodes)

    def _read(self, database: Database, nodes: Mapping[int, str | None]) -> dict[int, Evaluation]:
        """The evaluations of these ids that have a summary; `nodes` has the node that made each."""
        with self._lock:
            found = {artifact_id: self._kept[artifact_id] for artifact_id in nodes if artifact_id in self._kept}
        missing = [artifact_id for artifact_id in nodes if artifact_id not in found]
        for artifact_id, summary in find_summaries(database, missing, EVALUATION).items():
            found[artifact_id] = evaluation_of(nodes[artifact_id] or "", artifact_id, summary.content)
        with self._lock:
            for artifact_id, evaluation in found.items():
                self._kept[artifact_id] = evaluation
                self._kept.move_to_end(artifact_id)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found

    def of_runs(self, database: Database, pipeline: str, runs: int) -> list[Point]:
        """The evaluations that a pipeline's newest runs made, oldest first, in two queries."""
        if not database.has_mlmd() or not database.has_own_tables:
            return []
        values = {"pipeline": pipeline, "type": EVALUATION_TYPE, "runs": runs}
        choices = [choice_of(row) for row in database.query(f"{of_pipeline_sql('pipeline')} ORDER BY a.id", values)]
        evaluations = self._read(database, {choice.artifact_id: choice.node for choice in choices})
        return _points(choices, evaluations)

    def series(self, database: Database, pipeline: str, limit: int) -> list[Point]:
        """A pipeline's newest evaluations, oldest first, looked for among its newest 20,000 artifacts."""
        artifacts = newest_artifacts(database, EVALUATION_TYPE, pipeline, limit, _LOOKED_AT)
        choices = []
        for artifact in reversed(artifacts):
            made = None if artifact.producer is None else artifact.producer.execution
            run, owner, node = (None, None, None) if made is None else (made.run, made.pipeline, made.node)
            choices.append(ArtifactChoice(artifact.artifact_id, run, owner, node, artifact.created_at))
        return _points(choices, self.read(database, artifacts))


@dataclass(frozen=True)
class ArtifactChoice:
    """An artifact to choose: its id, and the run, pipeline and node that put it out first."""

    artifact_id: int
    run_id: str | None
    pipeline: str | None
    node: str | None
    created_at: float


def newest_evaluations(database: Database, limit: int) -> list[ArtifactChoice]:
    """The newest evaluations, the newest first, in one query; whether they have a summary is not looked at."""
    return newest_of_type(database, EVALUATION_TYPE, limit)


def newest_of_type(database: Database, type_name: str, limit: int) -> list[ArtifactChoice]:
    """The newest artifacts of a type, the newest first, in one query.

    Run, pipeline and node are those that Penstock recorded; of another program's artifacts they are None.
    """
    if not database.has_mlmd() or not database.has_own_tables:
        return []
    rows = database.query(f"{NEWEST_SQL} ORDER BY a.id DESC", {"type": type_name, "limit": limit})
    return [choice_of(row) for row in rows]


_TYPE_SQL = "(SELECT max(id) FROM Type WHERE name = :type AND type_kind = 1)"
# Choices of artifacts of the type `:type`: the newest `:limit` ones.
NEWEST_SQL = (
    "SELECT a.id, a.created, n.run_id AS run, n.node_id AS node, r.pipeline AS pipeline "
    f"FROM (SELECT id, create_time_since_epoch AS created FROM Artifact WHERE type_id = {_TYPE_SQL} "
    "ORDER BY id DESC LIMIT :limit) a "
    f"LEFT JOIN Event o ON o.artifact_id = a.id AND o.type IN {OUTPUTS_SQL} AND {FIRST_OUTPUT_SQL} "
    "LEFT JOIN penstock_nodes n ON n.execution_id = o.execution_id LEFT JOIN penstock_runs r ON r.run_id = n.run_id"
)


def of_pipeline_sql(parameter: str) -> str:
    """SQL of the choices of artifacts of the type `:type` that a pipeline's newest `:runs` runs put out.

    `parameter` names the parameter that is the pipeline's name.
    """
    return (
        "SELECT a.id, a.create_time_since_epoch AS created, n.run_id AS run, n.node_id AS node, r.pipeline AS pipeline "
        f"FROM (SELECT run_id, pipeline FROM penstock_runs WHERE pipeline = :{parameter} "
        "ORDER BY created_at DESC, run_id DESC LIMIT :runs) r "
        # The joins in this order: SQLite would rather go through all artifacts of the type.
        "CROSS JOIN penstock_nodes n CROSS JOIN Event o CROSS JOIN Artifact a "
        "WHERE n.run_id = r.run_id AND o.execution_id = n.execution_id AND a.id = o.artifact_id "
        f"AND a.type_id = {_TYPE_SQL} AND o.type IN {OUTPUTS_SQL} AND {FIRST_OUTPUT_SQL}"
    )


def choice_of(row: Row) -> ArtifactChoice:
    """Reads a row of the statements above."""
    return ArtifactChoice(row["id"], row["run"], row["pipeline"], row["node"], row["created"] / 1000)


def _points(choices: Iterable[ArtifactChoice], evaluations: Mapping[int, Evaluation]) -> list[Point]:
    """The choices whose evaluation could be read, with it."""
    return [
        Point(choice.artifact_id, choice.run_id, choice.pipeline, choice.node, choice.created_at, evaluation)
        for choice in choices
        if (evaluation := evaluations.get(choice.artifact_id)) is not None
    ]


def key_metric(evaluation: Evaluation) -> str | None:
    """The metric that stands for an evaluation: that of its first gate, or else its first one but for the count."""
    if evaluation.thresholds:
        return evaluation.thresholds[0].metric
    return first_metric(overall_metrics(evaluation))


def first_metric(metrics: Iterable[str]) -> str | None:
    """The first of metrics that is more than a count of examples."""
    return next((name for name in metrics if name != EXAMPLE_COUNT), None)


def overall_metrics(evaluation: Evaluation) -> Mapping[str, float | None]:
    """The metrics of the slice of all examples; empty if there is none."""
    return next((row.metrics for row in evaluation.slices if not row.slice), {})
