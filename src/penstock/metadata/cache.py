"""Why a node's result came from the cache or did not: the parts of two cache keys, compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.errors import UsageError
from penstock.metadata.database import Database
from penstock.metadata.runs import Run

_MODULE = "<module>"


@dataclass(frozen=True)
class Change:
    """One thing that differs from the run compared with.

    Attributes:
        kind: `code`, `input`, `parameter`, `package`, `environment variable`, `output` or `component`.
        name: which one; for code `FILE` or `FILE: FUNCTION`.
        how: `changed`, `added` or `removed`.
    """

    kind: str
    name: str
    how: str


@dataclass(frozen=True)
class Explanation:
    """What the cache answered for a node of a run.

    Attributes:
        outcome: `hit`, `miss` or `off`.
        reason: why, as recorded when the node was prepared.
        compared_with: the run before with another key for the node, if there is one.
        changes: what differs from that run; empty for a hit.
    """

    run_id: str
    node_id: str
    key: str
    outcome: str
    reason: str
    compared_with: str | None
    changes: tuple[Change, ...]


def explain(database: Database, run: Run, node_id: str) -> Explanation:
    """Explains a node's hit or miss by comparing its key with that of the latest run before.

    Raises:
        UsageError: nothing is recorded for the node: it is no node of the run, did not start, or needs no cache.
    """
    rows = []
    if database.has_own_tables:
        rows = database.query(
            "SELECT cache_key, outcome, reason, parts FROM penstock_cache_decisions "
            "WHERE run_id = :run_id AND node_id = :node_id",
            {"run_id": run.run_id, "node_id": node_id},
        )
    if not rows:
        raise UsageError(
            f"The cache was not asked for node {node_id!r} in run {run.run_id}: it is no node of that run, it did not "
            f"start, or it is a resolver or importer. Nodes: penstock runs show {run.run_id}"
        )
    row = rows[0]
    before = _before(database, run, node_id)
    changes: tuple[Change, ...] = ()
    if before is not None and row["outcome"] != "hit":
        changes = tuple(compare(json.loads(before["parts"]), json.loads(row["parts"])))
    return Explanation(
        run_id=run.run_id,
        node_id=node_id,
        key=row["cache_key"],
        outcome=row["outcome"],
        reason=row["reason"],
        compared_with=None if before is None else before["run_id"],
        changes=changes,
    )


def packages_of_run(database: Database, run_id: str) -> dict[str, str]:
    """The versions of the packages that decided a run's results, by name; none where the cache was not asked."""
    if not database.has_own_tables:
        return {}
    # They are those of the environment, and the same for all of a run's nodes.
    rows = database.query(
        "SELECT parts FROM penstock_cache_decisions WHERE run_id = :run_id LIMIT 1", {"run_id": run_id}
    )
    found: dict[str, str] = json.loads(rows[0]["parts"]).get("packages", {}) if rows else {}
    return found


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Returns how the parts of one cache key differ from another's."""
    changes = [Change("component", name, "changed") for name in ("component", "executor") if old[name] != new[name]]
    for part, kind in (
        ("code", "code"),
        ("inputs", "input"),
        ("parameters", "parameter"),
        ("environment", "environment variable"),
        ("packages", "package"),
        ("outputs", "output"),
    ):
        for name, how in _differences(old[part], new[part]):
            if part == "code" and how == "changed":
                changes += _code_changes(name, old[part][name], new[part][name])
            elif part == "packages" and how == "changed":
                changes.append(Change(kind, f"{name} {old[part][name]} → {new[part][name]}", how))
            else:
                changes.append(Change(kind, name, how))
    return changes


def _code_changes(file: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[Change]:
    """Functions and classes by name; the rest of a module only where none of them tells the change."""
    named = [(name, how) for name, how in _differences(old, new) if name != _MODULE]
    if not named:
        return [Change("code", f"{file}: statements outside of functions and classes", "changed")]
    return [Change("code", f"{file}: {name}", how) for name, how in named]


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [(name, "removed") for name in old if name not in new]
    found += [(name, "added") for name in new if name not in old]
    found += [(name, "changed") for name in new if name in old and old[name] != new[name]]
    return sorted(found)


def _before(database: Database, run: Run, node_id: str) -> Mapping[str, Any] | None:
    rows = database.query(
        "SELECT d.run_id, d.parts FROM penstock_cache_decisions d JOIN penstock_runs r ON r.run_id = d.run_id "
        "WHERE d.node_id = :node_id AND r.pipeline = :pipeline AND (r.created_at, r.run_id) < (:created_at, :run_id) "
        "ORDER BY r.created_at DESC, r.run_id DESC LIMIT 1",
        {"node_id": node_id, "pipeline": run.pipeline, "created_at": run.created_at, "run_id": run.run_id},
    )
    return rows[0] if rows else None
