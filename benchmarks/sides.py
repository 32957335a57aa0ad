"""The two sides of the comparison: the same pipeline run by TFX's LocalDagRunner and by `penstock run`."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks import processes

REPOSITORY = Path(__file__).resolve().parents[1]
PIPELINE = REPOSITORY / "pipelines" / "chicago_taxi"
SLICED = "evaluator_sliced"
_SLICES = [{}, {"feature_keys": ["trip_start_hour"]}, {"feature_keys": ["trip_start_hour", "payment_type"]}]


@dataclass(frozen=True)
class Measured:
    """One run of a pipeline.

    Attributes:
        seconds: from typing the command to its end.
        peak_bytes: see `processes.Ran`.
        nodes: seconds of each node.
    """

    seconds: float
    peak_bytes: int
    nodes: Mapping[str, float] = field(default_factory=dict)

    def without(self, *nodes: str) -> float:
        """Seconds of the run without those of some nodes, beside which no other node runs."""
        return self.seconds - sum(self.nodes.get(node, 0.0) for node in nodes)


@dataclass(frozen=True)
class Case:
    """What is run: data, steps, and whether a second evaluation with slices follows the one without.

    Attributes:
        folder: for what the case makes.
        data: folder of the CSV file.
        train_steps: batches to train on.
        two_evaluations: evaluate the overall slice, then again with slices; otherwise as pipelines/chicago_taxi does.
    """

    folder: Path
    data: Path
    train_steps: int
    two_evaluations: bool

    @property
    def declaration(self) -> dict[str, Any]:
        """The declaration of pipelines/chicago_taxi with the case's values."""
        declared: dict[str, Any] = yaml.safe_load((PIPELINE / "pipeline.yaml").read_text())
        declared["parameters"]["train_steps"]["default"] = self.train_steps
        nodes = declared["nodes"]
        nodes["examples"]["component"], nodes["evaluator"]["component"] = "ArrowExampleGen", "ArrowEvaluator"
        if self.two_evaluations:
            config = nodes["evaluator"]["eval_config"]
            # One after the other, as TFX's runner has them, so that each has the machine for itself.
            sliced = {**nodes["evaluator"], "after": ["evaluator", "pusher"]}
            nodes[SLICED] = {**sliced, "eval_config": {**config, "slicing_specs": _SLICES}}
            nodes["evaluator"]["eval_config"] = {**config, "slicing_specs": [{}]}
        return declared


def tfx(case: Case) -> Measured:
    """Runs the case by TFX, in a new folder, so that nothing is cached."""
    home = case.folder / "tfx"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    declared = case.declaration
    nodes = declared["nodes"]
    settings = {
        "home": str(home),
        "data": str(case.data),
        "train_steps": case.train_steps,
        "eval_steps": declared["parameters"]["eval_steps"]["default"],
        "evaluations": {name: _plain(nodes[name]["eval_config"]) for name in ("evaluator", SLICED) if name in nodes},
    }
    file = home / "settings.json"
    file.write_text(json.dumps(settings))
    ran = processes.run(
        [sys.executable, "-m", "benchmarks.plain_taxi", file],
        cwd=REPOSITORY,
        env=processes.marked_environment(PYTHONPATH=_python_path()),
    )
    return Measured(ran.seconds, ran.peak_bytes, json.loads((home / "seconds.json").read_text()))


class Penstock:
    """Runs a case by `penstock run`, with workers of its own that stay warm until `stop`."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._project = case.folder / "penstock" / PIPELINE.name
        self._runtime = case.folder / "penstock" / "runtime"
        self._env = processes.marked_environment(
            PYTHONPATH=_python_path(), PENSTOCK_RUNTIME_DIR=str(self._runtime), PENSTOCK_WARM_MINUTES="30"
        )
        shutil.rmtree(self._project.parent, ignore_errors=True)
        shutil.copytree(PIPELINE, self._project, ignore=shutil.ignore_patterns("tests", "__pycache__", ".penstock"))
        (self._project / "pipeline.yaml").write_text(yaml.safe_dump(case.declaration, sort_keys=False))

    def run(self, store: str) -> Measured:
        """Runs the pipeline; a store of another name knows no earlier runs."""
        place = self._project.parent / f"store-{store}"
        pushed = f"push_to={self._project.parent / f'pushed-{store}'}"
        command: list[str | Path] = [
            "run",
            self._project,
            "--store",
            place,
            "-p",
            f"data={self._case.data}",
            "-p",
            pushed,
        ]
        ran = processes.run(_penstock(command), cwd=self._project, env=self._env)
        return Measured(ran.seconds, ran.peak_bytes, _node_seconds(place))

    def transform_with_statistics(self, store: str) -> float:
        """Returns the seconds of Transform where it makes what TFX's makes by default; a run before left its inputs."""
        file = self._project / "pipeline.yaml"
        declared = self._case.declaration
        declared["nodes"]["transform"]["disable_statistics"] = False
        file.write_text(yaml.safe_dump(declared, sort_keys=False))
        place = self._project.parent / f"store-{store}"
        command: list[str | Path] = ["run", self._project, "--store", place, "-p", f"data={self._case.data}"]
        command += ["--to", "transform"]
        processes.run(_penstock(command), cwd=self._project, env=self._env)
        file.write_text(yaml.safe_dump(self._case.declaration, sort_keys=False))
        return _node_seconds(place)["transform"]

    def warm(self) -> None:
        """Starts the workers, and waits until they are ready."""
        subprocess.run(_penstock(["warm"]), env=self._env, check=True, stderr=subprocess.DEVNULL)

    def close(self) -> None:
        """Ends the workers."""
        subprocess.run(_penstock(["warm", "--stop"]), env=self._env, check=True, stderr=subprocess.DEVNULL)


def prepare(folder: Path) -> None:
    """Loads once what both sides load, so that neither is the first to compile it or to read it from the disk."""
    environment = processes.marked_environment(PYTHONPATH=_python_path())
    processes.run([sys.executable, "-c", "import benchmarks.plain_taxi"], cwd=REPOSITORY, env=environment)
    environment |= {"PENSTOCK_RUNTIME_DIR": str(folder / "runtime")}
    for arguments in (["warm"], ["warm", "--stop"], ["run", "--help"]):
        processes.run(_penstock(arguments), cwd=REPOSITORY, env=environment)


def _plain(eval_config: dict[str, Any]) -> dict[str, Any]:
    """An `eval_config` as TFMA takes it: with each metric's settings as JSON in a string."""
    config = copy.deepcopy(eval_config)
    for specs in config["metrics_specs"]:
        for metric in specs["metrics"]:
            if "config" in metric:
                metric["config"] = json.dumps(metric["config"])
    return config


def _penstock(arguments: Sequence[str | Path]) -> list[str]:
    return [sys.executable, "-m", "penstock", *map(str, arguments)]


def _python_path() -> str:
    folders = [REPOSITORY / name for name in ("src", "components", "pipelines", ".")]
    return os.pathsep.join(map(str, folders))


def _node_seconds(store: Path) -> dict[str, float]:
    from penstock.metadata.database import connect
    from penstock.metadata.location import StoreLocation
    from penstock.metadata.runs import get_run, nodes_of

    with connect(StoreLocation(store), create=False) as database:
        nodes = nodes_of(database, get_run(database, "latest").run_id)
    return {
        node.node_id: node.finished_at - node.started_at
        for node in nodes
        if node.started_at is not None and node.finished_at is not None
    }
