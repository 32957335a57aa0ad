"""`penstock doctor --env`: what the nodes of an environment need, each with what to do about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from penstock.cli.doctor import doctor as command
from penstock.metadata.database import connect
from penstock.metadata.location import StoreLocation
from tests.servers.kubeflow_api import KubeflowApi, Trouble, kubeflow_server

__all__ = ["kubeflow_server"]

DECLARATION = """\
penstock: 1
name: small
parameters: {needed: {type: str}}
nodes:
  examples: {component: CsvExampleGen, input_base: data}
environments:
  here: {backend: local}
  cluster:
    backend: kubeflow
    pipeline_root: ROOT
    kubeflow: CLUSTER
"""


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PENSTOCK_KFP_ENDPOINT", "PENSTOCK_KFP_TOKEN", "PENSTOCK_STORE"):
        monkeypatch.delenv(name, raising=False)
    # A Docker of the machine's is not for these tests to ask.
    monkeypatch.setenv("PATH", str(tmp_path))


def declare(tmp_path: Path, cluster: dict[str, Any], root: str = "/data/pipelines") -> None:
    text = DECLARATION.replace("ROOT", root).replace("CLUSTER", json.dumps({"image": "images/a:1", **cluster}))
    (tmp_path / "pipeline.yaml").write_text(text)


def call(*more: str) -> Result:
    arguments = [".", "--env", "cluster", "-p", "needed=it", *more]
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


def checks(*more: str) -> dict[str, Any]:
    return {check["name"]: check for check in json.loads(call("--json", *more).stdout)["checks"]}


def test_all_that_a_cluster_needs_is_there(tmp_path: Path, server: KubeflowApi) -> None:
    volumes = [{"claim": "shared", "path": "/data"}]
    declare(tmp_path, {"endpoint": server.address, "volumes": volumes})
    with connect(StoreLocation(tmp_path / "store"), create=True):
        pass
    found = checks("--store", str(tmp_path / "store"))
    assert found["Kubeflow Pipelines"]["found"] == f"API v2beta1 at {server.address}"
    assert found["namespace"]["found"] == "the only one, with 0 runs"
    assert found["pipeline root"]["found"] == "/data/pipelines, in the volume shared"
    assert found["metadata store"]["found"].startswith("0 runs in")
    names = ("Kubeflow Pipelines", "namespace", "pipeline root", "metadata store", "Python")
    assert {found[name]["status"] for name in names} == {"ok"}
    assert found["store of all nodes"]["status"] == "fail"  # a folder that is in no volume
    assert (found["image"]["status"], "no Docker here" in found["image"]["found"]) == ("warn", True)


def test_each_trouble_is_told_with_what_to_do(tmp_path: Path, server: KubeflowApi) -> None:
    server.multi_user = True
    secrets = {"PENSTOCK_STORE": {"secret": "store", "key": "url"}}
    declare(tmp_path, {"endpoint": server.address, "secrets": secrets, "image": "images/a"})
    result = call()
    assert result.exit_code == 1
    assert "Pipelines cannot run here" in result.stderr
    found = checks()
    assert (found["Kubeflow Pipelines"]["status"], found["pipeline root"]["status"]) == ("fail", "fail")
    assert "namespace: …" in found["Kubeflow Pipelines"]["found"]
    assert "in no volume" in found["pipeline root"]["found"]
    assert (found["metadata store"]["status"], found["image"]["status"]) == ("warn", "warn")
    assert "secret 'store'" in found["metadata store"]["found"]
    assert all(found[name]["mend"] for name in ("Kubeflow Pipelines", "pipeline root", "metadata store", "image"))


def test_a_namespace_that_is_not_ones_own(tmp_path: Path, server: KubeflowApi) -> None:
    server.multi_user = True
    server.trouble.append(Trouble("GET .*/runs$", 403))
    declare(tmp_path, {"endpoint": server.address, "namespace": "others"})
    found = checks()
    assert found["Kubeflow Pipelines"]["status"] == "ok"
    assert "you may not do that" in found["namespace"]["found"]


def test_a_store_that_all_nodes_reach(tmp_path: Path, server: KubeflowApi) -> None:
    declare(tmp_path, {"endpoint": server.address, "volumes": [{"claim": "shared", "path": str(tmp_path)}]})
    assert "store of all nodes" not in checks()  # the project is in a volume
    declare(tmp_path, {"endpoint": server.address})
    assert "no container sees" in checks()["store of all nodes"]["found"]
    found = checks("--store", "postgresql://nobody@127.0.0.1:1/runs")
    assert "store of all nodes" not in found
    assert found["metadata store"]["status"] == "fail"


def test_nobody_says_where_the_cluster_is(tmp_path: Path) -> None:
    declare(tmp_path, {})
    assert "PENSTOCK_KFP_ENDPOINT" in checks()["Kubeflow Pipelines"]["found"]


def test_a_bucket_that_is_not_there_is_told_at_once(
    tmp_path: Path, server: KubeflowApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-secret")
    declare(tmp_path, {"endpoint": server.address}, root="s3://nowhere/pipelines")
    monkeypatch.setattr("penstock.storage.waiting._hurried", False)
    found = checks()["pipeline root"]
    assert found["status"] == "fail"
    assert "s3://nowhere" in found["found"] and "canary" not in json.dumps(found)


@pytest.mark.parametrize(("answer", "status"), [("exit 0", "ok"), ("echo no such manifest >&2; exit 1", "warn")])
def test_the_image_is_looked_for_in_its_registry(tmp_path: Path, server: KubeflowApi, answer: str, status: str) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\n[ \"$1 $2 $3\" = 'manifest inspect images/a:1' ] || exit 7\n{answer}\n")
    docker.chmod(0o755)
    declare(tmp_path, {"endpoint": server.address})
    found = checks()["image"]
    assert found["status"] == status
    assert ("no such manifest" in found["found"]) == (status == "warn")


def test_an_environment_on_this_machine_has_only_its_store(tmp_path: Path) -> None:
    declare(tmp_path, {})
    arguments = [".", "--env", "here", "-p", "needed=it", "--json"]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    names = [check["name"] for check in json.loads(done.stdout)["checks"]]
    assert "metadata store" in names
    assert not {"Kubeflow Pipelines", "image", "pipeline root"} & set(names)


def test_a_wrong_declaration_is_told_as_ever(tmp_path: Path) -> None:
    declare(tmp_path, {})
    done = CliRunner().invoke(command, [".", "--env", "cluster"], catch_exceptions=False)
    assert done.exit_code == 2
    assert "-p needed=VALUE" in done.stderr
