"""The parts of a model that an evaluation's metrics and plots are of: its outputs, and their classes or ranks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Plots = Mapping[str, Any]

WHOLE = ""
"""Stands for what is neither of an output nor of a class."""

EACH = "each"
"""Stands for each of an evaluation's classes, one beside the other."""

_SUB_KEY = re.compile(r"(classId|topK|k):\d+")
_SUB_KEY_WORDS = {"classId": "class", "topK": "top", "k": "rank"}


def split(label: str) -> tuple[str, str, str]:
    """The output, the name and the sub-key of a metric's or plot's label, the first and last empty if it has none."""
    pieces = label.split("/")
    sub_key = pieces.pop() if len(pieces) > 1 and _SUB_KEY.fullmatch(pieces[-1]) else ""
    name = pieces.pop()
    return "/".join(pieces), name, sub_key


def part_of(label: str) -> str:
    """The part a metric or plot is of: output and sub-key, or `WHOLE`."""
    output, _, sub_key = split(label)
    return "/".join(piece for piece in (output, sub_key) if piece)


def parts_of(plots: Plots) -> list[str]:
    """The parts that a slice has plots of: the whole first, classes by their number."""

    def order(part: str) -> tuple[str, str, int]:
        output, kind, number = _pieces(part)
        return output, kind, int(number or 0)

    return sorted({part_of(label) for label in plots}, key=order)


def label_of(part: str, name: str) -> str:
    """The label of a part's metric or plot."""
    output, kind, number = _pieces(part)
    return "/".join(piece for piece in (output, name, f"{kind}:{number}" if kind else "") if piece)


def of_part(plots: Plots, part: str) -> dict[str, Any]:
    """The plots of one part by their plain names."""
    return {split(label)[1]: plot for label, plot in plots.items() if part_of(label) == part}


def class_parts(parts: Sequence[str]) -> list[str]:
    """Those parts that are single classes."""
    return [part for part in parts if _pieces(part)[1] == "classId"]


def part_name(part: str) -> str:
    """A part in words."""
    if part == WHOLE:
        return "the whole model"
    if part == EACH:
        return "each class"
    output, kind, number = _pieces(part)
    return ", ".join(piece for piece in (output, f"{_SUB_KEY_WORDS.get(kind, kind)} {number}".strip()) if piece)


def _pieces(part: str) -> tuple[str, str, str]:
    """A part's output, and the kind and the number of its sub-key."""
    output, _, sub_key = part.rpartition("/")
    if not _SUB_KEY.fullmatch(sub_key):
        return part, "", ""
    kind, _, number = sub_key.partition(":")
    return output, kind, number
