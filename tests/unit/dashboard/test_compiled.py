"""Compiled pipelines as text, their nodes, and what differs between two."""

from __future__ import annotations

import pytest
import yaml

from penstock.dashboard import compiled
from penstock.dashboard.compiled import Difference
from penstock.dashboard.redaction import HIDDEN, Redactor
from tests.unit.dashboard.compiled_pipelines import pipeline

SETTINGS = {"resources": {"cpu": 2, "memory": "512Mi"}, "env": {"API_TOKEN": "abc", "MODE": "fast"}}
plain = Redactor([])


def test_the_text_holds_everything_and_is_yaml() -> None:
    policy = {"timeout_seconds": 60, "always": [{"command": ["echo", "over"]}]}
    document = compiled.read(pipeline(steps=7, settings=SETTINGS, policy=policy), plain)
    read = yaml.safe_load(compiled.text(document))
    assert read["pipeline_info"]["id"] == "taxi"
    nodes = [entry["pipeline_node"] for entry in read["nodes"]]
    assert [node["node_info"]["id"] for node in nodes] == ["examples", "trainer"]
    assert nodes[1]["parameters"]["parameters"]["num_steps"]["field_value"]["int_value"] == "7"
    executor = read["deployment_config"]["executor_specs"]["trainer"]
    assert executor["class_path"] == "tfx.components.trainer.executor.GenericExecutor"
    assert compiled.policy(document) == policy


def test_a_node_tells_inputs_parameters_options_and_what_it_asks() -> None:
    trainer = compiled.nodes(compiled.read(pipeline(settings=SETTINGS), plain))["trainer"]
    assert trainer.inputs == {"examples": "examples.examples"}
    assert trainer.parameters == {"num_steps": "10"}
    assert trainer.options["retries"] == "2"
    assert trainer.resources == {"cpu": "2", "memory": "512Mi"}


def test_secrets_are_hidden_wherever_they_stand() -> None:
    ir = pipeline(settings=SETTINGS, custom={"api_key": "xyz-xyz", "rate": 0.1, "note": "known-secret-value"})
    written = compiled.text(compiled.read(ir, Redactor(["known-secret-value"])))
    assert "xyz-xyz" not in written and "abc" not in written and "known-secret-value" not in written
    assert "fast" in written and "0.1" in written
    assert written.count(HIDDEN) == 3


def test_two_versions_differ_in_nodes_components_parameters_and_options() -> None:
    before = compiled.read(pipeline(steps=10), plain)
    after = compiled.read(pipeline(steps=20, component="a.b.Trainer", extra=True, settings=SETTINGS), plain)
    found = compiled.differences(before, after)
    assert (
        Difference("trainer", "component", "component", "tfx.components.trainer.component.Trainer", "a.b.Trainer")
        in found
    )
    assert Difference("trainer", "parameter", "num_steps", "10", "20") in found
    assert Difference("evaluator", "node", "evaluator", None, "Evaluator") in found
    assert [entry.name for entry in found if entry.kind == "option"] == ["env", "resources"]
    assert compiled.differences(before, before) == []
    backwards = compiled.differences(after, before)
    assert Difference("evaluator", "node", "evaluator", "Evaluator", None) in backwards
    lines = compiled.text_difference(before, after)
    assert lines is not None
    assert any(line.startswith("+") and "evaluator" in line for line in lines)
    assert compiled.text_difference(before, before) == []


@pytest.mark.parametrize("content", [b"\xff\xff\xff", b"no pipeline at all \xfe"])
def test_bytes_that_are_no_pipeline_are_refused(content: bytes) -> None:
    with pytest.raises(compiled.UnreadableError):
        compiled.read(content, plain)
