"""Ends attempts that take longer, or more memory, than their nodes may."""

from __future__ import annotations

import time
from collections.abc import Iterable

from penstock.backends.local.attempts import Attempt
from penstock.backends.local.resources import Request, memory_of_group
from penstock.backends.local.workers import LazyWorkers, Workers

_MEMORY_SECONDS = 1.0


class Limits:
    """Looks at the attempts that run, from time to time."""

    def __init__(self) -> None:
        self._look_at_memory = 0.0

    def enforce(self, running: Iterable[Attempt], workers: LazyWorkers) -> None:
        """Ends those that are over a limit; each says why in `ended_because`. Call it repeatedly."""
        now = time.monotonic()
        look_at_memory = now >= self._look_at_memory
        if look_at_memory:
            self._look_at_memory = now + _MEMORY_SECONDS
        for attempt in running:
            _end_overdue(attempt, workers.get(), now)
            if look_at_memory:
                _end_greedy(attempt, workers.get(), now)


def _end_overdue(attempt: Attempt, workers: Workers, now: float) -> None:
    # Not before its process is there: workers may still be loading.
    attempt.began = workers.started.get(attempt.job)
    if attempt.is_overdue(now):
        attempt.ended_because = f"timed out after {attempt.policy.timeout_seconds:g} s"
        attempt.end(workers, now)


def _end_greedy(attempt: Attempt, workers: Workers, now: float) -> None:
    """Kills an attempt whose processes together use more memory than its node asked for."""
    limit, pid = Request.of(attempt.node).memory, workers.pids.get(attempt.job)
    if limit is None or pid is None:
        return
    used = memory_of_group(pid)
    if used > limit:
        attempt.ended_because = (
            f"used {used / 2**20:,.0f} MiB of memory; its limit is {limit / 2**20:,.0f} MiB (resources.memory)"
        )
        attempt.end(workers, now, at_once=True)
