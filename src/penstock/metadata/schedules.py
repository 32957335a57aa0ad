"""Schedules and what became of each time they were due, as the store records them."""

from __future__ import annotations

import difflib
import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.errors import UsageError
from penstock.metadata import tables
from penstock.metadata.database import Database, in_parts

# Stores that an older Penstock wrote have no schedules.
_SINCE_VERSION = 4
_NAME = r"[a-z0-9][a-z0-9-]{0,62}"
OVERLAPS = ("skip", "queue")


@dataclass(frozen=True)
class Schedule:
    """When a pipeline runs by itself. Times are seconds since the Unix epoch.

    Attributes:
        name: its name.
        source: the pipeline as `penstock run` takes it, an absolute path.
        environment: the environment it runs in; None for the pipeline's default.
        parameters: parameters by name, as written.
        cron: five fields of cron.
        zone: the time zone the fields are meant in.
        catch_up: whether all times that were missed are made up for, rather than the last alone.
        overlap: what happens when it is due while its last run goes on: `skip` or `queue`. Who catches up, queues.
        new_spans: whether, when it is due, it runs for each span of the data that is new, rather than once.
        jitter_seconds: up to how much later than due it starts, the same for the same time.
        paused: whether it is left alone.
        handled_until: up to when it has been looked at for times that were due.
    """

    name: str
    source: str
    environment: str | None
    parameters: Mapping[str, str]
    cron: str
    zone: str
    catch_up: bool
    overlap: str
    new_spans: bool
    jitter_seconds: float
    paused: bool
    handled_until: float


@dataclass(frozen=True)
class Tick:
    """One time at which a schedule was due.

    Attributes:
        schedule: its name.
        due_at: when.
        start_at: when it starts at the earliest: later by the jitter.
        state: `queued`, `started`, `skipped`, or `failed` where no run came of it.
        run_id: the run it starts, or would have.
        span: the span it runs for; None for what the pipeline takes by itself.
        reason: why it was skipped or failed.
    """

    schedule: str
    due_at: float
    start_at: float
    state: str
    run_id: str
    span: int | None = None
    reason: str = ""


def create_schedule(database: Database, schedule: Schedule) -> None:
    """Records a schedule.

    Raises:
        UsageError: the name is taken, or no name.
    """
    if not re.fullmatch(_NAME, schedule.name):
        raise UsageError(f"--name {schedule.name!r}: wanted are up to 63 of a-z, 0-9 and '-', a letter or digit first.")
    made = database.execute(
        "INSERT INTO penstock_schedules (name, source, environment, parameters, cron, zone, catch_up, overlap, "
        "new_spans, jitter_seconds, paused, created_at, handled_until) VALUES (:name, :source, :environment, "
        ":parameters, :cron, :zone, :catch_up, :overlap, :new_spans, :jitter_seconds, 0, :created_at, :handled_until) "
        "ON CONFLICT (name) DO NOTHING",
        {
            "name": schedule.name,
            "source": schedule.source,
            "environment": schedule.environment,
            "parameters": json.dumps(dict(schedule.parameters)),
            "cron": schedule.cron,
            "zone": schedule.zone,
            "catch_up": int(schedule.catch_up),
            "overlap": schedule.overlap,
            "new_spans": int(schedule.new_spans),
            "jitter_seconds": schedule.jitter_seconds,
            "created_at": time.time(),
            "handled_until": schedule.handled_until,
        },
    )
    if not made:
        raise UsageError(
            f"There already is a schedule {schedule.name!r} in {database.location.display}. Delete it first, with "
            f"penstock schedule delete {schedule.name}, or give this one another --name."
        )


def list_schedules(database: Database) -> list[Schedule]:
    """Returns all schedules by name."""
    if database.tables_version < _SINCE_VERSION:
        return []
    return [_schedule(row) for row in database.query("SELECT * FROM penstock_schedules ORDER BY name")]


def get_schedule(database: Database, name: str) -> Schedule:
    """Returns a schedule.

    Raises:
        UsageError: there is none of this name.
    """
    schedules = {schedule.name: schedule for schedule in list_schedules(database)}
    if name not in schedules:
        near = difflib.get_close_matches(name, schedules, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(schedules) or 'none'}."
        raise UsageError(f"There is no schedule {name!r} in {database.location.display}.{hint}")
    return schedules[name]


def pause(database: Database, name: str) -> None:
    """Lets a schedule rest: it is not due, and what waits to start does not."""
    get_schedule(database, name)
    database.execute("UPDATE penstock_schedules SET paused = 1 WHERE name = :name", {"name": name})


def resume(database: Database, name: str, from_now: float) -> None:
    """Lets a schedule go on. What it missed while it was paused is made up for only where it catches up."""
    schedule = get_schedule(database, name)
    handled_until = schedule.handled_until if schedule.catch_up or not schedule.paused else from_now
    database.execute(
        "UPDATE penstock_schedules SET paused = 0, handled_until = :handled_until WHERE name = :name",
        {"name": name, "handled_until": handled_until},
    )


def delete(database: Database, name: str) -> None:
    """Removes a schedule and the times it was due; its runs stay."""
    get_schedule(database, name)
    with database.transaction():
        database.execute("DELETE FROM penstock_ticks WHERE schedule = :name", {"name": name})
        database.execute("DELETE FROM penstock_schedules WHERE name = :name", {"name": name})


def add_ticks(database: Database, schedule: Schedule, ticks: Sequence[Tick], handled_until: float) -> bool:
    """Records the times a schedule was due up to a moment; False where another service has done so already."""
    with database.transaction():
        changed = database.execute(
            "UPDATE penstock_schedules SET handled_until = :until WHERE name = :name AND handled_until = :before",
            {"until": handled_until, "name": schedule.name, "before": schedule.handled_until},
        )
        if not changed:
            return False
        for tick in ticks:
            database.execute(
                "INSERT INTO penstock_ticks (schedule, due_at, start_at, state, run_id, span, reason) "
                "VALUES (:schedule, :due_at, :start_at, :state, :run_id, :span, :reason) "
                "ON CONFLICT (schedule, run_id) DO NOTHING",
                vars(tick),
            )
    return True


def ticks(database: Database, name: str, states: Iterable[str] = (), limit: int = 1000) -> list[Tick]:
    """Returns the times a schedule was due, the latest first; all, or those in some states."""
    if not database.has_own_tables or tables.version(database) < _SINCE_VERSION:
        return []
    wanted = {f"state{index}": state for index, state in enumerate(states)}
    clause = f" AND state IN ({', '.join(f':{key}' for key in wanted)})" if wanted else ""
    rows = database.query(
        "SELECT schedule, due_at, start_at, state, run_id, span, reason FROM penstock_ticks "
        f"WHERE schedule = :name{clause} ORDER BY due_at DESC, span DESC LIMIT :limit",
        {"name": name, "limit": limit, **wanted},
    )
    return [Tick(**row) for row in rows]


def last_ticks(database: Database, names: Sequence[str], number: int) -> dict[str, list[tuple[Tick, str | None]]]:
    """Returns the last times some schedules were due, so many of each, by name and the latest first.

    With each comes the state of its run as it is recorded; None where there is no run.
    """
    found: dict[str, list[tuple[Tick, str | None]]] = {}
    if not names or database.tables_version < _SINCE_VERSION:
        return found
    for places, values in in_parts(names):
        rows = database.query(
            "SELECT ranked.*, r.state AS run_state FROM (SELECT t.*, "
            "row_number() OVER (PARTITION BY schedule ORDER BY due_at DESC, span DESC) AS place "
            f"FROM penstock_ticks t WHERE schedule IN ({places})) ranked "
            "LEFT JOIN penstock_runs r ON r.run_id = ranked.run_id WHERE place <= :number ORDER BY schedule, place",
            {**values, "number": number},
        )
        for row in rows:
            run_state = row.pop("run_state")
            row.pop("place")
            found.setdefault(row["schedule"], []).append((Tick(**row), run_state))
    return found


def spans(database: Database, name: str) -> set[int]:
    """Returns the spans that a schedule has been due for, whatever became of them."""
    rows = database.query("SELECT span FROM penstock_ticks WHERE schedule = :name AND span IS NOT NULL", {"name": name})
    return {row["span"] for row in rows}


def move_tick(database: Database, tick: Tick, state: str, reason: str = "") -> bool:
    """Brings a tick into another state; False where it no longer is in the one it was read in."""
    changed = database.execute(
        "UPDATE penstock_ticks SET state = :state, reason = :reason "
        "WHERE schedule = :schedule AND run_id = :run_id AND state = :before",
        {"state": state, "reason": reason, "schedule": tick.schedule, "run_id": tick.run_id, "before": tick.state},
    )
    return bool(changed)


def _schedule(row: Mapping[str, Any]) -> Schedule:
    return Schedule(
        name=row["name"],
        source=row["source"],
        environment=row["environment"],
        parameters=json.loads(row["parameters"]),
        cron=row["cron"],
        zone=row["zone"],
        catch_up=bool(row["catch_up"]),
        overlap=row["overlap"],
        new_spans=bool(row["new_spans"]),
        jitter_seconds=row["jitter_seconds"],
        paused=bool(row["paused"]),
        handled_until=row["handled_until"],
    )
