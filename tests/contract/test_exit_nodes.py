"""Nodes that run when the run has ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Penstock
from tests.contract.backend import LocalBackend, Outcome, Project

NODES = """
one: {component: 'steps:number', value: 3}
checked: {component: 'steps:check', a: '${nodes.one.made}', most: MOST}
told: {component: 'steps:variable', name: PENSTOCK_RUN_STATE}
cause: {component: 'steps:variable', name: PENSTOCK_RUN_ERROR}
celebrated: {component: 'steps:variable', name: PENSTOCK_RUN_ID}
"""
HANDLERS = """
always: [{node: told}]
on_failure: [{node: cause}]
on_success: [{node: celebrated}]
"""
Run = Callable[..., Outcome]


@pytest.fixture
def run(penstock: Penstock, tmp_path: Path) -> Run:
    project = Project.make(tmp_path)

    def run(*options: str, most: int = 9, handlers: str = HANDLERS) -> Outcome:
        project.declare("ending", NODES.replace("MOST", str(most)))
        with (project.folder / "pipeline.yaml").open("a") as file:
            file.write(handlers)
        return LocalBackend(penstock).run(project, "", options)

    return run


def _states(outcome: Outcome) -> dict[str, str]:
    return {name: node["state"] for name, node in outcome.nodes.items()}


def test_after_success_and_every_time(run: Run) -> None:
    for upstream in ("succeeded", "cached"):
        outcome = run()
        assert outcome.state == "succeeded"
        assert _states(outcome) == {
            "one": upstream,
            "checked": upstream,
            "told": "succeeded",
            "cause": "skipped",
            "celebrated": "succeeded",
        }
        assert outcome.value("told.value") == "succeeded"
        assert outcome.value("celebrated.value") == outcome.run_id


def test_after_failure_and_again_after_the_resumed_run(run: Run, tmp_path: Path) -> None:
    steps = tmp_path / "project" / "steps.py"
    outcome = run(most=2)
    assert (outcome.status, outcome.state) == (1, "failed")
    assert _states(outcome) == {
        "one": "succeeded",
        "checked": "failed",
        "told": "succeeded",
        "cause": "succeeded",
        "celebrated": "skipped",
    }
    assert outcome.value("told.value") == "failed"
    assert "3 is more than 2" in outcome.value("cause.value")
    steps.write_text(steps.read_text().replace("if a > most:", "if a > most + 7:"))
    resumed = run("--resume", "latest", most=2)
    assert (resumed.run_id, resumed.state) == (outcome.run_id, "succeeded")
    assert _states(resumed) == {
        "one": "succeeded",
        "checked": "succeeded",
        "told": "succeeded",
        "cause": "skipped",
        "celebrated": "succeeded",
    }
    told = sorted(resumed.outputs()["told.value"], key=lambda artifact: artifact["artifact_id"])
    assert [Path(artifact["uri"]).read_text() for artifact in told] == ["failed", "succeeded"]


def test_a_failing_one_does_not_change_how_the_run_ended(run: Run, tmp_path: Path) -> None:
    late = f"  late: {{component: 'steps:hopeless', tries: '{tmp_path}/tries'}}\n"
    handlers = "always: [{node: told}]\non_success: [{node: late}]\non_failure: [{node: cause}, {node: celebrated}]\n"
    outcome = run(handlers=late + handlers)
    assert (outcome.status, outcome.state) == (0, "succeeded"), outcome.said
    assert outcome.nodes["late"]["state"] == "failed"
    assert "late failed" in outcome.said
    assert outcome.nodes["told"]["state"] == "succeeded"


def test_a_partial_run_has_them_too(run: Run) -> None:
    run()
    outcome = run("--from", "checked")
    assert _states(outcome)["told"] == "succeeded"
    refused = run("--from", "told")
    assert refused.status == 2
    assert "runs whenever a run has ended" in refused.said
