"""Secrets of a declaration reach the nodes, and nothing that is written down."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path

import pytest

from tests.conftest import Penstock, Result

ENV_CANARY = "canary-of-the-environment-4711"
PARAMETER_CANARY = 'canary "of" the \\ parameters'
HELPING = (".db-shm", ".db-wal")
DECLARATION = """\
penstock: 1
name: hush
parameters:
  api_token: {type: str}
nodes:
  fetch:
    component: steps:fetch
    address: "https://user:${env.SITE_PASSWORD}@site"
    options: '{"token": "${parameters.api_token}"}'
    env: {SIGN_IN: "${env.SITE_PASSWORD}"}
"""
STEPS = """\
import hashlib, json, os
from tfx.dsl.component.experimental.annotations import OutputDict, Parameter
from tfx.dsl.component.experimental.decorators import component


@component
def fetch(address: Parameter[str], options: Parameter[str]) -> OutputDict(seen=str):
    seen = [address, json.loads(options)["token"], os.environ["SIGN_IN"]]
    return {"seen": json.dumps([hashlib.sha256(text.encode()).hexdigest() for text in seen])}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hush")
    (folder / "pipeline.yaml").write_text(DECLARATION)
    (folder / "steps.py").write_text(STEPS)
    return folder


def run(penstock: Penstock, project: Path, parameter: str = PARAMETER_CANARY, password: str = ENV_CANARY) -> Result:
    arguments: list[str | Path] = ["run", project, "--store", project / "store", "-p", f"api_token={parameter}"]
    return penstock(*arguments, environ={"SITE_PASSWORD": password})


@pytest.fixture(scope="module")
def ran(penstock: Penstock, project: Path) -> Result:
    result = run(penstock, project)
    assert result.status == 0, result.stderr
    return result


def test_nodes_see_the_secrets(ran: Result, project: Path) -> None:
    with sqlite3.connect(project / "store" / "metadata.db") as database:
        [[uri]] = database.execute("SELECT uri FROM Artifact").fetchall()
    seen = json.loads(Path(uri).read_text())
    texts = (f"https://user:{ENV_CANARY}@site", PARAMETER_CANARY, ENV_CANARY)
    assert seen == [hashlib.sha256(text.encode()).hexdigest() for text in texts]


def test_nothing_that_is_written_has_them(ran: Result, penstock: Penstock, project: Path) -> None:
    told = ran.stdout + ran.stderr
    for target in ("ir.json", "ir.pb"):
        set_ = f"api_token={PARAMETER_CANARY}"
        arguments: list[str | Path] = ["compile", project, "-o", project / target, "-p", set_]
        compiled = penstock(*arguments, environ={"SITE_PASSWORD": ENV_CANARY})
        assert compiled.status == 0, compiled.stderr
    assert "${secret.env.SITE_PASSWORD}" in (project / "ir.json").read_text()
    # SQLite removes its own helping files when the last one leaves.
    files = {path: path.read_bytes() for path in project.rglob("*") if path.is_file() and path.suffix not in HELPING}
    assert any("compiled" in path.parts for path in files) and any(path.name == "log.txt" for path in files)
    for canary in (ENV_CANARY, PARAMETER_CANARY, json.dumps(PARAMETER_CANARY)[1:-1]):
        assert canary not in told
        # What a run was started with is on record, so that it can be started again.
        having = {path.name for path, content in files.items() if canary.encode() in content}
        assert having <= {"penstock.db"}
    with sqlite3.connect(project / "store" / "penstock.db") as database:
        [[ir]] = database.execute("SELECT ir FROM penstock_runs").fetchall()
    assert ENV_CANARY.encode() not in ir and b"canary" not in ir


def test_a_parameter_makes_another_node_and_a_password_does_not(ran: Result, penstock: Penstock, project: Path) -> None:
    def state() -> str:
        shown = penstock("runs", "show", "latest", "--json", "--store", project / "store")
        [node] = shown.json["nodes"]
        return str(node["state"])

    assert run(penstock, project, password="another-password").status == 0
    assert state() == "cached"
    assert run(penstock, project, parameter="another token").status == 0
    assert state() == "succeeded"
