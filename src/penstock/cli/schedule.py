"""`penstock schedule`."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from penstock.cli import output
from penstock.cli.durations import seconds_of
from penstock.cli.reading import json_option, open_for_reading, store_option
from penstock.errors import DeclarationError, UsageError
from penstock.metadata import runs, schedules
from penstock.metadata.database import Database, connect
from penstock.metadata.location import resolve
from penstock.metadata.schedules import OVERLAPS, Schedule, Tick

if TYPE_CHECKING:
    from penstock.backends.local.request import RunRequest

_START = "They start while `penstock scheduler` runs."


@click.group()
def schedule() -> None:
    """Create, list and change schedules: when pipelines run by themselves."""


@schedule.command()
@click.argument("path", metavar="PATH")
@click.option("--cron", required=True, metavar="CRON", help="'30 6 * * MON-FRI': minute hour day month weekday.")
@click.option("--time-zone", "zone", default="UTC", show_default=True, metavar="ZONE", help="As in Europe/Berlin.")
@click.option("--name", metavar="NAME", help="Name of the schedule.  [default: the pipeline's]")
@click.option("--env", "environment", metavar="E", help="Environment to run in.  [default: local]")
@click.option("--param", "-p", "parameters", metavar="KEY=VALUE", multiple=True, help="Set a parameter; repeatable.")
@click.option("--catch-up", is_flag=True, help="Make up for every time that was missed, not for the last alone.")
@click.option(
    "--overlap",
    type=click.Choice(OVERLAPS),
    help="If the last run still goes on: skip this time, or queue it.  [default: skip; queue with --catch-up]",
)
@click.option("--new-spans", is_flag=True, help="When due, run for each span of the data that is new; else not at all.")
@click.option("--jitter", default="0s", show_default=True, metavar="TIME", help="Start up to so much later: 90s, 5m.")
@store_option
def create(
    path: str,
    cron: str,
    zone: str,
    name: str | None,
    environment: str | None,
    parameters: tuple[str, ...],
    catch_up: bool,
    overlap: str | None,
    new_spans: bool,
    jitter: str,
    store: str | None,
) -> None:
    """Run the pipeline at PATH whenever a clock in a time zone shows certain times."""
    from penstock.cli.run import make_request
    from penstock.schedules.cron import Cron
    from penstock.spec.parameters import split_parameters
    from penstock.spec.problem_text import render

    if catch_up and overlap == "skip":
        raise UsageError("--catch-up makes up for every time, and --overlap skip leaves times out: choose one of them.")
    if new_spans and overlap == "skip":
        raise UsageError("--new-spans runs for every span, and --overlap skip leaves some out: choose one of them.")
    parsed = Cron.parse(cron, zone)
    jitter_seconds = seconds_of("--jitter", jitter)
    given = split_parameters(parameters)
    try:
        request = make_request(path, environment, given, store=store)
    except DeclarationError as error:
        click.echo(render(error.problems), err=True)
        sys.exit(error.exit_status)
    made = Schedule(
        name=name or _pipeline_name(request),
        source=str(request.source),
        environment=environment,
        parameters=given,
        cron=parsed.expression,
        zone=zone,
        catch_up=catch_up,
        overlap=overlap or ("queue" if catch_up or new_spans else "skip"),
        new_spans=new_spans,
        jitter_seconds=jitter_seconds,
        paused=False,
        handled_until=time.time(),
    )
    there = _spans_there(made) if new_spans else []
    with connect(request.location, create=True) as database:
        schedules.create_schedule(database, made)
        if not catch_up:
            schedules.add_ticks(database, made, there, made.handled_until)
    output.say(f"Schedule {made.name}: due next at {_next_words(made)}. {_START}")


@schedule.command("list")
@json_option
@store_option
def list_(as_json: bool, store: str | None) -> None:
    """List schedules: when each is due next, and what became of the last time."""
    with open_for_reading(store) as database:
        found = schedules.list_schedules(database)
        last = {each.name: next(iter(_with_runs(database, each.name, 1)), None) for each in found}
    if as_json:
        output.print_json([{**_document(each), "last": _tick_document(last[each.name])} for each in found])
        return
    if not found:
        place = resolve(store).display
        output.say(f"There are no schedules in {place}. Make one: penstock schedule create PATH --cron '0 6 * * *'")
        return
    output.print_table(
        ["NAME", "CRON", "ZONE", "NEXT", "LAST", "STATE", "PIPELINE"],
        [
            [
                each.name,
                each.cron,
                each.zone,
                "-" if each.paused else _next_words(each),
                _last_words(last[each.name]),
                "paused" if each.paused else "active",
                output.shortest_path(each.source),
            ]
            for each in found
        ],
    )


@schedule.command()
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 10000), default=20, show_default=True, help="At most so many times.")
@json_option
@store_option
def show(name: str, limit: int, as_json: bool, store: str | None) -> None:
    """Show a schedule and what became of the times it was due, the latest first."""
    with open_for_reading(store) as database:
        found = schedules.get_schedule(database, name)
        ticks = _with_runs(database, name, limit)
    if as_json:
        output.print_json({**_document(found), "ticks": [_tick_document(tick) for tick in ticks]})
        return
    output.print_facts(
        [
            ("schedule", found.name),
            ("pipeline", output.shortest_path(found.source)),
            ("environment", found.environment),
            ("parameters", ", ".join(f"{key}={value}" for key, value in found.parameters.items()) or None),
            ("cron", f"{found.cron} ({found.zone})"),
            ("next", "paused" if found.paused else _next_words(found)),
            ("runs for", "each new span" if found.new_spans else None),
            ("overlap", f"{found.overlap}, catches up" if found.catch_up else found.overlap),
            ("jitter", output.duration(found.jitter_seconds) if found.jitter_seconds else None),
        ]
    )
    if ticks:
        output.print_table(
            ["DUE", "STATE", "RUN", "REASON"],
            [[_exact(tick.due_at), tick.state, tick.run_id, tick.reason] for tick in ticks],
        )


@schedule.command()
@click.argument("name")
@store_option
def pause(name: str, store: str | None) -> None:
    """Let a schedule rest until `penstock schedule resume`."""
    with connect(resolve(store), create=True) as database:
        schedules.pause(database, name)
    output.say(f"Schedule {name} is paused.")


@schedule.command()
@click.argument("name")
@store_option
def resume(name: str, store: str | None) -> None:
    """Let a paused schedule go on; what it missed is made up for only with --catch-up."""
    with connect(resolve(store), create=True) as database:
        schedules.resume(database, name, time.time())
        found = schedules.get_schedule(database, name)
    output.say(f"Schedule {name}: due next at {_next_words(found)}. {_START}")


@schedule.command()
@click.argument("name")
@store_option
def delete(name: str, store: str | None) -> None:
    """Remove a schedule; its runs stay."""
    with connect(resolve(store), create=True) as database:
        schedules.delete(database, name)
    output.say(f"Schedule {name} is deleted.")


def _with_runs(database: Database, name: str, limit: int) -> list[Tick]:
    """The times a schedule was due, with the state of the run where one was started."""
    found = []
    for tick in schedules.ticks(database, name, limit=limit):
        run = runs.find_run(database, tick.run_id) if tick.state == "started" else None
        found.append(tick if run is None else replace(tick, state=run.state))
    return found


def _spans_there(made: Schedule) -> list[Tick]:
    """The spans that are there already, which are not new."""
    from penstock.schedules.new_spans import present
    from penstock.schedules.service import span_tick

    reason = "was there when the schedule was made"
    return [span_tick(made, span, made.handled_until, "skipped", reason) for span in sorted(present(made))]


def _pipeline_name(request: RunRequest) -> str:
    from penstock import spec

    if ".py:" in request.source:
        return request.source.rpartition(":")[2].replace("_", "-").lower()
    return spec.load(request.source, parameters=request.parameters, environment=request.environment).name


def _next(found: Schedule) -> float:
    from penstock.schedules.cron import Cron

    return next(Cron(found.cron, found.zone).after(datetime.now(UTC))).timestamp()


def _next_words(found: Schedule) -> str:
    import zoneinfo

    moment = datetime.fromtimestamp(_next(found), zoneinfo.ZoneInfo(found.zone))
    return f"{moment:%Y-%m-%d %H:%M %Z}"


def _exact(moment: float) -> str:
    return output.exact(moment) or ""


def _last_words(tick: Tick | None) -> str:
    return "-" if tick is None else f"{output.ago(tick.due_at)}: {tick.state}"


def _document(found: Schedule) -> dict[str, Any]:
    document = {key: value for key, value in vars(found).items() if key != "handled_until"}
    document["next_at"] = None if found.paused else output.exact(_next(found))
    return document


def _tick_document(tick: Tick | None) -> dict[str, Any] | None:
    if tick is None:
        return None
    times = {"due_at": output.exact(tick.due_at), "start_at": output.exact(tick.start_at)}
    return {**times, "state": tick.state, "run_id": tick.run_id, "span": tick.span, "reason": tick.reason}
