"""The shapes of the contract suite, run step by step as a pipeline package has it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from penstock.metadata import logs as kept_logs
from penstock.metadata.database import connect
from penstock.metadata.location import StoreLocation
from tests.cluster import package_runner
from tests.conftest import Penstock
from tests.contract.backend import Outcome, Project, Store
from tests.contract.shapes import SHAPES, Shape, run_shape

ENVIRONMENT = """\
environments:
  cluster:
    backend: kubeflow
    pipeline_root: {root}
    kubeflow:
      image: penstock-nodes:latest
      project: {project}
      volumes: [{{claim: shared, path: {root}}}]
"""
# What starts on a cluster is a declaration, all of it, with its cache.
OPTIONS = frozenset(("--jobs", "2", "3"))
ON_A_CLUSTER = [
    shape for shape in SHAPES if not shape.source and all(OPTIONS.issuperset(each.options) for each in shape.rounds)
]


@dataclass(frozen=True)
class PackageBackend:
    """Compiles a package and runs its steps."""

    penstock: Penstock

    def run(self, project: Project, source: str, options: Sequence[str]) -> Outcome:
        """Runs it to its end."""
        declaration = project.folder / "pipeline.yaml"
        if "environments:" not in declaration.read_text():
            environment = ENVIRONMENT.format(root=project.store / "pipelines", project=project.folder)
            declaration.write_text(f"{declaration.read_text()}{environment}")
        target = project.folder / "package.yaml"
        store = ("--store", project.store)
        done = self.penstock("compile", project.folder, "--env", "cluster", "-o", target, *store, cwd=project.folder)
        assert done.status == 0, done.stderr
        run_id = str(uuid.uuid4())
        environ: Mapping[str, str] = {**self.penstock.environ, "PENSTOCK_STORE": str(project.store)}
        ran = package_runner.run(package_runner.Package.read(target), run_id, {}, project.folder, environ)
        assert "Warning" not in ran.said
        for name in set(ran.tasks) - {"begin", "end"}:
            logs = sorted((project.store / "runs" / run_id / name).glob("attempt-*/log.txt"))
            written = [log.read_text() for log in logs]
            assert ran.tasks[name].log == "".join(written)
            for log in logs:
                log.unlink()  # as with the disk of a container
            with connect(StoreLocation(project.store), create=False) as database:
                kept_logs.fetch(database, run_id, name)
            assert [log.read_text() if log.exists() else "" for log in logs] == written
        return Outcome(0 if ran.succeeded else 1, ran.said, Store(str(project.store)), run_id)


def test_most_shapes_are_run() -> None:
    assert len(ON_A_CLUSTER) >= 20


@pytest.mark.parametrize("shape", ON_A_CLUSTER, ids=lambda shape: shape.name)
def test_shape(shape: Shape, penstock: Penstock, tmp_path: Path) -> None:
    run_shape(shape, PackageBackend(penstock), Project.make(tmp_path))
