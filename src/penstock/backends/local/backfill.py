"""A run for each of several spans: which of them are done already, and the runs of the others.

Each run is a `penstock run --span` of its own: what happens to it, and to its process, is nothing to the others.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.backends.local.request import RunRequest
from penstock.errors import UsageError
from penstock.metadata import recording, runs
from penstock.metadata.database import Database, connect
from penstock.metadata.runs import SPAN_PARAMETER, Run

NOT_STARTED = "not started"
_POLL_SECONDS = 0.05
_WRONG_CALL = 2


@dataclass(frozen=True)
class SpanResult:
    """How a span stands.

    Attributes:
        span: the span.
        state: that of its run, or `not started`.
        run: its run; None where there is none.
        ran: whether it ran now, rather than before.
        said: what its command said, where that is all that is known.
    """

    span: int
    state: str
    run: Run | None = None
    ran: bool = False
    said: str = ""


def latest_runs(database: Database, request: RunRequest) -> dict[int, Run]:
    """The latest run of each span, of those with the source, environment and parameters of a request."""
    wanted = _plain(request.parameter_values)
    found: dict[int, Run] = {}
    for run in runs.runs_of_source(database, request.source):
        parameters = dict(run.parameters)
        span = parameters.pop(SPAN_PARAMETER, None)
        if span is not None and run.environment == request.environment and parameters == wanted:
            found.setdefault(int(span), run)
    return found


class Backfill:
    """Runs one span after another, or several at a time."""

    def __init__(self, request: RunRequest, options: Sequence[str], jobs: int, ended: Callable[[SpanResult], None]):
        """Prepares it.

        Args:
            request: what each run is asked to do, but for the span.
            options: the arguments of `penstock run` that ask for the same.
            jobs: how many spans run at a time.
            ended: hears of every span that has run.
        """
        self._request = request
        self._options = options
        self._jobs = jobs
        self._ended = ended
        self._running: dict[int, _Child] = {}
        self.interrupts = 0

    def run(self, spans: Sequence[int]) -> list[SpanResult]:
        """Runs the spans. After Ctrl-C or SIGTERM those that run are cancelled, and no other is started.

        Raises:
            UsageError: `penstock run` said that the call or the declaration is wrong, which holds for all spans.
        """
        waiting = deque(spans)
        results: dict[int, SpanResult] = {}
        refusal: str | None = None
        with tempfile.TemporaryDirectory(prefix="penstock-backfill-") as folder, self._forwarding():
            while self._running or (waiting and not self.interrupts and refusal is None):
                while waiting and len(self._running) < self._jobs and not self.interrupts and refusal is None:
                    span = waiting.popleft()
                    self._running[span] = self._start(span, Path(folder, str(span)))
                time.sleep(_POLL_SECONDS)
                for span, child in list(self._running.items()):
                    status = child.process.poll()
                    if status is None:
                        continue
                    del self._running[span]
                    if status == _WRONG_CALL:
                        refusal = child.said.read_text(errors="replace").strip()
                        continue
                    results[span] = self._result(span, child)
                    self._ended(results[span])
        if refusal is not None:
            raise UsageError(refusal)
        return [results.get(span, SpanResult(span, NOT_STARTED)) for span in spans]

    def _start(self, span: int, said: Path) -> _Child:
        run_id = recording.new_run_id()
        # Not from the working folder, whose modules could stand before the installed ones.
        command = [sys.executable, "-P", "-m", "penstock", "run", *self._options, "--span", str(span)]
        with said.open("wb") as stream:
            process = subprocess.Popen(
                [*command, "--run-id", run_id],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stream,
                process_group=0,  # Ctrl-C comes to it once, from here
            )
        return _Child(process, run_id, said)

    def _result(self, span: int, child: _Child) -> SpanResult:
        with connect(self._request.location, create=False) as database:
            run = runs.find_run(database, child.run_id)
        if run is not None:
            return SpanResult(span, run.state, run, ran=True)
        return SpanResult(span, NOT_STARTED, ran=True, said=child.said.read_text(errors="replace").strip())

    @contextmanager
    def _forwarding(self) -> Iterator[None]:
        def forward(*_: object) -> None:
            self.interrupts += 1
            for child in list(self._running.values()):
                child.process.send_signal(signal.SIGINT)

        numbers = (signal.SIGINT, signal.SIGTERM)
        earlier = {number: signal.signal(number, forward) for number in numbers}
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)


@dataclass(frozen=True)
class _Child:
    process: subprocess.Popen[bytes]
    run_id: str
    said: Path


def nodes_at_a_time(jobs: int) -> int:
    """How many nodes each of so many runs may run at a time, so that together they fill the machine and no more."""
    return max(1, (os.cpu_count() or 1) // jobs)


def _plain(parameters: Mapping[str, Any]) -> Any:
    """Parameters as the store gives them back."""
    return json.loads(json.dumps(dict(parameters), default=str))
