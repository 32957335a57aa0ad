"""What people said to nodes that wait for their approval."""

from __future__ import annotations

import time
from dataclasses import dataclass

from penstock.errors import UsageError
from penstock.metadata.database import Database
from penstock.metadata.runs import get_node, nodes_of
from penstock.metadata.states import AWAITING_APPROVAL


@dataclass(frozen=True)
class Approval:
    """A person's word on a node: who said it, when (seconds since the epoch), and what."""

    approved: bool
    decided_by: str
    decided_at: float
    comment: str


def decide(database: Database, run_id: str, node_id: str, *, approved: bool, decided_by: str, comment: str) -> None:
    """Records a person's word on a node that waits for it.

    Raises:
        UsageError: there is no such node, it does not wait, or somebody has decided already.
    """
    node = get_node(database, run_id, node_id)
    if node.state != AWAITING_APPROVAL:
        awaiting = [other.node_id for other in nodes_of(database, run_id) if other.state == AWAITING_APPROVAL]
        raise UsageError(
            f"{node_id} of run {run_id} does not wait for an approval; it is {node.state.replace('_', ' ')}. "
            f"Nodes that wait: {', '.join(awaiting) or 'none'}."
        )
    changed = database.execute(
        "INSERT INTO penstock_approvals (run_id, node_id, attempt, approved, decided_by, decided_at, comment) "
        "VALUES (:run_id, :node_id, :attempt, :approved, :decided_by, :decided_at, :comment) "
        "ON CONFLICT (run_id, node_id, attempt) DO NOTHING",
        {
            "run_id": run_id,
            "node_id": node_id,
            "attempt": node.attempt,
            "approved": int(approved),
            "decided_by": decided_by,
            "decided_at": time.time(),
            "comment": comment,
        },
    )
    if not changed:
        earlier = decisions(database, run_id, {node_id: node.attempt})[node_id]
        word = "approved" if earlier.approved else "rejected"
        raise UsageError(f"{node_id} of run {run_id} has been {word} already, by {earlier.decided_by}.")


def decisions(database: Database, run_id: str, attempts: dict[str, int]) -> dict[str, Approval]:
    """Returns what was decided of nodes, by node id; those nobody has decided on are missing.

    An approval holds for good, so that a run that is taken up again does not ask twice; a rejection holds for its
    attempt alone.

    Args:
        database: the store.
        run_id: the run.
        attempts: the number of the attempt that waits, by node id.
    """
    if not attempts:
        return {}
    rows = database.query(
        "SELECT node_id, attempt, approved, decided_by, decided_at, comment FROM penstock_approvals "
        "WHERE run_id = :run_id ORDER BY attempt",
        {"run_id": run_id},
    )
    return {
        row["node_id"]: Approval(bool(row["approved"]), row["decided_by"], row["decided_at"], row["comment"])
        for row in rows
        if row["node_id"] in attempts and (row["approved"] or row["attempt"] == attempts[row["node_id"]])
    }
