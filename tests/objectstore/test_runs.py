"""Runs whose pipeline root is on object storage: what they keep there, what they reuse, and how they fail."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Penstock, Result
from tests.e2e.tiny import wait_for
from tests.objectstore.conftest import new_bucket, reset
from tests.objectstore.server import ObjectStore

_STEPS = """\
import os
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, OutputDict, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples, Model, ModelRun


@component
def make(seed: Parameter[int], model: OutputArtifact[Model], nothing: OutputArtifact[ModelRun]) -> OutputDict(made=int):
    os.makedirs(os.path.join(model.uri, "deep", "er"))
    for name in ("a", "deep/b.gz", "deep/er/c"):
        with open(os.path.join(model.uri, name), "w") as stream:
            stream.write(f"{name} {seed}")
    return {"made": seed}


@component
def big(number: int, data: OutputArtifact[Model]):
    with open(os.path.join(data.uri, "large"), "wb") as stream:
        stream.write(os.urandom(12 << 20))
    with open(os.path.join(data.uri, "small"), "wb") as stream:
        stream.write(b"small")
    data.set_string_custom_property("where", os.path.join(data.uri, "small"))


@component
def take(model: InputArtifact[Model], nothing: InputArtifact[ModelRun], number: int) -> OutputDict(text=str):
    assert os.listdir(nothing.uri) == []
    with open(os.path.join(model.uri, "deep", "b.gz")) as stream:
        return {"text": f"{stream.read()} {number}"}
"""
_DECLARATION = """\
penstock: 1
name: stored
parameters: {{seed: {{type: int, default: 1}}}}
nodes:
  make: {{component: "steps:make", seed: "${{parameters.seed}}"}}
  big: {{component: "steps:big", number: "${{nodes.make.made}}"}}
  take:
    component: steps:take
    model: ${{nodes.make.model}}
    nothing: ${{nodes.make.nothing}}
    number: ${{nodes.make.made}}
environments:
  bucket: {{backend: local, runner: direct, pipeline_root: "s3://{bucket}/root"}}
"""


@dataclass(frozen=True)
class Project:
    """A project, its bucket, and the server that has it."""

    folder: Path
    bucket: str
    server: ObjectStore
    penstock: Penstock

    def __call__(self, *arguments: str | Path, **environ: str) -> Result:
        """Runs a command to its end, on the project's store."""
        return self.penstock(*arguments, cwd=self.folder, environ={**self.server.environ, **environ})

    def run(self, *options: str, **environ: str) -> Result:
        """Runs the pipeline to its end."""
        return self("run", ".", "--env", "bucket", *options, **environ)

    def states(self, run: str = "latest") -> dict[str, str]:
        """The state of each node of a run."""
        return {node["node_id"]: node["state"] for node in self("runs", "show", run, "--json").json["nodes"]}

    def sizes(self) -> dict[str, int]:
        """The sizes of what is in the bucket."""
        return self.server.keys(self.bucket)

    def artifact(self, node: str, type_: str) -> tuple[str, dict[str, Any]]:
        """The address and the properties of the newest artifact of a type that a node has made."""
        found = self("artifacts", "list", "--json", "--type", type_).json
        newest = next(each for each in found if f"/{node}/" in each["uri"])
        shown = self("artifacts", "show", str(newest["artifact_id"]), "--json").json
        return shown["uri"], {**shown["properties"], **shown["custom_properties"]}


@pytest.fixture
def project(server: ObjectStore, penstock: Penstock, tmp_path: Path) -> Iterator[Project]:
    """A project that has not run yet."""
    bucket = new_bucket(server)
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "steps.py").write_text(_STEPS)
    (tmp_path / "pipeline.yaml").write_text(_DECLARATION.format(bucket=bucket))
    yield Project(tmp_path, bucket, server, penstock)
    reset(server)


def test_payloads_are_in_the_bucket_and_nowhere_else(project: Project) -> None:
    done = project.run()
    assert done.status == 0, done.stderr
    assert not (project.folder / ".penstock" / "pipelines").exists()
    keys = project.sizes()
    uri, properties = project.artifact("make", "Model")
    folder = uri.removeprefix(f"s3://{project.bucket}/")
    assert {key.removeprefix(f"{folder}/") for key in keys if key.startswith(folder)} == {"a", "deep/b.gz", "deep/er/c"}
    assert keys[f"{folder}/deep/b.gz"] == len("deep/b.gz 1")
    assert properties["penstock_bytes"] == sum(len(f"{name} 1") for name in ("a", "deep/b.gz", "deep/er/c"))
    uri, properties = project.artifact("big", "Model")
    assert properties["where"] == f"{uri}/small"
    text = project.artifact("take", "String")[0].removeprefix(f"s3://{project.bucket}/")
    content = project.server.client().get_object(Bucket=project.bucket, Key=text)["Body"].read()
    assert content == b"deep/b.gz 1 1"
    assert not [key for key in keys if ".system" in key], "nothing but outputs is written"


def test_what_is_unchanged_comes_from_the_cache_at_little_cost(project: Project) -> None:
    assert project.run().status == 0
    project.server.faults.requests.clear()
    assert project.run().status == 0
    assert set(project.states().values()) == {"cached"}
    methods = [method for method, _ in project.server.faults.requests]
    assert set(methods) <= {"GET", "HEAD"}
    assert len(methods) <= 4 * 3 + 3, "few questions an output, none of them for content"

    client, keys = project.server.client(), project.sizes()
    [large] = [key for key in keys if key.endswith("/large")]
    [other] = [key for key in keys if key.endswith("/deep/b.gz")]
    time.sleep(1.1)  # times of objects are whole seconds
    client.copy_object(
        Bucket=project.bucket, Key=other, CopySource=f"{project.bucket}/{other}", MetadataDirective="REPLACE"
    )
    assert project.run().status == 0
    assert set(project.states().values()) == {"cached"}, "it was written again with the same content"

    client.put_object(Bucket=project.bucket, Key=other, Body=b"deep/b.gz 9")
    assert project.run().status == 0
    assert project.states() == {"make": "succeeded", "big": "cached", "take": "cached"}
    assert "has another content than was recorded" in project("cache", "explain", "latest", "make").stdout

    client.delete_object(Bucket=project.bucket, Key=large)
    assert project.run().status == 0
    assert project.states()["big"] == "succeeded"


def test_old_runs_are_removed_from_the_bucket(project: Project) -> None:
    assert project.run("-p", "seed=1").status == 0
    assert project.run("-p", "seed=2").status == 0
    before = project.sizes()
    project.server.faults.requests.clear()
    planned = project("gc", "--keep-last", "1", "--dry-run", "--json").json
    assert project.server.faults.requests == [], "sizes are known from the records"
    assert planned["bytes"] > 12 << 20
    done = project("gc", "--keep-last", "1")
    assert done.status == 0, done.stderr
    after = project.sizes()
    assert len(after) == len(before) / 2 and sum(before.values()) - sum(after.values()) <= planned["bytes"]
    assert project.run("-p", "seed=2").status == 0
    assert set(project.states().values()) == {"cached"}


def test_what_is_recorded_is_shown_without_the_bucket(project: Project) -> None:
    from starlette.testclient import TestClient

    from penstock.dashboard.app import create_app
    from penstock.dashboard.settings import Settings
    from penstock.metadata.location import StoreLocation

    assert project.run().status == 0
    project.server.faults.requests.clear()
    listed = project("artifacts", "list", "--json").json
    assert len(listed) == 5
    location = StoreLocation(project.folder / ".penstock")
    with TestClient(create_app(Settings(location)), base_url="http://localhost") as pages:
        for artifact in listed:
            for command in ("show", "lineage"):
                assert project("artifacts", command, str(artifact["artifact_id"])).status == 0
            page = pages.get(f"/artifacts/{artifact['artifact_id']}")
            assert page.status_code == 200 and artifact["uri"] in page.text
        assert pages.get("/").status_code == 200
    assert project.server.faults.requests == []


def test_a_store_that_is_away_for_a_while_fails_no_node(project: Project) -> None:
    project.server.faults.away = True
    threading.Timer(6, lambda: setattr(project.server.faults, "away", False)).start()
    done = project.run()
    assert done.status == 0, done.stderr
    project.server.faults.refusals = 12
    assert project.run("-p", "seed=3").status == 0
    assert project.server.faults.refusals == 0


def test_wrong_credentials_are_one_clear_error(project: Project) -> None:
    done = project.run(AWS_ACCESS_KEY_ID="somebody-else", AWS_SECRET_ACCESS_KEY="wrong-secret")
    assert done.status == 1
    assert project.states() == {"make": "failed", "big": "upstream_failed", "take": "upstream_failed"}
    assert done.stderr.count("the storage refuses access") == 1
    assert "AWS_ACCESS_KEY_ID is set" in done.stderr and "right to list, read, write and delete" in done.stderr
    assert "wrong-secret" not in done.stderr


def test_a_missing_bucket_is_one_clear_error(project: Project) -> None:
    (project.folder / "pipeline.yaml").write_text(_DECLARATION.format(bucket="no-such-bucket"))
    done = project.run()
    assert done.status == 1
    assert project.states()["make"] == "failed"
    assert done.stderr.count("s3://no-such-bucket: there is no such bucket") == 1


def test_a_cut_upload_leaves_one_whole_output(project: Project) -> None:
    project.server.faults.cuts, project.server.faults.cut_bytes = 2, 1 << 20
    done = project.run()
    assert done.status == 0, done.stderr
    assert project.server.faults.cuts == 0
    assert sorted(size for key, size in project.sizes().items() if "/big/" in key) == [5, 12 << 20]


def test_a_run_killed_while_it_uploads_is_taken_up_with_one_whole_output(project: Project) -> None:
    faults = project.server.faults
    faults.cut_bytes = 1 << 20
    faults.stalled.set()
    run = project.penstock.start(
        "run", ".", "--env", "bucket", "--run-id", "cut", cwd=project.folder, environ=project.server.environ
    )
    wait_for(lambda: any(method == "PUT" and "/big/" in path for method, path in faults.requests), run)
    wait_for(lambda: any(key.endswith("/small") for key in project.sizes()), run)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    faults.stalled.clear()
    done = project("run", "--resume", "cut")
    assert done.status == 0, done.stderr
    assert sorted(size for key, size in project.sizes().items() if "/big/" in key) == [5, 12 << 20]
    live = [each for each in project("artifacts", "list", "--json").json if "/big/" in each["uri"]]
    assert len(live) == 1


def test_ctrl_c_ends_a_wait_for_the_store(project: Project) -> None:
    project.server.faults.away = True
    run = project.penstock.start("run", ".", "--env", "bucket", cwd=project.folder, environ=project.server.environ)
    wait_for(lambda: len(project.server.faults.requests) > 4, run)
    began = time.monotonic()
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=60)
    assert run.returncode == 130 and time.monotonic() - began < 30
