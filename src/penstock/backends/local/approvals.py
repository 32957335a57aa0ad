"""Nodes of a run that wait for a person's word."""

from __future__ import annotations

import time
from collections.abc import Iterator

from penstock.backends.local.attempts import Attempt
from penstock.metadata import approvals
from penstock.metadata.approvals import Approval
from penstock.metadata.database import Database

_POLL_SECONDS = 0.5


class Approvals:
    """Keeps the attempts that wait, and looks for decisions on them in the store.

    Attributes:
        awaited: the attempts that wait, by node id.
    """

    def __init__(self, database: Database, run_id: str):
        self._database = database
        self._run_id = run_id
        self._look_at = 0.0
        self.awaited: dict[str, Attempt] = {}

    def ask(self, attempt: Attempt) -> None:
        """Lets an attempt wait from now on; its timeout begins."""
        attempt.began = time.monotonic()
        self.awaited[attempt.node.id] = attempt

    def decided(self) -> Iterator[tuple[Attempt, Approval]]:
        """Yields the attempts that were decided on, which then wait no longer."""
        now = time.monotonic()
        if not self.awaited or now < self._look_at:
            return
        self._look_at = now + _POLL_SECONDS
        numbers = {node_id: attempt.number for node_id, attempt in self.awaited.items()}
        for node_id, decision in approvals.decisions(self._database, self._run_id, numbers).items():
            yield self.awaited.pop(node_id), decision

    def overdue(self) -> list[Attempt]:
        """Returns the attempts that have waited too long, which then wait no longer."""
        now = time.monotonic()
        return [self.awaited.pop(name) for name, attempt in list(self.awaited.items()) if attempt.is_overdue(now)]

    def withdraw(self) -> list[Attempt]:
        """Returns all attempts that wait, which then wait no longer."""
        withdrawn = list(self.awaited.values())
        self.awaited.clear()
        return withdrawn
