"""Single nodes of a run whose order somebody else keeps, as a cluster's scheduler does, by the same rules."""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

from penstock.backends.local.attempts import Attempt, Policy
from penstock.backends.local.run_terms import RunResult
from penstock.backends.local.scheduler import Scheduler
from penstock.backends.local.workers import Ended
from penstock.engine.failures import Failure
from penstock.engine.graph import GraphNode
from penstock.metadata import recording
from penstock.metadata.runs import NO_RETRY, NodeRecord
from penstock.metadata.states import DONE_STATES, FINAL_NODE_STATES


class OneNode(Scheduler):
    """Runs one node of a graph, once: whoever started this process starts another for another attempt."""

    def run_node(self, node_id: str, records: Sequence[NodeRecord]) -> str:
        """Runs a node to its end, and returns the state that it came to and that is recorded.

        What an earlier process has published of it stays; what one left behind that was killed is cleared up.

        Args:
            node_id: the node; those before it in the graph have ended.
            records: what is recorded of all nodes of the run.
        """
        before = {record.node_id: record for record in records}[node_id]
        if before.state == "failed" and before.detail.get(NO_RETRY):
            return before.state
        self._know(records, but=[node_id])
        self.resume([before])
        if self._states[node_id] not in DONE_STATES:
            self._in_turn = [self._graph.nodes[node_id]]
            try:
                self._work()
            except BaseException as error:
                self._give_up(error)
                raise
        return self._states[node_id]

    def end_run(self, records: Sequence[NodeRecord]) -> RunResult:
        """Records how the run ended, after what is recorded of its nodes, and runs its exit nodes."""
        self._know(records, but=self._exit_nodes)
        for record in records:
            if record.node_id not in self._exit_nodes:
                self._conclude(record)
        self._outcome = self._end()
        if self._exit_nodes:
            self.resume([record for record in records if record.node_id in self._exit_nodes])
            self._run_exit_nodes(self._outcome)
        recording.set_run_state(self._database, self._graph.run_id, self._outcome.state, error=self._outcome.error)
        return self._outcome

    def _know(self, records: Sequence[NodeRecord], but: Container[str]) -> None:
        for record in records:
            if record.node_id not in but:
                self._states[record.node_id] = record.state
                if record.state == "failed":
                    self._failures[record.node_id] = record.error or "it failed"

    def _conclude(self, record: NodeRecord) -> None:
        """Gives a node that has no last state the one that follows from the others."""
        if record.state in FINAL_NODE_STATES:
            return
        if record.state == "waiting":
            failed = [name for name in self._failures if name in self._graph.upstream(record.node_id)]
            if failed:
                self._set(record.node_id, "upstream_failed", error=f"needs {failed[0]}, which failed")
            else:
                self._set(record.node_id, "cancelled")
        else:
            cause = "its container ended before it could say how; the cluster's events of its pod may tell why"
            self._failures[record.node_id] = cause
            self._set(record.node_id, "failed", error=cause)

    def _set(self, node_id: str, state: str, *, log_path: Path | None = None, **facts: Any) -> None:
        if state in FINAL_NODE_STATES:
            self._listener.node_ends()
        super()._set(node_id, state, log_path=log_path, **facts)

    def _policy(self, node: GraphNode) -> Policy:
        return Policy(timeout_seconds=Policy.of(node).timeout_seconds)

    def _finish_failed(self, attempt: Attempt, ended: Ended) -> None:
        super()._finish_failed(attempt, ended)
        if ended.outcome is not None and not Failure.from_json(ended.outcome["failure"]).can_retry:
            recording.set_node(self._database, self._graph.run_id, attempt.node.id, detail={NO_RETRY: True})

    def _fail_execution(self, attempt: Attempt, cause: str) -> None:
        if attempt.number > 1:
            allowed = Policy.of(attempt.node).retries + 1
            # Who takes a run up again on the cluster gives its nodes more attempts than were declared.
            cause += f"\n(attempt {attempt.number}" + (f" of {allowed})" if attempt.number <= allowed else ")")
        super()._fail_execution(attempt, cause)

    def _fail(self, node_id: str, cause: str, log: Path | None = None) -> None:
        """Records the node's failure alone: what it means for others is known when there is no other attempt."""
        self._failures[node_id] = cause
        self._set(node_id, "failed", error=cause)
