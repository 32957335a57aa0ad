"""What every format of input files offers to the pipeline that reads it."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from penstock_components.ingestion.columns import ColumnType, ColumnTypes

# Part of the output's layout: one shard of each split is written for each chunk.
CHUNK_BYTES = 16 << 20
# How much of a source is encoded at a time.
BATCH_BYTES = 4 << 20


@dataclass(frozen=True)
class Options:
    """How files are to be read.

    Attributes:
        types: the types of columns that are not to be inferred.
        columns: the columns to read; all when empty.
        drop_columns: columns not to read.
        skip_ragged_rows: whether rows of CSV with too many or too few values are left out rather than refused.
        encoding: how text is encoded, a name that Python knows.
    """

    types: Mapping[str, ColumnType] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    drop_columns: tuple[str, ...] = ()
    skip_ragged_rows: bool = False
    encoding: str = "utf-8"


@dataclass(frozen=True, order=True)
class Block:
    """A part of a file to be looked over, in bytes; `end` is None where the file must be read as one stream."""

    path: str
    start: int
    end: int | None


@dataclass(frozen=True)
class Chunk:
    """A part of a file to be read as a whole.

    Attributes:
        start, end: what the format counts: bytes, row groups, record batches. `end` is None for all there is.
        first_line: the line that `start` is in, from 1, in formats that have lines.
        names: the file's columns, in its order, in formats where the file names them once.
    """

    path: str
    start: int
    end: int | None
    first_line: int = 1
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """Some rows of a chunk.

    Attributes:
        batch: columns as `example_encoder.encode` takes them.
        skipped: how many rows were left out for having too many or too few values.
    """

    batch: pa.RecordBatch
    skipped: int = 0


class Source(abc.ABC):
    """A format of files. Its objects are pickled to workers, and hold options alone."""

    # See `example_encoder.encode`.
    null_is_empty = False

    def __init__(self, options: Options) -> None:
        self.options = options

    @abc.abstractmethod
    def blocks(self, path: str) -> Iterator[Block]:
        """Yields the parts in which a file is looked over."""

    @abc.abstractmethod
    def scan(self, block: Block) -> Any:
        """Returns what `chunks` needs to know about a block; small, whatever the block's size."""

    @abc.abstractmethod
    def chunks(self, scans: Sequence[tuple[Block, Any]]) -> list[Chunk]:
        """Returns the chunks of one file, from all its blocks in order. They depend on the file's content alone."""

    @abc.abstractmethod
    def infer(self, chunk: Chunk) -> dict[str, ColumnType]:
        """Returns the types of the selected columns as far as this chunk tells; refuses rows that cannot be read."""

    def settle(self, types: ColumnTypes) -> ColumnTypes:
        """Returns the columns to be written, given the types that all chunks together tell."""
        return types

    @abc.abstractmethod
    def parts(self, chunk: Chunk, types: ColumnTypes) -> Iterator[Part]:
        """Yields a chunk's rows, in order, with the columns of `types`."""


def slices(batch: pa.RecordBatch, source_bytes: int) -> Iterator[pa.RecordBatch]:
    """Cuts a batch, which takes `source_bytes` at its source, into ones of about `BATCH_BYTES`."""
    rows = max(1, batch.num_rows * BATCH_BYTES // max(1, source_bytes))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)
