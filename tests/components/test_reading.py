"""Shards of examples as record batches, and under TFX's StatisticsGen."""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from apache_beam.testing import util
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx.components.statistics_gen import executor as statistics_gen
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import example_gen_pb2
from tfx.types import standard_artifacts
from tfx_bsl.coders import example_coder
from tfx_bsl.tfxio import tf_example_record

from penstock.beam import fast_reading
from penstock_components import reading
from penstock_components.reading import Decoding, ReadRecordBatches
from tests.components.ingestion_helpers import ONE_WORKER, TAXI, ingest


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> standard_artifacts.Examples:
    """The taxi trips as examples, in two shards of each split."""
    folder = tmp_path_factory.mktemp("data")
    header, *lines = TAXI.read_bytes().splitlines(keepends=True)
    for part in range(2):
        (folder / f"{part}.csv").write_bytes(header + b"".join(lines[part::2]))
    return ingest(folder, tmp_path_factory.mktemp("examples"))


@pytest.fixture
def tfx_reading() -> Iterator[None]:
    """Leaves TFX's reader as it was."""
    before = tf_example_record.TFExampleRecord.__dict__.get("BeamSource")
    yield
    if before is None:
        del tf_example_record.TFExampleRecord.BeamSource
    else:
        tf_example_record.TFExampleRecord.BeamSource = before


def _shards(examples: standard_artifacts.Examples, split: str = "train") -> list[str]:
    return reading.shards(f"{examples.uri}/Split-{split}/*")


def _records(paths: list[str]) -> list[bytes]:
    return list(tf.data.TFRecordDataset(paths, "GZIP").as_numpy_iterator())


def _rows(batches: list[pa.RecordBatch]) -> list[str]:
    return sorted(str(sorted(row.items())) for batch in batches for row in batch.to_pylist())


def test_all_records_in_order_and_large_batches(examples: standard_artifacts.Examples) -> None:
    paths = _shards(examples)
    arrays = [array for path in paths for array in reading.record_arrays(path)]
    assert [record for array in arrays for record in array] == _records(paths)
    assert len(arrays) == 2
    assert {len(array) for array in reading.record_arrays(paths[0], 1000)} == {1000, len(arrays[0]) % 1000}


def test_batches_are_bounded_in_bytes(tmp_path: Path) -> None:
    path = str(tmp_path / "large")
    with tf.io.TFRecordWriter(path) as writer:
        for _ in range(300):
            writer.write(bytes(500_000))
    arrays = list(reading.record_arrays(path))
    assert sum(map(len, arrays)) == 300
    assert max(map(len, arrays)) <= 128


def test_columns_are_those_of_the_decoder_of_tfx(examples: standard_artifacts.Examples) -> None:
    paths = _shards(examples)
    whole = example_coder.ExamplesToRecordBatchDecoder().DecodeBatch(_records(paths))
    found = pa.Table.from_batches(reading.record_batches(paths))
    assert found.combine_chunks().to_batches()[0].equals(whole)


def test_a_schema_chooses_columns_and_raw_records_can_be_attached(examples: standard_artifacts.Examples) -> None:
    paths = _shards(examples, "eval")
    schema = text_format.Parse(
        'feature {name: "fare" type: FLOAT} feature {name: "none" type: INT}', schema_pb2.Schema()
    )
    decoding = Decoding(schema=schema.SerializeToString(), raw_record_column="raw", batch_rows=700)
    batches = list(reading.record_batches(paths, decoding))
    assert batches[0].schema.names == ["fare", "none", "raw"]
    assert max(batch.num_rows for batch in batches) == 700
    assert [row[0] for batch in batches for row in batch["raw"].to_pylist()] == _records(paths)


def test_parquet_shards(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "data.csv").write_text("a,b\n" + "".join(f"{number},x\n" for number in range(500)))
    artifact = ingest(folder, tmp_path / "out", payload=example_gen_pb2.FORMAT_PARQUET)
    batches = list(reading.record_batches(_shards(artifact), Decoding(columns=("a",), batch_rows=100)))
    assert batches[0].schema.names == ["a"] and batches[0].num_rows == 100
    assert all(len(row) == 1 for batch in batches for row in batch["a"].to_pylist())


def test_a_pattern_without_files_and_a_damaged_shard(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no file of examples matches"):
        reading.shards(str(tmp_path / "*"))
    path = tmp_path / "cut.gz"
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        writer.write(b"x" * 1000)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-100]))
    with pytest.raises(tf.errors.DataLossError):
        list(reading.record_batches([str(path)]))


def test_the_source_of_a_pipeline_gives_the_same_rows(examples: standard_artifacts.Examples) -> None:
    paths = _shards(examples)
    expected = _rows(list(reading.record_batches(paths)))

    def same(batches: list[pa.RecordBatch]) -> None:
        assert _rows(batches) == expected

    with beam.Pipeline(options=beam.pipeline.PipelineOptions(list(ONE_WORKER))) as pipeline:
        read = pipeline | ReadRecordBatches(f"{examples.uri}/Split-train/*")
        util.assert_that(read, same)


def _statistics(
    examples: standard_artifacts.Examples, output: Path
) -> dict[str, statistics_pb2.DatasetFeatureStatisticsList]:
    artifact = standard_artifacts.ExampleStatistics()
    artifact.uri = str(output)
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=list(ONE_WORKER), tmp_dir=f"{output}-tmp", unique_id="1"
    )
    statistics_gen.Executor(context).Do({"examples": [examples]}, {"statistics": [artifact]}, {"exclude_splits": "[]"})
    return {
        split: tfdv.load_stats_binary(str(output / f"Split-{split}" / "FeatureStats.pb")) for split in ("train", "eval")
    }


_NUMBER = re.compile(r"-?\d+\.\d+(?:e[-+]?\d+)?")


def _compare(ours: Any, theirs: Any) -> None:
    """Sums of floats depend on their order; all else must be alike to the letter."""
    ours_text, theirs_text = str(ours), str(theirs)
    assert _NUMBER.sub("#", ours_text) == _NUMBER.sub("#", theirs_text)
    for one, other in zip(_NUMBER.findall(ours_text), _NUMBER.findall(theirs_text), strict=True):
        assert math.isclose(float(one), float(other), rel_tol=1e-9), (one, other)


@pytest.mark.usefixtures("tfx_reading")
def test_statistics_gen_finds_the_same(examples: standard_artifacts.Examples, tmp_path: Path) -> None:
    theirs = _statistics(examples, tmp_path / "theirs")
    fast_reading.install()
    ours = _statistics(examples, tmp_path / "ours")
    for split in ("train", "eval"):
        assert ours[split].datasets[0].num_examples > 4000
        _compare(ours[split], theirs[split])


@pytest.mark.usefixtures("tfx_reading")
def test_it_stands_in_for_the_reader_of_tfx_with_all_it_can_be_asked_for(
    examples: standard_artifacts.Examples,
) -> None:
    schema = text_format.Parse(
        'feature {name: "fare" type: FLOAT} feature {name: "tips" type: FLOAT}', schema_pb2.Schema()
    )
    tfxio = tf_example_record.TFExampleRecord(
        f"{examples.uri}/Split-eval/*", schema=schema, raw_record_column_name="raw", telemetry_descriptors=["test"]
    )
    found: list[list[str]] = []
    for install in (False, True):
        if install:
            fast_reading.install()
        seen = _collected(tfxio.BeamSource(batch_size=500))
        assert max(batch.num_rows for batch in seen) == 500
        assert seen[0].schema.equals(tfxio.ArrowSchema())
        found.append(_rows(seen))
    assert found[0] == found[1]


_COLLECTED: list[pa.RecordBatch] = []


def _collected(source: beam.PTransform) -> list[pa.RecordBatch]:
    """Runs a source in this process and returns what it gives."""
    _COLLECTED.clear()
    with beam.Pipeline(options=beam.pipeline.PipelineOptions(list(ONE_WORKER))) as pipeline:
        _ = pipeline | source | beam.Map(_collect)
    return list(_COLLECTED)


def _collect(batch: pa.RecordBatch) -> None:
    _COLLECTED.append(batch)
