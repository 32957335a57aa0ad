"""Transform's examples, written a batch at a time, are those that TFX writes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
import tensorflow as tf
from apache_beam.io import tfrecordio
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.transform import executor, labels

from penstock.beam import fast_writing
from tests.components.ingestion_helpers import ONE_WORKER

SCHEMA = text_format.Parse(
    'feature {name: "a" type: INT} feature {name: "b" type: FLOAT} feature {name: "c" type: BYTES}', schema_pb2.Schema()
)
KEY = executor._TRANSFORM_INTERNAL_FEATURE_FOR_KEY


def _batch(start: int, rows: int, **more: list[Any]) -> tuple[pa.RecordBatch, dict[str, pa.Array]]:
    columns = {
        "a": pa.array([[start + row] for row in range(rows)], pa.large_list(pa.int64())),
        "b": pa.array([[row / 7, 1.5][: row % 3] for row in range(rows)], pa.large_list(pa.float32())),
        "c": pa.array(
            [None if row % 5 == 0 else [b"x" * row] for row in range(rows)], pa.large_list(pa.large_binary())
        ),
    }
    columns |= {name: pa.array(values, pa.large_list(pa.large_binary())) for name, values in more.items()}
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns)), {}


BATCHES = [_batch(0, 1000), _batch(1000, 0), _batch(2000, 3), _batch(3000, 2, **{KEY: [[b"k"], None]})]


@pytest.fixture
def tfx_writing() -> Iterator[None]:
    """Leaves Transform's writer as it was."""
    before = executor.TransformProcessor.__dict__["_EncodeAndWrite"]
    yield
    executor.TransformProcessor._EncodeAndWrite = before


def _written(folder: Path, file_format: str, batches: list[Any]) -> dict[str, bytes | list[bytes]]:
    folder.mkdir()
    with beam.Pipeline(options=beam.pipeline.PipelineOptions(list(ONE_WORKER))) as pipeline:
        _ = (
            pipeline
            | beam.Create(batches, reshuffle=False)
            | executor.TransformProcessor._EncodeAndWrite(
                schema=SCHEMA, file_format=file_format, output_path=str(folder / "transformed_examples")
            )
        )
    found: dict[str, bytes | list[bytes]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix == ".gz":
            records = tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator()
            parsed = [tf.train.Example.FromString(record) for record in records]
            found[path.name] = [example.SerializeToString(deterministic=True) for example in parsed]
        else:
            found[path.name] = path.read_bytes()
    return found


@pytest.mark.usefixtures("tfx_writing")
@pytest.mark.parametrize("batches", [BATCHES, []], ids=["batches", "none"])
def test_the_same_files_with_the_same_records(batches: list[Any], tmp_path: Path) -> None:
    theirs = _written(tmp_path / "theirs", labels.FORMAT_TFRECORD, batches)
    fast_writing.install()
    fast_writing.install()
    ours = _written(tmp_path / "ours", labels.FORMAT_TFRECORD, batches)
    assert ours == theirs
    assert list(ours) == ["transformed_examples-00000-of-00001.gz"]
    assert sum(map(len, ours.values())) == (1005 if batches else 0)


@pytest.mark.usefixtures("tfx_writing")
def test_other_formats_are_left_to_tfx(tmp_path: Path) -> None:
    fast_writing.install()
    with pytest.raises(NotImplementedError, match="Unsupported output file format"):
        _written(tmp_path / "out", "other", BATCHES[:1])


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_records_are_framed_as_beam_frames_them(records: list[bytes]) -> None:
    expected = io.BytesIO()
    for record in records:
        tfrecordio._TFRecordUtil.write_record(expected, record)
    assert fast_writing.framed(records) == expected.getvalue()


@pytest.mark.usefixtures("tfx_writing")
def test_what_cannot_be_encoded_fails_the_pipeline(tmp_path: Path) -> None:
    fast_writing.install()
    wrong: Any = pa.RecordBatch.from_arrays([pa.array(["not a list"])], names=["c"]), {}
    with pytest.raises(Exception, match=r"[Ll]ist"):
        _written(tmp_path / "out", labels.FORMAT_TFRECORD, [*BATCHES, wrong])
    assert not list((tmp_path / "out").glob("*.gz"))
