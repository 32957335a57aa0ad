"""`penstock doctor`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@click.option("--store", metavar="STORE", help="The metadata store to look at.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(store: str | None, as_json: bool) -> None:
    """Check this machine and say how to mend what is wrong.

    Exit status 1 if a pipeline could not run here.
    """
    from penstock.doctor import Status, examine, worst

    checks = examine(store)
    status = worst(checks)
    if as_json:
        listing = [{**asdict(check), "status": check.status.value} for check in checks]
        click.echo(json.dumps({"status": status.value, "checks": listing}, indent=2))
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            # click.echo drops the colours where there is no terminal.
            word = click.style(f"{check.status.value:<4}", fg=COLOURS[check.status.value])
            click.echo(f"{word}  {check.name:<{width}}  {check.found}")
            if check.status is not Status.OK:
                click.echo(f"{'':<6}{'needed:':<{width}}  {check.needed}")
                click.echo(f"{'':<6}{'to mend:':<{width}}  {check.mend}")
        failed = sum(check.status is Status.FAIL for check in checks)
        warned = sum(check.status is Status.WARN for check in checks)
        summary = {
            Status.OK: "All is well.",
            Status.WARN: f"Pipelines can run here; {warned} of {len(checks)} checks found something missing.",
            Status.FAIL: f"Pipelines cannot run here: {failed} of {len(checks)} checks failed.",
        }
        click.echo(f"\n{summary[status]}", err=True)
    if status is Status.FAIL:
        sys.exit(1)
