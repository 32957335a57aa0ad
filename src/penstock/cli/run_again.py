"""`penstock runs rerun`."""

from __future__ import annotations

import click

from penstock.cli.reading import open_for_reading, store_option


@click.command("rerun")
@click.argument("run", metavar="RUN")
@click.option("--param", "-p", "parameters", metavar="KEY=VALUE", multiple=True, help="Change a parameter; repeatable.")
@click.option("--no-cache", is_flag=True, help="Run every node, also those whose inputs did not change.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Nodes to run at a time.  [default: cores]")
@store_option
def rerun(run: str, parameters: tuple[str, ...], no_cache: bool, jobs: int | None, store: str | None) -> None:
    """Start RUN once more as a new run, with its parameters or some of them changed."""
    from penstock.cli.run import carry_out, request_of
    from penstock.metadata.runs import get_run
    from penstock.spec.parameters import split_parameters

    with open_for_reading(store) as database:
        record = get_run(database, run)
    changes = split_parameters(parameters)
    carry_out(lambda: request_of(record, changes, store=store, jobs=jobs, use_cache=not no_cache))
