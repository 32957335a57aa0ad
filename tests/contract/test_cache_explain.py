"""`penstock cache explain` after real runs: it names what changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.metadata.database import connect
from penstock.metadata.location import StoreLocation
from tests.conftest import Penstock
from tests.contract.backend import LocalBackend, Outcome, Project

NODES = """
one: {component: 'steps:number', value: 1}
two: {component: 'steps:add', a: '${nodes.one.made}'}
apart: {component: 'steps:variable', name: COLOUR, env: {COLOUR: blue}, cache: false}
"""


@pytest.fixture(scope="module")
def first(penstock: Penstock, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Outcome]:
    """A project and its first run."""
    project = Project.make(tmp_path_factory.mktemp("explained"))
    project.declare("explained", NODES)
    return project, LocalBackend(penstock).run(project, "", ("--run-id", "first"))


def explain(outcome: Outcome, node: str) -> Any:
    return outcome.store.read("cache", "explain", outcome.run_id, node)


def changes(outcome: Outcome, node: str) -> list[tuple[str, str, str]]:
    """What is said to have changed: kind, name, how."""
    return [(change["kind"], change["name"], change["how"]) for change in explain(outcome, node)["changes"]]


def test_the_first_run_has_nothing_to_compare_with(first: tuple[Project, Outcome]) -> None:
    _, outcome = first
    explained = explain(outcome, "one")
    assert explained["outcome"] == "miss"
    assert explained["reason"] == "no earlier execution has this key"
    assert (explained["compared_with"], explained["changes"]) == (None, [])


def test_a_node_whose_cache_is_off(first: tuple[Project, Outcome]) -> None:
    explained = explain(first[1], "apart")
    assert explained["outcome"] == "off"
    assert "the declaration switches the node's cache off" in explained["reason"]


def test_a_node_that_is_not_there(first: tuple[Project, Outcome], penstock: Penstock) -> None:
    project, _ = first
    done = penstock("cache", "explain", "first", "nobody", "--store", project.store)
    assert done.status == 2
    assert "The cache was not asked for node 'nobody' in run first" in done.stderr


def test_each_change_is_named(first: tuple[Project, Outcome], penstock: Penstock) -> None:
    """One run after another, each with one change to the one before."""
    project, before = first
    backend = LocalBackend(penstock)

    same = backend.run(project, "", ())
    explained = explain(same, "two")
    execution = before.nodes["two"]["execution_id"]
    assert (explained["outcome"], explained["reason"]) == ("hit", f"execution {execution} had the same key")
    assert explained["changes"] == []
    shown = penstock("cache", "explain", "latest", "two", "--store", project.store)
    assert shown.stdout.startswith("two came from the cache: ")

    project.declare("explained", NODES.replace("value: 1", "value: 2").replace("blue", "red"))
    parameter = backend.run(project, "", ())
    assert changes(parameter, "one") == [("parameter", "value", "changed")]
    assert changes(parameter, "two") == [("input", "a", "changed")]
    assert changes(parameter, "apart") == [("environment variable", "COLOUR", "changed")]
    assert explain(parameter, "one")["compared_with"] == same.run_id

    module = project.folder / "steps.py"
    text = module.read_text()
    assert '"made": a + b}' in text
    module.write_text(text.replace('"made": a + b}', '"made": b + a}'))
    code = backend.run(project, "", ())
    assert changes(code, "two") == [("code", "steps.py: add", "changed")]
    shown = penstock("cache", "explain", "latest", "two", "--store", project.store)
    assert "changed code steps.py: add" in shown.stdout

    off = backend.run(project, "", ("--no-cache",))
    assert explain(off, "two")["outcome"] == "off"
    assert "--no-cache" in explain(off, "two")["reason"]

    pretend_other_package(project, off.run_id, "two", "tensorflow", "1.0")
    (project.folder / "steps.py").write_text(text)
    package = backend.run(project, "", ("--no-cache",))
    [named] = [name for kind, name, _ in changes(package, "two") if kind == "package"]
    assert named.startswith("tensorflow 1.0 → ")


def pretend_other_package(project: Project, run_id: str, node: str, package: str, version: str) -> None:
    """Records that a run had another version of a package."""
    key = {"run_id": run_id, "node_id": node}
    where = "WHERE run_id = :run_id AND node_id = :node_id"
    with connect(StoreLocation(project.store), create=False) as database:
        [row] = database.query(f"SELECT parts FROM penstock_cache_decisions {where}", key)
        parts = json.loads(row["parts"])
        parts["packages"][package] = version
    with connect(StoreLocation(Path(project.store)), create=True) as database:
        database.execute(
            f"UPDATE penstock_cache_decisions SET parts = :parts {where}", {**key, "parts": json.dumps(parts)}
        )
