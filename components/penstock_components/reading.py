"""Examples as record batches, read in large pieces.

Shards of TFRecord are read and decoded by TensorFlow's and TFX's C++ code, several thousand records at a time; shards
of Parquet by Arrow. `record_batches` iterates over them here and now, `ReadRecordBatches` does so in a Beam pipeline, a
shard at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from tfx_bsl.coders import example_coder
from tfx_bsl.tfxio import record_based_tfxio

BATCH_ROWS = 8192
# A batch of fewer rows ends with the record that takes it over this size.
BATCH_BYTES = 20 << 20

# How many records TensorFlow hands over at a time.
_HANDED_ROWS = 128
_READ_BYTES = 1 << 20
# How often as many TensorFlow holds ready, decompressed in a thread of its own.
_HANDED_AHEAD = 8
_RECORD_SUFFIXES = {".gz": "GZIP", ".gzip": "GZIP"}
_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Decoding:
    """How shards become record batches.

    Attributes:
        schema: a serialised `tensorflow_metadata.proto.v0.Schema` that tells columns and their types; without one each
            batch of TFRecord has the columns that its own examples have.
        columns: the columns to read of Parquet; all when empty.
        raw_record_column: the name of a last column, of TFRecord, that holds the serialised examples.
        batch_rows: how many rows a batch has; None for as many as are good for speed.
    """

    schema: bytes | None = None
    columns: tuple[str, ...] = ()
    raw_record_column: str | None = None
    batch_rows: int | None = None


Read = Callable[[Sequence[str], Decoding], Iterator[pa.RecordBatch]]


def shards(patterns: str | Sequence[str]) -> list[str]:
    """Returns the files that match one or several patterns, sorted, without ones that begin with a dot.

    Raises:
        FileNotFoundError: a pattern matches no file.
    """
    found = []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        matched = [path for path in tf.io.gfile.glob(pattern) if not os.path.basename(path).startswith(".")]
        if not matched:
            raise FileNotFoundError(f"{pattern}: no file of examples matches")
        found += matched
    return sorted(found)


def record_batches(paths: Sequence[str], decoding: Decoding = Decoding()) -> Iterator[pa.RecordBatch]:
    """Yields the rows of shards, in order.

    Args:
        paths: TFRecord of `tf.train.Example`, plain or compressed with gzip (`.gz`), or Parquet (`.parquet`).
        decoding: which columns, and how many rows at a time.

    Returns:
        Batches whose columns are lists, or of type null where no example has a value, as
        `tfx_bsl.coders.example_coder.ExamplesToRecordBatchDecoder` makes them; of Parquet, whatever the files hold.

    Raises:
        tf.errors.DataLossError: a shard of TFRecord is damaged.
    """
    decoder = example_coder.ExamplesToRecordBatchDecoder(decoding.schema)

    def decoded(records: np.ndarray) -> pa.RecordBatch:
        batch = decoder.DecodeBatch(records)
        if decoding.raw_record_column is None:
            return batch
        return record_based_tfxio.AppendRawRecordColumn(batch, decoding.raw_record_column, records.tolist())

    for path in paths:
        if path.endswith(".parquet"):
            yield from _parquet(path, decoding)
        else:
            yield from _one_ahead(decoded, record_arrays(path, decoding.batch_rows))


def record_arrays(path: str, rows: int | None = None) -> Iterator[np.ndarray]:
    """Yields the serialised records of a shard of TFRecord, as arrays of bytes objects.

    Args:
        path: the shard.
        rows: how many records an array has; None for as many as are good for speed and fit into `BATCH_BYTES`.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    options.threading.private_threadpool_size = 1
    compression = _RECORD_SUFFIXES.get(os.path.splitext(path)[1].lower(), "")
    dataset = tf.data.TFRecordDataset(path, compression, buffer_size=_READ_BYTES)
    if rows is not None:
        yield from dataset.batch(rows).with_options(options).as_numpy_iterator()
        return
    handed = dataset.batch(_HANDED_ROWS).prefetch(_HANDED_AHEAD)
    pending: list[np.ndarray] = []
    count = size = 0
    for records in handed.with_options(options).as_numpy_iterator():
        pending.append(records)
        count += len(records)
        size += sum(map(len, records))
        if count >= BATCH_ROWS or size >= BATCH_BYTES:
            yield np.concatenate(pending)
            pending, count, size = [], 0, 0
    if pending:
        yield np.concatenate(pending)


class ReadRecordBatches(beam.PTransform):
    """Reads shards in a pipeline; applied to the pipeline itself. Gives record batches, see `record_batches`.

    Args:
        patterns: the shards.
        decoding: which columns, and how many rows at a time.
        read: what reads a shard; takes and gives what `record_batches` does.
    """

    def __init__(
        self, patterns: str | Sequence[str], decoding: Decoding = Decoding(), read: Read = record_batches
    ) -> None:
        super().__init__()
        self._patterns = patterns
        self._decoding = decoding
        self._read = read

    def expand(self, begin: Any) -> Any:
        paths = shards(self._patterns)
        return (
            begin.pipeline
            | "Shards" >> beam.Create(paths, reshuffle=len(paths) > 1)
            | "Read" >> beam.ParDo(_Read(self._decoding, self._read))
        )


@beam.typehints.with_input_types(str)
@beam.typehints.with_output_types(pa.RecordBatch)
class _Read(beam.DoFn):
    def __init__(self, decoding: Decoding, read: Read) -> None:
        self._decoding = decoding
        self._read = read

    def process(self, path: str) -> Iterator[pa.RecordBatch]:
        yield from self._read([path], self._decoding)


def _one_ahead(function: Callable[[_Given], _Made], items: Iterable[_Given]) -> Iterator[_Made]:
    """Yields what a function makes of each item; it is at work on the next one while the caller is on this one."""
    with ThreadPoolExecutor(1, "ahead") as thread:
        last: Future[_Made] | None = None
        for item in items:
            following = thread.submit(function, item)
            if last is not None:
                yield last.result()
            last = following
        if last is not None:
            yield last.result()


def _parquet(path: str, decoding: Decoding) -> Iterator[pa.RecordBatch]:
    from penstock_components.ingestion import files

    with files.arrow_file(path) as file:
        opened = pq.ParquetFile(file)
        columns = list(decoding.columns) or None
        rows = decoding.batch_rows or BATCH_ROWS
        yield from opened.iter_batches(rows, columns=columns, use_threads=False)
