"""Parquet and Arrow files."""

from __future__ import annotations

import abc
import collections
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from penstock_components.ingestion import arrow_values, columns, files, sources
from penstock_components.ingestion.columns import ColumnType, ColumnTypes
from penstock_components.ingestion.errors import DataError
from penstock_components.ingestion.sources import Block, Chunk, Part

_FILE_MAGIC = b"ARROW1"


class TypedSource(sources.Source):
    """Files that say which columns they have, and of which types."""

    def blocks(self, path: str) -> Iterator[Block]:
        if files.compression(path) is not None:
            raise DataError(
                f"{path}: is compressed as a whole; decompress it, since Parquet and Arrow compress what is inside them"
            )
        yield Block(path, 0, None)

    def scan(self, block: Block) -> tuple[tuple[str, ...], list[tuple[int, int | None]]]:
        try:
            schema, ranges = self._layout(block.path)
        except pa.ArrowInvalid as error:
            raise DataError(f"{block.path}: cannot be read: {error}") from error
        twice = [name for name, count in collections.Counter(schema.names).items() if count > 1]
        if twice:
            raise DataError(f"{block.path}: has more than one column named {twice[0]!r}")
        return tuple(schema.names), ranges

    def chunks(self, scans: Sequence[tuple[Block, Any]]) -> list[Chunk]:
        ((block, (names, ranges)),) = scans
        return [Chunk(block.path, start, end, names=names) for start, end in ranges]

    def infer(self, chunk: Chunk) -> dict[str, ColumnType]:
        schema = self._schema(chunk.path)
        wanted = columns.selected(chunk.names, self.options.columns, self.options.drop_columns, chunk.path)
        return {
            name: arrow_values.type_of(name, schema.field(name).type, self.options.types.get(name), chunk.path)
            for name in wanted
        }

    def parts(self, chunk: Chunk, types: ColumnTypes) -> Iterator[Part]:
        for batch in self._batches(chunk, list(types)):
            for piece in sources.slices(batch, _size(batch)):
                yield Part(converted(piece, types, self.options, chunk.path))

    @abc.abstractmethod
    def _schema(self, path: str) -> pa.Schema: ...

    @abc.abstractmethod
    def _layout(self, path: str) -> tuple[pa.Schema, list[tuple[int, int | None]]]:
        """Returns the file's schema and the ranges of what it counts that chunks are to have."""

    @abc.abstractmethod
    def _batches(self, chunk: Chunk, names: list[str]) -> Iterator[pa.RecordBatch]: ...


class ParquetSource(TypedSource):
    """Parquet files; chunks are ranges of row groups."""

    def _schema(self, path: str) -> pa.Schema:
        with files.arrow_file(path) as file:
            return pq.read_schema(file)

    def _layout(self, path: str) -> tuple[pa.Schema, list[tuple[int, int | None]]]:
        with files.arrow_file(path) as file:
            opened = pq.ParquetFile(file)
            sizes = [opened.metadata.row_group(index).total_byte_size for index in range(opened.num_row_groups)]
            return opened.schema_arrow, _ranges(sizes)

    def _batches(self, chunk: Chunk, names: list[str]) -> Iterator[pa.RecordBatch]:
        assert chunk.end is not None
        with files.arrow_file(chunk.path) as file:
            opened = pq.ParquetFile(file)
            groups = range(chunk.start, chunk.end)
            rows = sum(opened.metadata.row_group(index).num_rows for index in groups)
            size = sum(opened.metadata.row_group(index).total_byte_size for index in groups)
            batch_rows = max(1, rows * sources.BATCH_BYTES // max(1, size))
            yield from opened.iter_batches(batch_rows, row_groups=list(groups), columns=names, use_threads=False)


class ArrowFileSource(TypedSource):
    """Files in Arrow's own format: with a footer, cut at record batches; or as a stream, one chunk."""

    def _schema(self, path: str) -> pa.Schema:
        with files.arrow_file(path) as file:
            return (pa.ipc.open_file(file) if _has_footer(path) else pa.ipc.open_stream(file)).schema

    def _layout(self, path: str) -> tuple[pa.Schema, list[tuple[int, int | None]]]:
        if not _has_footer(path):
            return self._schema(path), [(0, None)]
        with files.arrow_file(path) as file:
            opened = pa.ipc.open_file(file)
            sizes = [_size(opened.get_batch(index)) for index in range(opened.num_record_batches)]
            return opened.schema, _ranges(sizes)

    def _batches(self, chunk: Chunk, names: list[str]) -> Iterator[pa.RecordBatch]:
        with files.arrow_file(chunk.path) as file:
            if chunk.end is None:
                batches: Iterator[pa.RecordBatch] = iter(pa.ipc.open_stream(file))
            else:
                opened = pa.ipc.open_file(file)
                batches = (opened.get_batch(index) for index in range(chunk.start, chunk.end))
            for batch in batches:
                yield batch.select(names)


def converted(batch: pa.RecordBatch, types: ColumnTypes, options: sources.Options, where: str) -> pa.RecordBatch:
    """Returns a batch with the columns of `types`, as `example_encoder.encode` takes them."""
    arrays = [
        arrow_values.convert(name, batch.column(name), column_type, name in options.types, where)
        for name, column_type in types.items()
    ]
    return pa.RecordBatch.from_arrays(arrays, names=list(types))


def _ranges(sizes: Sequence[int]) -> list[tuple[int, int | None]]:
    """Returns ranges of consecutive items that have about a chunk's size in all; each has at least one item."""
    ranges: list[tuple[int, int | None]] = []
    start = total = 0
    for index, size in enumerate(sizes):
        total += size
        if total >= sources.CHUNK_BYTES or index + 1 == len(sizes):
            ranges.append((start, index + 1))
            start, total = index + 1, 0
    return ranges


def _size(batch: pa.RecordBatch) -> int:
    try:
        return int(batch.nbytes)
    except pa.ArrowTypeError:  # a type whose share of its buffers cannot be told
        return int(batch.get_total_buffer_size())


def _has_footer(path: str) -> bool:
    return files.read_range(path, 0, len(_FILE_MAGIC)) == _FILE_MAGIC
