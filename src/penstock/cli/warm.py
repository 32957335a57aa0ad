"""`penstock warm`."""

from __future__ import annotations

import sys
import time

import click

from penstock.cli import output
from penstock.errors import UsageError

_STOP_SECONDS = 10.0


@click.command()
@click.option("--stop", is_flag=True, help="End them now, or as soon as the runs that use them have ended.")
@click.option("--status", is_flag=True, help="Only say whether there are any; exit status 1 if not.")
def warm(stop: bool, status: bool) -> None:
    """Load TensorFlow, Beam and TFX ahead of the next run.

    Every run leaves its workers loaded for some minutes, and the next one finds them; this makes the first one find
    them too. They end when no run has used them for PENSTOCK_WARM_MINUTES (default: 5), and give way to new ones when
    the environment's packages change. Only you can reach them.
    """
    if stop and status:
        raise UsageError("--stop and --status exclude each other.")
    # Loaded late: the command's help needs none of it.
    from penstock.backends.local import workers

    if stop:
        found, left = workers.stop_all(_STOP_SECONDS)
        if not found:
            output.say("There are no warm workers.")
        elif left:
            output.say("The workers are still loading, or a run uses them; they end right after.")
        else:
            output.say("The workers have ended.")
        return
    if status and not workers.are_there():
        output.say("There are no warm workers; start some: penstock warm")
        sys.exit(1)
    began = time.monotonic()
    with workers.Workers() as connected:
        was_warm = connected.wait_ready(0.2)
        if status and not was_warm:
            output.say("The workers are loading.")
            return
        if not was_warm:
            output.say("Starting workers: loading TensorFlow, Beam and TFX …")
        while not connected.wait_ready(60):
            pass
        pid, minutes = connected.zygote_pid, connected.idle_seconds / 60
    took = "" if was_warm else f" after {output.duration(time.monotonic() - began)}"
    output.say(f"Workers are warm{took} (process {pid}); they end when no run has used them for {minutes:g} minutes.")
