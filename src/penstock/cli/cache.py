"""`penstock cache`."""

from __future__ import annotations

from dataclasses import asdict

import click

from penstock.cli import output
from penstock.cli.reading import json_option, open_for_reading, store_option

_OUTCOMES = {
    "hit": "came from the cache",
    "miss": "did not come from the cache",
    "off": "was not looked up in the cache",
}


@click.group()
def cache() -> None:
    """Explain what the cache did."""


@cache.command("explain")
@click.argument("run", metavar="RUN")
@click.argument("node", metavar="NODE")
@json_option
@store_option
def explain_(run: str, node: str, as_json: bool, store: str | None) -> None:
    """Say why NODE of RUN hit or missed the cache, and what changed since the run before."""
    from penstock.metadata.cache import explain
    from penstock.metadata.runs import get_run

    with open_for_reading(store) as database:
        found = explain(database, get_run(database, run), node)
    if as_json:
        output.print_json(asdict(found))
        return
    click.echo(f"{found.node_id} {_OUTCOMES[found.outcome]}: {found.reason}.")
    if found.outcome == "hit":
        return
    if found.compared_with is None:
        click.echo("There is no earlier run of this pipeline to compare with.")
        return
    click.echo(f"\nSince run {found.compared_with}:")
    for change in found.changes:
        click.echo(f"  {change.how} {change.kind} {change.name}")
    if not found.changes:
        click.echo("  nothing that counts changed")
