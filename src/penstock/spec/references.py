"""The `${…}` grammar inside strings.

    ${parameters.NAME}   ${env.NAME}   ${pipeline.name}   ${project}   ${nodes.NODE.OUTPUT}
    ${each.NAME}   ${each.NAME.KEY}

`$${` stands for a literal `${`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
_REFERENCE = re.compile(rf"\s*({_NAME})((?:\.{_NAME})*)\s*")

# scope -> how the whole reference looks
SCOPES = {
    "parameters": "${parameters.NAME}",
    "env": "${env.NAME}",
    "nodes": "${nodes.NODE.OUTPUT}",
    "pipeline": "${pipeline.name}",
    "project": "${project}",
    "each": "${each.NAME}",
}
# How many names follow each scope, at least and at most.
_NAMES = {"parameters": (1, 1), "env": (1, 1), "nodes": (2, 2), "pipeline": (1, 1), "project": (0, 0), "each": (1, 9)}


@dataclass(frozen=True)
class Reference:
    """One `${scope.name…}`; `text` is what stands in the file."""

    scope: str
    names: tuple[str, ...]
    text: str


class ReferenceSyntaxError(ValueError):
    """Indicates that a `${` is not followed by a reference; `text` is the faulty piece."""

    def __init__(self, message: str, text: str):
        super().__init__(message)
        self.text = text


def parse(text: str) -> list[str | Reference]:
    """Splits a string into literal pieces and references; literal pieces are unescaped and not empty.

    Raises:
        ReferenceSyntaxError: a `${` begins no reference.
    """
    parts: list[str | Reference] = []
    literal = ""
    position = 0
    while (start := text.find("${", position)) >= 0:
        if start > position and text[start - 1] == "$":
            literal += text[position : start - 1] + "${"
            position = start + 2
            continue
        literal += text[position:start]
        end = text.find("}", start)
        if end < 0:
            message = "'${' is never closed; write '}' after the name, or '$${' for a literal '${'"
            raise ReferenceSyntaxError(message, text[start:])
        if literal:
            parts.append(literal)
            literal = ""
        parts.append(_reference(text[start : end + 1]))
        position = end + 1
    literal += text[position:]
    if literal:
        parts.append(literal)
    return parts


def _reference(text: str) -> Reference:
    match = _REFERENCE.fullmatch(text[2:-1])
    if match is None:
        raise ReferenceSyntaxError(f"{text!r} is not a reference; write '$${{' for a literal '${{'", text)
    scope, names = match[1], tuple(match[2].split(".")[1:])
    if scope not in SCOPES or (scope == "pipeline" and names != ("name",)):
        raise ReferenceSyntaxError(f"{text!r} is not a reference", text)
    least, most = _NAMES[scope]
    if not least <= len(names) <= most:
        raise ReferenceSyntaxError(f"{text!r} is not a reference", text)
    return Reference(scope, names, text)


def escape(text: str) -> str:
    """Returns `text` written so that `parse` gives it back as a literal."""
    return text.replace("${", "$${")
