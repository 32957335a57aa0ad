"""YAML text to plain values, with the line and column of every value and key kept.

Scalars follow the core schema of YAML 1.2: `yes` and `2024-01-01` are strings, `1e-3` is a number. Keys are always
strings. Aliases and merge keys (`<<`) work, up to a limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from penstock.errors import DeclarationError, Problem

MAX_BYTES = 1_000_000
MAX_VALUES = 50_000
MAX_DEPTH = 60

_INTEGER = re.compile(r"[-+]?[0-9]{1,400}|0o[0-7]{1,400}|0x[0-9a-fA-F]{1,400}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}

# yaml's stubs leave out what its events carry.
_Event = Any

ValuePath = tuple[str | int, ...]


@dataclass(frozen=True)
class Place:
    """Where a value stands: line and column counted from 1."""

    file: Path
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass
class _Value:
    """A value and where it starts; `children` for mappings and sequences, `data` for scalars."""

    line: int
    column: int
    data: Any = None
    children: dict[str, _Value] | list[_Value] | None = None
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)
    size: int = 1

    def plain(self) -> Any:
        if isinstance(self.children, dict):
            return {key: child.plain() for key, child in self.children.items()}
        if isinstance(self.children, list):
            return [child.plain() for child in self.children]
        return self.data


class Source:
    """One declaration file: its values as plain Python data, and the place of each.

    A path is the tuple of keys and indexes that leads from the top to a value.

    Attributes:
        stands_for: of nodes that are not in the file themselves, the one they were made from.
    """

    def __init__(self, file: Path, text: str, top: _Value):
        self.file = file
        self.lines = text.splitlines()
        self.data: Any = top.plain()
        self._top = top
        self.stands_for: dict[str, str] = {}

    def place(self, path: Sequence[str | int] = ()) -> Place:
        """Returns where the value at `path` starts, or the nearest enclosing value that the file has."""
        value, _ = self._find(path)
        return Place(self.file, value.line, value.column)

    def key_place(self, path: Sequence[str | int]) -> Place:
        """Returns where the last key of `path` stands; for a key the file lacks, the nearest one around it."""
        path = self._in_file(path)
        for length in range(len(path), 0, -1):
            parent, depth = self._find(path[: length - 1])
            if depth == length - 1 and path[length - 1] in parent.keys:
                return Place(self.file, *parent.keys[str(path[length - 1])])
            if depth == length - 1 and isinstance(parent.children, list):
                return self.place(path[:length])
        return self.place()

    def part_place(self, path: Sequence[str | int], part: str) -> Place:
        """Returns where `part`, a piece of the string at `path`, stands; where the string starts if unknown."""
        start = self.place(path)
        if 0 < start.line <= len(self.lines):
            found = self.lines[start.line - 1].find(part, start.column - 1)
            if found >= 0:
                return Place(self.file, start.line, found + 1)
        return start

    def _in_file(self, path: Sequence[str | int]) -> Sequence[str | int]:
        if len(path) > 1 and path[0] == "nodes" and path[1] in self.stands_for:
            return (path[0], self.stands_for[str(path[1])], *path[2:])
        return path

    def _find(self, path: Sequence[str | int]) -> tuple[_Value, int]:
        """Returns the deepest value along `path` that exists, and how many steps lead to it."""
        path = self._in_file(path)
        value = self._top
        for depth, step in enumerate(path):
            children = value.children
            if isinstance(children, dict) and step in children:
                value = children[str(step)]
            elif isinstance(children, list) and isinstance(step, int) and 0 <= step < len(children):
                value = children[step]
            else:
                return value, depth
        return value, len(path)


class _Builder:
    """Builds values from the parser's events, without trusting the file's depth or its aliases."""

    def __init__(self, file: Path, events: Iterator[_Event]):
        self.file = file
        self.events = events
        self.problems: list[Problem] = []
        self.anchors: dict[str, _Value | None] = {}
        self.values = 0

    def build(self) -> _Value | None:
        """Returns the top value, None if there is no document."""
        next(self.events)  # stream start
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return None
        top = self._value(next(self.events), 0)
        next(self.events)  # document end
        following = next(self.events)
        if not isinstance(following, yaml.StreamEndEvent):
            self._stop(following, "The file holds several YAML documents; it must hold one. Remove the '---' line.")
        return top

    def _value(self, event: _Event, depth: int) -> _Value:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        self._count(event, 1)
        if depth > MAX_DEPTH:
            self._stop(event, f"Values are nested deeper than {MAX_DEPTH} levels.")
        anchor = event.anchor
        if anchor:
            self.anchors[anchor] = None
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            self._report(event, f"YAML tags are not used here; remove {event.tag!r}.")
        value = _Value(event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.ScalarEvent):
            text = self._text(event)
            value.data = _scalar(text) if event.implicit[0] and not event.tag else text
        elif isinstance(event, yaml.SequenceStartEvent):
            value.children = self._items(depth)
            value.size += sum(item.size for item in value.children)
        else:
            value.children = self._entries(value.keys, depth)
            value.size += sum(child.size for child in value.children.values())
        if anchor:
            self.anchors[anchor] = value
        return value

    def _text(self, event: _Event) -> str:
        """Returns a scalar's text; JSON writes characters beyond U+FFFF as two escapes, which are joined here."""
        text: str = event.value
        if not any("\ud800" <= character <= "\udfff" for character in text):
            return text
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._report(event, "The text holds half of a surrogate pair, which is no character; remove it.")
            return ""

    def _items(self, depth: int) -> list[_Value]:
        items = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self._value(event, depth + 1))
        return items

    def _entries(self, keys: dict[str, tuple[int, int]], depth: int) -> dict[str, _Value]:
        children: dict[str, _Value] = {}
        merged: list[_Value] = []
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self._stop(event, "A key must be a plain name, not a list, a mapping or an alias.")
            mark: Any = event.start_mark
            key, place = self._text(event), (mark.line + 1, mark.column + 1)
            value = self._value(next(self.events), depth + 1)
            if key == "<<" and event.implicit[0]:
                merged += value.children if isinstance(value.children, list) else [value]
                if not all(isinstance(source.children, dict) for source in merged):
                    self._report(event, "'<<' merges mappings only.")
            elif key in children:
                first = keys[key][0]
                self._report(event, f"{key!r} stands here twice; the first is on line {first}. Rename or remove one.")
            else:
                children[key], keys[key] = value, place
        for source in merged:
            for key, value in source.children.items() if isinstance(source.children, dict) else ():
                if key not in children:
                    children[key], keys[key] = value, source.keys[key]
        return children

    def _alias(self, event: _Event) -> _Value:
        if event.anchor not in self.anchors:
            self._stop(event, f"The alias '*{event.anchor}' refers to no anchor before it.")
        target = self.anchors[event.anchor]
        if target is None:
            self._stop(event, f"The alias '*{event.anchor}' refers to a value that contains it.")
        self._count(event, target.size)
        return target

    def _count(self, event: _Event, values: int) -> None:
        self.values += values
        if self.values > MAX_VALUES:
            self._stop(event, f"The file holds more than {MAX_VALUES:,} values once its aliases are expanded.")

    def _report(self, event: _Event, message: str) -> None:
        mark = event.start_mark
        self.problems.append(Problem(message, self.file, mark.line + 1, mark.column + 1))

    def _stop(self, event: _Event, message: str) -> NoReturn:
        self._report(event, message)
        raise DeclarationError(self.problems)


def _scalar(text: str) -> Any:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise DeclarationError([Problem(f"The file cannot be read: {error.strerror}.", file)]) from error
    if len(content) > MAX_BYTES:
        raise DeclarationError([Problem(f"The file is larger than {MAX_BYTES:,} bytes; is it a declaration?", file)])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"The file is not UTF-8 text: byte 0x{content[error.start]:02x}. Save it as UTF-8."
        raise DeclarationError([Problem(message, file, line)]) from error


def parse(text: str, file: Path) -> Source:
    """Parses the text of a declaration; `file` is only named in problems.

    Raises:
        DeclarationError: the text is empty, is not YAML, holds a key twice, or grows out of bounds.
    """
    builder: _Builder | None = None
    try:
        builder = _Builder(file, iter(yaml.parse(text, Loader=yaml.SafeLoader)))
        top = builder.build()
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line = before.count("\n") + 1
        message = f"The file holds a character YAML does not allow: U+{ord(text[error.position]):04X}. Remove it."
        column = len(before) - (before.rfind("\n") + 1) + 1
        raise DeclarationError([Problem(message, file, line, column)]) from error
    except yaml.MarkedYAMLError as error:
        raise DeclarationError([*(builder.problems if builder else []), _syntax_problem(error, text, file)]) from error
    if top is None or (top.data is None and top.children is None):
        raise DeclarationError([Problem("The file is empty; a declaration begins with 'penstock: 1'.", file)])
    if builder.problems:
        raise DeclarationError(builder.problems)
    return Source(file, text, top)


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, file: Path) -> Problem:
    mark = error.problem_mark or error.context_mark
    message = f"This is not YAML: {error.problem or error.context}"
    if error.context and error.problem:
        message += f", {error.context}"
        if error.context_mark is not None and mark is not None and error.context_mark.line != mark.line:
            message += f" that begins on line {error.context_mark.line + 1}"
    lines = text.splitlines()
    line = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
    if mark is not None and "\t" in line[: mark.column + 1]:
        message += "; indent with spaces, not tabs"
    elif "${" in line and "flow" in (error.context or ""):
        message += "; inside braces and brackets put quotes around '${…}'"
    return Problem(f"{message}.", file, mark.line + 1 if mark else 0, mark.column + 1 if mark else 0)


def read(file: Path) -> Source:
    """Reads a declaration file.

    Raises:
        DeclarationError: as `parse`; also when the file cannot be read, is too large or is not UTF-8.
    """
    return parse(_text(file), file)
