"""From files or a database to splits of examples, as a Beam pipeline.

Elements are descriptions of work alone (a path and a range, say); rows are in memory only within one function. First
each block of each file is looked over and the files cut into chunks; then types are inferred in each chunk and
combined; then each chunk's rows are written, a shard for each split. Nothing of the result depends on where or in what
order that happens.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from penstock_components.ingestion import columns, example_encoder, files, partition, shards
from penstock_components.ingestion.columns import ColumnType
from penstock_components.ingestion.errors import DataError
from penstock_components.ingestion.sources import Block, Chunk, Source


@dataclass(frozen=True)
class Output:
    """Where rows go.

    Attributes:
        folders: each split's, in the order of the configuration.
        hash_buckets: each split's number of buckets; empty where each input split becomes a split of its own.
        partition_feature: the feature whose value decides on a row's split; None for the whole row.
        parquet: whether columns are written as Parquet rather than examples as TFRecord.
    """

    folders: tuple[str, ...]
    hash_buckets: tuple[int, ...]
    partition_feature: str | None = None
    parquet: bool = False


@dataclass(frozen=True)
class Work:
    """A chunk to be written: of which input split it is, and which of how many of the split's chunks."""

    split: int
    index: int
    count: int
    chunk: Chunk


@dataclass(frozen=True)
class Written:
    """What came of a chunk: rows written to each split, and rows skipped."""

    rows: tuple[int, ...]
    skipped: int


class ReadAndWrite(beam.PTransform):
    """Reads the files of each input split with a source and writes splits. Returns one `Written`, of all chunks.

    Args:
        source: reads one file's format.
        paths: for each input split its files.
        output: where rows go.
    """

    def __init__(self, source: Source, paths: Sequence[Sequence[str]], output: Output) -> None:
        super().__init__()
        self._source = source
        self._files = [(split, path) for split, listed in enumerate(paths) for path in listed]
        self._output = output

    def expand(self, begin: Any) -> Any:
        work = (
            begin
            | "Files" >> beam.Create(self._files, reshuffle=False)
            | "Blocks" >> beam.FlatMap(_blocks, self._source)
            | "SpreadBlocks" >> beam.Reshuffle()
            | "Scan" >> beam.Map(_scan, self._source)
            | "OneKey" >> beam.WithKeys(None)
            | "AllBlocks" >> beam.GroupByKey()
            | "Cut" >> beam.FlatMap(_cut, self._source)
            | "SpreadChunks" >> beam.Reshuffle()
        )
        types = (
            work
            | "InferTypes" >> beam.Map(lambda each, source: source.infer(each.chunk), self._source)
            | "CombineTypes" >> beam.CombineGlobally(columns.combine)
            | "SettleTypes" >> beam.Map(_settle, self._source)
        )
        return (
            work
            | "Write" >> beam.Map(_write, self._source, self._output, beam.pvalue.AsSingleton(types))
            | "Sum" >> beam.CombineGlobally(_Sum(len(self._output.folders)))
        )


class _Sum(beam.CombineFn):
    """Adds up what came of all chunks."""

    def __init__(self, splits: int) -> None:
        self._splits = splits

    def create_accumulator(self) -> Written:
        return Written((0,) * self._splits, 0)

    def add_input(self, accumulator: Written, element: Written) -> Written:
        return self.merge_accumulators([accumulator, element])

    def merge_accumulators(self, accumulators: Iterable[Written]) -> Written:
        all_written = list(accumulators)
        rows = tuple(sum(each) for each in zip(*(written.rows for written in all_written), strict=True))
        return Written(rows, sum(written.skipped for written in all_written))

    def extract_output(self, accumulator: Written) -> Written:
        return accumulator


def save(written: Written, path: str) -> None:
    """Writes a `Written` to a file, from wherever Beam runs it."""
    with files.create(path) as file:
        file.write(json.dumps({"rows": list(written.rows), "skipped": written.skipped}).encode())


def load(path: str) -> Written:
    """Reads what `save` wrote."""
    with files.open_binary(path) as file:
        content = json.loads(file.read())
    return Written(tuple(content["rows"]), content["skipped"])


def _blocks(file: tuple[int, str], source: Source) -> Iterator[tuple[int, Block]]:
    split, path = file
    for block in source.blocks(path):
        yield split, block


def _scan(element: tuple[int, Block], source: Source) -> tuple[int, Block, Any]:
    split, block = element
    return split, block, source.scan(block)


def _cut(keyed: tuple[None, Iterable[tuple[int, Block, Any]]], source: Source) -> Iterator[Work]:
    scans: dict[tuple[int, str], list[tuple[Block, Any]]] = {}
    for split, block, scanned in keyed[1]:
        scans.setdefault((split, block.path), []).append((block, scanned))
    of_split: dict[int, list[Chunk]] = {}
    first: Chunk | None = None
    # Sorted, because the order in which a file system lists files must not decide on shards.
    for split, path in sorted(scans):
        chunks = source.chunks(sorted(scans[split, path], key=lambda scanned: scanned[0].start))
        for chunk in chunks[:1]:
            first = first or chunk
            _check_header(chunk, first)
        of_split.setdefault(split, []).extend(chunks)
    if first is None:
        raise DataError(f"{', '.join(sorted(path for _, path in scans))}: there is no row of data, only a header")
    for split, chunks in of_split.items():
        for index, chunk in enumerate(chunks):
            yield Work(split, index, len(chunks), chunk)


def _check_header(chunk: Chunk, first: Chunk) -> None:
    if sorted(chunk.names) == sorted(first.names):
        return
    lines = [
        f"{chunk.path}: the columns differ from those of {first.path}; all files must have the same ones, in any order"
    ]
    for title, one, other in (("missing", first.names, chunk.names), ("added", chunk.names, first.names)):
        names = [name for name in one if name not in other]
        if names:
            lines.append(f"  {title + ':':8} {', '.join(names[:20])}{' …' if len(names) > 20 else ''}")
    raise DataError("\n".join(lines))


def _settle(types: dict[str, ColumnType], source: Source) -> dict[str, ColumnType]:
    return dict(sorted(source.settle(types).items()))


def _write(work: Work, source: Source, output: Output, types: Mapping[str, ColumnType]) -> Written:
    rows: np.ndarray = np.zeros(len(output.folders), np.int64)
    skipped = 0
    with contextlib.ExitStack() as stack:
        splits = range(len(output.folders)) if output.hash_buckets else [work.split]
        writers: dict[int, Any] = {}
        for split in splits:
            writers[split] = stack.enter_context(_shard(output, split, work, types))
        for part in source.parts(work.chunk, types):
            skipped += part.skipped
            if part.batch.num_rows:
                _write_batch(part.batch, source.null_is_empty, output, writers)
        for split, writer in writers.items():
            rows[split] = writer.rows
    return Written(tuple(rows.tolist()), skipped)


def _shard(output: Output, split: int, work: Work, types: Mapping[str, ColumnType]) -> shards.Shard:
    folder = output.folders[split]
    if output.parquet:
        return shards.ParquetShard(shards.parquet_path(folder, work.index, work.count), types)
    return shards.RecordShard(shards.tfrecord_path(folder, work.index, work.count))


def _write_batch(batch: pa.RecordBatch, null_is_empty: bool, output: Output, writers: Mapping[int, Any]) -> None:
    whole_row = output.partition_feature is None
    records: Sequence[bytes] = ()
    if not output.parquet or (whole_row and output.hash_buckets):
        records = example_encoder.records(example_encoder.encode(batch, null_is_empty))
    columns_as_lists = shards.as_lists(batch, null_is_empty) if output.parquet else None
    if not output.hash_buckets:
        (writer,) = writers.values()
        writer.write(records if columns_as_lists is None else columns_as_lists)
        return
    keys = records if whole_row else _keys(batch, null_is_empty, str(output.partition_feature))
    indices = partition.split_indices(keys, output.hash_buckets)
    for split, writer in writers.items():
        rows = np.flatnonzero(indices == split)
        if columns_as_lists is None:
            writer.write([records[row] for row in rows.tolist()])
        else:
            writer.write(columns_as_lists.take(pa.array(rows)))


def _keys(batch: pa.RecordBatch, null_is_empty: bool, feature: str) -> Sequence[bytes]:
    """Returns what decides on each row's split, as `_GeneratePartitionKey` of TFX's base_example_gen_executor does."""
    if feature not in batch.schema.names:
        raise DataError(
            f"partition_feature_name: there is no feature {feature!r}; there are {', '.join(batch.schema.names[:20])}"
        )
    column = batch.column(feature)
    kind = column.type.value_type if pa.types.is_large_list(column.type) else column.type
    if pa.types.is_null(kind) or (column.null_count and not null_is_empty):
        raise DataError(f"partition_feature_name: feature {feature!r} has no value in some row")
    if pa.types.is_floating(kind):
        raise DataError(f"partition_feature_name: feature {feature!r} holds floats; integers and bytes are allowed")
    return example_encoder.records(example_encoder.encode_feature(column, null_is_empty))
