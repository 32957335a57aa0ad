"""A small store, written as runs write it, and a dashboard that shows it; no browser, no TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.testclient import TestClient

from penstock.dashboard.app import create_app
from penstock.dashboard.settings import Settings
from penstock.metadata import recording
from penstock.metadata.database import connect
from penstock.metadata.location import StoreLocation
from tests.integration.metadata.stores import StoreWriter

GOOD, BAD = "20260101-000000-good", "20260102-000000-bad1"
CANARY = "canary-4711-do-not-show"
CAUSE = "RuntimeError: <b>the data is gone</b>"


@dataclass(frozen=True)
class Store:
    """The store, and ids of artifacts in it by output name."""

    location: StoreLocation
    artifacts: dict[str, int]


class Maker:
    """Records executions of the pipeline `taxi` that make an artifact each.

    Attributes:
        writer: records what is not so simple.
        artifacts: ids of what was made, by its name.
        executions: ids of the executions, by the names of what they made.
    """

    def __init__(self, location: StoreLocation):
        self.writer = StoreWriter(location)
        self.artifacts: dict[str, int] = {}
        self.executions: dict[str, int] = {}

    def make(
        self, name: str, node: str, type_: str, inputs: Sequence[str] = (), *, run: str = GOOD, **properties: Any
    ) -> None:
        """Records that a node made an artifact of a type, of what was made before under the names of `inputs`."""
        self.executions[name], [self.artifacts[name]] = self.writer.execute(
            "taxi",
            run,
            node,
            inputs={key: [self.artifacts[key]] for key in inputs},
            outputs={name: [self.writer.artifact(type_, f"/data/{name}", properties)]},
        )


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two runs of one pipeline, the newer one failed; the older made examples, a model and an evaluation of it."""
    location = StoreLocation(tmp_path_factory.mktemp("dashboard") / "store")
    maker = Maker(location)
    maker.make("examples", "examples", "Examples")
    maker.make("model", "trainer", "Model", ["examples"])
    maker.make("evaluation", "evaluator", "ModelEvaluation", ["model", "examples"])
    made = maker.artifacts
    executions = {
        "examples": maker.executions["examples"],
        "trainer": maker.executions["model"],
        "evaluator": maker.executions["evaluation"],
    }
    nodes = [("examples", "CsvExampleGen"), ("trainer", "Trainer"), ("evaluator", "Evaluator")]
    with connect(location, create=True) as database:
        recording.create_run(
            database,
            GOOD,
            "taxi",
            environment="local",
            source="/nowhere/pipeline.yaml",
            nodes=nodes,
            parameters={"steps": 10, "api_token": CANARY},
        )
        for node, execution in executions.items():
            log = f"runs/{GOOD}/{node}/attempt-1/log.txt"
            path = location.folder / log
            path.parent.mkdir(parents=True)
            path.write_text("".join(f"line {number} of {node} <script>\n" for number in range(1, 301)))
            recording.set_node(database, GOOD, node, state="running", attempt=1, log=log)
            recording.set_node(database, GOOD, node, state="succeeded", execution_id=execution)
        recording.put_summary(database, made["examples"], "examples", {"splits": {"train": 200, "eval": 100}})
        recording.put_summary(database, made["evaluation"], "evaluation", evaluation())
        recording.set_run_state(database, GOOD, "succeeded")
        recording.create_run(database, BAD, "taxi", environment="local", nodes=nodes, parameters={"steps": 20})
        recording.set_node(database, BAD, "examples", state="running", attempt=1, log="../../outside.txt")
        recording.set_node(database, BAD, "examples", state="failed", error=CAUSE)
        for node in ("trainer", "evaluator"):
            recording.set_node(database, BAD, node, state="upstream_failed")
        recording.set_run_state(database, BAD, "failed", CAUSE)
    (location.folder.parent.parent / "outside.txt").write_text("not for readers")
    return Store(location, made)


def evaluation() -> dict[str, Any]:
    """The summary of an evaluation with two slices by hour; the one of hour 9 is small and bad."""

    def row(features: dict[str, str], count: int, accuracy: float) -> dict[str, Any]:
        return {
            "slice": features,
            "metrics": {"example_count": float(count), "binary_accuracy": accuracy},
            "changes": {},
        }

    return {
        "model": "/data/model",
        "slices": [row({}, 100, 0.8), row({"hour": "8"}, 90, 0.9), row({"hour": "9"}, 10, 0.1)],
        "thresholds": [
            {"metric": "binary_accuracy", "slice": {}, "bound": "≥ 0.7", "value": 0.8, "baseline": None, "passed": True}
        ],
        "blessed": True,
    }


@pytest.fixture
def client(store: Store) -> Iterator[TestClient]:
    """A browser without scripts, on this machine."""
    with TestClient(create_app(Settings(store.location)), base_url="http://localhost") as found:
        yield found


def csrf(page: str) -> str:
    """The token of a page's first form that changes something."""
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', page)
    assert found is not None, page
    return found[1]
