"""Runs TFX's Transform on the same examples as it is and as Penstock's workers have it, each in a process of its own.

    python -m tests.components.transform_runs FOLDER

FOLDER/rows.csv is read; FOLDER/tfx and FOLDER/penstock get Transform's outputs, a folder each. FOLDER/penstock-cached
gets what Penstock makes when it may take the analyzers' results from the cache that TFX wrote.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Any

import tensorflow_data_validation as tfdv
from tfx.components.transform import executor
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import example_gen_pb2
from tfx.types import standard_artifacts, standard_component_specs
from tfx.utils import io_utils

from penstock.beam import (
    cached_sizes,
    fast_reading,
    fast_writing,
    option_views,
    packaging,
    pickling,
    signatures,
    traces,
)
from tests.components.ingestion_helpers import ONE_WORKER, ingest

OUTPUTS = {
    standard_component_specs.TRANSFORM_GRAPH_KEY: standard_artifacts.TransformGraph,
    standard_component_specs.TRANSFORMED_EXAMPLES_KEY: standard_artifacts.Examples,
    standard_component_specs.UPDATED_ANALYZER_CACHE_KEY: standard_artifacts.TransformCache,
    standard_component_specs.PRE_TRANSFORM_SCHEMA_KEY: standard_artifacts.Schema,
    standard_component_specs.PRE_TRANSFORM_STATS_KEY: standard_artifacts.ExampleStatistics,
    standard_component_specs.POST_TRANSFORM_SCHEMA_KEY: standard_artifacts.Schema,
    standard_component_specs.POST_TRANSFORM_STATS_KEY: standard_artifacts.ExampleStatistics,
    standard_component_specs.POST_TRANSFORM_ANOMALIES_KEY: standard_artifacts.ExampleAnomalies,
}


def main() -> None:
    """Makes examples and a schema, then runs both."""
    folder = Path(sys.argv[1])
    in_child(lambda: prepare(folder))
    in_child(lambda: transform(folder, folder / "tfx"))
    in_child(lambda: transform_as_worker(folder, folder / "penstock"))
    cache = folder / "tfx" / standard_component_specs.UPDATED_ANALYZER_CACHE_KEY
    in_child(lambda: transform_as_worker(folder, folder / "penstock-cached", cache))


def in_child(work: Any) -> None:
    """Does the work in a forked process, so that nothing of it stays; exits when it fails."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    if status:
        sys.exit(1)


def prepare(folder: Path) -> None:
    """Makes the inputs."""
    (folder / "csv").mkdir()
    (folder / "rows.csv").rename(folder / "csv/rows.csv")
    examples = ingest(folder / "csv", folder / "examples")
    statistics = tfdv.generate_statistics_from_tfrecord(f"{examples.uri}/Split-train/*")
    schema = tfdv.infer_schema(statistics, infer_feature_shape=False)
    io_utils.write_pbtxt_file(str(folder / "schema/schema.pbtxt"), schema)


def transform_as_worker(folder: Path, output: Path, cache: Path | None = None) -> None:
    """Runs Transform with all that a worker changes."""
    signatures.remember()
    option_views.remember()
    cached_sizes.install()
    pickling.install(in_process=True)
    fast_reading.install()
    fast_writing.install()
    traces.remember()
    transform(folder, output, cache)


def transform(folder: Path, output: Path, cache: Path | None = None) -> None:
    """Runs Transform."""
    packaging.leave_tfx_out()
    examples = artifact(standard_artifacts.Examples, folder / "examples")
    examples.split_names = '["train", "eval"]'
    examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=list(ONE_WORKER), tmp_dir=str(output / "tmp"), unique_id="1"
    )
    inputs = {
        standard_component_specs.EXAMPLES_KEY: [examples],
        standard_component_specs.SCHEMA_KEY: [artifact(standard_artifacts.Schema, folder / "schema")],
    }
    if cache is not None:
        inputs[standard_component_specs.ANALYZER_CACHE_KEY] = [artifact(standard_artifacts.TransformCache, cache)]
    executor.Executor(context).Do(
        inputs,
        {key: [artifact(kind, output / key)] for key, kind in OUTPUTS.items()},
        {
            standard_component_specs.MODULE_FILE_KEY: None,
            standard_component_specs.PREPROCESSING_FN_KEY: "chicago_taxi.features.preprocessing_fn",
            standard_component_specs.DISABLE_STATISTICS_KEY: 0,
            standard_component_specs.FORCE_TF_COMPAT_V1_KEY: 0,
            standard_component_specs.SPLITS_CONFIG_KEY: None,
            standard_component_specs.CUSTOM_CONFIG_KEY: "null",
        },
    )


def artifact(kind: Any, folder: Path) -> Any:
    """An artifact in a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    made = kind()
    made.uri = str(folder)
    return made


if __name__ == "__main__":
    main()
