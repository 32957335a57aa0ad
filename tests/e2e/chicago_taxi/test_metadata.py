"""The metadata store as ml-metadata's own client reads it, and lineage through it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.chicago_taxi.conftest import Run
from tests.e2e.chicago_taxi.test_runs import NODES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]


@pytest.fixture(scope="module")
def metadata(second: Run) -> Any:
    """Everything in the store, read in a process of its own without Penstock."""
    script = Path(__file__).with_name("read_metadata.py")
    done = subprocess.run(
        [sys.executable, "-I", script, second.taxi.store / "metadata.db"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def executions_of(metadata: Any, run: Run) -> dict[str, Any]:
    """Node to its execution in a run."""
    found = {}
    for execution in metadata["executions"]:
        contexts = dict(execution["contexts"])
        if contexts.get("pipeline_run") == run.run_id:
            found[contexts["node"].removeprefix("chicago-taxi.")] = execution
    return found


def test_each_execution_is_in_the_contexts_of_its_pipeline_run_and_node(metadata: Any, first: Run) -> None:
    executions = executions_of(metadata, first)
    assert set(executions) == set(NODES)
    for node, execution in executions.items():
        contexts = dict(execution["contexts"])
        assert contexts["pipeline"] == "chicago-taxi"
        assert contexts["node"] == f"chicago-taxi.{node}"
        assert execution["state"] == "COMPLETE"
    names = {(context["type"], context["name"]) for context in metadata["contexts"]}
    assert {("pipeline", "chicago-taxi"), ("pipeline_run", first.run_id)} <= names


def test_types_and_states_are_those_tfx_writes(metadata: Any, first: Run, second: Run) -> None:
    executions = executions_of(metadata, first)
    assert executions["trainer"]["type"] == "tfx.components.trainer.component.Trainer"
    assert executions["baseline"]["type"] == "tfx.dsl.components.common.resolver.Resolver"
    again = executions_of(metadata, second)
    assert again["trainer"]["state"] == "CACHED" and again["evaluator"]["state"] == "COMPLETE"


def test_events_join_each_output_to_its_execution(metadata: Any, first: Run) -> None:
    artifacts = {artifact["id"]: artifact for artifact in metadata["artifacts"]}
    executions = executions_of(metadata, first)

    def joined(node: str, kind: str) -> dict[str, str]:
        return {
            event["key"]: artifacts[event["artifact"]]["type"]
            for event in metadata["events"]
            if event["execution"] == executions[node]["id"] and event["type"] == kind
        }

    assert joined("trainer", "INPUT") == {
        "examples": "Examples",
        "transform_graph": "TransformGraph",
        "schema": "Schema",
    }
    assert joined("trainer", "OUTPUT") == {"model": "Model", "model_run": "ModelRun"}
    assert joined("pusher", "INPUT") == {"model": "Model", "model_blessing": "ModelBlessing"}
    assert joined("pusher", "OUTPUT") == {"pushed_model": "PushedModel"}
    assert joined("evaluator", "INPUT") == {"examples": "Examples", "model": "Model", "schema": "Schema"}


def test_every_artifact_is_live_and_its_payload_exists(metadata: Any, first: Run) -> None:
    assert {artifact["state"] for artifact in metadata["artifacts"]} == {2}  # LIVE
    assert all(Path(artifact["uri"]).exists() for artifact in metadata["artifacts"])
    listed = first.taxi.read("artifacts", "list", "--pipeline", "chicago-taxi", "--limit", 1_000)
    uris = {artifact["uri"] for artifact in metadata["artifacts"]}
    assert {artifact["uri"] for artifact in listed} <= uris


def test_the_lineage_of_the_pushed_model_reaches_the_examples(first: Run) -> None:
    pushed = first.artifact("pusher", "pushed_model")["artifact_id"]
    lineage = first.taxi.read("artifacts", "lineage", pushed)
    assert {execution["node"] for execution in lineage["executions"]} == set(NODES) - {"baseline", "example_validator"}
    types = {artifact["artifact_id"]: artifact["type"] for artifact in lineage["artifacts"]}
    assert types[first.artifact("examples", "examples")["artifact_id"]] == "Examples"


def test_the_lineage_of_the_examples_reaches_the_pushed_model(first: Run) -> None:
    examples = first.artifact("examples", "examples")["artifact_id"]
    lineage = first.taxi.read("artifacts", "lineage", examples, "--down")
    pushed = first.artifact("pusher", "pushed_model")["artifact_id"]
    assert pushed in {artifact["artifact_id"] for artifact in lineage["artifacts"]}


def test_an_artifact_taken_under_two_names_is_shown_with_both(first: Run, second: Run) -> None:
    # In the second run the model that is evaluated and the blessed one are the same artifact.
    consumers = first.artifact("trainer", "model")["consumers"]
    keys = {use["key"] for use in consumers if (use["node"], use["run"]) == ("evaluator", second.run_id)}
    assert keys == {"model", "baseline_model"}
