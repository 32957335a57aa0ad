"""`penstock gc`."""

from __future__ import annotations

import time
from typing import Any

import click

from penstock.cli import output
from penstock.cli.durations import seconds_of
from penstock.cli.reading import json_option, open_for_reading, store_option
from penstock.errors import UsageError


@click.command()
@click.option("--keep-last", type=click.IntRange(min=0), metavar="N", help="Keep the newest N runs of each pipeline.")
@click.option("--older-than", metavar="AGE", help="Remove only runs that ended longer ago, like 30d or 12h.")
@click.option("--pipeline", metavar="P", help="Remove only runs of this pipeline.")
@click.option("--dry-run", is_flag=True, help="Say what would go; remove nothing.")
@json_option
@store_option
def gc(
    keep_last: int | None, older_than: str | None, pipeline: str | None, dry_run: bool, as_json: bool, store: str | None
) -> None:
    """Remove old runs: their payloads, logs and records.

    What a kept run uses stays, and so do pushed models, what led to them, and each pipeline's latest blessed model.
    """
    from penstock.metadata import garbage

    if keep_last is None and older_than is None:
        raise UsageError("Say which runs may go: --keep-last N, --older-than AGE, or both.")
    age = None if older_than is None else seconds_of("--older-than", older_than)
    with open_for_reading(store) as database:
        found = garbage.find(database, keep_last=keep_last, older_than_seconds=age, pipeline=pipeline, now=time.time())
        location = database.location
    if not dry_run and found.runs:
        garbage.remove(found, location)
    document: dict[str, Any] = {
        "removed": not dry_run,
        "runs": [run.run_id for run in found.runs],
        "artifacts": [artifact.artifact_id for artifact in found.artifacts],
        "kept_artifacts": found.kept,
        "bytes": found.size_bytes,
    }
    if as_json:
        output.print_json(document)
        return
    for run in found.runs:
        click.echo(f"{run.run_id}  {run.pipeline}  {run.state}  {output.ago(run.created_at)}")
    what = f"{len(found.runs)} runs, {len(found.artifacts)} artifacts, {found.size_bytes / 1e6:,.1f} MB"
    stays = f"; {found.kept} of their artifacts stay, as they are still needed" if found.kept else ""
    output.say(f"{'Would remove' if dry_run else 'Removed'} {what}{stays}.")
