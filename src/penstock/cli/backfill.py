"""`penstock backfill`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from penstock.cli import output, span_ranges
from penstock.cli.reading import json_option
from penstock.errors import DeclarationError

if TYPE_CHECKING:
    from penstock.backends.local.backfill import SpanResult

# A span that succeeded is done, one that runs is another command's. All others are run.
_LEFT_ALONE = ("succeeded", "running")


@click.command()
@click.argument("path", metavar="PATH")
@click.option("--spans", "spans_text", required=True, metavar="SPANS", help="10..20, both included; 3,7,10..20; dates.")
@click.option("--env", "environment", metavar="E", help="Environment to run in.  [default: local]")
@click.option("--param", "-p", "parameters", metavar="KEY=VALUE", multiple=True, help="Set a parameter; repeatable.")
@click.option("--again", is_flag=True, help="Run every span, also those that have succeeded.")
@click.option("--no-cache", is_flag=True, help="Run every node, also those whose inputs did not change.")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, metavar="N", help="Spans at a time.")
@click.option("--store", metavar="STORE", help="Metadata store: a folder or a postgresql:// URL.")
@json_option
def backfill(
    path: str,
    spans_text: str,
    environment: str | None,
    parameters: tuple[str, ...],
    again: bool,
    no_cache: bool,
    jobs: int,
    store: str | None,
    as_json: bool,
) -> None:
    """Run the pipeline at PATH once for each span of its data, whatever becomes of the others.

    Called again, it runs the spans that have not succeeded with the same parameters and environment.
    """
    from penstock.backends.local.backfill import Backfill, SpanResult, latest_runs, nodes_at_a_time
    from penstock.cli.run import make_request
    from penstock.metadata.database import connect
    from penstock.spec.parameters import split_parameters
    from penstock.spec.problem_text import render

    spans = span_ranges.parse(spans_text)
    try:
        request = make_request(path, environment, split_parameters(parameters), store=store, span=spans[0])
    except DeclarationError as error:
        click.echo(render(error.problems), err=True)
        sys.exit(error.exit_status)
    with connect(request.location, create=False) as database:
        before = latest_runs(database, request)
    known = {
        span: SpanResult(span, before[span].state, before[span])
        for span in spans
        if span in before and before[span].state in _LEFT_ALONE and not (again and before[span].state == "succeeded")
    }
    missing = [span for span in spans if span not in known]
    output.say(f"{_count(len(missing))} to run" + (f", {len(known)} done or running already" if known else "") + ".")
    options = [path]
    options += ["--env", environment] if environment is not None else []
    options += [part for given in parameters for part in ("-p", given)]
    options += ["--no-cache"] if no_cache else []
    options += ["--jobs", str(nodes_at_a_time(jobs))] if jobs > 1 else []
    options += ["--store", store] if store is not None else []
    runner = Backfill(request, options, jobs, _tell)
    ran = {result.span: result for result in runner.run(missing)}
    _print([ran.get(span) or known[span] for span in spans], as_json)
    if runner.interrupts:
        output.say("Interrupted. Call it again to run the rest.")
        sys.exit(130)
    states = [result.state for result in (ran | known).values()]
    if any(state != "succeeded" for state in states):
        failed = sum(state not in _LEFT_ALONE for state in states)
        output.say(f"{_count(failed)} did not succeed. Mend the cause and call it again: only those are run.")
        sys.exit(1)


def _tell(result: SpanResult) -> None:
    head = f"span {result.span}  {result.state}  {output.duration(_seconds(result))}"
    output.say("  ".join([head, result.run.run_id if result.run else "", _reason(result)]).rstrip())


def _print(results: list[SpanResult], as_json: bool) -> None:
    if as_json:
        output.print_json(
            [
                {
                    "span": result.span,
                    "state": result.state,
                    "run_id": result.run.run_id if result.run else None,
                    "ran_now": result.ran,
                    "seconds": _seconds(result),
                    "error": _reason(result) or None,
                }
                for result in results
            ]
        )
        return
    rows = [
        (
            str(result.span),
            result.state,
            result.run.run_id if result.run else output.NOTHING,
            output.duration(_seconds(result)),
            "" if result.ran or result.state == "not started" else "before",
            _reason(result),
        )
        for result in results
    ]
    output.print_table(("SPAN", "STATE", "RUN", "TIME", "WHEN", "CAUSE"), rows, right=("SPAN", "TIME"))


def _reason(result: SpanResult) -> str:
    text = (result.run.error if result.run else result.said) or ""
    lines = [line for line in text.splitlines() if line and not line.startswith(" ")]
    # The last that a command says is why it ended.
    return "" if not lines else lines[0] if result.run else lines[-1]


def _seconds(result: SpanResult) -> float | None:
    if result.run is None:
        return None
    return output.elapsed(result.run.started_at, result.run.finished_at, result.state == "running")


def _count(number: int) -> str:
    return f"{number} span" if number == 1 else f"{number} spans"
