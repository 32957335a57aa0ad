"""Schedules as people look at them: when each is due next, and what became of the last times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from penstock.metadata import runs, schedules
from penstock.metadata.database import Database
from penstock.metadata.schedules import Schedule, Tick
from penstock.schedules.cron import Cron


@dataclass(frozen=True)
class ScheduleState:
    """A schedule.

    Attributes:
        schedule: as it is recorded.
        next_at: when it is due next, in seconds since the epoch; None while it is paused, or if that cannot be told.
        ticks: the last times it was due, the latest first; the state of one that started is its run's, where there is
            one.
        started: the ids of the runs among them that are recorded.
    """

    schedule: Schedule
    next_at: float | None
    ticks: Sequence[Tick]
    started: frozenset[str]


def states(
    database: Database, listed: Sequence[Schedule], ticks: int, now: datetime | None = None
) -> list[ScheduleState]:
    """The states of schedules, with so many of their last ticks each, in one query, or two where a run goes on."""
    last = schedules.last_ticks(database, [schedule.name for schedule in listed], ticks)
    # Only a run that is read as such tells whether its process is gone.
    going_on = [tick.run_id for found in last.values() for tick, state in found if state == "running"]
    known = runs.find_runs(database, going_on)
    return [
        ScheduleState(
            schedule,
            None if schedule.paused else next_at(schedule, now),
            [
                tick
                if state is None
                else replace(tick, state=known[tick.run_id].state if tick.run_id in known else state)
                for tick, state in last.get(schedule.name, ())
            ],
            frozenset(tick.run_id for tick, state in last.get(schedule.name, ()) if state is not None),
        )
        for schedule in listed
    ]


def next_at(schedule: Schedule, now: datetime | None = None) -> float | None:
    """When a schedule is due next, in seconds since the epoch."""
    try:
        return next(Cron(schedule.cron, schedule.zone).after(now or datetime.now(UTC))).timestamp()
    except (StopIteration, ValueError, KeyError):
        return None
