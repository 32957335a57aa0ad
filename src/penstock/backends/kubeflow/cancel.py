"""Ends a run on a cluster: there, and in the metadata store, where nobody else is left to record it."""

from __future__ import annotations

from penstock.backends.kubeflow import service
from penstock.errors import PenstockError
from penstock.metadata import recording, runs
from penstock.metadata.database import Database
from penstock.metadata.runs import Run
from penstock.metadata.states import FINAL_NODE_STATES


def cancel_run(database: Database, run: Run) -> None:
    """Has Kubeflow Pipelines end a run's containers, and records run and unfinished nodes as cancelled.

    Args:
        database: the store, open for writing.
        run: the run.

    Raises:
        PenstockError: the run has ended, where its cluster answers is not known, or it did not end it.
    """
    if run.state != "running":
        raise PenstockError(f"Run {run.run_id} has ended already: it is {run.state}.")
    service.of_run(run).terminate(run.run_id)
    for node in runs.nodes_of(database, run.run_id):
        if node.state not in FINAL_NODE_STATES:
            recording.set_node(database, run.run_id, node.node_id, state="cancelled")
    recording.set_run_state(database, run.run_id, "cancelled", error="cancelled on its cluster")
