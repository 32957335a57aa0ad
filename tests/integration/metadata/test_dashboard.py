"""What the dashboard reads and writes, and its pages, on each kind of store."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from penstock.dashboard.app import create_app
from penstock.dashboard.settings import Settings
from penstock.errors import UsageError
from penstock.metadata import artifacts, comparison, notes, plots, recording, runs
from penstock.metadata.database import Database, connect
from penstock.metadata.location import StoreLocation
from penstock.metadata.series import Evaluations, key_metric, overall_metrics
from tests.integration.metadata.stores import StoreWriter


def record(database: Database, run_id: str, pipeline: str, state: str = "succeeded", error: str | None = None) -> None:
    recording.create_run(database, run_id, pipeline, parameters={"rate": "50%_off", "n": len(run_id)})
    if state != "running":
        recording.set_run_state(database, run_id, state, error)


def ids(found: list[runs.Run]) -> list[str]:
    return [run.run_id for run in found]


def test_runs_are_found_by_text_and_time(database: Database) -> None:
    record(database, "one", "taxi")
    record(database, "two", "penguin", "failed", "The WELL is dry")
    # Runs that come fast are recorded a little ahead of the clock.
    time.sleep(0.01)
    between = time.time()
    time.sleep(0.01)
    record(database, "three", "taxi")
    assert ids(runs.list_runs(database, text="well")) == ["two"]
    assert ids(runs.list_runs(database, text="TAXI")) == ["three", "one"]
    assert ids(runs.list_runs(database, text="50%_off", limit=2)) == ["three", "two"]
    for literal in ("50__off", "%well", "_", "!", "\\", "'"):
        assert len(runs.list_runs(database, text=literal)) == (3 if literal == "_" else 0), literal
    assert ids(runs.list_runs(database, since=between)) == ["three"]
    assert ids(runs.list_runs(database, text="taxi", since=between, state="failed")) == []
    assert ids(runs.list_runs(database, text="taxi", limit=1, before="three")) == ["one"]


def test_each_pipeline_has_one_latest_run(database: Database) -> None:
    assert runs.latest_runs(database) == []
    for number in range(3):
        record(database, f"b{number}", "b")
        record(database, f"a{number}", "a")
    assert ids(runs.latest_runs(database)) == ["a2", "b2"]


def test_notes_are_kept_replaced_and_bounded(database: Database) -> None:
    record(database, "one", "taxi")
    for name in ("first", "second"):
        notes.put(database, "one", notes.Note(name, "why: 'quoted' :colon 100 %"))
    assert notes.find(database, ["one", "none"]) == {"one": notes.Note("second", "why: 'quoted' :colon 100 %")}
    with pytest.raises(UsageError, match="100 are allowed"):
        notes.put(database, "one", notes.Note("x" * 101))


def test_plots_are_found_by_slice(database: Database) -> None:
    recording.put_summary(
        database, 3, "evaluation", {"slices": [], "plots": [{"slice": {"b": "é", "a": "1"}, "plots": {"x": [1.5]}}]}
    )
    key = plots.slice_key({"a": "1", "b": "é"})
    assert plots.find(database, 3, [{"b": "é", "a": "1"}, {}]) == {key: {"plots": {"x": [1.5]}}}
    summary = runs.find_summary(database, 3)
    assert summary is not None and summary.content == {"slices": []}


def evaluate(location: StoreLocation, database: Database, run_id: str, accuracy: float) -> int:
    writer = StoreWriter(location)
    _, [made] = writer.execute(
        "taxi", run_id, "evaluator", outputs={"evaluation": [writer.artifact("ModelEvaluation", f"/e/{run_id}")]}
    )
    content = {
        "model": None,
        "slices": [{"slice": {}, "metrics": {"example_count": 10.0, "accuracy": accuracy}, "changes": {}}],
        "thresholds": [],
        "blessed": None,
    }
    recording.put_summary(database, made, "evaluation", content)
    return made


def test_a_series_is_in_order_of_time_and_reads_each_evaluation_once(
    location: StoreLocation, database: Database
) -> None:
    for number in range(4):
        record(database, f"r{number}", "taxi")
        evaluate(location, database, f"r{number}", number / 10)
    evaluations = Evaluations()
    with connect(location, create=False) as reader:
        for _ in range(2):
            points = evaluations.series(reader, "taxi", 3)
            assert [point.run_id for point in points] == ["r1", "r2", "r3"]
            assert [overall_metrics(point.evaluation)["accuracy"] for point in points] == [0.1, 0.2, 0.3]
            assert key_metric(points[-1].evaluation) == "accuracy"
            database.execute("DELETE FROM penstock_summaries")
        assert evaluations.series(reader, "other", 3) == []
        assert artifacts.artifact_types(reader) == ["ModelEvaluation"]
        assert artifacts.pipeline_names(reader) == ["taxi"]


def test_a_comparison_names_what_changed(location: StoreLocation, database: Database) -> None:
    names = ("code", "inputs", "parameters", "environment", "packages", "outputs")
    parts = {"component": "C", "executor": "E", **{name: {} for name in names}}
    for run_id, steps in (("before", 1), ("after", 2)):
        record(database, run_id, "taxi")
        changed = {**parts, "parameters": {"steps": steps}}
        recording.put_cache_decision(database, run_id, "trainer", key="k", outcome="miss", reason="", parts=changed)
        evaluate(location, database, run_id, steps / 10)
    with connect(location, create=False) as reader:
        first, second = (runs.get_run(reader, name) for name in ("before", "after"))
        found = comparison.compare(reader, first, second)
    assert [(change.kind, change.name) for change in found.changes["trainer"]] == [("parameter", "steps")]
    assert {row.metric: row.change for row in found.overall}["accuracy"] == pytest.approx(0.1)
    assert [pair.name for pair in found.parameters if pair.differs] == ["n"]
    with connect(location, create=False) as reader:
        assert comparison.compare(reader, first, replace(first)).changes == {}


def test_no_page_asks_the_store_more_than_ten_times(
    location: StoreLocation, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = 0
    for number in range(3):
        record(database, f"r{number}", "taxi")
        recording.create_nodes(database, f"r{number}", [("evaluator", "Evaluator")])
        made = evaluate(location, database, f"r{number}", number / 10)
    client = TestClient(create_app(Settings(location)), base_url="http://localhost")
    asked: list[str] = []
    query = type(database).query

    def counted(self: Database, sql: str, *arguments: object) -> list[dict[str, object]]:
        asked.append(sql)
        return query(self, sql, *arguments)  # type: ignore[arg-type]

    pages = (
        "/runs",
        "/runs/r1",
        "/runs/r1/nodes/evaluator",
        "/artifacts",
        f"/artifacts/{made}",
        f"/artifacts/{made}/slices?against={made - 1}",
        f"/artifacts/{made}/lineage",
        "/models",
        "/compare?a=r0&b=r1",
    )
    for path in pages:
        # The first answer opens a connection and looks which tables there are.
        assert client.get(path).status_code == 200, path
        monkeypatch.setattr(type(database), "query", counted)
        asked.clear()
        assert client.get(path).status_code == 200
        monkeypatch.undo()
        assert len(asked) <= 10, (path, asked)
