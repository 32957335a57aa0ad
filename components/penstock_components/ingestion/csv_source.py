"""CSV files, read as TFX's CsvExampleGen reads them.

Cells without a value are missing, be there quotes or not; blank lines are skipped; a number is what Python takes for
one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from penstock_components.ingestion import columns, csv_mistakes, csv_numbers, csv_records, csv_text, files, sources
from penstock_components.ingestion.columns import ColumnType, ColumnTypes
from penstock_components.ingestion.errors import DataError
from penstock_components.ingestion.sources import Block, Chunk, Part

_GUESSED_BYTES = 64 << 10
_PARSED = {
    ColumnType.UNKNOWN: pa.large_binary(),
    ColumnType.INT: pa.int64(),
    ColumnType.FLOAT: pa.float64(),
    ColumnType.BYTES: pa.large_binary(),
}
# Where these occur, Arrow may read 0x… or nan(…) as a number, which Python does not.
_NOT_ALIKE = (b"0x", b"0X", b"n(", b"N(")
# Integers beyond 64 bits, which are text to TFX, are among the floats from here on.
_LARGE = 2.0**62


@dataclass(frozen=True)
class _Scanned:
    """What a block says; `names` and `data_start` are of the block that a file begins with."""

    cuts: csv_records.Scan
    names: tuple[str, ...] = ()
    data_start: int = 0


class CsvSource(sources.Source):
    """Files of comma-separated values whose first line names the columns."""

    null_is_empty = True

    def blocks(self, path: str) -> Iterator[Block]:
        yield from csv_text.blocks(path, self.options.encoding)

    def scan(self, block: Block) -> _Scanned:
        names: tuple[str, ...] = ()
        data_start = 0
        if block.start == 0:
            names, data_start = csv_text.header(block.path, self.options.encoding)
        if block.end is None:
            return _Scanned(csv_records.Scan(0, 0, None, None), names, data_start)
        text = files.read_range(block.path, block.start, block.end)
        return _Scanned(csv_records.scan(text), names, data_start)

    def chunks(self, scans: Sequence[tuple[Block, Any]]) -> list[Chunk]:
        first_block, first = scans[0]
        if first_block.end is None:
            return [Chunk(first_block.path, first.data_start, None, 2, first.names)]
        begins = [(first.data_start, 2)]
        quotes = line_feeds = 0
        for block, scanned in scans:
            cuts = scanned.cuts
            cut = cuts.inside if quotes % 2 else cuts.outside
            if block.start and cut is not None and block.start + cut.offset > begins[-1][0]:
                begins.append((block.start + cut.offset, 1 + line_feeds + cut.line_feeds))
            quotes += cuts.quotes
            line_feeds += cuts.line_feeds
        ends = [begin for begin, _ in begins[1:]] + [scans[-1][0].end]
        return [
            Chunk(first_block.path, begin, end, line, first.names)
            for (begin, line), end in zip(begins, ends, strict=True)
            if begin < end
        ]

    def infer(self, chunk: Chunk) -> dict[str, ColumnType]:
        wanted = columns.selected(chunk.names, self.options.columns, self.options.drop_columns, chunk.path)
        types = {name: self.options.types.get(name, ColumnType.UNKNOWN) for name in wanted}
        inferred = [name for name in wanted if name not in self.options.types]
        for text, line in csv_text.texts(chunk, self.options.encoding):
            if csv_text.is_utf8(self.options.encoding):
                csv_text.check_utf8(text, chunk.path, line)
            csv_records.check_quotes(text, chunk.path, line)
            types = columns.combine([types, self._infer_text(chunk, text, line, inferred)])
        return types

    def parts(self, chunk: Chunk, types: ColumnTypes) -> Iterator[Part]:
        for text, line in csv_text.texts(chunk, self.options.encoding):
            batch, skipped = self._read(chunk, text, line, types)
            for piece in sources.slices(batch, len(text)):
                yield Part(piece, skipped)
                skipped = 0
            if skipped:
                yield Part(batch, skipped)

    def _infer_text(self, chunk: Chunk, text: bytes, line: int, names: Sequence[str]) -> dict[str, ColumnType]:
        head = text[: csv_records.last_end(text[:_GUESSED_BYTES])] or text
        all_text = dict.fromkeys(names, ColumnType.BYTES)
        types = _infer_columns(self._parse(chunk, head, line, all_text)[0], names)
        if head is text or len(head) == len(text):
            return types
        # Texts stay texts, whatever follows; only rows are counted there.
        open_types = {name: found for name, found in types.items() if found is not ColumnType.BYTES}
        if any(sign in text for sign in _NOT_ALIKE):
            unsure = list(open_types)
        else:
            try:
                parsed, _ = self._parse(chunk, text, line, open_types)
                unsure = [name for name in open_types if not _confirmed(parsed[name], open_types[name])]
            except _NotThatType:
                unsure = list(open_types)
        if unsure:
            parsed, _ = self._parse(chunk, text, line, dict.fromkeys(unsure, ColumnType.BYTES))
            types |= _infer_columns(parsed, unsure)
        return types

    def _read(self, chunk: Chunk, text: bytes, line: int, types: ColumnTypes) -> tuple[pa.RecordBatch, int]:
        parsed, skipped = self._parsed(chunk, text, line, types)
        arrays = []
        for name, column_type in types.items():
            column = parsed[name]
            try:
                arrays.append(_final(column, column_type))
            except csv_numbers.NotANumber as error:
                raise csv_mistakes.wrong_value(chunk, text, line, name, column_type, error.value) from error
        return pa.RecordBatch.from_arrays(arrays, names=list(types)), skipped

    def _parsed(self, chunk: Chunk, text: bytes, line: int, types: ColumnTypes) -> tuple[Mapping[str, pa.Array], int]:
        if not any(sign in text for sign in _NOT_ALIKE):
            try:
                return self._parse(chunk, text, line, types)
            except _NotThatType:
                pass
        return self._parse(chunk, text, line, dict.fromkeys(types, ColumnType.BYTES))

    def _parse(self, chunk: Chunk, text: bytes, line: int, types: ColumnTypes) -> tuple[Mapping[str, pa.Array], int]:
        """Returns the columns of `types`, missing values as nulls, and how many rows were skipped."""
        skipped = 0

        def on_ragged(row: Any) -> str:
            nonlocal skipped
            skipped += 1
            return "skip" if self.options.skip_ragged_rows else "error"

        try:
            table = arrow_csv.read_csv(
                pa.BufferReader(text),
                arrow_csv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=list(chunk.names)),
                arrow_csv.ParseOptions(newlines_in_values=b'"' in text, invalid_row_handler=on_ragged),
                arrow_csv.ConvertOptions(
                    check_utf8=False,
                    column_types={name: _PARSED[column_type] for name, column_type in types.items()},
                    include_columns=list(types) or [chunk.names[0]],
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=True,
                ),
            )
        except pa.ArrowInvalid as error:
            if skipped and not self.options.skip_ragged_rows:
                raise csv_mistakes.ragged_row(chunk, text, line) from error
            if "conversion error" in str(error):
                raise _NotThatType from error
            raise DataError(f"{chunk.path}:{line}: cannot be read as CSV: {error}") from error
        return {name: _one_array(table[name]) for name in types}, skipped


class _NotThatType(Exception):
    """Indicates that Arrow does not take a value for one of the type asked for."""


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _infer_columns(parsed: Mapping[str, pa.Array], names: Sequence[str]) -> dict[str, ColumnType]:
    return {name: csv_numbers.infer(parsed[name].drop_null()) for name in names}


def _confirmed(column: pa.Array, guess: ColumnType) -> bool:
    """Returns whether values that Arrow took for the guessed type are surely of no greater one."""
    if guess is ColumnType.UNKNOWN:
        return column.null_count == len(column)
    if guess is ColumnType.FLOAT:
        with np.errstate(invalid="ignore"):
            return not pc.any(pc.greater_equal(pc.abs(column), _LARGE)).as_py()
    return True


def _final(column: pa.Array, column_type: ColumnType) -> pa.Array:
    """Returns a parsed column with the type that it has in examples."""
    if column_type is ColumnType.UNKNOWN:
        return pa.nulls(len(column))
    if column_type is ColumnType.FLOAT and pa.types.is_float64(column.type):
        return csv_numbers.to_float32(column)
    if column_type is ColumnType.BYTES or not pa.types.is_large_binary(column.type):
        return column
    convert = csv_numbers.to_ints if column_type is ColumnType.INT else csv_numbers.to_floats
    numbers = convert(column.drop_null())
    places = pc.cumulative_sum(pc.cast(column.is_valid(), pa.int64()))
    indices = pc.if_else(column.is_valid(), pc.subtract(places, 1), pa.scalar(None, pa.int64()))
    return numbers.take(indices)
