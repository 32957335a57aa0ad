"""What is decided about a node before its executor runs, and handed on to what happens after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx.orchestration import metadata
from tfx.proto.orchestration import execution_invocation_pb2

from penstock.engine import cache
from penstock.errors import PenstockError

Artifacts = dict[str, list[types.Artifact]]
# The ids of an execution's input artifacts, by input.
InputKey = frozenset[tuple[str, tuple[int, ...]]]


class NodeError(PenstockError):
    """Indicates that a node could not be prepared: its inputs or parameters do not resolve."""


class StoreHandle(metadata.Metadata):
    """TFX's metadata handle over one store that stays open."""

    def __init__(self, store: Any):
        super().__init__(metadata_store_pb2.ConnectionConfig())
        self._store = store

    def __enter__(self) -> StoreHandle:
        return self

    def __exit__(self, *exc_info: object) -> None:
        return None


@dataclass
class Prepared:
    """What `prepare` decided.

    Attributes:
        state: `run` (execute `invocation`), or what became of the node without: `cached`, `succeeded` (a system node,
            all done), `skipped` (a condition is false).
        execution_id: id in the metadata store; None when skipped.
        invocation: all that an executor needs, when `state` is `run`.
        contexts: contexts the results will be published into.
        outputs: outputs known now.
        cache: what the cache answered; None where it was not asked.
        notes: lines for the log of its executor.
    """

    state: str
    execution_id: int | None = None
    invocation: execution_invocation_pb2.ExecutionInvocation | None = None
    contexts: list[metadata_store_pb2.Context] = field(default_factory=list)
    outputs: Artifacts = field(default_factory=dict)
    cache: cache.Decision | None = None
    notes: list[str] = field(default_factory=list)


def input_key(inputs: Mapping[str, Sequence[types.Artifact]]) -> InputKey:
    """Returns what tells the executions of one node in one run apart."""
    return frozenset((name, tuple(artifact.id for artifact in artifacts)) for name, artifacts in inputs.items())
