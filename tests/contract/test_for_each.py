"""Nodes that run for each item of a list, or for each artifact of an output."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.conftest import Penstock
from tests.contract.backend import Backend, LocalBackend, Outcome, Project
from tests.contract.test_killed import run_killed

TWENTY = """\
table:
  component: steps:make_table
  for_each: {{rows: [{rows}]}}
  rows: ${{each.rows}}
read:
  component: steps:read_table
  for_each: table
  table: ${{nodes.table.table}}
total: {{component: 'steps:read_tables', tables: '${{nodes.table.table}}'}}
""".format(rows=", ".join(str(number) for number in range(1, 21)))

ARTIFACTS = """\
table: {component: 'steps:make_table', for_each: {n: [1, 2, 4]}, rows: '${each.n}'}
recent: {component: Resolver, strategy_class: LatestArtifactStrategy, config: {desired_num_of_artifacts: 3},
  tables: '${nodes.table.table}'}
copied: {component: 'steps:copy_table', for_each: {table: '${nodes.recent.tables}'}, table: '${each.table}',
  tries: FOLDER/tries, refused: FOLDER/refused}
again: {component: 'steps:copy_table', for_each: {table: '${nodes.copied.copy}'}, table: '${each.table}',
  tries: FOLDER/later, refused: FOLDER/none}
total: {component: 'steps:read_tables', tables: '${nodes.again.copy}'}
"""
TABLES = {"table-1": "succeeded", "table-2": "succeeded", "table-4": "succeeded"}


@pytest.fixture(params=["local"])
def backend(penstock: Penstock) -> Backend:
    return LocalBackend(penstock)


def states(outcome: Outcome) -> dict[str, str]:
    """The state of each node."""
    return {name: node["state"] for name, node in outcome.nodes.items()}


def tries(project: Project, file: str = "tries") -> list[int]:
    """The rows of the tables that were copied, in order of size."""
    return sorted(map(int, (project.folder / file).read_text().split()))


def rows(outcome: Outcome, output: str) -> list[int]:
    """The sizes of an output's artifacts, each of which has a file of its own."""
    sizes = [Path(artifact["uri"], "rows.csv").stat().st_size // 2 for artifact in outcome.outputs()[output]]
    return sorted(sizes)


def test_a_list_of_twenty(backend: Backend, tmp_path: Path) -> None:
    project = Project.make(tmp_path)
    project.declare("twenty", TWENTY)
    outcome = backend.run(project, "", ())
    assert outcome.status == 0, outcome.said
    names = [f"{node}-{number}" for node in ("table", "read") for number in range(1, 21)]
    assert states(outcome) == dict.fromkeys([*names, "total"], "succeeded")
    assert [outcome.value(f"read-{number}.rows") for number in (1, 20)] == ["1", "20"]
    assert outcome.origins("read-7.rows") == {"table-7", "read-7"}
    assert outcome.value("total.rows") == "210"
    assert outcome.origins("total.rows") == {"total", *(f"table-{number}" for number in range(1, 21))}


def test_a_longer_list_runs_what_is_new(backend: Backend, tmp_path: Path) -> None:
    project = Project.make(tmp_path)
    text = "one: {component: 'steps:number', for_each: {n: %s}, value: '${each.n}'}"
    project.declare("longer", text % "[1, 2]")
    assert states(backend.run(project, "", ())) == {"one-1": "succeeded", "one-2": "succeeded"}
    project.declare("longer", text % "[3, 2, 1]")
    assert states(backend.run(project, "", ())) == {"one-3": "succeeded", "one-2": "cached", "one-1": "cached"}


def test_the_artifacts_of_an_output(backend: Backend, tmp_path: Path) -> None:
    """One node, executed three times; then a part of them anew, and none that is done again."""
    project = Project.make(tmp_path)
    project.declare("artifacts", ARTIFACTS)
    (project.folder / "refused").write_text("xx")
    failed = backend.run(project, "", ())
    assert failed.status == 1
    assert states(failed) == {
        **TABLES, "recent": "succeeded", "copied": "failed", "again": "upstream_failed", "total": "upstream_failed"
    }  # fmt: skip
    assert "1 of 3 executions failed" in failed.nodes["copied"]["error"]
    assert "ValueError: no tables of 2 rows today" in failed.said
    assert tries(project) == [1, 2, 4], "the others ran to their ends"
    assert rows(failed, "copied.copy") == [1, 4]

    (project.folder / "refused").unlink()
    resumed = backend.run(project, "", ("--resume", "latest"))
    assert resumed.status == 0, resumed.said
    everything = dict.fromkeys(("recent", "copied", "again", "total"), "succeeded")
    assert states(resumed) == {**TABLES, **everything}
    assert tries(project) == [1, 2, 2, 4], "what was published is not executed again"
    assert tries(project, "later") == [1, 2, 4]
    assert rows(resumed, "copied.copy") == rows(resumed, "again.copy") == [1, 2, 4]
    assert resumed.value("total.rows") == "7"
    assert resumed.nodes["copied"]["detail"]["executions"] == 3

    cached = backend.run(project, "", ())
    assert states(cached) == {**dict.fromkeys([*TABLES, *everything], "cached"), "recent": "succeeded"}
    assert rows(cached, "again.copy") == [1, 2, 4]

    part = backend.run(project, "", ("--from", "again", "--no-cache"))
    assert part.status == 0, part.said
    assert states(part)["copied"] == "cached"
    assert part.nodes["copied"]["detail"]["executions"] == 3
    assert tries(project) == [1, 2, 2, 4]
    assert tries(project, "later") == [1, 1, 2, 2, 4, 4]
    assert rows(part, "again.copy") == [1, 2, 4]


def test_the_logs_of_all_executions(backend: Backend, tmp_path: Path, penstock: Penstock) -> None:
    project = Project.make(tmp_path)
    project.declare("logs", ARTIFACTS.replace("copied: {", "copied: {retries: 1, "))
    (project.folder / "refused").write_text("xxxx")
    outcome = backend.run(project, "", ("--jobs", "1"))
    assert outcome.status == 1
    assert tries(project) == [1, 2, 4, 4]
    assert outcome.nodes["copied"]["attempt"] == 2
    said = penstock("runs", "logs", outcome.run_id, "copied", "--store", project.store).stdout
    assert [line for line in said.splitlines() if line.startswith("==")] == [
        f"== execution {number} of copied" for number in (1, 2, 3)
    ]
    assert "no tables of 4 rows today" in said


def test_a_pipeline_in_python(backend: Backend, tmp_path: Path) -> None:
    """TFX's own ForEach, over outputs of several nodes."""
    project = Project.make(tmp_path)
    outcome = backend.run(project, "flows.py:for_each", ("-p", f"folder={project.folder}"))
    assert outcome.status == 0, outcome.said
    assert states(outcome)["copied"] == "succeeded"
    assert tries(project) == rows(outcome, "copied.copy") == [1, 2, 4]
    assert outcome.value("total.rows") == "7"
    for copied in outcome.outputs()["copied.copy"]:
        graph = outcome.store.read("artifacts", "lineage", str(copied["artifact_id"]), "--up")
        assert len([execution for execution in graph["executions"] if execution["node"].startswith("table")]) == 1


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(12))
def test_killed_between_executions(seed: int, tmp_path: Path, penstock: Penstock) -> None:
    """Whatever of the three executions was published is neither lost nor there twice."""
    whole = Project.make(tmp_path / "whole")
    whole.declare("artifacts", ARTIFACTS)
    places = int(run_killed(penstock, whole, 0))
    project = Project.make(tmp_path / "killed")
    project.declare("artifacts", ARTIFACTS)
    run_killed(penstock, project, random.Random(seed).randint(places // 3, places - 1))
    resumed = LocalBackend(penstock).run(project, "", ("--resume", "latest"))
    assert resumed.status == 0, resumed.said
    assert rows(resumed, "copied.copy") == rows(resumed, "again.copy") == [1, 2, 4]
    assert resumed.value("total.rows") == "7"
    assert {len(found) for output, found in resumed.outputs().items() if output.endswith(".copy")} == {3}
