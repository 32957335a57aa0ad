"""Runs every shape through the backends there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Penstock
from tests.contract.backend import Backend, LocalBackend, Project
from tests.contract.shapes import SHAPES, Shape, run_shape


@pytest.fixture(params=["local"])
def backend(penstock: Penstock) -> Backend:
    return LocalBackend(penstock)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_shape(shape: Shape, backend: Backend, tmp_path: Path) -> None:
    run_shape(shape, backend, Project.make(tmp_path))


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
