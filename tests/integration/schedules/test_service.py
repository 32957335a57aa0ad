"""The service that starts scheduled runs, on a real store, with processes that record a run and end when told."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from penstock.metadata import schedules
from penstock.metadata.database import Database, connect
from penstock.metadata.location import StoreLocation
from penstock.metadata.schedules import Schedule, Tick
from penstock.schedules.service import MOST_CAUGHT_UP, Service

# Stands for `penstock run`: records its run, and ends it when a file says how.
RUN = """
import os, sys, time
from pathlib import Path
from penstock.metadata import recording
from penstock.metadata.database import connect
from penstock.metadata.location import resolve
folder, run_id = Path(sys.argv[1]), sys.argv[2]
if (folder / "broken").exists():
    sys.exit("pipeline.yaml:3:5: There is no component 'CsvExamplGen'.")
with connect(resolve(), create=True) as database:
    recording.create_run(database, run_id, pipeline="p", nodes=[])
    while not (found := [state for state in ("succeeded", "failed") if (folder / f"{run_id}.{state}").exists()]):
        time.sleep(0.02)
    recording.set_run_state(database, run_id, found[0])
sys.exit(found[0] == "failed")
"""
HOURLY = Schedule(
    name="taxi",
    source="/pipelines/taxi",
    environment=None,
    parameters={},
    cron="0 * * * *",
    zone="UTC",
    catch_up=False,
    overlap="skip",
    new_spans=False,
    jitter_seconds=0.0,
    paused=False,
    handled_until=datetime(2026, 11, 20, 5, 30, tzinfo=UTC).timestamp(),
)


class Machine:
    """A store, a clock that is set by hand, and services on them."""

    def __init__(self, database: Database, folder: Path):
        self.database = database
        self.folder = folder
        self.moment = 0.0
        self.said: list[str] = []
        self.service = self.new_service()
        self.set("05:30")

    def new_service(self) -> Service:
        """Another one, that knows nothing of what the first has done."""
        return Service(self.database, self.said.append, lambda: self.moment, self.command)

    def command(self, schedule: Schedule, tick: Tick) -> list[str]:
        """The process that stands for a run."""
        return [sys.executable, "-c", RUN, str(self.folder), tick.run_id]

    def set(self, clock: str, day: int = 20) -> None:
        """Sets the clock, to a time in UTC."""
        hour, minute = map(int, clock.split(":"))
        self.moment = datetime(2026, 11, day, hour, minute, tzinfo=UTC).timestamp()

    def end(self, state: str = "succeeded") -> None:
        """Lets everything that runs now end so."""
        running = self.service.running
        for run_id in running:
            (self.folder / f"{run_id}.{state}").touch()
        self.wait(lambda: not set(running).intersection(self.service.running))

    def wait(self, holds: Callable[[], bool]) -> None:
        """Has the service look until something holds."""
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline, (self.said, self.states())
            self.service.look()
            time.sleep(0.02)

    def states(self) -> dict[str, str]:
        """What became of each time it was due, by the hour and minute."""
        found = schedules.ticks(self.database, "taxi")
        return {f"{datetime.fromtimestamp(tick.due_at, UTC):%H:%M}": tick.state for tick in reversed(found)}

    def runs(self) -> list[str]:
        """The runs that are recorded."""
        rows = self.database.query("SELECT run_id FROM penstock_runs ORDER BY created_at")
        return [str(row["run_id"]) for row in rows]


@pytest.fixture(params=["sqlite", "postgresql"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    url = request.getfixturevalue("postgres_server").new_database() if request.param == "postgresql" else None
    with connect(StoreLocation(tmp_path / "store", url), create=True) as database:
        made = Machine(database, tmp_path)
        yield made
        for schedule in schedules.list_schedules(database):
            schedules.delete(database, schedule.name)
        made.end()


def test_it_starts_what_is_due_once(machine: Machine) -> None:
    schedules.create_schedule(machine.database, HOURLY)
    machine.service.look()
    assert machine.states() == {}
    machine.set("06:00")
    other = machine.new_service()
    for _ in range(3):
        machine.service.look()
        other.look()
    assert machine.states() == {"06:00": "started"}
    machine.wait(lambda: machine.runs() == ["taxi-20261120t060000z"])
    machine.end()
    assert "taxi: taxi-20261120t060000z succeeded" in machine.said
    machine.set("06:59")
    machine.service.look()
    assert machine.states() == {"06:00": "started"}


def test_of_times_that_were_missed_the_last_is_made_up_for(machine: Machine) -> None:
    schedules.create_schedule(machine.database, HOURLY)
    machine.set("09:20")
    machine.service.look()
    assert machine.states() == {"09:00": "started"}
    assert "taxi: missed 3 times it was due; it does not catch up" in machine.said


def test_who_catches_up_makes_up_for_all_one_after_the_other(machine: Machine) -> None:
    schedules.create_schedule(machine.database, replace(HOURLY, catch_up=True, overlap="queue"))
    machine.set("08:20")
    machine.service.look()
    assert machine.states() == {"06:00": "started", "07:00": "queued", "08:00": "queued"}
    runs = [f"taxi-20261120t0{hour}0000z" for hour in (6, 7, 8)]
    for number, run in enumerate(runs):
        machine.wait(partial(lambda run: run in machine.runs(), run))
        assert machine.runs() == runs[: number + 1]
        machine.end("failed" if number == 0 else "succeeded")
    assert set(machine.states().values()) == {"started"}


def test_an_overlap_is_skipped_or_queued(machine: Machine) -> None:
    schedules.create_schedule(machine.database, HOURLY)
    schedules.create_schedule(machine.database, replace(HOURLY, name="queued", overlap="queue"))
    machine.set("06:00")
    machine.wait(lambda: len(machine.runs()) == 2)
    machine.set("07:00")
    machine.service.look()
    assert machine.states() == {"06:00": "started", "07:00": "skipped"}
    [skipped, _] = schedules.ticks(machine.database, "taxi")
    assert skipped.reason == "taxi-20261120t060000z was still running"
    assert [tick.state for tick in schedules.ticks(machine.database, "queued")] == ["queued", "started"]
    machine.end()
    machine.wait(lambda: "queued-20261120t070000z" in machine.runs())
    assert "taxi-20261120t070000z" not in machine.runs()


def test_a_run_of_a_service_that_is_gone_still_counts(machine: Machine) -> None:
    schedules.create_schedule(machine.database, HOURLY)
    machine.set("06:00")
    machine.wait(lambda: len(machine.runs()) == 1)
    machine.set("07:00")
    machine.new_service().look()
    assert machine.states() == {"06:00": "started", "07:00": "skipped"}


def test_a_time_that_a_killed_service_took_is_started_by_the_next(machine: Machine) -> None:
    schedules.create_schedule(machine.database, HOURLY)
    tick = Tick("taxi", machine.moment + 1800, machine.moment + 1800, "started", "taxi-20261120t060000z")
    schedules.add_ticks(machine.database, HOURLY, [tick], machine.moment + 1800)
    machine.set("06:01")
    machine.service.look()
    assert not machine.service.running, "the process might be about to record its run"
    machine.set("06:03")
    machine.wait(lambda: machine.runs() == ["taxi-20261120t060000z"])


def test_what_cannot_start_says_why_and_the_next_time_comes(machine: Machine) -> None:
    schedules.create_schedule(machine.database, HOURLY)
    (machine.folder / "broken").touch()
    machine.set("06:00")
    machine.wait(lambda: machine.states() == {"06:00": "failed"})
    [tick] = schedules.ticks(machine.database, "taxi")
    assert tick.reason == "pipeline.yaml:3:5: There is no component 'CsvExamplGen'."
    (machine.folder / "broken").unlink()
    machine.set("07:00")
    machine.wait(lambda: machine.runs() == ["taxi-20261120t070000z"])


def test_a_paused_schedule_rests(machine: Machine) -> None:
    schedules.create_schedule(machine.database, HOURLY)
    schedules.pause(machine.database, "taxi")
    machine.set("08:30")
    assert machine.service.look() is None
    assert machine.states() == {}
    schedules.resume(machine.database, "taxi", machine.moment)
    machine.service.look()
    assert machine.states() == {}, "what it missed while it was paused is not made up for"
    machine.set("09:00")
    machine.service.look()
    assert machine.states() == {"09:00": "started"}


def test_jitter_is_later_within_bounds_and_always_the_same(machine: Machine) -> None:
    schedules.create_schedule(machine.database, replace(HOURLY, cron="* * * * *", jitter_seconds=40.0, catch_up=True))
    machine.set("06:00")
    machine.service.look()
    delays = [tick.start_at - tick.due_at for tick in schedules.ticks(machine.database, "taxi")]
    assert len(delays) == 30
    assert all(0 <= delay < 40 for delay in delays)
    assert max(delays) - min(delays) > 20
    again = replace(HOURLY, name="taxi", cron="* * * * *", jitter_seconds=40.0, catch_up=True)
    schedules.delete(machine.database, "taxi")
    schedules.create_schedule(machine.database, again)
    machine.service.look()
    assert [tick.start_at - tick.due_at for tick in schedules.ticks(machine.database, "taxi")] == delays


def test_years_that_were_missed_are_not_all_made_up_for(machine: Machine) -> None:
    long_ago = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
    schedules.create_schedule(machine.database, replace(HOURLY, catch_up=True, overlap="queue", handled_until=long_ago))
    machine.service.look()
    found = schedules.ticks(machine.database, "taxi", limit=10_000)
    assert len(found) == MOST_CAUGHT_UP
    assert found[0].due_at == machine.moment - 1800


def test_new_spans_are_run_for_once_each(machine: Machine) -> None:
    project = machine.folder / "project"
    for span in (1, 2):
        (project / "data" / f"span-{span}").mkdir(parents=True)
        (project / "data" / f"span-{span}" / "a.csv").write_text("a\n1\n")
    (project / "pipeline.yaml").write_text(
        "penstock: 1\nname: spans\nnodes:\n  examples:\n    component: CsvExampleGen\n    input_base: data\n"
        "    input_config: {splits: [{name: all, pattern: 'span-{SPAN}/*'}]}\n"
    )
    made = replace(HOURLY, source=str(project), new_spans=True, overlap="queue")
    schedules.create_schedule(machine.database, made)
    machine.set("06:00")
    machine.wait(lambda: machine.runs() == ["taxi-span-1"])
    assert [tick.state for tick in schedules.ticks(machine.database, "taxi")] == ["queued", "started"]
    machine.end()
    machine.wait(lambda: machine.runs() == ["taxi-span-1", "taxi-span-2"])
    machine.end()
    machine.set("07:00")
    machine.service.look()
    assert not machine.service.running, "nothing is new"
    (project / "data" / "span-0").mkdir()
    (project / "data" / "span-0" / "late.csv").write_text("a\n1\n")
    (project / "pipeline.yaml").rename(project / "moved")
    machine.set("08:00")
    machine.service.look()
    assert "cannot look for new spans" in machine.said[-1]
    (project / "moved").rename(project / "pipeline.yaml")
    machine.set("09:00")
    machine.wait(lambda: "taxi-span-0" in machine.runs())
