"""`penstock runs tag`."""

from __future__ import annotations

import click

from penstock.cli import output
from penstock.cli.reading import open_for_reading, store_option
from penstock.errors import UsageError
from penstock.metadata import tags as records
from penstock.metadata.database import connect
from penstock.metadata.runs import get_run


@click.command()
@click.argument("run", metavar="RUN")
@click.argument("tags", metavar="TAG", nargs=-1)
@click.option("--remove", "removed", metavar="TAG", multiple=True, help="Take this tag off; repeatable.")
@store_option
def tag(run: str, tags: tuple[str, ...], removed: tuple[str, ...], store: str | None) -> None:
    """Put tags on RUN, to find it again with `penstock runs list --tag TAG`."""
    if not tags and not removed:
        raise UsageError("Name a tag to put on the run, or one to take off with --remove.")
    with open_for_reading(store) as database:
        run_id, location = get_run(database, run).run_id, database.location
    with connect(location, create=True) as database:
        records.add(database, run_id, tags)
        records.remove(database, run_id, removed)
        left = records.find(database, [run_id]).get(run_id, [])
    output.say(f"Run {run_id} has the tags {', '.join(left)}." if left else f"Run {run_id} has no tags.")
