"""Nodes that are executed several times in a run, once for each set of their inputs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

_MOST_CAUSES = 5


@dataclass
class Parts:
    """How far the executions of one node are.

    Attributes:
        total: how many there are; they are numbered from 1.
        attempt: the highest number of an attempt that one of them came to.
        states: of those that have ended, the state: succeeded, cached, failed or cancelled.
        causes: why those that failed did.
        log: the log of the first that failed.
    """

    total: int
    attempt: int = 0
    states: dict[int, str] = field(default_factory=dict)
    causes: dict[int, str] = field(default_factory=dict)
    log: Path | None = None

    def end(self, part: int, state: str, cause: str | None = None, log: Path | None = None) -> None:
        """One has ended."""
        self.states[part] = state
        if cause is not None:
            self.causes[part] = cause
            self.log = self.log or log

    @property
    def all_ended(self) -> bool:
        """Whether the node has ended."""
        return len(self.states) == self.total

    @property
    def state(self) -> str:
        """What became of the node, when all have ended."""
        found = Counter(self.states.values())
        for state in ("failed", "cancelled", "succeeded"):
            if found[state]:
                return state
        return "cached"

    @property
    def cause(self) -> str:
        """Why the node failed: a line, and below it the causes of those that did, the first ones in full."""
        lines = [f"{len(self.causes)} of {self.total} executions failed"]
        for part, cause in sorted(self.causes.items())[:_MOST_CAUSES]:
            lines += [f"execution {part}: {cause}"]
        if len(self.causes) > _MOST_CAUSES:
            lines.append(f"and {len(self.causes) - _MOST_CAUSES} more")
        return "\n".join(lines)
