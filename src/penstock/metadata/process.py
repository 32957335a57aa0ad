"""Tells whether the process that recorded a run is still there, and still the same one."""

from __future__ import annotations

import os
import time
from pathlib import Path

# How much later than it says in the store a process may seem to have started: clocks are read in two places.
_SLACK_SECONDS = 5.0


def started_at(pid: int) -> float | None:
    """When a process of this host started, in seconds since the epoch; None if there is no such process.

    A process that has ended but was not collected by its parent counts as gone.
    """
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # The second field is the command in parentheses and may itself hold blanks and parentheses.
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        if fields[0] in ("Z", "X"):
            return None
        after_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + after_boot
    import subprocess

    answer = subprocess.run(["ps", "-o", "etime=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return None if not answer.stdout.strip() else time.time() - _elapsed_seconds(answer.stdout.strip())


def is_alive(pid: int, before: float) -> bool:
    """Whether process `pid` of this host runs and has run since before the time `before`.

    A process id is used again after its process ended; whoever has it since then started later.
    """
    start = started_at(pid)
    return start is not None and start <= before + _SLACK_SECONDS


def _elapsed_seconds(text: str) -> float:
    """Reads the `[[days-]hours:]minutes:seconds` of POSIX `ps`."""
    days, _, clock = text.rpartition("-")
    seconds = 0
    for part in clock.split(":"):
        seconds = seconds * 60 + int(part)
    return float(seconds + int(days or 0) * 86400)
