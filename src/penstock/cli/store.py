"""`penstock store`."""

from __future__ import annotations

import time
from collections.abc import Callable

import click

from penstock.cli.durations import seconds_of
from penstock.cli.output import say
from penstock.cli.reading import store_option
from penstock.errors import StoreError
from penstock.metadata.location import StoreLocation, resolve

_PAUSE_SECONDS = 2.0


@click.group()
def store() -> None:
    """Make or bring up to date a store's tables; check that they are there.

    Runs make what is missing by themselves. These are for those who set a store up before anybody runs.
    """


def _wait_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--wait", default="0s", show_default=True, metavar="TIME", help="Try again for so long: 90s, 10m."
    )(command)


@store.command()
@_wait_option
@store_option
def migrate(wait: str, store: str | None) -> None:
    """Make the tables that are missing, also in a store that an older Penstock made; several may do so at once."""
    location = resolve(store)
    _until(seconds_of("--wait", wait), lambda: _migrate(location))
    say(f"{location.display}: the store's tables are there.")


@store.command()
@_wait_option
@store_option
def check(wait: str, store: str | None) -> None:
    """Check that the store answers and has all tables of this Penstock; change nothing."""
    location = resolve(store)
    _until(seconds_of("--wait", wait), lambda: _check(location))
    say(f"{location.display}: the store answers and has all its tables.")


def _migrate(location: StoreLocation) -> None:
    from penstock.metadata import mlmd
    from penstock.metadata.database import connect

    connect(location, create=True).close()
    mlmd.open_store(location).close()


def _check(location: StoreLocation) -> None:
    from penstock.metadata.database import connect
    from penstock.metadata.tables import SCHEMA_VERSION

    with connect(location, create=False) as database:
        if database.tables_version < SCHEMA_VERSION or not database.has_mlmd():
            found = f"tables of version {database.tables_version}" if database.has_own_tables else "no tables"
            raise StoreError(
                f"{location.display}: the store has {found}, this Penstock wants version {SCHEMA_VERSION} and those of"
                " ML Metadata. Make what is missing: penstock store migrate"
            )


def _until(seconds: float, attempt: Callable[[], None]) -> None:
    """Does something until it succeeds, for so many seconds; says why it has to wait, once for each reason."""
    give_up = time.monotonic() + seconds
    said = None
    while True:
        try:
            attempt()
            return
        except StoreError as error:
            if time.monotonic() + _PAUSE_SECONDS > give_up:
                raise
            if str(error) != said:
                said = str(error)
                say(f"{said}\nWaiting for it …")
        time.sleep(_PAUSE_SECONDS)
