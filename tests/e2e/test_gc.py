"""Old runs go with all that nobody needs of them, and nothing else does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Penstock, Result

STEPS = """\
import os
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, OutputDict, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Model, ModelBlessing, PushedModel


@component
def always(n: Parameter[int]) -> OutputDict(made=int):
    return {"made": n}


@component
def changing(n: Parameter[int], before: int) -> OutputDict(made=int):
    return {"made": n + before}


@component
def train(n: Parameter[int], model: OutputArtifact[Model]):
    with open(os.path.join(model.uri, "weights"), "w") as stream:
        stream.write("w" * n * 1000)


@component
def bless(n: Parameter[int], model: InputArtifact[Model], blessing: OutputArtifact[ModelBlessing]):
    blessing.set_int_custom_property("blessed", int(n < 3))


@component
def push(n: Parameter[int], model: InputArtifact[Model], pushed: OutputArtifact[PushedModel]):
    with open(os.path.join(pushed.uri, "weights"), "w") as stream:
        stream.write("pushed")
"""
DECLARATION = """\
penstock: 1
name: cleaning
parameters: {n: {type: int, default: 1}, push: {type: int, default: 0}}
nodes:
  always: {component: "steps:always", n: 7}
  changing: {component: "steps:changing", n: "${parameters.n}", before: "${nodes.always.made}"}
  train: {component: "steps:train", n: "${parameters.n}"}
  bless: {component: "steps:bless", n: "${parameters.n}", model: "${nodes.train.model}"}
  hand:
    component: Importer
    source_uri: hand
    artifact_type: Schema
"""
PUSHING = """\
  push: {component: "steps:push", n: "${parameters.n}", model: "${nodes.train.model}"}
"""


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory: pytest.TempPathFactory, penstock: Penstock) -> Path:
    """A project with runs n1 (pushes), n2, n3 (not blessed) and n4 (not blessed), none cleaned up yet."""
    folder = tmp_path_factory.mktemp("cleaning")
    (folder / "pyproject.toml").write_text("")
    (folder / "steps.py").write_text(STEPS)
    (folder / "hand").mkdir()
    (folder / "hand" / "schema.pbtxt").write_text("")
    for n in (1, 2, 3, 4):
        (folder / "pipeline.yaml").write_text(DECLARATION + (PUSHING if n == 1 else ""))
        done = penstock("run", ".", "-p", f"n={n}", "--run-id", f"n{n}", cwd=folder)
        assert done.status == 0, done.stderr
    return folder


@pytest.fixture
def project(cleaned: Path, tmp_path: Path, penstock: Penstock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same project where it was made, its store put back as it was after the test."""
    kept = tmp_path / "kept"
    shutil.copytree(cleaned / ".penstock", kept)
    monkeypatch.chdir(cleaned)
    yield cleaned
    shutil.rmtree(cleaned / ".penstock")
    shutil.move(kept, cleaned / ".penstock")


def gc(penstock: Penstock, project: Path, *options: str) -> Result:
    return penstock("gc", *options, "--json", cwd=project)


def slots(project: Path, node: str) -> list[Path]:
    """The output folders that a node has."""
    return sorted((project / ".penstock" / "pipelines" / "cleaning" / node).glob("[a-z]*/[0-9]*"))


def run_ids(penstock: Penstock, project: Path) -> list[str]:
    return [run["run_id"] for run in penstock("runs", "list", "--json", cwd=project).json]


def test_a_dry_run_removes_nothing(project: Path, penstock: Penstock) -> None:
    before = sorted((project / ".penstock").rglob("*"))
    found = gc(penstock, project, "--keep-last", "1", "--dry-run").json
    assert found["runs"] == ["n3", "n2", "n1"] and not found["removed"]
    assert found["bytes"] > 3000
    after = sorted((project / ".penstock").rglob("*"))
    assert [path for path in before if not path.name.startswith("penstock.db")] == [
        path for path in after if not path.name.startswith("penstock.db")
    ]


def test_what_is_still_needed_stays(project: Path, penstock: Penstock) -> None:
    done = gc(penstock, project, "--keep-last", "1")
    assert done.status == 0, done.stderr
    assert run_ids(penstock, project) == ["n4"]
    assert not (project / ".penstock" / "runs" / "n1").exists()
    assert (project / ".penstock" / "runs" / "n4").exists()
    # Used by the run that is kept, though an old one made it.
    assert len(slots(project, "always")) == 1
    # Its own.
    assert len(slots(project, "changing")) == 1
    # The pushed model of n1 and what was pushed; the model of n2, which is the latest blessed; that of n4.
    sizes = sorted((slot / "weights").stat().st_size for slot in slots(project, "train"))
    assert sizes == [1000, 2000, 4000]
    assert len(slots(project, "push")) == 1
    # Imported files are somebody else's.
    assert (project / "hand" / "schema.pbtxt").exists()


def test_ml_metadata_keeps_the_artifacts_as_deleted(project: Path, penstock: Penstock) -> None:
    removed = gc(penstock, project, "--keep-last", "1").json["artifacts"]
    assert removed
    listed = {
        a["artifact_id"]: a["state"]
        for a in penstock("artifacts", "list", "--limit", "100", "--json", cwd=project).json
    }
    assert {artifact for artifact, state in listed.items() if state == "deleted"} == set(removed)


def test_a_later_run_does_not_find_what_is_gone_in_the_cache(project: Path, penstock: Penstock) -> None:
    gc(penstock, project, "--keep-last", "1")
    (project / "pipeline.yaml").write_text(DECLARATION)
    done = penstock("run", ".", "-p", "n=3", "--run-id", "again", cwd=project)
    assert done.status == 0, done.stderr
    shown = penstock("runs", "show", "again", "--json", cwd=project).json
    states = {node["node_id"]: node["state"] for node in shown["nodes"]}
    assert (states["always"], states["changing"], states["train"]) == ("cached", "succeeded", "succeeded")


def test_age_and_pipeline_narrow_it_down(project: Path, penstock: Penstock) -> None:
    assert gc(penstock, project, "--older-than", "1h", "--dry-run").json["runs"] == []
    assert gc(penstock, project, "--older-than", "0s", "--dry-run").json["runs"] == ["n4", "n3", "n2", "n1"]
    assert gc(penstock, project, "--keep-last", "0", "--pipeline", "other", "--dry-run").json["runs"] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [((), "--keep-last N, --older-than AGE"), (("--older-than", "30"), "wants a duration such as 30d")],
)
def test_wrong_calls(project: Path, penstock: Penstock, options: tuple[str, ...], message: str) -> None:
    done = gc(penstock, project, *options)
    assert done.status == 2
    assert message in done.stderr


def test_an_empty_store_has_no_garbage(tmp_path: Path, penstock: Penstock) -> None:
    found = penstock("gc", "--keep-last", "1", "--json", "--store", tmp_path / "none", cwd=tmp_path)
    assert found.status == 0, found.stderr
    assert found.json["runs"] == []
    assert not (tmp_path / "none").exists()
