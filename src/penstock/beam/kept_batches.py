"""Decoded examples, kept between two readings of the same shard.

Transform reads its training examples twice: once to analyse them, once to transform them. The second time decompressing
and decoding them is spared: the first reading leaves its record batches in a file of Arrow's in the job's temporary
folder. Only for pipelines that run in the process that builds them; others read everything anew.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
from tensorflow_metadata.proto.v0 import schema_pb2

from penstock_components import reading
from penstock_components.reading import Decoding

# What does not fit is read anew.
MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class _Kept:
    """The batches of a shard, in a file of Arrow's."""

    file: str
    decoding: Decoding

    def serves(self, decoding: Decoding) -> bool:
        """Whether they are those another decoding would give, or have its columns among theirs."""
        if decoding.batch_rows != self.decoding.batch_rows:
            return False
        here, wanted = (_features(each) for each in (self.decoding, decoding))
        return all(here.get(name) == feature for name, feature in wanted.items())

    def batches(self, decoding: Decoding) -> Iterator[pa.RecordBatch]:
        """Yields them with the columns of a decoding, in its order."""
        names = list(_features(decoding))
        # Not mapped into memory, where all that was ever read would count as this process's.
        with pa.OSFile(self.file) as source, pa.ipc.open_file(source) as every:
            indices = sorted(every.schema.get_field_index(name) for name in names)
        options = pa.ipc.IpcReadOptions(included_fields=indices, use_threads=False)
        with pa.OSFile(self.file) as source, pa.ipc.open_file(source, options=options) as some:
            for index in range(some.num_record_batches):
                yield some.get_batch(index).select(names)


_asked: Counter[str] = Counter()
_kept: dict[str, _Kept] = {}
_bytes = 0


def expect(paths: Sequence[str]) -> None:
    """Tells that a pipeline is going to read these shards; what it reads twice is kept."""
    _asked.update(paths)


def record_batches(paths: Sequence[str], decoding: Decoding) -> Iterator[pa.RecordBatch]:
    """Yields what `reading.record_batches` does."""
    for path in paths:
        kept = _kept.get(path)
        if kept is not None and kept.serves(decoding):
            yield from kept.batches(decoding)
        elif kept is None and _asked[path] > 1 and _can_be_kept(decoding):
            yield from _keeping(path, decoding)
        else:
            yield from reading.record_batches([path], decoding)


def _keeping(path: str, decoding: Decoding) -> Iterator[pa.RecordBatch]:
    """Yields a shard's batches, and keeps them if all are read and there is room."""
    global _bytes
    descriptor, file = tempfile.mkstemp(prefix="batches-", suffix=".arrow")
    os.close(descriptor)
    writer: pa.RecordBatchFileWriter | None = None
    is_whole = False
    size = 0
    try:
        for batch in reading.record_batches([path], decoding):
            writer = writer or pa.ipc.new_file(file, batch.schema)
            if size <= MOST_BYTES - _bytes:
                size += batch.nbytes
                writer.write_batch(batch)
            yield batch
        is_whole = writer is not None and size <= MOST_BYTES - _bytes
    finally:
        if writer is not None:
            writer.close()
        if is_whole:
            _bytes += size
            _kept[path] = _Kept(file, decoding)
        else:
            os.unlink(file)


def _can_be_kept(decoding: Decoding) -> bool:
    # Without a schema each batch has columns of its own.
    return decoding.schema is not None and decoding.raw_record_column is None and not decoding.columns


def _features(decoding: Decoding) -> dict[str, schema_pb2.Feature]:
    return {feature.name: feature for feature in schema_pb2.Schema.FromString(decoding.schema or b"").feature}
