"""The Chicago taxi pipeline, run for real once a session, and what plain TensorFlow finds in what it made."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.conftest import REPOSITORY, Penstock, Result
from tests.e2e.chicago_taxi.table import read_csv

PIPELINE = REPOSITORY / "pipelines" / "chicago_taxi"
SECONDS = 900


@dataclass(frozen=True)
class Taxi:
    """The folders a session's runs write to, and the command that runs and reads them."""

    penstock: Penstock
    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def push_folder(self) -> Path:
        return self.folder / "pushed"

    def run(self, pipeline: Path, *arguments: str) -> Run:
        """Runs a pipeline to its end; it must succeed."""
        result = self.penstock("run", pipeline, "--store", self.store, *arguments, timeout=SECONDS)
        assert result.status == 0, result.stderr[-8000:]
        return Run(self, result, self.read("runs", "show", "latest")["run_id"])

    def read(self, *arguments: str | int) -> Any:
        """What a reading command answers as JSON."""
        result = self.penstock(*map(str, arguments), "--store", self.store, "--json", timeout=60)
        assert result.status == 0, result.stderr
        return result.json


@dataclass(frozen=True)
class Run:
    """A run that has ended: what the command printed, and what is recorded of it."""

    taxi: Taxi
    result: Result
    run_id: str

    @cached_property
    def record(self) -> Any:
        """What `runs show` tells."""
        return self.taxi.read("runs", "show", self.run_id)

    def states(self) -> dict[str, str]:
        """Node to the state it ended in."""
        return {node["node_id"]: node["state"] for node in self.record["nodes"]}

    @cached_property
    def artifacts(self) -> Any:
        """What `artifacts list` tells of the run."""
        return self.taxi.read("artifacts", "list", "--run", self.run_id, "--limit", 100)

    def artifact(self, node: str, output: str) -> Any:
        """The one artifact that a node put out under this name, as `artifacts show` tells it."""
        [found] = [
            artifact
            for artifact in self.artifacts
            if (artifact["producer"]["node"], artifact["producer"]["key"]) == (node, output)
        ]
        return self.taxi.read("artifacts", "show", found["artifact_id"])

    def folder(self, node: str, output: str) -> Path:
        return Path(self.artifact(node, output)["uri"])

    def summary(self, node: str, output: str) -> Any:
        return self.artifact(node, output)["summary"]["content"]


@dataclass(frozen=True)
class Observed:
    """What plain TensorFlow finds; see `observe.py` for the groups of arrays and the facts."""

    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]

    def group(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of one group, by column or feature."""
        return {key.removeprefix(f"{name}/"): found for key, found in self.arrays.items() if key.startswith(f"{name}/")}


@pytest.fixture(scope="session")
def taxi(penstock: Penstock, tmp_path_factory: pytest.TempPathFactory) -> Taxi:
    return Taxi(penstock, tmp_path_factory.mktemp("taxi"))


@pytest.fixture(scope="session")
def first(taxi: Taxi) -> Run:
    """The pipeline as it is, run into an empty store."""
    return taxi.run(PIPELINE, "-p", f"push_to={taxi.push_folder}")


@pytest.fixture(scope="session")
def second(first: Run) -> Run:
    """The same again: now there is a blessed model to compare with."""
    return first.taxi.run(PIPELINE, "-p", f"push_to={first.taxi.push_folder}")


@pytest.fixture(scope="session")
def third(second: Run) -> Run:
    """The same once more: nothing at all is new."""
    return second.taxi.run(PIPELINE, "-p", f"push_to={second.taxi.push_folder}")


@pytest.fixture(scope="session")
def unmaterialized(first: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The pipeline up to the trainer, which gets raw examples: Transform writes its graph only."""
    folder = tmp_path_factory.mktemp("unmaterialized") / "chicago_taxi"
    shutil.copytree(PIPELINE, folder, ignore=shutil.ignore_patterns("__pycache__", "tests", "pushed", ".penstock"))
    declaration = yaml.safe_load((folder / "pipeline.yaml").read_text())
    nodes = declaration["nodes"]
    nodes["transform"]["materialize"] = False
    nodes["trainer"]["examples"] = "${nodes.examples.examples}"
    for node in ("baseline", "evaluator", "pusher"):
        del nodes[node]
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(declaration, sort_keys=False))
    return first.taxi.run(folder)


@pytest.fixture(scope="session")
def data_file() -> Path:
    """The CSV file that the declaration names."""
    place = yaml.safe_load((PIPELINE / "pipeline.yaml").read_text())["parameters"]["data"]["default"]
    package, _, rest = place.removeprefix("package://").partition("/")
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations
    [file] = (Path(spec.submodule_search_locations[0]) / rest).glob("*.csv")
    return file


@pytest.fixture(scope="session")
def trips(data_file: Path) -> dict[str, np.ndarray]:
    """The CSV's columns: text, or numbers in double precision; "" and NaN where a cell is empty."""
    return read_csv(data_file)


@pytest.fixture(scope="session")
def observed(first: Run, unmaterialized: Run, tmp_path_factory: pytest.TempPathFactory) -> Observed:
    """What a process finds that has TensorFlow, the run's files and a copy of the pushed model, and nothing else."""
    folder = tmp_path_factory.mktemp("observed")
    copy = folder / "elsewhere" / "model"
    shutil.copytree(first.record["pushed_to"], copy)
    splits = ("train", "eval")
    examples, transformed = first.folder("examples", "examples"), first.folder("transform", "transformed_examples")
    request = {
        "examples": {split: str(examples / f"Split-{split}") for split in splits},
        "transformed": {split: str(transformed / f"Split-{split}") for split in splits},
        "pushed": str(copy),
        "trained": str(first.folder("trainer", "model") / "Format-Serving"),
        "unmaterialized": str(unmaterialized.folder("trainer", "model") / "Format-Serving"),
        "out": str(folder),
    }
    (folder / "request.json").write_text(json.dumps(request))
    script = Path(shutil.copy(Path(__file__).with_name("observe.py"), folder))
    done = subprocess.run(
        # -I: neither the checkout's folders nor the variables that name them.
        [sys.executable, "-I", script, folder / "request.json"],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr[-8000:]
    with np.load(folder / "arrays.npz") as arrays:
        return Observed(dict(arrays), json.loads((folder / "facts.json").read_text()))
