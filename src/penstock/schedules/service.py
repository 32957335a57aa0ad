"""The service that starts scheduled runs on one machine.

All it knows is in the store: it can be stopped and started again at any time, and several may run on one store. A run
is a `penstock run` of its own in a session of its own; it goes on when the service stops.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path

from penstock.errors import PenstockError
from penstock.metadata import runs, schedules
from penstock.metadata.database import Database
from penstock.metadata.location import STORE_VARIABLE
from penstock.metadata.schedules import Schedule, Tick
from penstock.schedules import new_spans
from penstock.schedules.cron import Cron

# More than these many times that were missed are not made up for: years of them help nobody.
MOST_CAUGHT_UP = 1000
# A command that has not recorded its run after this time will not do so any more.
_LOST_SECONDS = 120.0


def run_command(schedule: Schedule, tick: Tick) -> list[str]:
    """Returns the command that runs what is scheduled; the store is in its environment."""
    options = ["--env", schedule.environment] if schedule.environment is not None else []
    options += ["--span", str(tick.span)] if tick.span is not None else []
    options += [part for name, value in schedule.parameters.items() for part in ("-p", f"{name}={value}")]
    return [sys.executable, "-m", "penstock", "run", schedule.source, "--run-id", tick.run_id, *options]


@dataclass
class _Child:
    """A `penstock run` that this service started."""

    tick: Tick
    process: subprocess.Popen[bytes]
    log: Path


class Service:
    """Looks at all schedules of a store and starts what is due."""

    def __init__(
        self,
        database: Database,
        say: Callable[[str], None],
        now: Callable[[], float] = time.time,
        command: Callable[[Schedule, Tick], Sequence[str]] = run_command,
    ):
        """Takes a store, a way to tell people what it does, the time of day, and the command that runs a tick."""
        self._database = database
        self._say = say
        self._now = now
        self._command = command
        self._children: dict[str, _Child] = {}

    def look(self) -> float | None:
        """Does all there is to do now.

        Returns:
            When something is due next, in seconds since the epoch; None if nothing is.
        """
        self._reap()
        coming: list[float] = []
        for schedule in schedules.list_schedules(self._database):
            if schedule.paused:
                continue
            self._record_due(schedule)
            self._start(schedule)
            coming.append(next(Cron(schedule.cron, schedule.zone).after(_moment(self._now()))).timestamp())
        return min(coming, default=None)

    @property
    def running(self) -> list[str]:
        """The runs it started that go on."""
        return list(self._children)

    def _record_due(self, schedule: Schedule) -> None:
        now = self._now()
        times = Cron(schedule.cron, schedule.zone).after(_moment(schedule.handled_until))
        due = []
        for moment in takewhile(lambda moment: moment.timestamp() <= now, times):
            due.append(moment)
            if len(due) > MOST_CAUGHT_UP:
                del due[0]
        if not due:
            return
        if schedule.new_spans:
            schedules.add_ticks(self._database, schedule, self._new_spans(schedule), due[-1].timestamp())
            return
        found = [_tick(schedule, moment) for moment in (due if schedule.catch_up else due[-1:])]
        if schedules.add_ticks(self._database, schedule, found, due[-1].timestamp()) and len(due) > len(found):
            self._say(f"{schedule.name}: missed {len(due) - len(found)} times it was due; it does not catch up")

    def _new_spans(self, schedule: Schedule) -> list[Tick]:
        try:
            there = new_spans.present(schedule)
        except (PenstockError, OSError) as error:
            self._say(f"{schedule.name}: cannot look for new spans: {error}")
            return []
        now = self._now()
        return [
            span_tick(schedule, span, now) for span in sorted(there - schedules.spans(self._database, schedule.name))
        ]

    def _start(self, schedule: Schedule) -> None:
        """Starts the first time that waits, if nothing of the schedule runs; deals with those that need not wait."""
        self._find_lost(schedule)
        queued = schedules.ticks(self._database, schedule.name, ("queued",))
        waiting = sorted(queued, key=lambda tick: (tick.due_at, tick.span or 0))
        for tick in waiting:
            if tick.start_at > self._now():
                return
            busy = self._running(schedule)
            if busy is None:
                if schedules.move_tick(self._database, tick, "started"):
                    self._run(schedule, tick)
            elif schedule.overlap == "skip":
                if schedules.move_tick(self._database, tick, "skipped", f"{busy} was still running"):
                    self._say(f"{schedule.name}: skipped {_words(tick.due_at)}; {busy} is still running")
            else:
                return

    def _running(self, schedule: Schedule) -> str | None:
        """The id of the schedule's run that goes on."""
        for tick in schedules.ticks(self._database, schedule.name, ("started",), limit=10):
            if tick.run_id in self._children:
                return tick.run_id
            run = runs.find_run(self._database, tick.run_id)
            if run is not None and run.state == "running":
                return tick.run_id
        return None

    def _find_lost(self, schedule: Schedule) -> None:
        """Puts back what a service that was killed was about to start."""
        for tick in schedules.ticks(self._database, schedule.name, ("started",), limit=1):
            is_old = self._now() - tick.start_at > _LOST_SECONDS
            if is_old and tick.run_id not in self._children and runs.find_run(self._database, tick.run_id) is None:
                schedules.move_tick(self._database, tick, "queued")

    def _run(self, schedule: Schedule, tick: Tick) -> None:
        location = self._database.location
        log = location.run_folder(tick.run_id) / "output.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as stream:
            process = subprocess.Popen(
                self._command(schedule, tick),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                # Not on its command line, which everybody can read: a URL may hold a password.
                env={**os.environ, STORE_VARIABLE: location.database or str(location.folder)},
            )
        self._children[tick.run_id] = _Child(tick, process, log)
        self._say(f"{schedule.name}: started {tick.run_id}")

    def _reap(self) -> None:
        for run_id, child in list(self._children.items()):
            status = child.process.poll()
            if status is None:
                continue
            del self._children[run_id]
            if runs.find_run(self._database, run_id) is None:
                said = child.log.read_text(errors="replace").strip().splitlines()
                reason = said[0] if said else f"penstock run ended with status {status}"
                schedules.move_tick(self._database, replace(child.tick, state="started"), "failed", reason)
                self._say(f"{child.tick.schedule}: {run_id} did not start: {reason} (see {child.log})")
            else:
                self._say(f"{child.tick.schedule}: {run_id} {'succeeded' if status == 0 else 'failed'}")


def span_tick(schedule: Schedule, span: int, now: float, state: str = "queued", reason: str = "") -> Tick:
    """Returns the tick of a span that is new at a moment."""
    return Tick(schedule.name, now, now, state, f"{schedule.name}-span-{span}", span, reason)


def _tick(schedule: Schedule, moment: datetime) -> Tick:
    run_id = f"{schedule.name}-{moment:%Y%m%dt%H%M%Sz}"
    # By its name rather than by chance: whoever looks again comes to the same time.
    chance = int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:6], "big") / 2**48
    due_at = moment.timestamp()
    return Tick(schedule.name, due_at, due_at + chance * schedule.jitter_seconds, "queued", run_id)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _words(seconds: float) -> str:
    return f"{_moment(seconds):%Y-%m-%d %H:%M} UTC"
