"""Workers that die before they report: what can still be said about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.engine import failures

if TYPE_CHECKING:  # the zygote loads this module, and has no use for the scheduler's side
    from penstock.backends.local.workers import Ended


def crash_file(log: Path | str) -> Path:
    """Where a worker with this log writes the stack of a crash; gone when there was none."""
    return Path(log).with_name("crash.txt")


def cause_of_death(ended: Ended, log: Path, user_folders: Sequence[Path]) -> str:
    """Returns how a worker died and, after a crash in native code, which lines of the user's code led there.

    Args:
        ended: how the job ended; it has no outcome.
        log: the job's log.
        user_folders: folders that hold the user's code.
    """
    lines = [ended.cause_of_death]
    try:
        text = crash_file(log).read_text(errors="replace")
    except OSError:
        text = ""
    for frame in failures.frames_of_crash(text, user_folders):
        lines += [f"  {frame.file}:{frame.line} in {frame.function}", f"      {frame.source}"]
    return "\n".join(lines)
