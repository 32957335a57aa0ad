"""Indices on ml-metadata's tables, and lists that look at a part of a store at a time."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from penstock.metadata import indices, recording, runs
from penstock.metadata.artifacts import ArtifactFilters, find_page, list_artifacts
from penstock.metadata.database import Database, connect
from penstock.metadata.location import StoreLocation
from tests.integration.metadata.stores import StoreWriter

_OPEN = """
import sys
from pathlib import Path
from penstock.metadata import mlmd
from penstock.metadata.location import StoreLocation
mlmd.open_store(StoreLocation(Path(sys.argv[1]), sys.argv[2] or None)).close()
"""


def known_indices(database: Database) -> set[str]:
    assert database.has_mlmd()
    sql = (
        "SELECT name FROM mlmd.sqlite_master WHERE type = 'index'"
        if database.location.database is None
        else "SELECT indexname AS name FROM pg_indexes"
    )
    return {row["name"] for row in database.query(sql)}


def test_an_old_store_gets_its_indices_from_whoever_opens_it_first(location: StoreLocation) -> None:
    writer = StoreWriter(location)
    writer.execute("taxi", "r", "first", outputs={"made": [writer.artifact("Model", "/a")]})
    del writer
    with connect(location, create=True) as database:
        assert known_indices(database).isdisjoint(indices.NAMES)
    command = [sys.executable, "-c", _OPEN, str(location.folder), location.database or ""]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [subprocess.Popen(command, env=environment) for _ in range(4)]
    assert [process.wait(timeout=60) for process in processes] == [0] * 4
    with connect(location, create=False) as database:
        assert known_indices(database).issuperset(indices.NAMES)
        assert [artifact.uri for artifact in list_artifacts(database, type="Model")] == ["/a"]


def test_pages_of_artifacts_miss_nothing_however_little_is_looked_at(location: StoreLocation) -> None:
    writer = StoreWriter(location)
    for number in range(12):
        pipeline = "taxi" if number % 3 else "penguin"
        artifact = writer.artifact("Model" if number % 2 else "Examples", f"/{number}")
        if number in (2, 7):
            artifact.state = 4
        _, [made] = writer.execute(pipeline, f"r{number}", "node", outputs={"made": [artifact]})
        # Taking an artifact is not making it.
        writer.execute("reader", f"s{number}", "node", inputs={"taken": [made]})
    asked: tuple[ArtifactFilters, ...] = (
        {},
        {"type": "Model"},
        {"pipeline": "taxi"},
        {"pipeline": "reader"},
        {"pipeline": "taxi", "type": "Model"},
        {"state": "deleted"},
        {"state": "live", "pipeline": "taxi"},
        {"state": "deleted", "type": "Model", "pipeline": "taxi"},
        {"type": "Schema", "pipeline": "taxi"},
        {"run": "r4"},
    )
    with connect(location, create=True) as database:
        for filters in asked:
            expected = [
                artifact.artifact_id
                for artifact in list_artifacts(database, limit=100)
                if (filters.get("type") in (None, artifact.type))
                and (filters.get("state") in (None, artifact.state))
                and artifact.producer is not None
                and (filters.get("pipeline") in (None, artifact.producer.execution.pipeline))
                and (filters.get("run") in (None, artifact.producer.execution.run))
            ]
            for limit, looks in ((1, 1), (2, 3), (3, 2), (50, 1), (50, 100)):
                seen: list[int] = []
                before: int | None = None
                while True:
                    page = find_page(database, **filters, limit=limit, before=before, looks=looks)
                    assert len(page.artifacts) <= limit
                    seen += [artifact.artifact_id for artifact in page.artifacts]
                    before = page.next
                    if before is None:
                        break
                assert seen == expected, (filters, limit, looks)


def test_a_search_of_runs_goes_on_where_it_stopped(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(11):
        recording.create_run(database, f"r{number}", "taxi" if number % 2 else "penguin", parameters={"n": number % 3})
        recording.set_run_state(database, f"r{number}", "failed", "the WELL is dry" if number in (0, 6) else None)
    monkeypatch.setattr(runs, "_LOOKED_AT", 3)
    assert [run.run_id for run in runs.list_runs(database, text="well")] == ["r6", "r0"]
    assert [run.run_id for run in runs.list_runs(database, text='"n": 1', pipeline="taxi")] == ["r7", "r1"]
    first = runs.find_page(database, text="well", limit=5)
    assert (first.runs, first.next) == ([], "r8")
    second = runs.find_page(database, text="well", limit=5, before=first.next)
    assert ([run.run_id for run in second.runs], second.next) == (["r6"], "r5")
    assert runs.list_runs(database, text="nowhere") == []
    assert [run.run_id for run in runs.find_page(database, limit=3).runs] == ["r10", "r9", "r8"]


def test_an_older_store_is_taken_up(database: Database) -> None:
    """Version 4 had no index of a pipeline's runs by state."""
    database.execute("DROP INDEX penstock_runs_pipeline_state")
    database.execute("UPDATE penstock_schema SET version = 4")
    with connect(database.location, create=True) as again:
        again.execute("DROP INDEX penstock_runs_pipeline_state")
