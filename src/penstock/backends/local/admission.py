"""Whether a run may start beside others of its pipeline: the declaration's `concurrency`."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from penstock.backends.local.cancel import cancel_run
from penstock.metadata import runs
from penstock.metadata.database import Database
from penstock.metadata.location import StoreLocation

_POLL_SECONDS = 0.5


def admit(
    policy: Mapping[str, Any],
    pipeline: str,
    database: Database,
    location: StoreLocation,
    record: Callable[[], None],
    say: Callable[[str], None],
) -> str | None:
    """Records a run as soon as its pipeline's policy lets it start.

    Args:
        policy: `policy` and `limit` of a `Concurrency`; empty for no limit.
        pipeline: the pipeline's name.
        database: the store.
        location: where it is.
        record: records the run as running.
        say: prints a line for people.

    Returns:
        None if the run may go on, else why it is not started.
    """
    if not policy:
        record()
        return None
    limit = int(policy.get("limit", 1))
    asked_to_end: set[str] = set()
    told = False
    while True:
        with _exclusive(location, pipeline):
            going_on = runs.list_runs(database, pipeline=pipeline, state="running", limit=1000)
            if len(going_on) < limit:
                record()
                return None
            names = ", ".join(run.run_id for run in going_on)
            if policy["policy"] == "skip":
                return f"{pipeline} is running already ({names}), and its declaration says to skip a run then"
            if policy["policy"] == "replace":
                for run in going_on[limit - 1 :]:  # newest first: those that have run for longest go
                    if run.run_id not in asked_to_end:
                        say(f"Cancelling run {run.run_id} of {pipeline}, which this one replaces …")
                        cancel_run(run)
                        asked_to_end.add(run.run_id)
        if not told and policy["policy"] == "queue":
            say(f"Waiting until fewer than {limit} runs of {pipeline} are going on (now {names}) …")
            told = True
        time.sleep(_POLL_SECONDS)


@contextmanager
def _exclusive(location: StoreLocation, pipeline: str) -> Iterator[None]:
    folder = location.folder / "pipelines"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{pipeline}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
