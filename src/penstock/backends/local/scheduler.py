"""The scheduler of one run: decides what runs next, drives and publishes nodes, and records every transition.

It loads neither TensorFlow nor user code. All state changes of a run pass through here, one transaction each.
"""

from __future__ import annotations

import base64
import contextlib
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import any_pb2
from tfx.proto.orchestration import execution_result_pb2

from penstock.backends.local import deaths
from penstock.backends.local.workers import Ended, Workers
from penstock.engine import node as engine
from penstock.engine.failures import Failure
from penstock.engine.graph import Graph, GraphNode
from penstock.errors import PenstockError, StoreError
from penstock.metadata import recording
from penstock.metadata.database import Database
from penstock.metadata.location import StoreLocation
from penstock.metadata.runs import find_summary
from penstock.summaries import detail

DONE_STATES = frozenset({"succeeded", "cached", "skipped"})
# How long a cancelled node may take to end by itself before it is killed.
GRACE_SECONDS = 10.0
_TICK_SECONDS = 0.1


@dataclass(frozen=True)
class RunSettings:
    """How a run is carried out.

    Attributes:
        import_roots: folders the user's code is imported from.
        cwd: working folder of the nodes.
        env: environment variables of the nodes; a node's own come on top.
        jobs: how many nodes may run at the same time.
        use_cache: whether earlier results may be reused at all.
    """

    import_roots: Sequence[Path]
    cwd: Path
    env: Mapping[str, str]
    jobs: int
    use_cache: bool = True


class RunListener:
    """Hears of every change of a run; does nothing by itself. All calls come from the scheduler's thread."""

    def node_changed(self, node_id: str, state: str, **facts: Any) -> None:
        """A node is in another state; `facts` are `detail`, `error`, `log` where known."""

    def tick(self) -> None:
        """Some time has passed, at most a few tenths of a second."""


@dataclass
class _Running:
    node: GraphNode
    prepared: engine.Prepared
    log: Path


@dataclass
class RunResult:
    """How a run ended: `succeeded`, `failed` or `cancelled`, and the state of each node."""

    state: str
    states: dict[str, str]
    failures: dict[str, str] = field(default_factory=dict)


class Scheduler:
    """Runs a graph's nodes on workers, as many at a time as the settings allow."""

    def __init__(
        self,
        graph: Graph,
        handle: engine.StoreHandle,
        database: Database,
        location: StoreLocation,
        workers: Workers,
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
        self._failures: dict[str, str] = {}
        self._running: dict[str, _Running] = {}
        self._cancel_requests = 0
        self._kill_at: float | None = None

    def request_cancel(self) -> None:
        """Asks the run to stop: the first time nodes may end cleanly, the second time they are killed. Signal-safe."""
        self._cancel_requests += 1

    def run(self) -> RunResult:
        """Runs to the end and records it. Whatever finished stays recorded, also when this raises."""
        try:
            while self._unfinished():
                if self._cancel_requests:
                    self._cancel()
                else:
                    self._start_ready()
                if self._running:
                    for ended in self._workers.events(_TICK_SECONDS):
                        self._finish(ended)
                self._listener.tick()
        except BaseException as error:
            self._give_up(error)
            raise
        return self._record_end()

    def _unfinished(self) -> bool:
        return bool(self._running) or (not self._cancel_requests and "waiting" in self._states.values())

    def _start_ready(self) -> None:
        """Starts what can start; nodes that need no worker are through at once and may free others."""
        progress = True
        while progress and not self._cancel_requests:
            progress = False
            for node in self._graph.nodes.values():
                if self._states[node.id] != "waiting" or len(self._running) >= self._settings.jobs:
                    continue
                if any(self._states[upstream] not in DONE_STATES for upstream in node.upstream):
                    continue
                self._start(node)
                progress = True

    def _start(self, node: GraphNode) -> None:
        log = self._log_path(node.id)
        self._set(node.id, "running", attempt=1, log=str(log.relative_to(self._location.folder)))
        try:
            prepared = engine.prepare(
                node,
                self._handle,
                import_roots=self._settings.import_roots,
                use_cache=self._settings.use_cache,
                skipped=[upstream for upstream in node.upstream if self._states[upstream] == "skipped"],
            )
        except StoreError:
            raise
        except (PenstockError, OSError) as error:
            self._fail(node.id, str(error))
            return
        if prepared.state != "run":
            self._set(
                node.id,
                prepared.state,
                execution_id=prepared.execution_id,
                detail=self._known_detail(prepared.outputs) if prepared.state == "cached" else None,
            )
            return
        assert prepared.invocation is not None
        assert prepared.execution_id is not None
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.touch()
        except OSError as error:
            cause = f"its log cannot be written: {error}"
            engine.publish_failure(self._handle, prepared.execution_id, prepared.contexts, cause)
            self._fail(node.id, cause)
            return
        packed = any_pb2.Any()
        packed.Pack(node.executor_spec)
        self._running[node.id] = _Running(node, prepared, log)
        recording.set_node(self._database, self._graph.run_id, node.id, execution_id=prepared.execution_id)
        self._workers.start(
            node.id,
            "execute",
            {
                "invocation": base64.b64encode(prepared.invocation.SerializeToString()).decode(),
                "executor_spec": base64.b64encode(packed.SerializeToString()).decode(),
            },
            log=log,
            cwd=self._settings.cwd,
            env={**self._settings.env, **node.settings.get("env", {})},
            sys_path=self._settings.import_roots,
        )

    def _finish(self, ended: Ended) -> None:
        running = self._running.get(ended.job)
        if running is None:
            return
        node_id, prepared, outcome = running.node.id, running.prepared, ended.outcome
        assert prepared.execution_id is not None
        if outcome is not None and outcome["ok"]:
            output = execution_result_pb2.ExecutorOutput.FromString(base64.b64decode(outcome["output"]))
            outputs = engine.publish_success(self._handle, prepared, output)
            facts = self._store_summaries(outputs, outcome["summaries"])
            self._set(node_id, "succeeded", detail=facts)
        elif self._cancel_requests:
            engine.publish_cancelled(self._handle, prepared.execution_id)
            self._set(node_id, "cancelled")
        else:
            cause = (
                deaths.cause_of_death(ended, running.log, self._settings.import_roots)
                if outcome is None
                else str(Failure.from_json(outcome["failure"]))
            )
            engine.publish_failure(self._handle, prepared.execution_id, prepared.contexts, cause)
            self._fail(node_id, cause, running.log)
        del self._running[node_id]

    def _fail(self, node_id: str, cause: str, log: Path | None = None) -> None:
        self._failures[node_id] = cause
        self._set(node_id, "failed", error=cause, log_path=log)
        for downstream in self._graph.nodes:
            if downstream in self._graph.downstream(node_id) and self._states[downstream] == "waiting":
                self._set(downstream, "upstream_failed", error=f"needs {node_id}, which failed")

    def _store_summaries(self, outputs: engine.Artifacts, summaries: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        for name, artifacts in outputs.items():
            for artifact, summary in zip(artifacts, summaries.get(name, ()), strict=False):
                if summary is not None:
                    kind, view = summary
                    recording.put_summary(self._database, artifact.id, kind, view)
                    facts.update(detail.facts(kind, view))
        return facts

    def _known_detail(self, outputs: engine.Artifacts) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        for artifacts in outputs.values():
            for artifact in artifacts:
                summary = find_summary(self._database, artifact.id)
                if summary is not None:
                    facts.update(detail.facts(summary.kind, summary.content))
        return facts

    def _set(self, node_id: str, state: str, *, log_path: Path | None = None, **facts: Any) -> None:
        recording.set_node(self._database, self._graph.run_id, node_id, state=state, **facts)
        self._states[node_id] = state
        self._listener.node_changed(node_id, state, log_path=log_path, **facts)

    def _log_path(self, node_id: str) -> Path:
        return self._location.run_folder(self._graph.run_id) / node_id / "attempt-1" / "log.txt"

    def _cancel(self) -> None:
        now = time.monotonic()
        if self._kill_at is None:
            self._kill_at = now + GRACE_SECONDS
            for node_id in self._running:
                self._workers.kill(node_id, signal.SIGTERM)
        elif now > self._kill_at or self._cancel_requests > 1:
            self._kill_at = now + GRACE_SECONDS
            for node_id in self._running:
                self._workers.kill(node_id, signal.SIGKILL)

    def _record_end(self) -> RunResult:
        if self._cancel_requests:
            for node_id, state in self._states.items():
                if state == "waiting":
                    self._set(node_id, "cancelled")
            state = "cancelled"
        else:
            state = "failed" if self._failures else "succeeded"
        recording.set_run_state(self._database, self._graph.run_id, state, error=self._first_failure())
        return RunResult(state, dict(self._states), dict(self._failures))

    def _give_up(self, error: BaseException) -> None:
        """Records what can still be recorded when the scheduler itself fails; the caller raises the cause."""
        cause = str(error) or type(error).__name__
        # Where the store is what failed, readers will see the run as interrupted.
        with contextlib.suppress(Exception):
            for node_id, state in self._states.items():
                if state == "running":
                    recording.set_node(self._database, self._graph.run_id, node_id, state="failed", error=cause)
            recording.set_run_state(self._database, self._graph.run_id, "failed", error=cause)
        # Two databases: the one may be in order while the other is not. What is locked has been waited for already.
        if not isinstance(error, StoreError):
            with contextlib.suppress(Exception):
                for running in self._running.values():
                    assert running.prepared.execution_id is not None
                    engine.publish_failure(
                        self._handle, running.prepared.execution_id, running.prepared.contexts, cause
                    )

    def _first_failure(self) -> str | None:
        for node_id, cause in self._failures.items():
            return f"{node_id}: {cause.splitlines()[0]}"
        return None
