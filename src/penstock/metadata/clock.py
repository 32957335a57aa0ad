"""The time of day for what a process records: it goes on evenly, whatever is done to the system's clock meanwhile."""

from __future__ import annotations

import time


def _steady() -> float:
    """Seconds on a clock that nobody can set, on Linux one that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


_AT_FIRST = time.time() - _steady()


def now() -> float:
    """Seconds since the Unix epoch, by the system's clock as it was when this process began to use it."""
    return _AT_FIRST + _steady()
