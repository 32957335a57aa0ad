"""Ends a run wherever it runs."""

from __future__ import annotations

from penstock.metadata.database import connect
from penstock.metadata.location import StoreLocation
from penstock.metadata.runs import Run


def cancel_run(location: StoreLocation, run: Run) -> None:
    """Asks whatever runs a run of this store to stop.

    Raises:
        PenstockError: the run has ended, or cannot be stopped from here; the message says why.
    """
    if run.is_on_cluster:
        from penstock.backends.kubeflow import cancel as on_cluster

        with connect(location, create=True) as database:
            on_cluster.cancel_run(database, run)
    else:
        from penstock.backends.local import cancel as on_this_machine

        on_this_machine.cancel_run(run)
