"""What a scheduler is told of a run, tells while it goes on, and says at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.secrets import Secrets

if TYPE_CHECKING:
    from penstock.engine.graph import Graph


@dataclass(frozen=True)
class RunSettings:
    """How a run is carried out.

    Attributes:
        import_roots: folders the user's code is imported from.
        cwd: working folder of the nodes.
        env: environment variables of the nodes; a node's own come on top.
        jobs: how many nodes may run at the same time.
        use_cache: whether earlier results may be reused at all.
        selected: the nodes to run; None for all. The others take their outputs from `base_run`, so that this run can
            itself lend them; those that have none there, and are not needed, are skipped.
        base_run: the run that nodes which are not selected take their outputs from.
        secrets: what the marks in the nodes' arguments stand for.
    """

    import_roots: Sequence[Path]
    cwd: Path
    env: Mapping[str, str]
    jobs: int
    use_cache: bool = True
    selected: frozenset[str] | None = None
    base_run: str | None = None
    secrets: Secrets = field(default_factory=lambda: Secrets({}, {}))


class RunListener:
    """Hears of every change of a run; does nothing by itself. All calls come from the scheduler's thread."""

    def node_ends(self) -> None:
        """A node's end is about to be recorded; its log is complete."""

    def node_changed(self, node_id: str, state: str, **facts: Any) -> None:
        """A node is in another state; `facts` are `detail`, `error`, `log` where known."""

    def retrying(self, node_id: str, failed: int, attempts: int, pause_seconds: float, cause: str) -> None:
        """Attempt number `failed` of at most `attempts` failed; the next one starts after the pause."""

    def tick(self) -> None:
        """Some time has passed, at most a few tenths of a second."""


@dataclass
class RunResult:
    """How a run ended: `succeeded`, `failed` or `cancelled`, the state of each node, and in a line why it failed."""

    state: str
    states: dict[str, str]
    failures: dict[str, str] = field(default_factory=dict)
    error: str | None = None

    def told(self, graph: Graph) -> dict[str, Any]:
        """What exit handlers are told of the run."""
        return {
            "run_id": graph.run_id,
            "pipeline": graph.pipeline,
            "state": self.state,
            "error": self.error,
            "nodes": self.states,
        }
