"""An exception, shortened to what its author needs: the cause and the frames of the user's own code."""

from __future__ import annotations

import errno
import linecache
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from penstock.errors import DoNotRetry, PenstockError


@dataclass(frozen=True)
class Frame:
    """One line of user code that was running."""

    file: str
    line: int
    function: str
    source: str


@dataclass(frozen=True)
class Failure:
    """Why a job failed.

    Attributes:
        kind: the exception's class name.
        message: its text, at most 20 lines.
        frames: the user's frames, outermost first; empty if none of the user's code was running.
        can_retry: whether trying again could help.
    """

    kind: str
    message: str
    frames: tuple[Frame, ...] = ()
    can_retry: bool = True

    def to_json(self) -> dict[str, Any]:
        """Returns the failure as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Failure:
        """Returns the failure that `to_json` described."""
        return cls(
            value["kind"], value["message"], tuple(Frame(**frame) for frame in value["frames"]), value["can_retry"]
        )

    def __str__(self) -> str:
        lines = [f"{self.kind}: {self.message}" if self.message else self.kind]
        for frame in self.frames:
            lines.append(f"  {frame.file}:{frame.line} in {frame.function}")
            if frame.source:
                lines.append(f"      {frame.source}")
        return "\n".join(lines)


def describe(error: BaseException, user_folders: Sequence[Path]) -> Failure:
    """Returns the failure behind an exception: its innermost cause that touches user code, else the exception itself.

    Args:
        user_folders: folders that hold the user's code; installed packages inside them do not count.
    """
    chain = _causes(error)
    frames: tuple[Frame, ...] = ()
    cause = error
    for candidate in chain:
        found = _user_frames(candidate, user_folders)
        if found:
            frames, cause = found, candidate
            break
    message = str(error if not frames else cause).strip()
    can_retry = not any(isinstance(link, (DoNotRetry, SyntaxError, ImportError, PenstockError)) for link in chain)
    if isinstance(cause, SyntaxError) and cause.filename:
        frames = (*frames, Frame(cause.filename, cause.lineno or 0, "<module>", (cause.text or "").strip()))
        message = cause.msg
    if isinstance(cause, OSError) and cause.errno == errno.ENOSPC:
        message += " (the disk is full: free some space and run again)"
    return Failure(type(cause).__name__, _shortened(message), frames, can_retry)


def _causes(error: BaseException) -> list[BaseException]:
    """The exception and what led to it, innermost first."""
    chain = [error]
    while (
        earlier := chain[-1].__cause__ or (None if chain[-1].__suppress_context__ else chain[-1].__context__)
    ) is not None:
        if earlier in chain:
            break
        chain.append(earlier)
    return chain[::-1]


def _user_frames(error: BaseException, user_folders: Sequence[Path]) -> tuple[Frame, ...]:
    found = []
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        is_installed = "site-packages" in path.parts or "dist-packages" in path.parts
        if is_installed or not any(path.is_relative_to(folder) for folder in user_folders):
            continue
        source = linecache.getline(frame.filename, frame.lineno or 0).strip()
        found.append(Frame(frame.filename, frame.lineno or 0, frame.name, source))
    return tuple(found)


def _shortened(message: str, most_lines: int = 20, most_characters: int = 4000) -> str:
    lines = message[:most_characters].splitlines()
    if len(lines) > most_lines:
        lines = [*lines[:most_lines], f"… ({len(lines) - most_lines} more lines, in the log)"]
    return "\n".join(lines)
