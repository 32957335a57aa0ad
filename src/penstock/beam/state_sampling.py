"""Beam's in-memory runner without a clock that nobody reads.

While a bundle is processed, a thread of Beam's looks every so often which step is at work, and at the bundle's end it
is waited for until it looks the next time: half a second in Transform's hundred bundles. What it counts, the
milliseconds of each step, is for a runner's own console, which the in-memory runner has not.
"""

from __future__ import annotations

import threading

from apache_beam.runners.worker import statesampler


def leave_out() -> None:
    """Starts no such thread any more; which step is at work is known all the same. Idempotent."""
    statesampler.StateSampler.start = _start
    statesampler.StateSampler.stop = _stop


def _start(self: statesampler.StateSampler) -> None:
    self.tracked_thread = threading.current_thread()
    statesampler.set_current_tracker(self)
    self.started = True


def _stop(self: statesampler.StateSampler) -> None:
    statesampler.set_current_tracker(None)
    self.finished = True
