"""Conditions on what nodes made: the language of a node's `when`.

    ${nodes.evaluator.blessing}.blessed == 1
    ${nodes.count.rows} >= ${parameters.at_least} and not ${nodes.check.ok} == false

A comparison has an output on its left, with a property's name unless the artifact holds a value itself; and a number, a
text in quotes, true or false on its right. `and`, `or`, `not` and parentheses combine comparisons.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

OPERATORS = ("==", "!=", "<=", ">=", "<", ">")

_TOKEN = re.compile(
    r"""\s*(?:
    \$\{\s*nodes\.(?P<node>[A-Za-z][\w-]*)\.(?P<output>[A-Za-z_]\w*)\s*\}(?:\.(?P<property>[A-Za-z_]\w*))?
    | (?P<reference>\$\{[^}]*\})
    | (?P<operator>==|!=|<=|>=|<|>)
    | (?P<number>-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)
    | '(?P<single>[^']*)' | "(?P<double>[^"]*)"
    | (?P<word>[A-Za-z_]+)
    | (?P<parenthesis>[()])
    )""",
    re.VERBOSE,
)
_EXAMPLE = "${nodes.evaluator.blessing}.blessed == 1"


@dataclass(frozen=True)
class Comparison:
    """An output's property (its value, if None) compared with a literal."""

    node: str
    output: str
    property: str | None
    operator: str
    literal: str | int | float


@dataclass(frozen=True)
class Not:
    """True where the condition is not."""

    condition: Condition


@dataclass(frozen=True)
class Combination:
    """`and` or `or` of two conditions."""

    operator: str
    left: Condition
    right: Condition


Condition = Comparison | Not | Combination


class ConditionError(ValueError):
    """Indicates that a text is no condition; the message says what was expected where."""


def parse(text: str, resolve: Callable[[str], Any]) -> Condition:
    """Returns the condition a text describes.

    Args:
        text: the text.
        resolve: returns the value of a `${…}` reference that names no node's output.

    Raises:
        ConditionError: it is no condition.
    """
    return _Parser(text, resolve).parse()


def comparisons(condition: Condition) -> Iterator[Comparison]:
    """Yields the comparisons of a condition, from left to right."""
    if isinstance(condition, Comparison):
        yield condition
    elif isinstance(condition, Not):
        yield from comparisons(condition.condition)
    else:
        yield from comparisons(condition.left)
        yield from comparisons(condition.right)


class _Parser:
    def __init__(self, text: str, resolve: Callable[[str], Any]):
        self._resolve = resolve
        self._tokens = list(_tokens(text))
        self._position = 0

    def parse(self) -> Condition:
        condition = self._either()
        if self._peek() is not None:
            raise ConditionError(f"ends before {self._shown()}; combine comparisons with 'and' or 'or'")
        return condition

    def _either(self) -> Condition:
        left = self._both()
        while self._take_word("or"):
            left = Combination("or", left, self._both())
        return left

    def _both(self) -> Condition:
        left = self._single()
        while self._take_word("and"):
            left = Combination("and", left, self._single())
        return left

    def _single(self) -> Condition:
        if self._take_word("not"):
            return Not(self._single())
        token = self._peek()
        if token is not None and token["parenthesis"] == "(":
            self._position += 1
            inner = self._either()
            closing = self._peek()
            if closing is None or closing["parenthesis"] != ")":
                raise ConditionError(f"wants ')' but has {self._shown()}")
            self._position += 1
            return inner
        return self._comparison()

    def _comparison(self) -> Comparison:
        left = self._peek()
        if left is None or left["node"] is None:
            raise ConditionError(f"wants an output of a node but has {self._shown()}, like in {_EXAMPLE}")
        self._position += 1
        operator = self._peek()
        if operator is None or operator["operator"] is None:
            raise ConditionError(f"wants one of {' '.join(OPERATORS)} but has {self._shown()}")
        self._position += 1
        return Comparison(left["node"], left["output"], left["property"], operator["operator"], self._literal())

    def _literal(self) -> str | int | float:
        token = self._peek()
        value: Any = None
        if token is None:
            pass
        elif token["number"] is not None:
            value = float(token["number"]) if re.search(r"[.eE]", token["number"]) else int(token["number"])
        elif token["single"] is not None or token["double"] is not None:
            value = token["single"] if token["single"] is not None else token["double"]
        elif token["word"] in ("true", "false"):
            value = int(token["word"] == "true")
        elif token["reference"] is not None:
            value = self._resolve(token["reference"])
            value = int(value) if isinstance(value, bool) else value
        if not isinstance(value, str | int | float):
            raise ConditionError(f"wants a number, a text in quotes, true or false but has {self._shown()}")
        self._position += 1
        return value

    def _peek(self) -> dict[str, str] | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def _take_word(self, word: str) -> bool:
        token = self._peek()
        if token is None or token["word"] != word:
            return False
        self._position += 1
        return True

    def _shown(self) -> str:
        token = self._peek()
        return "the end" if token is None else repr(token["text"])


def _tokens(text: str) -> Iterator[dict[str, Any]]:
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            raise ConditionError(f"cannot be read from {text[position:].strip()[:30]!r} on; write it like {_EXAMPLE}")
        yield {**match.groupdict(), "text": match[0].strip()}
        position = match.end()
