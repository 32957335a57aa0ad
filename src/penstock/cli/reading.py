"""What the commands that read a store share: `--store`, opening it, and finding the run a person means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from penstock.cli.output import say
from penstock.errors import RunNotFoundError
from penstock.metadata import runs
from penstock.metadata.database import Database, connect
from penstock.metadata.executions import executions_of_run
from penstock.metadata.location import resolve

_Command = TypeVar("_Command", bound=Callable[..., Any])


def store_option(command: _Command) -> _Command:
    """Adds `--store`."""
    return click.option(
        "--store",
        metavar="STORE",
        help="Folder or postgresql:// URL of the metadata store. [default: PENSTOCK_STORE, or the project's .penstock]",
    )(command)


def json_option(command: _Command) -> _Command:
    """Adds `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")(command)


def open_for_reading(store: str | None) -> Database:
    """Opens the store for reading; one that does not exist is not made, and answers with nothing."""
    return connect(resolve(store), create=False)


def say_nothing_found(what: str, store: str, filtered: bool) -> None:
    """Tells on standard error that a listing is empty and what to do about it."""
    if filtered:
        say(f"There are no {what} that fit in {store}. See all of them: penstock {what} list")
    else:
        say(f"There are no {what} in {store}. Run a pipeline to fill it: penstock run PATH")


def run_id_of(database: Database, name: str) -> str:
    """The id of the run a person means, also of one that is in ml-metadata alone, made by another program.

    Raises:
        RunNotFoundError: there is none.
    """
    try:
        return runs.get_run(database, name).run_id
    except RunNotFoundError:
        if executions_of_run(database, name):
            return name
        raise
