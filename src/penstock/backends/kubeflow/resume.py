"""Takes up a run on a cluster that failed or was cancelled: what succeeded stays, the rest is started there again."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.backends.kubeflow import service
from penstock.backends.kubeflow.service import ServiceError
from penstock.errors import UsageError
from penstock.metadata import recording, runs
from penstock.metadata.database import Database, connect
from penstock.metadata.location import StoreLocation
from penstock.metadata.runs import NO_RETRY, NodeRecord, Run

_STATES = ("failed", "cancelled")
_NODE_STATES = ("failed", "cancelled", "upstream_failed")


def resume_run(location: StoreLocation, run: Run) -> None:
    """Records a run as running and what did not succeed as waiting, and has Kubeflow Pipelines start it again.

    The nodes run in the image that the run was started with; a failure that no other attempt could mend gets one now.

    Args:
        location: the store.
        run: the run.

    Raises:
        UsageError: the run succeeded, or is running.
        PenstockError: where its cluster answers is not known, or it did not start it again; run and nodes are then in
            the states they were in, unless the cluster's answer was lost.
    """
    if run.state not in _STATES:
        what = "is still running" if run.state == "running" else f"is {run.state}; there is nothing left to do"
        raise UsageError(f"Run {run.run_id} {what}.")
    cluster = service.of_run(run)
    with connect(location, create=True) as database:
        before = [node for node in runs.nodes_of(database, run.run_id) if node.state in _NODE_STATES]
        # First, for a container that starts looks here.
        recording.set_run_state(database, run.run_id, "running")
        for node in before:
            recording.set_node(database, run.run_id, node.node_id, state="waiting", detail={NO_RETRY: False})
        try:
            cluster.retry(run.run_id)
        except ServiceError as error:
            if not error.unclear:
                _restore(database, run, before)
            raise


def _restore(database: Database, run: Run, nodes: Sequence[NodeRecord]) -> None:
    for node in nodes:
        detail = {NO_RETRY: node.detail.get(NO_RETRY, False)}
        recording.set_node(database, run.run_id, node.node_id, state=node.state, error=node.error, detail=detail)
    recording.set_run_state(database, run.run_id, run.state, error=run.error)
