"""Many watch one run whose server is killed and started again; pages of a store of copied runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import dashboard, dashboard_live, dashboard_store
from penstock.metadata.location import StoreLocation
from tests.conftest import Penstock


def test_nobody_misses_a_change_though_the_server_is_killed(tmp_path: Path) -> None:
    watched = dashboard_live.watch(StoreLocation(tmp_path / "store"), seconds=20, clients=8, pages=1, nodes=20)
    assert watched.troubles() == []
    assert len(watched.changes) == 40 and set(watched.final.values()) == {"succeeded"}
    assert "| changes that a client missed or saw out of order | 0 |" in dashboard_live.table(watched, 20)


def test_a_client_that_missed_something_is_told_of(tmp_path: Path) -> None:
    def told(*states: str) -> dashboard_live.Client:
        events = [
            dashboard_live.Event(float(at), {"a": state}, at == len(states) - 1) for at, state in enumerate(states)
        ]
        return dashboard_live.Client(0, events, connections=2)

    changes = [dashboard_live.Change(0.5, "a", "running"), dashboard_live.Change(1.5, "a", "succeeded")]
    good = told("waiting", "running", "succeeded")
    for client in (told("waiting", "succeeded"), told("waiting", "running", "waiting", "succeeded"), told("waiting")):
        watched = dashboard_live.Watched(changes, [good, client], [], {"a": "succeeded"}, [[1] * 9], 1.0)
        assert watched.troubles() and all("client 1" in trouble for trouble in watched.troubles())
    grown = [[100e6] * 3 + [110e6] * 3 + [130e6] * 3, [100e6] * 9]
    memory = [[int(size) for size in sizes] for sizes in grown]
    watched = dashboard_live.Watched(changes, [good], [({"a": "failed"}, False)], {"a": "succeeded"}, memory, 1.0)
    assert not watched.is_flat()
    assert len(watched.troubles()) == 2


@pytest.fixture(scope="module")
def copied(
    penstock: Penstock, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StoreLocation, dashboard_store.LargeStore]:
    """A store made as the benchmark's is, of fewer runs."""
    location = StoreLocation(tmp_path_factory.mktemp("copied") / "store")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in penstock.environ.items():
            patch.setenv(name, value)
        return location, dashboard_store.make(location, 400)


def test_pages_of_copied_runs_answer_in_few_queries(
    copied: tuple[StoreLocation, dashboard_store.LargeStore],
) -> None:
    location, store = copied
    measured = dashboard.measure(location, dashboard.pages(store, requests=3))
    assert {page: timing.queries for page, timing in measured.items() if timing.queries > dashboard.MOST_QUERIES} == {}
    assert "| a run |" in dashboard.table({"SQLite": measured}, None)


def test_a_copied_run_is_what_the_run_was_that_it_is_a_copy_of(
    copied: tuple[StoreLocation, dashboard_store.LargeStore],
) -> None:
    from penstock.metadata.artifacts import outputs_of_run
    from penstock.metadata.database import connect
    from penstock.metadata.lineage import lineage
    from penstock.metadata.runs import find_run, list_runs, nodes_of

    location, store = copied
    with connect(location, create=False) as database:
        runs = list_runs(database, limit=1000)
        assert len(runs) == 400 and runs[-1].run_id == "template-run"
        template, copy = (
            [(node, artifact.type, artifact.state) for node, artifact in outputs_of_run(database, run_id)]
            for run_id in ("template-run", store.sample[-1])
        )
        assert len(template) == 10 and [entry[:2] for entry in copy] == [entry[:2] for entry in template]
        run = find_run(database, store.sample[-1])
        assert run is not None
        for node, artifact in outputs_of_run(database, run.run_id):
            assert artifact.producer is not None
            made = artifact.producer.execution
            assert (made.run, made.pipeline, made.node) == (run.run_id, run.pipeline, node)
        for before, after in zip(nodes_of(database, "template-run"), nodes_of(database, run.run_id), strict=True):
            assert (before.node_id, before.component, before.detail) == (after.node_id, after.component, after.detail)
        graph = lineage(database, store.warm_model)
        assert len(graph.artifacts) + len(graph.executions) > 500
