"""Ends a run on a cluster: there, and in the metadata store, where nobody else is left to record it."""

from __future__ import annotations

import os

from penstock.backends.kubeflow.endpoint import parse
from penstock.backends.kubeflow.service import ENDPOINT_VARIABLE, TOKEN_VARIABLE, Service
from penstock.errors import PenstockError
from penstock.metadata import clock, recording, runs
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
    named, token = os.environ.get(ENDPOINT_VARIABLE), os.environ.get(TOKEN_VARIABLE)
    address = named or run.host
    if not address:
        raise PenstockError(
            f"Run {run.run_id} runs on a cluster, and its environment does not say where that answers. Set"
            f" {ENDPOINT_VARIABLE} to what the browser shows of Kubeflow Pipelines, and cancel again."
        )
    if token and not named:
        # Whoever may write to the store would else be handed the token.
        raise PenstockError(
            f"Run {run.run_id} runs at {address}, as the store says, and a token is sent to no address that only the"
            f" store names. If it is the one you mean, set {ENDPOINT_VARIABLE} to it, and cancel again."
        )
    Service(parse(address), None, token).terminate(run.run_id)
    for node in runs.nodes_of(database, run.run_id):
        if node.state not in FINAL_NODE_STATES:
            recording.set_node(database, run.run_id, node.node_id, state="cancelled", finished_at=clock.now())
    recording.set_run_state(database, run.run_id, "cancelled", error="cancelled on its cluster")
