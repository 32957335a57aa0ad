"""Files of examples, in the layout that TFX's ExampleGen has (tfx/components/example_gen/write_split.py).

A split's folder holds `data_tfrecord-00000-of-00003.gz` and so on, or `data_parquet-….parquet`. A shard is written
under another name and renamed when it is whole, so that one written twice, as after a failed bundle, does no harm.
"""

from __future__ import annotations

import abc
import os
import uuid
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tensorflow as tf

from penstock_components.ingestion import files
from penstock_components.ingestion.arrow_values import TARGETS
from penstock_components.ingestion.columns import ColumnType, ColumnTypes

_RECORDS, _PARQUET = "data_tfrecord", "data_parquet"
# On examples of taxi trips level 1 takes a third of the time of level 6, for a fourth more bytes.
_GZIP_LEVEL = 1


def tfrecord_path(folder: str, index: int, count: int) -> str:
    """Returns the path of one of `count` shards of serialised records."""
    return os.path.join(folder, f"{_RECORDS}-{index:05d}-of-{count:05d}.gz")


def parquet_path(folder: str, index: int, count: int) -> str:
    """Returns the path of one of `count` shards of Parquet."""
    return os.path.join(folder, f"{_PARQUET}-{index:05d}-of-{count:05d}.parquet")


class Shard(abc.ABC):
    """A file being written; it appears when the context ends without an error."""

    def __init__(self, path: str) -> None:
        self._path = path
        # Beside the split's folder, because readers take every file in it.
        folder, name = os.path.split(path)
        self._partial = os.path.join(os.path.dirname(folder), f".{os.path.basename(folder)}-{name}-{uuid.uuid4().hex}")
        tf.io.gfile.makedirs(folder)
        self.rows = 0

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._close()
        if kind is not None:
            tf.io.gfile.remove(self._partial)
        else:
            tf.io.gfile.rename(self._partial, self._path, overwrite=True)

    @abc.abstractmethod
    def _close(self) -> None: ...


class RecordShard(Shard):
    """Serialised records as TFRecord, compressed with gzip."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._writer = tf.io.TFRecordWriter(
            self._partial, tf.io.TFRecordOptions(compression_type="GZIP", compression_level=_GZIP_LEVEL)
        )

    def write(self, records: Iterable[bytes]) -> None:
        """Appends records."""
        write = self._writer.write
        for record in records:
            write(record)
            self.rows += 1

    def _close(self) -> None:
        self._writer.close()


class ParquetShard(Shard):
    """Columns as Parquet, compressed with Snappy; each a list, as TensorFlow Data Validation wants them."""

    def __init__(self, path: str, types: ColumnTypes) -> None:
        super().__init__(path)
        self._file = files.create(self._partial)
        self._writer = pq.ParquetWriter(self._file, _list_schema(types), compression="snappy")

    def write(self, batch: pa.RecordBatch) -> None:
        """Appends rows."""
        self._writer.write_batch(batch)
        self.rows += batch.num_rows

    def _close(self) -> None:
        self._writer.close()
        self._file.close()


def as_lists(batch: pa.RecordBatch, null_is_empty: bool) -> pa.RecordBatch:
    """Returns a batch with lists for columns that are none yet; see `example_encoder.encode`."""
    arrays = []
    for column in batch.columns:
        if pa.types.is_null(column.type) or pa.types.is_large_list(column.type):
            arrays.append(column)
            continue
        valid = column.is_valid()
        ends = pc.cumulative_sum(pc.cast(valid, pa.int64()))
        offsets = pa.concat_arrays([pa.array([0], pa.int64()), ends])
        mask = pc.invert(valid) if column.null_count and not null_is_empty else None
        arrays.append(pa.LargeListArray.from_arrays(offsets, column.drop_null(), mask=mask))
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _list_schema(types: ColumnTypes) -> pa.Schema:
    return pa.schema(
        [
            pa.field(name, pa.null() if column_type is ColumnType.UNKNOWN else pa.large_list(TARGETS[column_type]))
            for name, column_type in types.items()
        ]
    )
