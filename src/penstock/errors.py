"""Every error Penstock raises on purpose, and the exit status each one means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class PenstockError(Exception):
    """Indicates that Penstock could not do what was asked; the message says what was found and what to do."""

    exit_status = 1


class UsageError(PenstockError):
    """Indicates that a command was called with something that does not exist or does not fit."""

    exit_status = 2


@dataclass(frozen=True)
class Problem:
    """One mistake in a declaration, with its place.

    Attributes:
        message: what is wrong, in one sentence.
        file: the file it stands in.
        line: line, counted from 1; 0 where the whole file is meant.
        column: column, counted from 1; 0 where the whole line is meant.
        found: what stands there.
        allowed: what could stand there.
        suggestion: the nearest valid name.
    """

    message: str
    file: Path
    line: int = 0
    column: int = 0
    found: str | None = None
    allowed: Sequence[str] = ()
    suggestion: str | None = None

    def __str__(self) -> str:
        place = str(self.file)
        if self.line:
            place += f":{self.line}"
            if self.column:
                place += f":{self.column}"
        lines = [f"{place}: {self.message}"]
        if self.found is not None:
            lines.append(f"  found:   {self.found}")
        if self.allowed:
            lines.append(f"  allowed: {', '.join(self.allowed)}")
        if self.suggestion:
            lines.append(f"  did you mean {self.suggestion!r}?")
        return "\n".join(lines)


class DeclarationError(PenstockError):
    """Indicates that a declaration has mistakes; `problems` holds all of them."""

    exit_status = 2

    def __init__(self, problems: Sequence[Problem]):
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class NotStarted(PenstockError):
    """Indicates that a run was not started on purpose: its pipeline's declaration says so. Not a failure."""

    exit_status = 0


class StoreError(PenstockError):
    """Indicates that the metadata store cannot be read or written."""


class RunNotFoundError(UsageError):
    """Indicates that no run with the given id is in the store."""


class ArtifactNotFoundError(UsageError):
    """Indicates that no artifact with the given id is in the store."""


class WorkerError(PenstockError):
    """Indicates that the worker processes could not be started or died."""


class DoNotRetry(Exception):
    """For user code to raise when trying the node again cannot help."""
