"""Problems of declarations as text for people, with the lines they stand in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from penstock.errors import Problem


def render(problems: Sequence[Problem]) -> str:
    """Returns problems as text: each with its source line and a mark under the column, then their number."""
    lines: dict[Path, list[str]] = {}
    parts = []
    for problem in problems:
        head, *rest = str(problem).splitlines()
        if problem.file not in lines:
            lines[problem.file] = _lines(problem.file)
        parts += [head, *_excerpt(problem, lines[problem.file]), *rest, ""]
    count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
    return "\n".join([*parts, count])


def _excerpt(problem: Problem, lines: Sequence[str]) -> list[str]:
    if not 0 < problem.line <= len(lines):
        return []
    # One character each, so that the mark stays under its column.
    line = "".join(character if character.isprintable() else " " for character in lines[problem.line - 1])
    margin = f"  {problem.line} | "
    excerpt = [f"{margin}{line.rstrip()}"]
    if problem.column:
        excerpt.append(" " * (len(margin) - 2) + "| " + " " * (problem.column - 1) + "^")
    return excerpt


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError:
        return []
