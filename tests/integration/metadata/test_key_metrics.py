"""The key metric of each pipeline: there however long ago it was evaluated, in few queries, each evaluation once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from penstock.metadata import recording, runs
from penstock.metadata.database import NO_PARAMETERS, Database, Row, connect
from penstock.metadata.key_metrics import KeyMetric, KeyMetrics
from penstock.metadata.location import StoreLocation
from tests.integration.metadata.stores import StoreWriter

NOTHING = KeyMetric(None, [])


@pytest.fixture
def writer(location: StoreLocation, database: Database) -> StoreWriter:
    return StoreWriter(location)


@pytest.fixture
def reader(location: StoreLocation, writer: StoreWriter) -> Iterator[Database]:
    with connect(location, create=False) as opened:
        yield opened


def evaluate(
    database: Database, writer: StoreWriter, pipeline: str, number: int, accuracy: float | None, gate: str = ""
) -> None:
    """Records a run of a pipeline, with an evaluation unless there is no accuracy."""
    run_id = f"{pipeline}-{number}"
    recording.create_run(database, run_id, pipeline, parameters={})
    recording.create_nodes(database, run_id, [("evaluator", "Evaluator")])
    if accuracy is None:
        return
    made = writer.artifact("ModelEvaluation", f"/e/{run_id}")
    execution, [artifact] = writer.execute(pipeline, run_id, "evaluator", outputs={"evaluation": [made]})
    recording.set_node(database, run_id, "evaluator", state="succeeded", execution_id=execution)
    metrics = {"example_count": 10.0, "accuracy": accuracy, "auc": accuracy / 2}
    content = {
        "slices": [
            {"slice": {}, "metrics": metrics, "changes": {}},
            {"slice": {"hour": "1"}, "metrics": {"accuracy": 0.0}, "changes": {}},
        ],
        "thresholds": [{"metric": gate, "bound": "≥ 0", "passed": True}] if gate else [],
        "blessed": None,
    }
    recording.put_summary(database, artifact, "evaluation", content)


def read(reader: Database, metrics: KeyMetrics) -> dict[str, KeyMetric]:
    return metrics.read(reader, runs.latest_runs(reader))


def test_a_pipeline_that_seldom_runs_keeps_its_metric(
    database: Database, writer: StoreWriter, reader: Database
) -> None:
    for number in range(2):
        evaluate(database, writer, "seldom", number, number / 4, gate="auc")
    evaluate(database, writer, "never", 0, None)
    for number in range(70):  # more than the newest that are looked at
        evaluate(database, writer, "often", number, number / 100)
    metrics = KeyMetrics()
    expected = {
        "never": NOTHING,
        "often": KeyMetric("accuracy", [number / 100 for number in range(50, 70)]),
        "seldom": KeyMetric("auc", [0.0, 0.125]),
    }
    assert read(reader, metrics) == expected
    database.execute("DELETE FROM penstock_summaries")  # of what is known already, nothing is read again
    assert read(reader, metrics) == expected


def test_what_is_evaluated_later_is_taken_in(database: Database, writer: StoreWriter, reader: Database) -> None:
    metrics = KeyMetrics()
    assert read(reader, metrics) == {}
    evaluate(database, writer, "taxi", 0, 0.5)
    evaluate(database, writer, "taxi", 1, None)
    assert read(reader, metrics) == {"taxi": KeyMetric("accuracy", [0.5])}
    # A run that is resumed after a newer one began.
    made = writer.artifact("ModelEvaluation", "/e/late")
    execution, [artifact] = writer.execute("taxi", "taxi-0", "second", outputs={"evaluation": [made]})
    recording.create_nodes(database, "taxi-0", [("second", "Evaluator")])
    recording.set_node(database, "taxi-0", "second", state="succeeded", execution_id=execution)
    recording.put_summary(database, artifact, "evaluation", {"slices": [{"slice": {}, "metrics": {"accuracy": 0.75}}]})
    assert read(reader, metrics) == {"taxi": KeyMetric("accuracy", [0.5, 0.75])}
    evaluate(database, writer, "taxi", 2, 0.25)
    assert read(reader, metrics) == {"taxi": KeyMetric("accuracy", [0.5, 0.75, 0.25])}


@pytest.mark.parametrize(
    "content", [{}, {"slices": []}, {"slices": [{"slice": {"hour": "1"}, "metrics": {"accuracy": 0.5}}]}]
)
def test_an_evaluation_without_overall_metrics_has_none(
    database: Database, writer: StoreWriter, reader: Database, content: dict[str, object]
) -> None:
    evaluate(database, writer, "taxi", 0, 0.5)
    database.execute("DELETE FROM penstock_summaries")
    [artifact] = reader.query("SELECT id FROM Artifact") if reader.has_mlmd() else []
    recording.put_summary(database, artifact["id"], "evaluation", content)
    assert read(reader, KeyMetrics()) == {"taxi": NOTHING}


def test_the_metric_is_read_in_two_queries(
    database: Database, writer: StoreWriter, reader: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        evaluate(database, writer, f"pipeline-{number}", number, 0.5)
    for number in range(25):  # more than are kept
        evaluate(database, writer, "often", number, 0.5)
    newest = runs.latest_runs(reader)
    assert reader.has_mlmd()
    asked: list[str] = []
    query = type(reader).query

    def counted(self: Database, sql: str, parameters: Mapping[str, Any] = NO_PARAMETERS) -> list[Row]:
        asked.append(sql)
        return query(self, sql, parameters)

    monkeypatch.setattr(type(reader), "query", counted)
    metrics = KeyMetrics()
    metrics.read(reader, newest)
    assert len(asked) == 2
    metrics.read(reader, newest)
    assert len(asked) == 3
