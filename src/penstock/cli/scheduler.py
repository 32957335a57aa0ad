"""`penstock scheduler`."""

from __future__ import annotations

import signal
import threading
from types import FrameType

import click

from penstock.cli import output
from penstock.cli.reading import store_option
from penstock.errors import StoreError

# Schedules can be changed at any time, by another process.
_POLL_SECONDS = 1.0


@click.command()
@store_option
def scheduler(store: str | None) -> None:
    """Start the runs that are scheduled on this machine, until Ctrl-C or SIGTERM; runs that go on are left alone."""
    from penstock.metadata.database import connect
    from penstock.metadata.location import resolve
    from penstock.schedules.service import Service

    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    location = resolve(store)
    with connect(location, create=True) as database:
        service = Service(database, _tell)
        output.say(f"Starting what is scheduled in {location.display}; stop with Ctrl-C.")
        while not stopped.is_set():
            try:
                service.look()
            except StoreError as error:  # it may be locked, or its server gone, for a while
                _tell(str(error))
            stopped.wait(_POLL_SECONDS)
        if service.running:
            output.say(f"These go on by themselves: {', '.join(service.running)}.")


def _tell(message: str) -> None:
    from datetime import datetime

    output.say(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S}  {message}")
