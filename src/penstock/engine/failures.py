"""An exception, shortened to what its author needs: the cause and the frames of the user's own code."""

from __future__ import annotations

import errno
import linecache
import re
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from penstock.errors import DoNotRetry, PenstockError

# Precedes an exception's whole traceback in a log; what people are shown of the log ends here.
TRACEBACK_HEADING = "the job failed; its whole traceback:"
_CRASH_FRAME = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.MULTILINE)


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
        kind: the exception's class name; empty where the message is Penstock's own and says it all.
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
        lines = [": ".join(part for part in (self.kind, self.message) if part)]
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
        if found or (isinstance(candidate, SyntaxError) and _is_users(candidate.filename, user_folders)):
            frames, cause = found, candidate
            break
    message = str(cause).strip()
    can_retry = not any(isinstance(link, (DoNotRetry, SyntaxError, ImportError, PenstockError)) for link in chain)
    if isinstance(cause, SyntaxError) and cause.filename:
        frames = (*frames, Frame(cause.filename, cause.lineno or 0, "<module>", (cause.text or "").strip()))
        message = cause.msg
    if isinstance(cause, OSError) and cause.errno == errno.ENOSPC:
        message += " (the disk is full: free some space and run again)"
    if isinstance(cause, SystemExit):
        message = (
            f"the code called sys.exit({cause.code!r}); return when the work is done, raise when it cannot be done"
        )
    notes = [note for link in chain for note in getattr(link, "__notes__", ())]
    kind = "" if isinstance(cause, PenstockError) else type(cause).__name__
    return Failure(kind, _shortened("\n".join([message, *notes])), frames, can_retry)


def frames_of_crash(text: str, user_folders: Sequence[Path]) -> tuple[Frame, ...]:
    """Returns the user's frames, outermost first, from what Python's `faulthandler` wrote about a crash."""
    # The thread that crashed comes first and ends at a blank line.
    stack = text.partition("(most recent call first):")[2].partition("\n\n")[0]
    found = []
    for file, line, function in _CRASH_FRAME.findall(stack):
        if _is_users(file, user_folders):
            found.append(Frame(file, int(line), function, linecache.getline(file, int(line)).strip()))
    return tuple(reversed(found))


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
        if not _is_users(frame.filename, user_folders):
            continue
        source = linecache.getline(frame.filename, frame.lineno or 0).strip()
        found.append(Frame(frame.filename, frame.lineno or 0, frame.name, source))
    return tuple(found)


def _is_users(file: str | None, user_folders: Sequence[Path]) -> bool:
    path = Path(file or "")
    is_installed = "site-packages" in path.parts or "dist-packages" in path.parts
    return not is_installed and any(path.is_relative_to(folder) for folder in user_folders)


def _shortened(message: str, most_lines: int = 20, most_characters: int = 4000) -> str:
    lines = message[:most_characters].splitlines()
    if len(lines) > most_lines:
        lines = [*lines[:most_lines], f"… ({len(lines) - most_lines} more lines, in the log)"]
    return "\n".join(lines)
