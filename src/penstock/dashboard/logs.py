"""Reads the logs of a run's nodes: the attempts there are, the end of a log, lines that hold a text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from penstock.dashboard.redaction import Redactor
from penstock.errors import StoreError
from penstock.metadata.location import StoreLocation
from penstock.metadata.runs import NodeRecord

_ATTEMPT = re.compile(r"attempt-([1-9][0-9]{0,5})")
_TAIL_BYTES = 1 << 18
_MOST_MATCHES = 500
_LONGEST_LINE = 4000
_CHUNK_BYTES = 1 << 18


class OutsideError(StoreError):
    """Indicates a log that is recorded where no logs are."""


@dataclass(frozen=True)
class Excerpt:
    """Lines of a log with their numbers, from 1, or None where the start was not read; `cut` tells of left out ones."""

    lines: list[tuple[int | None, str]]
    is_cut: bool
    size: int


@dataclass(frozen=True)
class Log:
    """One attempt's log file, resolved and inside the store's folder."""

    attempt: int
    path: Path

    @property
    def size(self) -> int:
        """Its size in bytes; 0 if it is gone."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0


def attempts(location: StoreLocation, node: NodeRecord) -> list[Log]:
    """The logs of a node's attempts that are there, the first one first."""
    if node.log is None:
        return []
    last = _inside(location, node.log)
    found = {}
    folder = last.parent.parent
    if _ATTEMPT.fullmatch(last.parent.name) and folder.is_dir():
        for entry in folder.iterdir():
            match = _ATTEMPT.fullmatch(entry.name)
            path = entry / last.name
            if match and path.is_file():
                found[int(match[1])] = _inside(location, str(path))
    elif last.is_file():
        found[node.attempt or 1] = last
    return [Log(number, path) for number, path in sorted(found.items())]


def tail(log: Log, redact: Redactor) -> Excerpt:
    """The end of a log."""
    size = log.size
    with log.path.open("rb") as file:
        file.seek(max(0, size - _TAIL_BYTES))
        lines = file.read(_TAIL_BYTES).decode(errors="replace").split("\n")
    is_cut = size > _TAIL_BYTES
    if is_cut:
        lines = lines[1:]
    if lines and not lines[-1]:
        lines.pop()
    numbered = enumerate(lines, 1)
    return Excerpt(
        [(None if is_cut else number, redact(line[:_LONGEST_LINE])) for number, line in numbered], is_cut, size
    )


def search(log: Log, text: str, redact: Redactor) -> Excerpt:
    """The lines of a log that hold a text, in upper or lower case; the first ones if there are many."""
    wanted = text.lower()
    found: list[tuple[int | None, str]] = []
    with log.path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            shown = redact(line.rstrip("\n"))
            if wanted in shown.lower():
                if len(found) == _MOST_MATCHES:
                    return Excerpt(found, True, log.size)
                found.append((number, shown[:_LONGEST_LINE]))
    return Excerpt(found, False, log.size)


def whole(log: Log, redact: Redactor) -> Iterator[str]:
    """A log from its start to its end, line by line so that no secret is cut in two."""
    with log.path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            yield redact(line)


def since(log: Log, position: int, redact: Redactor) -> tuple[str, int]:
    """What was written after a byte position, up to the last whole line, and the position to go on from."""
    try:
        with log.path.open("rb") as file:
            file.seek(position)
            data = file.read(_CHUNK_BYTES)
    except OSError:
        return "", position
    end = data.rfind(b"\n") + 1
    if not end and len(data) == _CHUNK_BYTES:
        end = len(data)
    return redact(data[:end].decode(errors="replace")), position + end


def _inside(location: StoreLocation, path: str) -> Path:
    """A path as it is, if it is inside the store's folder: who may write to the store may not read everything.

    Raises:
        OutsideError: it is not.
    """
    folder = location.folder.resolve()
    resolved = (folder / path).resolve()
    if not resolved.is_relative_to(folder):
        raise OutsideError("The log is recorded outside the store's folder; it is not shown.")
    return resolved
