"""Pipelines written for plain TFX run as they are: each kind of node does what TFX says it does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Penstock, Result

FILE = Path(__file__).with_name("kinds.py")
ROWS = 20
FEATURE = 'feature {{ name: "{}" type: INT presence {{ min_count: 1 }} shape {{ dim {{ size: 1 }} }} }}\n'

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Home:
    """A folder with tiny data, an empty place for everything, and the command line over one store."""

    folder: Path
    penstock: Penstock

    def run(self, function: str, **parameters: object) -> Result:
        """Runs a pipeline of kinds.py."""
        options = [part for name, value in parameters.items() for part in ("-p", f"{name}={value}")]
        return self.penstock(
            "run", f"{FILE}:{function}", *options, "--store", self.folder / "store", cwd=self.folder, timeout=800
        )

    def read(self, *arguments: str) -> Any:
        """What a reading command prints with --json."""
        result = self.penstock(*arguments, "--json", "--store", self.folder / "store", cwd=self.folder)
        assert result.status == 0, result.stderr
        return result.json

    def states(self, run: str = "latest") -> dict[str, str]:
        """The state of each node of a run."""
        return {node["node_id"]: node["state"] for node in self.read("runs", "show", run)["nodes"]}

    def outputs(self, node: str, key: str) -> list[dict[str, Any]]:
        """The artifacts that a node of the latest run put out under this key."""
        run = self.read("runs", "show", "latest")["run_id"]
        listed = self.read("artifacts", "list", "--run", run, "--limit", "1000")
        return [a for a in listed if (a["producer"]["node"], a["producer"]["key"]) == (node, key)]

    def output(self, node: str, key: str) -> dict[str, Any]:
        """The one artifact of this kind."""
        [found] = self.outputs(node, key)
        return found

    def value(self, node: str, key: str) -> str:
        """The value in such an artifact."""
        return Path(self.output(node, key)["uri"]).read_text()

    def makers(self, node: str, key: str) -> set[str]:
        """The nodes that such an artifact goes back to."""
        graph = self.read("artifacts", "lineage", str(self.output(node, key)["artifact_id"]), "--up")
        return {execution["node"] for execution in graph["executions"]}


def _make_home(folder: Path, penstock: Penstock) -> Home:
    (folder / "data").mkdir()
    rows = "".join(f"{number},{2 * number}\n" for number in range(ROWS))
    (folder / "data" / "numbers.csv").write_text(f"x,y\n{rows}")
    (folder / "schema").mkdir()
    (folder / "schema" / "schema.pbtxt").write_text(FEATURE.format("x") + FEATURE.format("y"))
    return Home(folder, penstock)


@pytest.fixture
def home(tmp_path: Path, penstock: Penstock) -> Home:
    return _make_home(tmp_path, penstock)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, penstock: Penstock) -> Iterator[Home]:
    """A home where the pipeline of every component has run once."""
    home = _make_home(tmp_path_factory.mktemp("ran"), penstock)
    result = home.run("every_component", data=home.folder / "data", schema=home.folder / "schema")
    assert result.status == 0, result.stderr
    yield home


def test_every_component_runs_and_is_traced(ran: Home) -> None:
    run = ran.read("runs", "show", "latest")
    assert (run["pipeline"], run["state"]) == ("every-component", "succeeded")
    assert set(ran.states().values()) == {"succeeded"}
    assert ran.value("tell", "told") == "2 splits: eval,train\n"
    assert int(ran.value("Scale", "scaled")) == 2 * 3
    assert int(ran.value("Lines", "lines")) == ROWS + 1
    assert int(ran.value("add_with_beam", "total")) == 2 * 3 + ROWS + 1
    scaled = ran.read("artifacts", "show", str(ran.output("Scale", "scaled")["artifact_id"]))
    assert scaled["custom_properties"]["run"] == run["run_id"]
    assert ran.makers("add_with_beam", "total") == {"add_with_beam", "Scale", "Lines", "count_splits", "CsvExampleGen"}
    assert ran.makers("StatisticsGen", "statistics") == {"StatisticsGen", "CsvExampleGen", "schema"}


def test_records_of_another_pipeline_are_imported(ran: Home) -> None:
    examples = ran.output("CsvExampleGen", "examples")
    result = ran.run("import_examples", folder=examples["uri"])
    assert result.status == 0, result.stderr
    imported = ran.read("artifacts", "show", str(ran.output("ImportExampleGen", "examples")["artifact_id"]))
    original = ran.read("artifacts", "show", str(examples["artifact_id"]))
    assert json.loads(imported["properties"]["split_names"]) == ["train", "eval"]
    assert imported["properties"]["split_names"] == original["properties"]["split_names"]
    [node] = [n for n in ran.read("runs", "show", "latest")["nodes"] if n["node_id"] == "ImportExampleGen"]
    assert node["detail"]["examples"] == ROWS


def test_only_what_a_changed_parameter_reaches_runs_again(ran: Home) -> None:
    result = ran.run("every_component", data=ran.folder / "data", schema=ran.folder / "schema", times=2)
    assert result.status == 0, result.stderr
    again = {node for node, state in ran.states().items() if state == "succeeded"}
    # Scale has the run's id for a parameter and hands it on as a property of its output; resolvers always look anew.
    assert again == {"tell", "Scale", "add_with_beam", "latest"}
    assert ran.value("tell", "told") == "2 splits: eval,train\n" * 2


def test_the_resolver_finds_the_latest_blessed_model(home: Home) -> None:
    found, made = [], []
    for blessed in (1, 0, 1):
        result = home.run("latest_blessed", blessed=blessed)
        assert result.status == 0, result.stderr
        found.append(home.value("compare", "baseline_uri"))
        made.append(home.output("make_model", "model")["uri"])
    assert found == ["none", made[0], made[0]]


def test_a_branch_that_is_taken_runs(home: Home) -> None:
    push_to = home.folder / "pushed"
    push_to.mkdir()
    result = home.run("conditions", blessed=1, push_to=push_to)
    assert result.status == 0, result.stderr
    assert set(home.states().values()) == {"succeeded"}
    assert [(version / "weights").read_text() for version in push_to.iterdir()] == ["0.5"]


def test_what_needs_a_branch_not_taken_is_skipped(home: Home) -> None:
    push_to = home.folder / "pushed"
    push_to.mkdir()
    result = home.run("conditions", blessed=0, push_to=push_to)
    assert result.status == 0, result.stderr
    states = home.states()
    skipped = {node for node, state in states.items() if state == "skipped"}
    assert skipped == {"locate", "again", "pushed_before", "tell", "Pusher"}
    assert {states[node] for node in states.keys() - skipped} == {"succeeded"}
    assert list(push_to.iterdir()) == []
    assert home.read("runs", "show", "latest")["state"] == "succeeded"


def test_sub_pipelines_hand_values_in_and_out(home: Home) -> None:
    result = home.run("sub_pipelines", number=1)
    assert result.status == 0, result.stderr
    assert set(home.states().values()) == {"succeeded"}
    assert int(home.value("last", "made")) == 1 + 2 + 2 + 1
    assert int(home.value("beside", "made")) == 100 + 1
    assert home.makers("last", "made") == {
        "start",
        "one_add",
        "one_nested_add",
        "two_add",
        "two_nested_add",
        "last",
    }


def test_a_sub_pipeline_in_a_branch_not_taken_is_skipped_whole(home: Home) -> None:
    result = home.run("sub_pipelines", number=50)
    assert result.status == 0, result.stderr
    states = home.states()
    skipped = {node for node, state in states.items() if state == "skipped"}
    assert skipped == {node for node in states if node.startswith("two")} | {"last"}
    assert {states[node] for node in states.keys() - skipped} == {"succeeded"}
    assert "two_alone" in skipped, "it needs no input, but it is in the sub-pipeline"


def test_a_failure_inside_stops_what_needs_the_sub_pipeline(home: Home) -> None:
    result = home.run("sub_pipelines", number=1000)
    assert result.status == 1
    assert "ValueError: 1000 is too large" in result.stderr
    assert "parts.py" in result.stderr, "the place in the user's code"
    states = home.states()
    assert [node for node, state in states.items() if state == "failed"] == ["one_add"]
    assert {node for node, state in states.items() if state == "succeeded"} == {"start", "one_begin", "one_alone"}
    assert {states[node] for node in ("one_end", "two_begin", "two_alone", "last", "beside")} == {"upstream_failed"}


def test_a_loop_runs_for_each(home: Home) -> None:
    for name in ("first", "second"):
        (home.folder / name).mkdir()
    result = home.run("for_each", folder=home.folder, names="first,second")
    assert result.status == 0, result.stderr
    assert home.states()["locate"] == "succeeded"
    located = [Path(found["uri"]).read_text() for found in home.outputs("locate", "uri")]
    assert sorted(located) == [str(home.folder / name) for name in ("first", "second")]


def test_beam_in_processes_of_its_own_finds_the_users_code(home: Home) -> None:
    result = home.run("beam_processes", data=home.folder / "data")
    assert result.status == 0, result.stderr
    assert int(home.value("Lines", "lines")) == ROWS + 1


def test_hyperparameters_are_searched(home: Home) -> None:
    result = home.run("tuner", data=home.folder / "data", module_file=FILE.with_name("tuning.py"))
    assert result.status == 0, result.stderr
    best = json.loads(
        (Path(home.output("Tuner", "best_hyperparameters")["uri"]) / "best_hyperparameters.txt").read_text()
    )
    assert best["values"]["units"] in (2, 4)
    assert home.makers("Tuner", "best_hyperparameters") == {"Tuner", "CsvExampleGen"}


@pytest.mark.parametrize(
    ("function", "parameters", "said"),
    [
        ("container", {}, ["node 'Shout'", "container component", "'alpine'", "@component"]),
        (
            "infra_validator",
            {"docker": "unix:///nowhere/docker.sock"},
            ["node 'InfraValidator'", "no Docker answers at unix:///nowhere/docker.sock", "Start Docker"],
        ),
        ("same_id_twice", {}, ["'add_one'", "pipeline 'one'", "in 'two'", ".with_id("]),
    ],
)
def test_what_cannot_run_here_is_refused_before_anything_starts(
    home: Home, function: str, parameters: dict[str, str], said: list[str]
) -> None:
    result = home.run(function, **parameters)
    assert result.status == 2
    assert [text for text in said if text not in result.stderr] == []
    assert "Traceback" not in result.stderr
    assert home.read("runs", "list") == []
