"""A node that waits for a person's word, in every way the waiting can end."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Penstock, Result
from tests.contract.backend import Project, Store
from tests.e2e.tiny import wait_for

NODES = """
one: {component: 'steps:number', value: 1}
gate: {component: ManualApproval, message: 'Add it?', after: [one]TIMEOUT}
two: {component: 'steps:add', a: '${nodes.one.made}', after: [gate]}
apart: {component: 'steps:number', value: 7}
"""


class Waiting:
    """A run that waits at its node `gate`."""

    def __init__(self, penstock: Penstock, folder: Path):
        self.penstock = penstock
        self.project = Project.make(folder)
        self.project.declare("waiting", NODES.replace("TIMEOUT", ""))
        self.store = Store(str(self.project.store))
        self.process = self.start(str(self.project.folder))
        wait_for(lambda: self.states().get("gate") == "awaiting_approval", self.process)

    def start(self, *arguments: str) -> Any:
        return self.penstock.start("run", *arguments, "--store", self.project.store, cwd=self.project.folder)

    def run(self) -> dict[str, Any]:
        found: list[dict[str, Any]] = self.store.read("runs", "list")
        return self.store.read("runs", "show", found[0]["run_id"]) if found else {"nodes": []}

    def states(self) -> dict[str, str]:
        return {node["node_id"]: node["state"] for node in self.run()["nodes"]}

    def say(self, word: str, *options: str) -> Result:
        return self.penstock("runs", word, "latest", *options, "--store", self.project.store)

    def end(self) -> tuple[int, str]:
        _, said = self.process.communicate(timeout=120)
        return self.process.returncode, said


@pytest.fixture
def waiting(penstock: Penstock, tmp_path: Path) -> Waiting:
    return Waiting(penstock, tmp_path)


def test_approved(waiting: Waiting) -> None:
    wait_for(lambda: waiting.states()["apart"] == "succeeded", waiting.process)
    assert waiting.states()["two"] == "waiting"
    wrong = waiting.say("approve", "two")
    assert wrong.status == 2
    assert "two of run" in wrong.stderr
    assert "does not wait for an approval; it is waiting. Nodes that wait: gate." in wrong.stderr
    said = waiting.say("approve", "gate", "--by", "Ada", "--comment", "looks 'right'\nto me")
    assert (said.status, said.stderr.startswith("Approved gate of run ")) == (0, True), said.stderr
    status, printed = waiting.end()
    assert status == 0, printed
    assert "penstock runs approve" in printed
    assert set(waiting.states().values()) == {"succeeded"}
    [artifact] = waiting.store.read("artifacts", "list", "--type", "Approval")
    document = waiting.store.read("artifacts", "show", str(artifact["artifact_id"]))
    shown = {**document["properties"], **document["custom_properties"]}
    assert (shown["approved_by"], shown["comment"]) == ("Ada", "looks 'right'\nto me")
    payload = json.loads(Path(artifact["uri"], "approval.json").read_text())
    assert payload == {name: shown[name] for name in ("approved_by", "approved_at", "comment")}
    late = waiting.say("reject", "gate")
    assert late.status == 2
    assert "it is succeeded" in late.stderr


def test_rejected_then_approved_when_resumed(waiting: Waiting) -> None:
    assert waiting.say("reject", "gate", "--by", "Ada", "--comment", "too early").status == 0
    status, printed = waiting.end()
    assert status == 1
    assert "rejected by Ada: too early" in printed
    states = waiting.states()
    assert (states["gate"], states["two"], states["one"]) == ("failed", "upstream_failed", "succeeded")
    waiting.process = waiting.start("--resume", "latest")
    wait_for(lambda: waiting.states()["gate"] == "awaiting_approval", waiting.process)
    assert waiting.say("approve", "gate").status == 0
    status, printed = waiting.end()
    assert status == 0, printed
    assert len(waiting.store.read("artifacts", "list", "--type", "Approval")) == 1


def test_approved_while_nothing_runs_counts_when_resumed(waiting: Waiting) -> None:
    waiting.process.send_signal(signal.SIGKILL)
    waiting.end()
    assert waiting.run()["state"] == "interrupted"
    assert waiting.say("approve", "gate", "--by", "Ada").status == 0
    waiting.process = waiting.start("--resume", "latest")
    status, printed = waiting.end()
    assert status == 0, printed
    assert set(waiting.states().values()) == {"succeeded"}


def test_cancelled(waiting: Waiting) -> None:
    waiting.process.send_signal(signal.SIGINT)
    status, _ = waiting.end()
    assert status == 130
    states = waiting.states()
    assert (states["gate"], states["two"]) == ("cancelled", "cancelled")
    assert waiting.say("approve", "gate").status == 2


def test_nobody_answers_in_time(penstock: Penstock, tmp_path: Path) -> None:
    project = Project.make(tmp_path)
    project.declare("late", NODES.replace("TIMEOUT", ", timeout: 1s"))
    done = penstock("run", project.folder, "--store", project.store, cwd=project.folder)
    assert done.status == 1
    assert "nobody approved within 1 s" in done.stderr


def test_no_such_node_or_run(penstock: Penstock, tmp_path: Path) -> None:
    store = ("--store", tmp_path / "none")
    assert penstock("runs", "approve", "latest", "gate", *store).status == 2
    assert not (tmp_path / "none").exists()
