"""What a backend does with a small pipeline. Another backend takes part by another `Backend`; the shapes stay."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from click.testing import CliRunner

from penstock.cli.main import cli
from tests.conftest import Penstock

PARTS = Path(__file__).with_name("project")


@dataclass(frozen=True)
class Project:
    """A folder with pipelines and the components they are made of; the store is beside it."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Project:
        """Makes a project without a pipeline."""
        shutil.copytree(PARTS, folder / "project", ignore=shutil.ignore_patterns("__pycache__"))
        return cls(folder / "project")

    @property
    def store(self) -> Path:
        """The folder of its store, which need not be there yet."""
        return self.folder.with_name("store")

    def declare(self, name: str, nodes: str) -> None:
        """Writes pipeline.yaml; `FOLDER` in the nodes becomes the project's folder."""
        lines = nodes.replace("FOLDER", str(self.folder)).strip("\n").splitlines()
        body = "".join(f"  {line}\n" for line in lines)
        (self.folder / "pipeline.yaml").write_text(f"penstock: 1\nname: {name}\nnodes:\n{body}")


@dataclass(frozen=True)
class Store:
    """A metadata store as its readers show it."""

    name: str

    def read(self, *arguments: str) -> Any:
        """What a reading command prints with `--json`."""
        done = CliRunner().invoke(cli, [*arguments, "--json", "--store", self.name], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)


@dataclass(frozen=True)
class Outcome:
    """How one run ended, and what the store says of it."""

    status: int
    said: str
    store: Store
    run_id: str

    @property
    def state(self) -> str:
        """The run's state."""
        return str(self.store.read("runs", "show", self.run_id)["state"])

    @property
    def nodes(self) -> dict[str, dict[str, Any]]:
        """What is recorded of each node."""
        return {node["node_id"]: node for node in self.store.read("runs", "show", self.run_id)["nodes"]}

    def outputs(self) -> dict[str, list[dict[str, Any]]]:
        """The artifacts that the run put out, from the cache too, by `NODE.OUTPUT`."""
        found: dict[str, list[dict[str, Any]]] = {}
        for artifact in self.store.read("artifacts", "list", "--run", self.run_id, "--limit", "10000"):
            producer = artifact["producer"]
            found.setdefault(f"{producer['node']}.{producer['key']}", []).append(artifact)
        return found

    def value(self, output: str) -> str:
        """The value of the one artifact that `NODE.OUTPUT` is."""
        [artifact] = self.outputs()[output]
        return Path(artifact["uri"]).read_text()

    def origins(self, output: str) -> set[str]:
        """The nodes that the one artifact `NODE.OUTPUT` goes back to, its own among them."""
        [artifact] = self.outputs()[output]
        graph = self.store.read("artifacts", "lineage", str(artifact["artifact_id"]), "--up")
        return {execution["node"] for execution in graph["executions"]}


class Backend(Protocol):
    """Runs a project's pipeline and says how it ended."""

    def run(self, project: Project, source: str, options: Sequence[str]) -> Outcome:
        """Runs it to its end.

        Args:
            project: the project.
            source: the pipeline in it: empty for its pipeline.yaml, or `FILE.py:CALLABLE`.
            options: those of `penstock run`.
        """
        ...


@dataclass(frozen=True)
class LocalBackend:
    """This machine, through the command line."""

    penstock: Penstock
    environ: Mapping[str, str] | None = None

    def run(self, project: Project, source: str, options: Sequence[str]) -> Outcome:
        path = () if "--resume" in options else (f"{project.folder}/{source}",)
        done = self.penstock("run", *path, "--store", project.store, *options, cwd=project.folder, environ=self.environ)
        store = Store(str(project.store))
        recorded = store.read("runs", "list")
        assert recorded, done.stderr
        return Outcome(done.status, done.stderr, store, recorded[0]["run_id"])
