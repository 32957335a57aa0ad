"""One try of a node on a worker, and when there is another."""

from __future__ import annotations

import base64
import random
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import any_pb2

from penstock.backends.local.workers import Workers
from penstock.engine.graph import GraphNode
from penstock.engine.prepared import Prepared
from penstock.secrets import Secrets

# How long a node may take to end by itself after SIGTERM before it is killed.
GRACE_SECONDS = 10.0
# However often a node has failed, it is tried again within this time.
MAX_BACKOFF_SECONDS = 3600.0
_LONGEST_ERROR = 300


@dataclass(frozen=True)
class Policy:
    """How often and how long a node is tried.

    Attributes:
        retries: attempts after the first.
        backoff_seconds: pause before the second attempt; it doubles with each one after.
        timeout_seconds: how long one attempt may take; None for no limit.
    """

    retries: int = 0
    backoff_seconds: float = 0.0
    timeout_seconds: float | None = None

    @classmethod
    def of(cls, node: GraphNode) -> Policy:
        """Reads the policy of a node from its IR, as TFX's own options put it there, and Penstock's settings."""
        options = node.proto.execution_options
        return cls(
            retries=max(0, options.max_execution_retries),
            backoff_seconds=float(node.settings.get("backoff_seconds", 0.0)),
            timeout_seconds=float(options.execution_timeout_sec) or None,
        )

    def pause_seconds(self, failed_attempts: int) -> float:
        """Returns how long to wait after so many failed attempts: exponential, up to a quarter longer by chance."""
        pause = self.backoff_seconds * 2 ** (failed_attempts - 1) * random.uniform(1.0, 1.25)
        return min(pause, MAX_BACKOFF_SECONDS)


@dataclass
class Attempt:
    """A node whose executor runs, or will run again after a pause.

    Attributes:
        node: the node.
        prepared: what its executor works on; the same for every attempt, output folders included.
        policy: how often and how long it is tried.
        number: counts the node's attempts from 1, over all times the run was taken up.
        first: the number this time began with.
        log: the attempt's log.
        part: which of the node's executions it is, from 1; None where there is one.
        start_at: monotonic time before which it must not start; set while it waits.
        started_at: when it was handed to the workers, in seconds since the epoch; None while it waits.
        began: monotonic time at which its process started; None while there is none.
        ended_because: why it is being ended, if the scheduler does so; None while it may go on.
    """

    node: GraphNode
    prepared: Prepared
    policy: Policy
    number: int
    log: Path
    part: int | None = None
    first: int = 1
    start_at: float = 0.0
    started_at: float | None = None
    began: float | None = None
    ended_because: str | None = None
    _kill_at: float | None = None

    def request(self, secrets: Secrets) -> tuple[dict[str, Any], dict[str, str]]:
        """Returns what a worker is asked to execute, and the node's own environment variables, secrets in both.

        Raises:
            UsageError: one of the secrets is not known here.
        """
        assert self.prepared.invocation is not None
        packed = any_pb2.Any()
        packed.Pack(secrets.reveal_message(self.node.executor_spec))
        invocation = secrets.reveal_message(self.prepared.invocation)
        request = {
            "invocation": base64.b64encode(invocation.SerializeToString()).decode(),
            "executor_spec": base64.b64encode(packed.SerializeToString()).decode(),
        }
        return request, {name: secrets.reveal(value) for name, value in self.node.settings.get("env", {}).items()}

    def conceal(self, output: Any, secrets: Secrets) -> None:
        """Puts the marks back into what an executor's output repeats of its arguments."""
        assert self.prepared.invocation is not None
        marked = self.prepared.invocation.execution_properties
        revealed = secrets.reveal_message(self.prepared.invocation).execution_properties
        for name, value in output.execution_properties.items():
            if name in revealed and value == revealed[name]:
                value.CopyFrom(marked[name])

    @property
    def job(self) -> str:
        """What it is called among the jobs of the workers."""
        return self.node.id if self.part is None else f"{self.node.id}/{self.part}"

    @property
    def can_follow(self) -> bool:
        """Whether the policy allows another attempt after this one."""
        return self.tries <= self.policy.retries

    @property
    def tries(self) -> int:
        """How many attempts there were this time, this one included."""
        return self.number - self.first + 1

    def is_overdue(self, now: float) -> bool:
        """Whether it runs for longer than it may."""
        limit = self.policy.timeout_seconds
        return limit is not None and self.began is not None and now - self.began > limit

    def end(self, workers: Workers, now: float, *, at_once: bool = False) -> None:
        """Ends its process group: asks once, kills after the grace period or `at_once`. Call it repeatedly."""
        if self._kill_at is None and not at_once:
            self._kill_at = now + GRACE_SECONDS
            workers.kill(self.job, signal.SIGTERM)
        elif at_once or (self._kill_at is not None and now > self._kill_at):
            self._kill_at = now + GRACE_SECONDS
            workers.kill(self.job, signal.SIGKILL)

    def next(self, log: Path) -> Attempt:
        """Returns the attempt after this failed one, to be started after the pause that the policy wants."""
        start_at = time.monotonic() + self.policy.pause_seconds(self.tries)
        return Attempt(self.node, self.prepared, self.policy, self.number + 1, log, self.part, self.first, start_at)

    def record(self, state: str, usage: Mapping[str, float], now: float, error: str | None = None) -> dict[str, Any]:
        """Returns what is kept of it when it has ended, laid out as `recording.set_node` tells.

        Args:
            state: how it ended: succeeded, failed or cancelled.
            usage: what its processes used, see `workers.Ended`.
            now: the time, in seconds since the epoch.
            error: why it failed.
        """
        seconds = None if self.started_at is None else round(max(0.0, now - self.started_at), 3)
        found = {
            "attempt": self.number,
            "part": self.part,
            "state": state,
            "started_at": self.started_at,
            "seconds": seconds,
            **usage,
            "error": error.splitlines()[0][:_LONGEST_ERROR] if error else None,
        }
        return {name: value for name, value in found.items() if value is not None}
