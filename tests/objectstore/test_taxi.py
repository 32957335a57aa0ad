"""The Chicago taxi pipeline with data, payloads and pushed models on object storage; and TFX's own ExampleGen there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Penstock, Result
from tests.objectstore.conftest import new_bucket, reset
from tests.objectstore.server import ObjectStore
from tests.objectstore.test_runs import Project

_CSV = """\
penstock: 1
name: csv
parameters: {{data: {{type: path, default: "s3://{bucket}/csv"}}}}
nodes:
  examples:
    component: CsvExampleGen
    input_base: ${{parameters.data}}
    input_config: {{splits: [{{name: all, pattern: "in/*.csv"}}]}}
environments:
  bucket: {{backend: local, runner: direct, pipeline_root: "s3://{bucket}/root"}}
"""


@pytest.fixture(scope="module")
def taxi(server: ObjectStore, penstock: Penstock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project that has run once; the pipeline's data and root are in its bucket."""
    folder, bucket = tmp_path_factory.mktemp("taxi"), new_bucket(server)
    (folder / "pyproject.toml").write_text("")
    shutil.copytree(REPOSITORY / "pipelines" / "chicago_taxi", folder / "chicago_taxi")
    with (folder / "chicago_taxi" / "pipeline.yaml").open("a") as stream:
        stream.write(f'  bucket: {{backend: local, runner: direct, pipeline_root: "s3://{bucket}/root"}}\n')
    spec = find_spec("tfx")
    assert spec is not None and spec.submodule_search_locations
    [tfx] = spec.submodule_search_locations
    server.client().upload_file(
        f"{tfx}/examples/chicago_taxi_pipeline/data/simple/data.csv", bucket, "data/deep/data.csv"
    )
    project = Project(folder, bucket, server, penstock)
    done = run(project)
    assert done.status == 0, done.stderr
    yield project
    reset(server)


def run(project: Project) -> Result:
    """Runs the pipeline."""
    place = f"s3://{project.bucket}"
    return project(
        *("run", "chicago_taxi", "--env", "bucket", "-p", "train_steps=300"),
        *("-p", f"data={place}/data/deep", "-p", f"push_to={place}/served"),
    )


def test_a_blessed_model_is_pushed_to_the_bucket(taxi: Project) -> None:
    assert set(taxi.states().values()) == {"succeeded"}
    _, pushed = taxi.artifact("pusher", "PushedModel")
    assert pushed["pushed_destination"].startswith(f"s3://{taxi.bucket}/served/")
    sizes = taxi.sizes()
    model = taxi.artifact("trainer", "Model")[0].removeprefix(f"s3://{taxi.bucket}/") + "/Format-Serving/"
    version = f"served/{pushed['pushed_version']}/"

    def below(prefix: str) -> dict[str, int]:
        return {key.removeprefix(prefix): size for key, size in sizes.items() if key.startswith(prefix)}

    assert below(version) == below(model) and "saved_model.pb" in below(version)
    assert taxi.artifact("evaluator", "ModelBlessing")[1]["blessed"] == 1
    assert not (taxi.folder / ".penstock" / "pipelines").exists()


def test_nothing_that_is_kept_names_a_scratch_folder(taxi: Project) -> None:
    listed = taxi("artifacts", "list", "--json").json
    for artifact in listed:
        assert "penstock-stage" not in taxi("artifacts", "show", str(artifact["artifact_id"]), "--json").stdout
    [config] = [key for key in taxi.sizes() if key.endswith("/eval_config.json")]
    text = taxi.server.client().get_object(Bucket=taxi.bucket, Key=config)["Body"].read().decode()
    assert "penstock-stage" not in text and f"s3://{taxi.bucket}/root/trainer/model/" in text


def test_transform_keeps_its_analyses_by_the_content_of_the_data(taxi: Project) -> None:
    _, properties = taxi.artifact("examples", "Examples")
    keys = [key for key in taxi.sizes() if "/updated_analyzer_cache/" in key]
    assert keys and all(f"/Split-train-{properties['penstock_digest']}-" in key for key in keys)


def test_unchanged_nodes_come_from_the_cache(taxi: Project) -> None:
    assert run(taxi).status == 0
    states = taxi.states()
    # The model of the first run is the baseline of this one.
    assert {node for node, state in states.items() if state != "cached"} == {"baseline", "evaluator"}
    taxi.server.faults.requests.clear()
    assert run(taxi).status == 0
    states = taxi.states()
    assert {node for node, state in states.items() if state != "cached"} == {"baseline"}
    requests = taxi.server.faults.requests
    assert len(requests) <= 5 * len(states) and {method for method, _ in requests} <= {"GET", "HEAD"}


def test_csv_example_gen_reads_the_bucket(server: ObjectStore, penstock: Penstock, tmp_path: Path) -> None:
    bucket = new_bucket(server)
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "pipeline.yaml").write_text(_CSV.format(bucket=bucket))
    project = Project(tmp_path, bucket, server, penstock)
    empty = project.run()
    assert empty.status == 1 and f"s3://{bucket}/csv: there is no such folder" in empty.stderr
    server.client().put_object(Bucket=bucket, Key="csv/in/one.csv", Body=b"a,b\n1,x\n2,y\n3\n")
    broken = project.run()
    assert broken.status == 1
    assert f"s3://{bucket}/csv/in/one.csv:4: 1 value, but the header names 2 columns" in broken.stderr
    server.client().put_object(Bucket=bucket, Key="csv/in/one.csv", Body=b"a,b\n1,x\n2,y\n3,z\n")
    server.client().put_object(Bucket=bucket, Key="csv/other.csv", Body=b"not,this\n")
    done = project.run()
    assert done.status == 0 and "3 examples" in done.stderr, done.stderr
    # Changed data are seen, though the parameters are the same.
    server.client().put_object(Bucket=bucket, Key="csv/in/two.csv", Body=b"a,b\n4,x\n")
    assert "4 examples" in project.run().stderr
    assert os.listdir(tmp_path / ".penstock") and not (tmp_path / ".penstock" / "pipelines").exists()
