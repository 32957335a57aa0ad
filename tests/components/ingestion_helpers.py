"""What the tests of ingestion share: a run of an ExampleGen, and TFX's reading of CSV without Beam around it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
import tfx
from google.protobuf import json_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.example_gen import base_example_gen_executor, utils
from tfx.components.example_gen.csv_example_gen import executor as csv_executor
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_artifacts, standard_component_specs
from tfx.utils import io_utils
from tfx_bsl.coders import csv_decoder

from penstock.beam import packaging
from penstock_components.ingestion import example_encoder, formats, options, partition, pipeline
from penstock_components.ingestion.columns import combine
from penstock_components.ingestion.executor import Executor
from penstock_components.ingestion.options import Loaded
from penstock_components.ingestion.sources import Options

TFX_FOLDER = Path(tfx.__file__).parent
TAXI = TFX_FOLDER / "examples/chicago_taxi_pipeline/data/simple/data.csv"
TFX_CSV = TFX_FOLDER / "components/testdata/external"
ONE_WORKER = ("--runner=DirectRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1")
FOUR_PROCESSES = (
    "--runner=DirectRunner",
    "--direct_running_mode=multi_processing",
    "--direct_num_workers=4",
    "--beam_plugin=penstock.engine.tfdv_shim",
)
BUCKETS = (2, 1)
Splits = dict[str, list[bytes]]


def ingest(
    base: Path,
    output: Path,
    executor: Any = Executor,
    *,
    patterns: dict[str, str] | None = None,
    partition_feature: str | None = None,
    payload: int = example_gen_pb2.FORMAT_TF_EXAMPLE,
    beam_args: Sequence[str] = ONE_WORKER,
    schema: standard_artifacts.Schema | None = None,
    **given: Any,
) -> standard_artifacts.Examples:
    """Runs an executor of an ExampleGen on a folder, and returns the artifact it made.

    Args:
        patterns: the pattern of each input split; all files in one split by default.
        given: options of ArrowExampleGen.
    """
    packaging.leave_tfx_out()
    input_config = utils.make_default_input_config()
    if patterns:
        named = [example_gen_pb2.Input.Split(name=name, pattern=pattern) for name, pattern in patterns.items()]
        input_config = example_gen_pb2.Input(splits=named)
    output_config = utils.make_default_output_config(input_config)
    if partition_feature:
        output_config.split_config.partition_feature_name = partition_feature
    artifact = standard_artifacts.Examples()
    artifact.uri = str(output)
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=list(beam_args), tmp_dir=f"{output}-tmp", unique_id="1"
    )
    executor(context).Do(
        {} if schema is None else {standard_component_specs.SCHEMA_KEY: [schema]},
        {standard_component_specs.EXAMPLES_KEY: [artifact]},
        {
            standard_component_specs.INPUT_BASE_KEY: str(base),
            standard_component_specs.INPUT_CONFIG_KEY: json_format.MessageToJson(input_config),
            standard_component_specs.OUTPUT_CONFIG_KEY: json_format.MessageToJson(output_config),
            standard_component_specs.OUTPUT_DATA_FORMAT_KEY: payload,
            standard_component_specs.OUTPUT_FILE_FORMAT_KEY: example_gen_pb2.FORMAT_TFRECORDS_GZIP,
            options.PROPERTY: options.dump(**given),
        },
    )
    return artifact


def make_schema(folder: Path, **types: schema_pb2.FeatureType) -> standard_artifacts.Schema:
    """Writes a schema with features of these types."""
    schema = schema_pb2.Schema(feature=[schema_pb2.Feature(name=name, type=kind) for name, kind in types.items()])
    io_utils.write_pbtxt_file(str(folder / "schema.pbtxt"), schema)
    artifact = standard_artifacts.Schema()
    artifact.uri = str(folder)
    return artifact


def splits(artifact: standard_artifacts.Examples) -> Splits:
    """Returns each split's examples, sorted, in protobuf's deterministic form."""
    found: Splits = {}
    for name in artifact_utils.decode_split_names(artifact.split_names):
        files = sorted(map(str, Path(artifact_utils.get_split_uri([artifact], name)).iterdir()))
        records = tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator()
        found[name] = sorted(
            tf.train.Example.FromString(record).SerializeToString(deterministic=True) for record in records
        )
    return found


def contents(artifact: standard_artifacts.Examples) -> dict[str, bytes]:
    """Returns what each shard holds, by its path in the artifact."""
    root = Path(artifact.uri)
    return {
        str(path.relative_to(root)): gzip.decompress(path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def tfx_splits(paths: Sequence[Path]) -> Splits:
    """Returns what TFX's CsvExampleGen makes of files, by its own functions, called one after the other."""
    names = io_utils.load_csv_column_names(str(paths[0]))
    reader, parser = csv_executor._ReadCsvRecordsFromTextFile(), csv_decoder.ParseCSVLine(delimiter=",")
    parser.setup()
    rows = [cells for path in paths for record in reader.process(str(path)) for cells, _ in parser.process(record)]
    inferrer = csv_decoder.ColumnTypeInferrer(names, skip_blank_lines=True)
    accumulator = inferrer.create_accumulator()
    for cells in rows:
        accumulator = inferrer.add_input(accumulator, cells)
    to_example = csv_executor._ParsedCsvToTfExample()
    infos = inferrer.extract_output(accumulator)
    return _partitioned(example for cells in rows for example in to_example.process(cells, infos))


def tfx_parquet_splits(rows: Sequence[dict[str, Any]]) -> Splits:
    """Returns the examples that TFX makes of rows of Parquet."""
    return _partitioned(map(utils.dict_to_example, rows))


def our_splits(paths: Sequence[Path], **given: Any) -> Splits:
    """Returns what the same source as ArrowExampleGen's makes of files, without Beam."""
    source = formats.source(Loaded(None, Options(**given)), [str(path) for path in paths])
    chunks = []
    for path in sorted(map(str, paths)):
        scans = [(block, source.scan(block)) for block in source.blocks(path)]
        chunks += source.chunks(scans)
    types = pipeline._settle(combine(map(source.infer, chunks)), source)
    records = [
        record
        for chunk in chunks
        for part in source.parts(chunk, types)
        for record in example_encoder.records(example_encoder.encode(part.batch, source.null_is_empty))
    ]
    indices = partition.split_indices(records, BUCKETS)
    found: Splits = {"train": [], "eval": []}
    for record, index in zip(records, indices.tolist(), strict=True):
        found["eval" if index else "train"].append(record)
    return {name: sorted(each) for name, each in found.items()}


def _partitioned(examples: Iterator[tf.train.Example]) -> Splits:
    buckets = [BUCKETS[0], sum(BUCKETS)]
    found: Splits = {"train": [], "eval": []}
    for example in examples:
        index = base_example_gen_executor._PartitionFn(example, 2, buckets, example_gen_pb2.SplitConfig())
        found["eval" if index else "train"].append(example.SerializeToString(deterministic=True))
    return {name: sorted(each) for name, each in found.items()}
