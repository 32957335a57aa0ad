"""One command takes the data to a pushed model; the same command again does only what is new."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.chicago_taxi.conftest import Run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

NODES = [
    "examples",
    "statistics",
    "schema",
    "example_validator",
    "transform",
    "trainer",
    "baseline",
    "evaluator",
    "pusher",
]


def test_one_command_ends_green(first: Run) -> None:
    assert first.states() == dict.fromkeys(NODES, "succeeded")
    assert first.record["state"] == "succeeded"
    [listed] = [run for run in first.taxi.read("runs", "list") if run["run_id"] == first.run_id]
    assert (listed["pipeline"], listed["state"]) == ("chicago-taxi", "succeeded")


def test_results_go_to_the_store_and_messages_to_standard_error(first: Run) -> None:
    assert first.result.stdout == ""
    assert "\x1b" not in first.result.stderr
    for said in (*NODES, "15,002 examples", "1,000 steps", "no anomalies", "Blessed", "Gate", "Metrics", "Next"):
        assert said in first.result.stderr


def test_the_blessed_model_lies_under_the_push_folder(first: Run) -> None:
    assert first.record["blessed"] is True
    pushed = Path(first.record["pushed_to"])
    assert pushed.parent == first.taxi.push_folder
    assert pushed.name.isdecimal()
    assert (pushed / "saved_model.pb").is_file()
    assert [folder.name for folder in first.taxi.push_folder.iterdir()] == [pushed.name]


def test_the_second_run_reuses_every_node_whose_inputs_did_not_change_and_says_so(first: Run, second: Run) -> None:
    states = second.states()
    # The evaluator has a new input, the model the first run blessed; the baseline is looked up in every run.
    assert (states.pop("evaluator"), states.pop("baseline")) == ("succeeded", "succeeded")
    assert set(states.values()) == {"cached"}
    for node in states:
        [line] = [line for line in second.result.stderr.splitlines() if line.split()[1:2] == [node]]
        assert "cached" in line
    assert second.record["pushed_to"] == first.record["pushed_to"]


def test_the_first_run_has_no_baseline_and_the_second_is_held_against_the_first(first: Run, second: Run) -> None:
    gates = first.summary("evaluator", "evaluation")["thresholds"]
    assert sorted(gate["metric"] for gate in gates) == ["auc", "binary_accuracy"]
    assert all(gate["passed"] and gate["baseline"] is None for gate in gates)

    gates = second.summary("evaluator", "evaluation")["thresholds"]
    changes = {gate["metric"]: gate for gate in gates if gate["baseline"] is not None}
    assert sorted(changes) == ["auc", "binary_accuracy"]
    for gate in changes.values():
        assert gate["passed"] and gate["value"] == pytest.approx(gate["baseline"])


def test_the_third_run_is_wholly_cached(third: Run) -> None:
    states = third.states()
    assert states.pop("baseline") == "succeeded"  # a query, asked anew in every run
    assert set(states.values()) == {"cached"}
    assert third.record["blessed"] is True


def test_three_runs_push_one_model(first: Run, third: Run) -> None:
    assert [folder.name for folder in first.taxi.push_folder.iterdir()] == [Path(first.record["pushed_to"]).name]
    assert [run["state"] for run in first.taxi.read("runs", "list", "--pipeline", "chicago-taxi")].count(
        "succeeded"
    ) >= 3
