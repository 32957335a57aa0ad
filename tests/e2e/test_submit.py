"""`penstock submit`, to a server that answers as Kubeflow Pipelines' API does."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.conftest import Penstock, Result
from tests.contract.backend import Project
from tests.servers.kubeflow_api import KubeflowApi, kubeflow_server

__all__ = ["kubeflow_server"]

DECLARATION = """\
penstock: 1
name: sum
description: Adds.
parameters:
  size: {{type: int, default: 3}}
  data: {{type: path, default: data/here}}
  needed: {{type: str}}
nodes:
  one: {{component: 'steps:number', value: "${{parameters.size}}"}}
  two: {{component: 'steps:add', a: "${{nodes.one.made}}"}}
environments:
  local: {{backend: local}}
  cluster:
    backend: kubeflow
    pipeline_root: s3://bucket/pipelines
    kubeflow: {{image: 'registry.example.org/nodes:1', experiment: sums, service_account: runner{more}}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project.make(tmp_path)
    (made.folder / "pipeline.yaml").write_text(DECLARATION.format(more=""))
    return made


def submit(penstock: Penstock, project: Project, server: KubeflowApi, *more: str, env: str = "cluster") -> Result:
    environ = {"PENSTOCK_KFP_ENDPOINT": f"{server.address}/#/pipelines"}
    return penstock("submit", project.folder, "--env", env, *more, cwd=project.folder, environ=environ)


def test_what_is_submitted_runs_with_its_parameters(penstock: Penstock, project: Project, server: KubeflowApi) -> None:
    done = submit(penstock, project, server, "-p", "needed=it", "-p", "size=5", "-p", "data=s3://bucket/trips")
    assert done.status == 0, done.stderr
    run = server.runs[done.stdout.strip()]
    assert run.runtime_config.parameters == {"needed": "it", "size": 5, "data": "s3://bucket/trips"}
    assert run.service_account == "runner"
    assert [each.display_name for each in server.experiments.values()] == ["sums"]
    [pipeline] = server.pipelines.values()
    assert (pipeline.display_name, pipeline.description) == ("sum", "Adds.")
    version = server.versions[run.pipeline_version_reference.pipeline_version_id]
    said = done.stderr.splitlines()
    assert said[:2] == ["Compiled sum", f"Uploaded {version.display_name} (id {version.pipeline_version_id})"]
    assert f"{server.address}/#/runs/details/{run.run_id}" in done.stderr
    # The same package, whatever the parameters of a run.
    again = submit(penstock, project, server, "-p", "needed=other")
    assert again.status == 0, again.stderr
    assert f"Known already: {version.display_name}" in again.stderr
    assert server.runs[again.stdout.strip()].runtime_config.parameters == {"needed": "other"}


@pytest.mark.parametrize(("state", "status"), [("SUCCEEDED", 0), ("FAILED", 1)])
def test_wait_ends_with_the_run(
    penstock: Penstock, project: Project, server: KubeflowApi, state: str, status: int
) -> None:
    ended = threading.Event()

    def end() -> None:
        while not any(asked.startswith("GET /apis/v2beta1/runs/") for asked in server.requests):
            if ended.wait(0.05):
                return
        for run in server.runs.values():
            run.state = state

    thread = threading.Thread(target=end)
    thread.start()
    try:
        done = submit(penstock, project, server, "-p", "needed=it", "--wait")
    finally:
        ended.set()
        thread.join()
    assert done.status == status, done.stderr
    assert done.stderr.splitlines()[-1].endswith(f": {state.lower()}")


def test_a_wrong_declaration_is_told_before_anything_is_asked(
    penstock: Penstock, project: Project, server: KubeflowApi
) -> None:
    file = project.folder / "pipeline.yaml"
    file.write_text(file.read_text().replace("${nodes.one.made}", "${nodes.one.nothing}"))
    done = submit(penstock, project, server, "-p", "needed=it")
    assert done.status == 2
    assert "nothing" in done.stderr and "two" in done.stderr and "made" in done.stderr
    missing = submit(penstock, project, server)
    assert missing.status == 2
    assert "-p needed=VALUE" in missing.stderr
    assert server.requests == []


def test_calls_that_cannot_be(penstock: Penstock, project: Project, server: KubeflowApi) -> None:
    local = submit(penstock, project, server, "-p", "needed=it", env="local")
    assert (local.status, "penstock run" in local.stderr) == (2, True)
    (project.folder / "plain.py").write_text("def make(): ...\n")
    python = penstock("submit", project.folder / "plain.py:make", "--env", "cluster", cwd=project.folder)
    assert (python.status, "a cluster takes declarations" in python.stderr) == (2, True)
    nowhere = penstock("submit", project.folder, "--env", "cluster", "-p", "needed=it", cwd=project.folder)
    assert (nowhere.status, "PENSTOCK_KFP_ENDPOINT" in nowhere.stderr) == (2, True)
    file = project.folder / "pipeline.yaml"
    file.write_text(DECLARATION.format(more=f", endpoint: '{server.address}', namespace: team-a"))
    named = penstock("submit", project.folder, "--env", "cluster", "-p", "needed=it", cwd=project.folder)
    assert (named.status, "single-user mode" in named.stderr) == (1, True)
    assert server.runs == {}
