"""Where the records of CSV text begin and end, found on whole arrays of bytes.

A record ends at a line feed that an even number of quotes precedes, as in TFX's CsvExampleGen. Whether that is right
for a given text, `check_quotes` tells: quotes within a value that has none around it can mislead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from penstock_components.ingestion.errors import DataError, shown

_QUOTE, _LINE_FEED, _RETURN, _COMMA = b'"\n\r,'


@dataclass(frozen=True)
class Cut:
    """Where a record may begin: its offset in the text that was scanned, and how many line feeds precede it."""

    offset: int
    line_feeds: int


@dataclass(frozen=True)
class Scan:
    """What a piece of text says about where to cut it.

    Attributes:
        quotes: how many quotes it holds.
        line_feeds: how many line feeds it holds.
        outside: the first place to cut if no quotes are open where the text begins.
        inside: the same if quotes are open there.
    """

    quotes: int
    line_feeds: int
    outside: Cut | None
    inside: Cut | None


def scan(text: bytes) -> Scan:
    """Looks over a piece of text that may begin anywhere, also within quotes."""
    quotes, line_feeds = text.count(b'"'), text.count(b"\n")
    if not quotes:
        first = text.find(b"\n")
        return Scan(0, line_feeds, Cut(first + 1, 1) if first >= 0 else None, None)
    ends, quotes_before = _line_ends(text)
    cuts: list[Cut | None] = []
    for parity in (0, 1):
        found = np.flatnonzero(quotes_before % 2 == parity)
        cuts.append(Cut(int(ends[found[0]]) + 1, int(found[0]) + 1) if len(found) else None)
    return Scan(quotes, line_feeds, *cuts)


def last_end(text: bytes) -> int:
    """Returns where the last whole record of a text ends, which begins outside quotes; 0 if there is none."""
    if b'"' not in text:
        return text.rfind(b"\n") + 1
    ends, quotes_before = _line_ends(text)
    found = np.flatnonzero(quotes_before % 2 == 0)
    return int(ends[found[-1]]) + 1 if len(found) else 0


def check_quotes(text: bytes, path: str, first_line: int) -> None:
    """Refuses text whose records cannot be told apart; it begins outside quotes.

    Where quotes that open a value follow a comma or a line's end, and ones that close it precede such, all is well.
    Other records are looked at a character at a time.

    Raises:
        DataError: quotes are never closed, or a value without quotes around it goes on over the line's end.
    """
    has_quotes = b'"' in text
    if text.count(b"\r") != text.count(b"\r\n"):
        _check_returns(text, path, first_line)
    if not has_quotes:
        return
    bytes_ = np.frombuffer(text, np.uint8)
    quotes = _positions(text, _QUOTE)
    if len(quotes) % 2:
        ends, quotes_before = _line_ends(text)
        outside = ends[quotes_before % 2 == 0]
        begin = int(outside[-1]) + 1 if len(outside) else 0
        # The mistake may be an earlier one, after which everything is taken for its opposite.
        _check_suspects(text, bytes_, quotes[:-1], path, first_line)
        raise DataError(
            f"{path}:{_line(text, begin, first_line)}: the quotes that open on this line are never closed\n"
            f"  found:   {shown(text[begin : begin + 1000])}"
        )
    _check_suspects(text, bytes_, quotes, path, first_line)


def _check_suspects(text: bytes, bytes_: np.ndarray, quotes: np.ndarray, path: str, first_line: int) -> None:
    opening, closing = quotes[0::2], quotes[1::2]
    allowed: np.ndarray = np.zeros(256, bool)
    allowed[[_QUOTE, _LINE_FEED, _RETURN, _COMMA]] = True
    before = np.where(opening > 0, bytes_[np.maximum(opening - 1, 0)], _LINE_FEED)
    after = np.where(closing + 1 < len(bytes_), bytes_[np.minimum(closing + 1, len(bytes_) - 1)], _LINE_FEED)
    suspects = np.concatenate([opening[~allowed[before]], closing[~allowed[after]]])
    if not len(suspects):
        return
    ends, quotes_before = _line_ends(text)
    ends = ends[quotes_before % 2 == 0]
    begins = np.concatenate([[0], ends + 1])
    for index in np.unique(np.searchsorted(ends, suspects)):
        begin = int(begins[index])
        record = text[begin : int(ends[index]) if index < len(ends) else len(text)]
        if not _is_one_record(record):
            raise DataError(
                f"{path}:{_line(text, begin, first_line)}: quotes inside a value that has none around it, or text"
                " after the quotes that close a value\n"
                f"  found:   {shown(record)}\n"
                "  Put quotes around the whole value, and double those inside it."
            )


def _is_one_record(record: bytes) -> bool:
    """Returns whether a reader of CSV finds no line's end outside quotes, and the quotes closed."""
    quoted, at_start = False, True
    index, length = 0, len(record.removesuffix(b"\r"))
    while index < length:
        byte = record[index]
        if quoted:
            if byte == _QUOTE:
                if record[index + 1 : index + 2] == b'"':
                    index += 1
                else:
                    quoted = False
        elif byte == _QUOTE and at_start:
            quoted = True
        elif byte in (_LINE_FEED, _RETURN):
            return False
        at_start = not quoted and byte == _COMMA
        index += 1
    return not quoted


def _check_returns(text: bytes, path: str, first_line: int) -> None:
    returns = _positions(text, _RETURN)
    following = np.frombuffer(text, np.uint8)[np.minimum(returns + 1, len(text) - 1)]
    alone = returns[(following != _LINE_FEED) & (returns + 1 < len(text))]
    quotes_before = np.searchsorted(_positions(text, _QUOTE), alone)
    outside = alone[quotes_before % 2 == 0]
    if len(outside):
        at = int(outside[0])
        raise DataError(
            f"{path}:{_line(text, at, first_line)}: a carriage return that no line feed follows\n"
            f"  found:   {shown(text[max(0, at - 40) : at + 40])}\n"
            "  End lines with a line feed, or put quotes around a value that holds the character."
        )


def _line_ends(text: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Returns where the line feeds are, and how many quotes precede each."""
    ends = _positions(text, _LINE_FEED)
    return ends, np.asarray(np.searchsorted(_positions(text, _QUOTE), ends))


def _positions(text: bytes, byte: int) -> np.ndarray:
    return np.flatnonzero(np.frombuffer(text, np.uint8) == byte)


def _line(text: bytes, offset: int, first_line: int) -> int:
    return first_line + text.count(b"\n", 0, offset)
