"""The text of CSV files: its encoding, its header, and chunks of it as bytes of UTF-8."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Iterator

from penstock_components.ingestion import csv_records, files
from penstock_components.ingestion.errors import DataError, shown
from penstock_components.ingestion.sources import CHUNK_BYTES, Block, Chunk

_MOST_RECORD_BYTES = 1 << 30
_OTHER_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def is_utf8(encoding: str) -> bool:
    """Returns whether a file in this encoding can be cut without decoding it."""
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig", "ascii")


def stream(path: str, encoding: str) -> Iterator[bytes]:
    """Yields a file's text as UTF-8 in pieces, without a byte-order mark.

    Raises:
        DataError: the text is not in this encoding (UTF-8 is not checked), or badly compressed.
    """
    pieces = files.stream(path)
    first = True
    decoder = None if is_utf8(encoding) else codecs.getincrementaldecoder(encoding)()
    line_feeds = 0
    for piece in pieces:
        if decoder is not None:
            piece = _decoded(decoder, piece, path, line_feeds, encoding)
        if first and piece:
            piece, first = _without_mark(piece, path, decoder is None), False
        line_feeds += piece.count(b"\n")
        yield piece
    if decoder is not None:
        yield _decoded(decoder, b"", path, line_feeds, encoding, final=True)


def _decoded(
    decoder: codecs.IncrementalDecoder, piece: bytes, path: str, line_feeds: int, encoding: str, final: bool = False
) -> bytes:
    try:
        return decoder.decode(piece, final).encode()
    except UnicodeDecodeError as error:
        line = line_feeds + piece.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}: is no {encoding} text: {error.reason}. Set `encoding` to the file's."
        ) from error


def _without_mark(text: bytes, path: str, check: bool) -> bytes:
    for mark, encoding in _OTHER_MARKS.items():
        if check and text.startswith(mark):
            raise DataError(f"{path}:1: begins with the byte-order mark of {encoding}; set `encoding` to {encoding}")
    return text.removeprefix(codecs.BOM_UTF8)


def header(path: str, encoding: str) -> tuple[tuple[str, ...], int]:
    """Returns the names in a file's first line, and where its second line begins, in bytes of its text as it is.

    Raises:
        DataError: the file is empty, its first line is blank or not UTF-8, or names a column twice.
    """
    line = b""
    plain = files.compression(path) is None and is_utf8(encoding)
    for piece in stream(path, encoding):
        end = piece.find(b"\n")
        line += piece if end < 0 else piece[: end + 1]
        if end >= 0:
            break
    if not line:
        raise DataError(f"{path}: the file is empty; it must begin with a line that holds the names of the columns")
    check_utf8(line, path, 1)
    text = line.decode().strip()
    if not text.strip(","):
        raise DataError(f"{path}:1: the first line is blank; it must hold the names of the columns")
    if "\r" in text:
        raise DataError(f"{path}:1: lines end with carriage returns alone; end them with line feeds")
    if text.count('"') % 2:
        raise DataError(f"{path}:1: quotes in the header are never closed\n  found:   {shown(text)}")
    names = tuple(next(csv.reader([text]))) if '"' in text else tuple(text.split(","))
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        places = [place for place, name in enumerate(names, 1) if name == twice[0]]
        raise DataError(
            f"{path}:1: the header names the column {twice[0]!r} {len(places)} times, in places"
            f" {', '.join(map(str, places))}; each column must have a name of its own"
        )
    mark = len(codecs.BOM_UTF8) if plain and files.read_range(path, 0, 3) == codecs.BOM_UTF8 else 0
    return names, mark + len(line)


def blocks(path: str, encoding: str) -> Iterator[Block]:
    """Yields blocks of a chunk's size, or one where the file must be read as a stream."""
    if files.compression(path) is not None or not is_utf8(encoding):
        yield Block(path, 0, None)
        return
    size = files.size(path)
    for start in range(0, max(size, 1), CHUNK_BYTES):
        yield Block(path, start, min(start + CHUNK_BYTES, size))


def texts(
    chunk: Chunk, encoding: str, last_end: Callable[[bytes], int] = csv_records.last_end
) -> Iterator[tuple[bytes, int]]:
    """Yields a chunk's text, cut at ends of records, each piece with the line it begins with.

    `last_end` tells where the last whole record of a text ends.

    A chunk that is a range of bytes is one piece; of a stream, what lies behind the header is cut into several.

    Raises:
        DataError: a record is longer than 1 GiB, which means that quotes are not closed.
    """
    if chunk.end is not None:
        check_length(chunk.end - chunk.start, chunk.path, chunk.first_line)
        yield files.read_range(chunk.path, chunk.start, chunk.end), chunk.first_line
        return
    pending, size, line, enough = [], 0, chunk.first_line, CHUNK_BYTES
    to_skip = chunk.start
    for piece in stream(chunk.path, encoding):
        skipped = min(to_skip, len(piece))
        to_skip -= skipped
        pending.append(piece[skipped:])
        size += len(piece) - skipped
        if size < enough:
            continue
        text = b"".join(pending)
        end = last_end(text)
        if end:
            yield text[:end], line
            line += text.count(b"\n", 0, end)
        check_length(len(text) - end, chunk.path, line)
        pending, size = [text[end:]], len(text) - end
        enough = max(CHUNK_BYTES, 2 * size)  # a long record is joined a few times, not once for every piece
    if size:
        yield b"".join(pending), line


def check_length(length: int, path: str, line: int) -> None:
    """Refuses a record that is too long to be one."""
    if length > _MOST_RECORD_BYTES:
        raise DataError(
            f"{path}:{line}: a record that begins near this line is longer than {_MOST_RECORD_BYTES} bytes;"
            " its quotes are probably never closed"
        )


def check_utf8(text: bytes, path: str, first_line: int) -> None:
    """Refuses what is not UTF-8, and names the line."""
    if text.isascii():
        return
    try:
        text.decode()
    except UnicodeDecodeError as error:
        begin = text.rfind(b"\n", 0, error.start) + 1
        line = first_line + text.count(b"\n", 0, error.start)
        raise DataError(
            f"{path}:{line}: is no UTF-8 text: byte {error.start - begin + 1}"
            f" of the line is {text[error.start]:#04x}. Save the file as UTF-8, or set `encoding` to the file's."
        ) from error
