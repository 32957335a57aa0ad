"""The states of runs and nodes, and which may follow which."""

from __future__ import annotations

from penstock.errors import StoreError

RUN_STATES = ("running", "succeeded", "failed", "cancelled")
# What readers show for a run that is recorded as running while its process is gone.
INTERRUPTED = "interrupted"
AWAITING_APPROVAL = "awaiting_approval"
_UNFINISHED_NODE_STATES = ("waiting", "running", AWAITING_APPROVAL)
NODE_STATES = (*_UNFINISHED_NODE_STATES, "succeeded", "cached", "failed", "skipped", "upstream_failed", "cancelled")
FINAL_NODE_STATES = frozenset(NODE_STATES).difference(_UNFINISHED_NODE_STATES)
# Nodes in these let those that wait for them begin.
DONE_STATES = frozenset({"succeeded", "cached", "skipped"})

# A failed or cancelled run, or one whose process died, may be taken up again.
_RUN_FOLLOWERS: dict[str, frozenset[str]] = {
    "running": frozenset(RUN_STATES),
    "succeeded": frozenset(),
    "failed": frozenset({"running"}),
    "cancelled": frozenset({"running"}),
}
# What succeeded never runs again, but for exit handlers, which run whenever their run has ended.
_NODE_FOLLOWERS: dict[str, frozenset[str]] = {
    "waiting": frozenset(NODE_STATES),
    "running": frozenset(NODE_STATES) - {"upstream_failed"},
    AWAITING_APPROVAL: frozenset({AWAITING_APPROVAL, "waiting", "running", "succeeded", "failed", "cancelled"}),
    "succeeded": frozenset({"succeeded", "waiting"}),
    "cached": frozenset({"cached"}),
    "failed": frozenset({"failed", "waiting", "running"}),
    "skipped": frozenset({"skipped", "waiting"}),
    "upstream_failed": frozenset({"upstream_failed", "waiting"}),
    "cancelled": frozenset({"cancelled", "waiting", "running"}),
}


def check_run_change(run_id: str, old: str, new: str) -> None:
    """Raises StoreError if a run in state `old` cannot come to be in state `new`."""
    _check(f"run {run_id}", _RUN_FOLLOWERS, old, new)


def check_node_change(run_id: str, node_id: str, old: str, new: str) -> None:
    """Raises StoreError if a node in state `old` cannot come to be in state `new`."""
    _check(f"node {node_id} of run {run_id}", _NODE_FOLLOWERS, old, new)


def _check(what: str, followers: dict[str, frozenset[str]], old: str, new: str) -> None:
    if new not in followers:
        raise StoreError(f"{what}: there is no state {new!r}. Allowed: {', '.join(followers)}.")
    if new not in followers.get(old, frozenset()):
        allowed = ", ".join(sorted(followers.get(old, frozenset()))) or "nothing"
        raise StoreError(f"{what}: it is {old} and cannot become {new}. After {old} comes: {allowed}.")
