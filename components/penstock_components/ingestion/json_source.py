"""Files of JSON lines: one object on each line. A name that a line lacks is missing there, as null is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.json as arrow_json

from penstock_components.ingestion import arrow_source, arrow_values, columns, csv_text, files, sources
from penstock_components.ingestion.columns import ColumnType, ColumnTypes
from penstock_components.ingestion.errors import DataError, shown
from penstock_components.ingestion.sources import Block, Chunk, Part

_ROW = re.compile(r" in row (\d+)")


class JsonLinesSource(sources.Source):
    """JSON lines; chunks are ranges of bytes that end with a line."""

    def blocks(self, path: str) -> Iterator[Block]:
        yield from csv_text.blocks(path, self.options.encoding)

    def scan(self, block: Block) -> tuple[int, int]:
        """Returns where the block's first line ends, -1 if nowhere, and how many lines end in it."""
        if block.end is None:
            return -1, 0
        text = files.read_range(block.path, block.start, block.end)
        return text.find(b"\n"), text.count(b"\n")

    def chunks(self, scans: Sequence[tuple[Block, Any]]) -> list[Chunk]:
        first = scans[0][0]
        if first.end is None:
            return [Chunk(first.path, 0, None)]
        begins, lines = [(0, 1)], 0
        for block, (line_end, line_ends) in scans:
            if block.start and line_end >= 0:
                begins.append((block.start + line_end + 1, lines + 2))
            lines += line_ends
        ends = [begin for begin, _ in begins[1:]] + [scans[-1][0].end]
        return [
            Chunk(first.path, begin, end, line)
            for (begin, line), end in zip(begins, ends, strict=True)
            if end is not None and begin < end
        ]

    def infer(self, chunk: Chunk) -> dict[str, ColumnType]:
        types: dict[str, ColumnType] = {}
        for text, line in self._texts(chunk):
            csv_text.check_utf8(text, chunk.path, line)
            schema = self._read(text, chunk.path, line, None).schema
            found = {}
            for field in schema:
                # Arrow takes some texts for points in time.
                item = arrow_values.item_type(field.type)
                given = self.options.types.get(field.name, ColumnType.BYTES if pa.types.is_temporal(item) else None)
                if field.name not in self.options.drop_columns:
                    found[field.name] = arrow_values.type_of(field.name, field.type, given, chunk.path)
                else:
                    found[field.name] = ColumnType.UNKNOWN
            types = columns.combine([types, found])
        return types

    def settle(self, types: ColumnTypes) -> ColumnTypes:
        wanted = columns.selected(types, self.options.columns, self.options.drop_columns, "all files together")
        return {name: types[name] for name in wanted}

    def parts(self, chunk: Chunk, types: ColumnTypes) -> Iterator[Part]:
        for text, line in self._texts(chunk):
            found = self._read(text, chunk.path, line, None).schema
            fields = [
                pa.field(name, _as_text(found.field(name).type)) for name in types if found.get_field_index(name) >= 0
            ]
            table = self._read(text, chunk.path, line, pa.schema(fields))
            arrays = {}
            for name in types:
                present = table.schema.get_field_index(name) >= 0
                arrays[name] = table[name].combine_chunks() if present else pa.nulls(table.num_rows)
            batch = pa.RecordBatch.from_arrays([_one(each) for each in arrays.values()], names=list(arrays))
            for piece in sources.slices(batch, len(text)):
                yield Part(arrow_source.converted(piece, types, self.options, chunk.path))

    def _texts(self, chunk: Chunk) -> Iterator[tuple[bytes, int]]:
        return csv_text.texts(chunk, self.options.encoding, lambda text: text.rfind(b"\n") + 1)

    def _read(self, text: bytes, path: str, line: int, schema: pa.Schema | None) -> pa.Table:
        options = arrow_json.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior="infer" if schema is None else "ignore"
        )
        try:
            return arrow_json.read_json(
                pa.BufferReader(text), arrow_json.ReadOptions(use_threads=False, block_size=len(text) + 1), options
            )
        except pa.ArrowInvalid as error:
            row = _ROW.search(str(error))
            number = int(row[1]) if row else 0
            lines = [each for each in enumerate(text.split(b"\n"), line) if each[1].strip()]
            at, content = lines[min(number, len(lines) - 1)] if lines else (line, b"")
            raise DataError(
                f"{path}:{at}: cannot be read as JSON lines: {error}\n  found:   {shown(content)}"
            ) from error


def _as_text(arrow_type: pa.DataType) -> pa.DataType:
    if pa.types.is_list(arrow_type):
        return pa.list_(_as_text(arrow_type.value_type))
    return pa.string() if pa.types.is_temporal(arrow_type) else arrow_type


def _one(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
