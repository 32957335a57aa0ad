"""The scheduler of one run: decides what runs next, drives and publishes nodes, and records every transition.

It loads neither TensorFlow nor user code. All state changes of a run pass through here, one transaction each.
"""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfx.proto.orchestration import execution_result_pb2

from penstock.backends.local import deaths, exit_handlers
from penstock.backends.local.approvals import Approvals
from penstock.backends.local.attempts import Attempt, Policy
from penstock.backends.local.limits import Limits
from penstock.backends.local.parts import Parts
from penstock.backends.local.resources import Machine, Request
from penstock.backends.local.run_terms import RunListener, RunResult, RunSettings
from penstock.backends.local.summaries import Summaries
from penstock.backends.local.workers import Ended, LazyWorkers
from penstock.engine import approval, publishing, reuse
from penstock.engine.failures import Failure
from penstock.engine.graph import Graph, GraphNode
from penstock.engine.node import prepare
from penstock.engine.prepared import NodeError, Prepared, StoreHandle
from penstock.errors import PenstockError, StoreError, UsageError
from penstock.metadata import clock, recording
from penstock.metadata.database import Database
from penstock.metadata.location import StoreLocation
from penstock.metadata.runs import ATTEMPTS, NodeRecord
from penstock.metadata.states import AWAITING_APPROVAL, DONE_STATES
from penstock.storage import waiting

_TICK_SECONDS = 0.1
# Of a node that is tried more often, or executed for more artifacts, the last ones are kept.
_MOST_REMEMBERED = 50


class Scheduler:
    """Runs a graph's nodes on workers, as many at a time as the settings allow."""

    def __init__(
        self,
        graph: Graph,
        handle: StoreHandle,
        database: Database,
        location: StoreLocation,
        workers: LazyWorkers,
        settings: RunSettings,
        listener: RunListener,
    ):
        self._graph = graph
        self._handle = handle
        self._database = database
        self._location = location
        self._workers = workers
        self._settings = settings
        self._listener = listener
        self._states = dict.fromkeys(graph.nodes, "waiting")
        self._exit_nodes = graph.exit_nodes()
        self._in_turn = [node for node in graph.nodes.values() if node.id not in self._exit_nodes]
        self._outcome: RunResult | None = None
        self._failures: dict[str, str] = {}
        self._running: dict[str, Attempt] = {}
        self._pending: dict[str, Attempt] = {}
        self._parts: dict[str, Parts] = {}
        self._approvals = Approvals(database, graph.run_id)
        self._summaries = Summaries(database)
        self._began = time.monotonic()
        self._timed_out: str | None = None
        self._machine = Machine.this()
        self._limits = Limits()
        self._attempts_before: dict[str, int] = {}
        self._history: dict[str, list[dict[str, Any]]] = {}
        selected = settings.selected
        self._needed = set(graph.nodes) if selected is None else selected.union(*map(graph.upstream, selected))
        self._cancel_requests = 0

    def request_cancel(self) -> None:
        """Asks the run to stop: the first time nodes may end cleanly, the second time they are killed. Signal-safe."""
        self._cancel_requests += 1
        waiting.hurry()

    def run(self) -> RunResult:
        """Runs to the end and records it. Whatever finished stays recorded, also when this raises."""
        try:
            self._work()
            self._outcome = self._end()
            if self._exit_nodes:
                self._run_exit_nodes(self._outcome)
        except BaseException as error:
            self._give_up(error)
            raise
        recording.set_run_state(self._database, self._graph.run_id, self._outcome.state, error=self._outcome.error)
        return self._outcome

    def _work(self) -> None:
        """Runs the nodes whose turn it is."""
        while self._unfinished():
            if self._cancel_requests:
                self._cancel()
            else:
                self._start_ready()
                self._limits.enforce(self._running.values(), self._workers)
                self._check_run_time()
            self._hear_decisions()
            if self._running or self._pending:
                for ended in self._workers.get().events(_TICK_SECONDS):
                    self._finish(ended)
            elif self._approvals.awaited:
                time.sleep(_TICK_SECONDS)  # a person's word comes through the store, which wakes nobody
            self._listener.tick()
        if self._cancel_requests:
            for node in self._in_turn:
                if self._states[node.id] == "waiting":
                    self._set(node.id, "cancelled")

    def _run_exit_nodes(self, outcome: RunResult) -> None:
        """Runs the nodes that fit how the run ended, which they cannot change any more."""
        self._cancel_requests = 0
        fitting = {node_id for node_id, states in self._exit_nodes.items() if outcome.state in states}
        for node_id in self._exit_nodes:
            if node_id not in fitting:
                self._set(node_id, "skipped")
        self._in_turn = [node for node in self._graph.nodes.values() if node.id in fitting]
        self._work()
        outcome.states.update(self._states)
        outcome.failures.update(self._failures)

    def _unfinished(self) -> bool:
        if self._running or self._pending or self._approvals.awaited:
            return True
        return not self._cancel_requests and any(self._states[node.id] == "waiting" for node in self._in_turn)

    def _start_ready(self) -> None:
        """Starts what can start; nodes that need no worker are through at once and may free others."""
        self._start_pending()
        progress = True
        while progress and not self._cancel_requests:
            progress = False
            for node in self._in_turn:
                if len(self._running) >= self._settings.jobs:
                    return
                if self._states[node.id] != "waiting":
                    continue
                if any(self._states[upstream] not in DONE_STATES for upstream in node.upstream):
                    continue
                if not self._admits(node):
                    continue
                self._start(node)
                progress = True

    def _start_pending(self) -> None:
        now = time.monotonic()
        for attempt in list(self._pending.values()):
            if len(self._running) >= self._settings.jobs:
                return
            if now >= attempt.start_at and self._admits(attempt.node):
                del self._pending[attempt.job]
                self._start_attempt(attempt)

    def resume(self, records: Sequence[NodeRecord]) -> None:
        """Takes up a run that was cut short: what was published stays, everything else is to run (again)."""
        for record in records:
            node = self._graph.nodes[record.node_id]
            self._attempts_before[node.id] = record.attempt
            self._history[node.id] = [dict(entry) for entry in record.attempts]
            if node.id in self._exit_nodes:
                reuse.settle(node, self._handle, self._graph.run_id)
                if record.state != "waiting":
                    self._set(node.id, "waiting")
                continue
            if record.state in DONE_STATES:
                self._states[node.id] = record.state
                self._listener.node_changed(node.id, record.state, detail=record.detail)
                continue
            published = reuse.settle(node, self._handle, self._graph.run_id)
            if published is None:
                if record.state != "waiting":
                    self._set(node.id, "waiting")
                continue
            facts = self._summaries.store(published.outputs, self._kept_summaries(node.id))
            if record.state != "running":
                self._set(node.id, "running")
            self._set(node.id, published.state, execution_id=published.execution_id, detail=facts)

    def _kept_summaries(self, node_id: str, part: int | None = None) -> Mapping[str, Any]:
        numbers = range(self._attempts_before.get(node_id, 0), 0, -1)
        return self._summaries.kept(self._log_path(node_id, number, part) for number in numbers)

    def _prepare(self, node: GraphNode) -> list[Prepared]:
        selected = self._settings.selected
        if selected is not None and node.id not in selected:
            assert self._settings.base_run is not None
            try:
                return reuse.reuse_outputs(node, self._handle, self._graph.run_id, self._settings.base_run)
            except NodeError:
                if node.id in self._needed:
                    raise
                return [Prepared("skipped")]
        taken_up = node.may_repeat and self._attempts_before.get(node.id)
        return prepare(
            node,
            self._handle,
            import_roots=self._settings.import_roots,
            no_cache_because=self._no_cache_because(node),
            skipped=[upstream for upstream in node.upstream if self._states[upstream] == "skipped"],
            published=reuse.published(node, self._handle, self._graph.run_id) if taken_up else {},
        )

    def _no_cache_because(self, node: GraphNode) -> str | None:
        if not self._settings.use_cache:
            return "the run was started with --no-cache"
        if node.awaits_approval:
            return "each run is approved by itself"
        return "an exit handler runs each time" if node.id in self._exit_nodes else None

    def _start(self, node: GraphNode) -> None:
        number = self._attempts_before.get(node.id, 0) + 1
        log = self._log_path(node.id, number)
        self._set(node.id, "running", attempt=number, log=self._stored_path(log))
        try:
            prepared = self._prepare(node)
        except StoreError:
            raise
        except (PenstockError, OSError) as error:
            self._fail(node.id, str(error))
            return
        self._record_cache_decision(node, prepared)
        if len(prepared) == 1:
            self._begin(node, prepared[0], number, None)
            return
        self._parts[node.id] = Parts(len(prepared))
        for part, each in enumerate(prepared, start=1):
            self._begin(node, each, number, part)
        self._start_pending()

    def _record_cache_decision(self, node: GraphNode, prepared: Sequence[Prepared]) -> None:
        """Records what the cache said; of several executions, of the first that it could not help."""
        asked = [each.cache for each in prepared if each.cache is not None]
        if asked:
            said = next((decision for decision in asked if decision.outcome != "hit"), asked[0])
            recording.put_cache_decision(
                self._database,
                self._graph.run_id,
                node.id,
                key=said.key,
                outcome=said.outcome,
                reason=said.reason,
                parts=said.parts,
            )

    def _begin(self, node: GraphNode, prepared: Prepared, number: int, part: int | None) -> None:
        """Goes on with one of a node's executions, which is at its end already where there is nothing to execute."""
        if prepared.state != "run":
            facts = None
            if prepared.state == "succeeded":  # published by this run before it was cut short, or nothing to execute
                facts = self._summaries.store(prepared.outputs, self._kept_summaries(node.id, part)) or None
            elif prepared.state == "cached":
                facts = self._summaries.known_facts(prepared.outputs)
            self._end_execution(node.id, part, prepared.state, execution_id=prepared.execution_id, detail=facts)
            return
        assert prepared.execution_id is not None
        recording.set_node(self._database, self._graph.run_id, node.id, execution_id=prepared.execution_id)
        log = self._log_path(node.id, number, part)
        attempt = Attempt(node, prepared, self._policy(node), number, log, part, first=number)
        if node.awaits_approval:
            self._approvals.ask(attempt)
            asks = approval.question(node)
            self._set(node.id, AWAITING_APPROVAL, detail=None if asks is None else {"asks": asks})
        elif part is None:
            self._start_attempt(attempt)
        else:
            self._pending[attempt.job] = attempt

    def _start_attempt(self, attempt: Attempt) -> None:
        node = attempt.node
        if attempt.part is not None:
            parts = self._parts[node.id]
            parts.attempt = max(parts.attempt, attempt.number)
            self._set(node.id, "running", attempt=parts.attempt, log=self._stored_path(attempt.log))
        elif attempt.number > attempt.first:
            self._set(node.id, "running", attempt=attempt.number, log=self._stored_path(attempt.log))
        try:
            attempt.log.parent.mkdir(parents=True, exist_ok=True)
            with attempt.log.open("a") as log:
                log.writelines(f"{note}\n" for note in attempt.prepared.notes)
        except OSError as error:
            self._fail_execution(attempt, f"its log cannot be written: {error}")
            return
        try:
            request, own = attempt.request(self._settings.secrets)
        except UsageError as error:
            self._fail_execution(attempt, str(error))
            return
        self._running[attempt.job] = attempt
        attempt.started_at = clock.now()
        self._workers.get().start(
            attempt.job,
            "execute",
            request,
            log=attempt.log,
            cwd=self._settings.cwd,
            env={**self._settings.env, **own, **self._outcome_variables()},
            sys_path=self._settings.import_roots,
        )

    def _outcome_variables(self) -> dict[str, str]:
        """Returns what an exit handler's environment tells of the run; nothing while the run goes on."""
        if self._outcome is None:
            return {}
        run = self._graph
        return exit_handlers.variables(run.run_id, run.pipeline, self._outcome.state, self._outcome.error)

    def _policy(self, node: GraphNode) -> Policy:
        return Policy.of(node)

    def _admits(self, node: GraphNode) -> bool:
        running = [Request.of(attempt.node) for attempt in self._running.values()]
        return self._machine.admits(running, Request.of(node))

    def _check_run_time(self) -> None:
        limit = self._graph.policy.get("timeout_seconds")
        if limit is not None and self._outcome is None and time.monotonic() - self._began > limit:
            self._timed_out = f"the run timed out after {limit:g} s"
            self._cancel_requests = max(1, self._cancel_requests)

    def _hear_decisions(self) -> None:
        """Ends the nodes that people have decided on, or have not in time."""
        for attempt, word in self._approvals.decided():
            if word.approved:
                output = approval.grant(
                    attempt.prepared, approved_by=word.decided_by, approved_at=word.decided_at, comment=word.comment
                )
                publishing.publish_success(self._handle, attempt.prepared, output)
                said = {"approved_by": word.decided_by, "comment": word.comment}
                self._set(attempt.node.id, "succeeded", detail={name: fact for name, fact in said.items() if fact})
            else:
                reason = f": {word.comment}" if word.comment else ""
                self._fail_execution(attempt, f"rejected by {word.decided_by}{reason}")
        for attempt in self._approvals.overdue():
            self._fail_execution(attempt, f"nobody approved within {attempt.policy.timeout_seconds:g} s")

    def _finish(self, ended: Ended) -> None:
        attempt = self._running.get(ended.job)
        if attempt is None:
            return
        prepared, outcome = attempt.prepared, ended.outcome
        assert prepared.execution_id is not None
        if outcome is not None and outcome["ok"]:
            self._summaries.keep(attempt.log, outcome["summaries"])
            output = execution_result_pb2.ExecutorOutput.FromString(base64.b64decode(outcome["output"]))
            attempt.conceal(output, self._settings.secrets)
            outputs = publishing.publish_success(self._handle, prepared, output)
            facts = self._summaries.store(outputs, outcome["summaries"])
            self._remember(attempt, "succeeded", ended)
            self._end_execution(attempt.node.id, attempt.part, "succeeded", detail=facts)
        elif self._cancel_requests:
            self._remember(attempt, "cancelled", ended)
            self._cancel_execution(attempt)
        else:
            self._finish_failed(attempt, ended)
        del self._running[ended.job]

    def _finish_failed(self, attempt: Attempt, ended: Ended) -> None:
        can_retry = True
        if attempt.ended_because is not None:
            cause = attempt.ended_because
        elif ended.outcome is None:
            cause = deaths.cause_of_death(ended, attempt.log, self._settings.import_roots)
        else:
            failure = Failure.from_json(ended.outcome["failure"])
            cause, can_retry = str(failure), failure.can_retry
        self._remember(attempt, "failed", ended, cause)
        if not (can_retry and attempt.can_follow):
            if attempt.tries > 1:
                cause = f"{cause}\n(attempt {attempt.tries} of {attempt.policy.retries + 1})"
            self._fail_execution(attempt, cause)
            return
        following = attempt.next(self._log_path(attempt.node.id, attempt.number + 1, attempt.part))
        recording.set_node(
            self._database, self._graph.run_id, attempt.node.id, detail={ATTEMPTS: self._history[attempt.node.id]}
        )
        self._pending[attempt.job] = following
        pause = max(0.0, following.start_at - time.monotonic())
        self._listener.retrying(attempt.node.id, attempt.tries, attempt.policy.retries + 1, pause, cause)

    def _fail_execution(self, attempt: Attempt, cause: str) -> None:
        assert attempt.prepared.execution_id is not None
        publishing.discard_outputs(attempt.prepared)
        publishing.publish_failure(self._handle, attempt.prepared.execution_id, attempt.prepared.contexts, cause)
        self._end_execution(attempt.node.id, attempt.part, "failed", error=cause, log=attempt.log)

    def _end_execution(
        self,
        node_id: str,
        part: int | None,
        state: str,
        *,
        error: str | None = None,
        log: Path | None = None,
        **facts: Any,
    ) -> None:
        """One of a node's executions has ended, and with the last of them the node."""
        if part is not None:
            parts = self._parts[node_id]
            parts.end(part, state, error, log)
            if not parts.all_ended:
                return
            state, error, log = parts.state, parts.cause, parts.log
            facts["detail"] = {"executions": parts.total}
        if state == "failed":
            assert error is not None
            self._fail(node_id, error, log)
        else:
            self._set(node_id, state, **facts)

    def _fail(self, node_id: str, cause: str, log: Path | None = None) -> None:
        self._failures[node_id] = cause
        self._set(node_id, "failed", error=cause, log_path=log)
        affected = self._graph.downstream(node_id)
        for downstream in self._graph.nodes:
            if downstream in affected and self._states[downstream] == "waiting":
                self._set(downstream, "upstream_failed", error=f"needs {node_id}, which failed")

    def _remember(self, attempt: Attempt, state: str, ended: Ended, error: str | None = None) -> None:
        """Keeps what is known of an attempt that has ended, to be recorded with the node's next state."""
        found = self._history.setdefault(attempt.node.id, [])
        found.append(attempt.record(state, ended.usage, clock.now(), error))
        del found[:-_MOST_REMEMBERED]

    def _set(self, node_id: str, state: str, *, log_path: Path | None = None, **facts: Any) -> None:
        recorded = dict(facts)
        if self._history.get(node_id):
            recorded["detail"] = {**(facts.get("detail") or {}), ATTEMPTS: self._history[node_id]}
        recording.set_node(self._database, self._graph.run_id, node_id, state=state, **recorded)
        self._states[node_id] = state
        self._listener.node_changed(node_id, state, log_path=log_path, **facts)

    def _log_path(self, node_id: str, attempt: int, part: int | None = None) -> Path:
        folder = self._location.run_folder(self._graph.run_id) / node_id
        if part is not None:
            folder /= f"part-{part}"
        return folder / f"attempt-{attempt}" / "log.txt"

    def _stored_path(self, path: Path) -> str:
        return str(path.relative_to(self._location.folder))

    def _cancel(self) -> None:
        now = time.monotonic()
        for attempt in self._running.values():
            attempt.end(self._workers.get(), now, at_once=self._cancel_requests > 1)
        for attempt in [*self._pending.values(), *self._approvals.withdraw()]:
            self._cancel_execution(attempt)
        self._pending.clear()

    def _cancel_execution(self, attempt: Attempt) -> None:
        assert attempt.prepared.execution_id is not None
        publishing.discard_outputs(attempt.prepared)
        publishing.publish_cancelled(self._handle, attempt.prepared.execution_id)
        self._end_execution(attempt.node.id, attempt.part, "cancelled")

    def _end(self) -> RunResult:
        if self._cancel_requests:
            state = "cancelled" if self._timed_out is None else "failed"
        else:
            state = "failed" if self._failures else "succeeded"
        error = self._timed_out or self._first_failure()
        return RunResult(state, dict(self._states), dict(self._failures), error)

    def _give_up(self, error: BaseException) -> None:
        """Records what can still be recorded when the scheduler itself fails; the caller raises the cause."""
        cause = str(error) or type(error).__name__
        # Where the store is what failed, readers will see the run as interrupted.
        with contextlib.suppress(Exception):
            for node_id, state in self._states.items():
                if state in ("running", AWAITING_APPROVAL):
                    recording.set_node(self._database, self._graph.run_id, node_id, state="failed", error=cause)
            recording.set_run_state(self._database, self._graph.run_id, "failed", error=cause)
        # Two databases: the one may be in order while the other is not. What is locked has been waited for already.
        if not isinstance(error, StoreError):
            with contextlib.suppress(Exception):
                for running in [*self._running.values(), *self._pending.values(), *self._approvals.withdraw()]:
                    assert running.prepared.execution_id is not None
                    publishing.discard_outputs(running.prepared)
                    publishing.publish_failure(
                        self._handle, running.prepared.execution_id, running.prepared.contexts, cause
                    )

    def _first_failure(self) -> str | None:
        for node_id, cause in self._failures.items():
            return f"{node_id}: {cause.splitlines()[0]}"
        return None
