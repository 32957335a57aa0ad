"""What `penstock compile` writes for Kubeflow Pipelines: read back by its SDK, and the same each time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp import components
from kfp.pipeline_spec import pipeline_spec_pb2

from penstock.backends.kubeflow import pod
from penstock.metadata import logs as kept_logs
from penstock.metadata import recording
from penstock.metadata.database import connect
from penstock.metadata.location import StoreLocation
from tests.cluster.package_runner import Package, command, defaults
from tests.cluster.test_shapes import ON_A_CLUSTER
from tests.conftest import REPOSITORY, Penstock, Result
from tests.contract.backend import Project
from tests.contract.shapes import Shape

ENVIRONMENT = """\
environments:
  cluster:
    backend: kubeflow
    pipeline_root: s3://bucket/pipelines
    env: {PLAIN: text}
    kubeflow:
      image: registry.example.org/nodes:1
      project: /project
      image_pull_policy: IfNotPresent
      image_pull_secrets: [pull]
      secrets: {PENSTOCK_STORE: {secret: store, key: url}}
      volumes: [{claim: shared, path: /data}]
      node_selector: {pool: training}
      tolerations: [{key: gpu, operator: Exists, effect: NoSchedule}]
      labels: {team: forecasts}
      annotations: {cost: research}
"""
EVERYTHING = """\
penstock: 1
name: everything
description: All that a node can ask for.
parameters:
  size: {type: int, default: 3}
  share: {type: float, default: 0.5}
  loud: {type: bool, default: true}
  word: {type: str, default: null}
  data: {type: path, default: data/here}
  needed: {type: str}
on_failure:
  - node: tell
nodes:
  one: {component: 'steps:number', value: "${parameters.size}"}
  two:
    component: steps:add
    a: ${nodes.one.made}
    retries: 2
    backoff: 30s
    timeout: 10m
    resources: {cpu: 1.5, memory: 1.5Gi, gpu: 2}
  tell: {component: 'steps:number', value: 1}
"""


def compiled(penstock: Penstock, folder: Path, *more: str) -> tuple[Path, Result]:
    target = folder / "package.yaml"
    done = penstock("compile", folder, "--env", "cluster", "-o", target, "--store", folder / "store", *more, cwd=folder)
    return target, done


def checked(target: Path) -> Package:
    """Reads a package as Kubeflow does, and as the SDK does."""
    package = Package.read(target)
    json_format.ParseDict(dict(package.spec), pipeline_spec_pb2.PipelineSpec())
    json_format.ParseDict(dict(package.platform), pipeline_spec_pb2.PlatformSpec())
    assert components.load_component_from_file(str(target)).pipeline_spec == json_format.ParseDict(
        dict(package.spec), pipeline_spec_pb2.PipelineSpec()
    )
    return package


@pytest.fixture(scope="module")
def everything(penstock: Penstock, tmp_path_factory: pytest.TempPathFactory) -> Package:
    project = Project.make(tmp_path_factory.mktemp("everything"))
    (project.folder / "pipeline.yaml").write_text(EVERYTHING + ENVIRONMENT)
    target, done = compiled(penstock, project.folder, "-p", "needed=yes")
    assert done.status == 0, done.stderr
    return checked(target)


def test_every_node_is_a_task_in_its_order(everything: Package) -> None:
    names = everything.names()
    before = {
        name: sorted(names[key] for key in task.get("dependentTasks", ())) for name, task in everything.nodes.items()
    }
    assert before == {"begin": [], "one": ["begin"], "two": ["one"]}, "the node for failures runs in the last step"
    assert everything.last["taskInfo"]["name"] == "end"
    assert everything.last["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"


def test_parameters_are_the_pipelines_inputs(everything: Package) -> None:
    inputs = everything.spec["root"]["inputDefinitions"]["parameters"]
    kinds = {
        name: (entry["parameterType"], entry.get("defaultValue"), entry.get("isOptional", False))
        for name, entry in inputs.items()
    }
    assert kinds == {
        "size": ("NUMBER_INTEGER", 3, True),
        "share": ("NUMBER_DOUBLE", 0.5, True),
        "loud": ("BOOLEAN", True, True),
        "word": ("STRING", None, True),
        "data": ("STRING", "data/here", True),
        "needed": ("STRING", "yes", True),
    }


def test_a_command_has_the_parameters_and_no_more(everything: Package) -> None:
    line = command(everything, everything.nodes["two"], "RUN", defaults(everything))[3:]
    assert line == [
        "node", "/project/pipeline.yaml", "--env", "cluster", "--run-id", "RUN",
        "-p", "size=3", "-p", "share=0.5", "-p", "loud=true", "-p", "data=data/here", "-p", "needed=yes", "two",
    ]  # fmt: skip
    line = command(everything, everything.nodes["two"], "RUN", {**defaults(everything), "word": "a b"})
    assert "word=a b" in line


def test_what_a_node_asks_for(everything: Package) -> None:
    task = everything.nodes["two"]
    assert task["retryPolicy"] == {
        "maxRetryCount": 2, "backoffDuration": "30s", "backoffFactor": 2.0, "backoffMaxDuration": "3600s",
    }  # fmt: skip
    container = everything.container(task)
    assert container["image"] == "registry.example.org/nodes:1"
    limits = {name: value for name, value in container["resources"].items() if name.startswith("resource")}
    assert limits == {
        "resourceCpuLimit": "1.5", "resourceCpuRequest": "1.5", "resourceMemoryLimit": "1536Mi",
        "resourceMemoryRequest": "1536Mi",
    }  # fmt: skip
    assert container["resources"]["accelerator"]["resourceCount"] == "2"
    assert container["resources"]["accelerator"]["resourceType"] == "nvidia.com/gpu"
    assert everything.platform_of(task)["activeDeadlineSeconds"] == "720", "two minutes after the node's own limit"


def test_what_the_environment_says_of_every_pod(everything: Package) -> None:
    for task in [*everything.nodes.values(), everything.last]:
        pod = everything.platform_of(task)
        [secret] = pod["secretAsEnv"]
        assert secret["secretName"] == "store"
        assert secret["keyToEnv"] == [{"secretKey": "url", "envVar": "PENSTOCK_STORE"}]
        assert pod["podMetadata"] == {"labels": {"team": "forecasts"}, "annotations": {"cost": "research"}}
        assert pod["nodeSelector"]["labels"] == {"pool": "training"}
        assert pod["tolerations"] == [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]
        assert pod["pvcMount"][0]["mountPath"] == "/data"
        assert pod["imagePullPolicy"] == "IfNotPresent"
        assert pod["imagePullSecret"][0]["secretName"] == "pull"


@pytest.mark.parametrize("name", ["chicago_taxi", "penguin"])
def test_ready_pipelines(penstock: Penstock, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    shutil.copytree(REPOSITORY / "pipelines" / name, folder, ignore=shutil.ignore_patterns("__pycache__", ".penstock"))
    (folder / "pyproject.toml").touch()
    file = folder / "pipeline.yaml"
    declared = yaml.safe_load(file.read_text())
    declared["environments"] |= yaml.safe_load(ENVIRONMENT)["environments"]
    file.write_text(yaml.safe_dump(declared, sort_keys=False))
    assert_the_same_twice(penstock, folder, set(declared["nodes"]))


@pytest.mark.parametrize("shape", ON_A_CLUSTER, ids=lambda shape: shape.name)
def test_shapes(penstock: Penstock, tmp_path: Path, shape: Shape) -> None:
    project = Project.make(tmp_path)
    nodes = shape.rounds[0].nodes
    assert nodes is not None
    project.declare(shape.name, nodes)
    with (project.folder / "pipeline.yaml").open("a") as stream:
        stream.write(ENVIRONMENT)
    assert_the_same_twice(penstock, project.folder, set(shape.rounds[0].states))


def assert_the_same_twice(penstock: Penstock, folder: Path, nodes: set[str]) -> None:
    target, done = compiled(penstock, folder)
    assert done.status == 0, done.stderr
    first = target.read_bytes()
    assert str(folder) not in first.decode()
    assert set(checked(target).nodes) == {"begin"} | nodes
    _, done = compiled(penstock, folder)
    assert done.status == 0, done.stderr
    assert target.read_bytes() == first


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no image": ({"kubeflow": None}, "does not say which image its nodes run in"),
    "no root": ({"pipeline_root": None, "kubeflow": {"image": "nodes"}}, "has no pipeline_root"),
}


@pytest.mark.parametrize(("change", "said"), REFUSED.values(), ids=REFUSED)
def test_what_a_cluster_needs(penstock: Penstock, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    project = Project.make(tmp_path)
    project.declare("small", "one: {component: 'steps:number', value: 1}")
    environment = yaml.safe_load(ENVIRONMENT)["environments"]["cluster"]
    environment = {key: value for key, value in {**environment, **change}.items() if value is not None}
    with (project.folder / "pipeline.yaml").open("a") as stream:
        stream.write(f"environments: {json.dumps({'cluster': environment})}\n")
    target, done = compiled(penstock, project.folder)
    assert done.status == 2
    assert said in done.stderr
    assert not target.exists()


def test_a_wrong_entry_is_told_with_its_place(penstock: Penstock, tmp_path: Path) -> None:
    project = Project.make(tmp_path)
    project.declare("small", "one: {component: 'steps:number', value: 1}")
    with (project.folder / "pipeline.yaml").open("a") as stream:
        stream.write(ENVIRONMENT.replace("secret: store, key: url", "secret: store, kye: url"))
    _, done = compiled(penstock, project.folder)
    assert done.status == 2
    assert "has no key 'kye'" in done.stderr
    assert "did you mean 'key'" in done.stderr


def test_a_log_is_kept_whole_when_its_node_ends(tmp_path: Path) -> None:
    location = StoreLocation(tmp_path)
    with connect(location, create=True) as database:
        recording.create_run(database, "r", "p", backend="kubeflow", nodes=[("n", "N")], cluster="")
        output = pod._Output(database, "r", "n")
        log = location.run_folder("r") / "n" / "attempt-1" / "log.txt"
        log.parent.mkdir(parents=True)
        log.write_text("the last words\n")
        output.node_ends()
        log.unlink()
        kept_logs.fetch(database, "r", "n")
    assert log.read_text() == "the last words\n"
