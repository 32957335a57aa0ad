"""`penstock doctor`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from penstock.doctor import Check

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@click.argument("path", metavar="[PATH]", default=".")
@click.option("--env", "environment", metavar="E", help="Look at what this environment of PATH needs, too.")
@click.option("--param", "-p", "parameters", metavar="KEY=VALUE", multiple=True, help="Set a parameter; repeatable.")
@click.option("--store", metavar="STORE", help="The metadata store to look at.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(path: str, environment: str | None, parameters: tuple[str, ...], store: str | None, as_json: bool) -> None:
    """Check this machine and say how to mend what is wrong.

    With --env also the store, the pipeline root, the cluster and the image that nodes of that environment need. Exit
    status 1 if a pipeline could not run.
    """
    from penstock.doctor import Status, examine, worst

    checks = examine(store, with_store=environment is None)
    if environment is not None:
        checks += _of_environment(path, environment, parameters, store)
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


def _of_environment(path: str, environment: str, parameters: Sequence[str], store: str | None) -> list[Check]:
    from penstock import environment_checks, spec
    from penstock.errors import DeclarationError
    from penstock.spec.parameters import split_parameters
    from penstock.spec.problem_text import render

    try:
        declaration = spec.load(path, parameters=split_parameters(parameters), environment=environment)
    except DeclarationError as error:
        click.echo(render(error.problems), err=True)
        sys.exit(error.exit_status)
    return list(environment_checks.examine(declaration, store))
