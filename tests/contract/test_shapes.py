"""Runs every shape through the backends there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Penstock
from tests.contract.backend import Backend, LocalBackend, Outcome, Project
from tests.contract.shapes import SHAPES, Round, Shape


@pytest.fixture(params=["local"])
def backend(penstock: Penstock) -> Backend:
    return LocalBackend(penstock)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_shape(shape: Shape, backend: Backend, tmp_path: Path) -> None:
    project = Project.make(tmp_path)
    outcomes: list[Outcome] = []
    for expected in shape.rounds:
        if expected.nodes is not None:
            project.declare(shape.name, expected.nodes)
        if expected.prepare is not None:
            expected.prepare(project, outcomes)
        outcomes.append(backend.run(project, shape.source, expected.options))
        assert_fulfils(outcomes[-1], expected)
        if expected.check is not None:
            expected.check(project, outcomes)


def assert_fulfils(outcome: Outcome, expected: Round) -> None:
    """Compares how a run ended with what was to be."""
    nodes = outcome.nodes
    assert {name: node["state"] for name, node in nodes.items()} == dict(expected.states), outcome.said
    assert (outcome.status, outcome.state) == ((0, "succeeded") if expected.succeeds else (1, "failed"))
    assert "Traceback" not in outcome.said
    assert {name: nodes[name]["attempt"] for name in expected.attempts} == dict(expected.attempts)
    for name, text in expected.errors.items():
        assert text in nodes[name]["error"]
    assert {output: outcome.value(output) for output in expected.values} == dict(expected.values)
    for output, origins in expected.origins.items():
        assert outcome.origins(output) == origins


def test_a_run_id_is_used_once(backend: Backend, tmp_path: Path) -> None:
    project = Project.make(tmp_path)
    project.declare("once", "one: {component: 'steps:number', value: 1}")
    first = backend.run(project, "", ("--run-id", "mine"))
    assert (first.status, first.run_id) == (0, "mine")
    before = first.nodes
    second = backend.run(project, "", ("--run-id", "mine"))
    assert second.status == 2
    assert "There already is a run 'mine'" in second.said
    assert [run["run_id"] for run in second.store.read("runs", "list")] == ["mine"]
    assert second.nodes == before
    assert len(second.outputs()["one.made"]) == 1
