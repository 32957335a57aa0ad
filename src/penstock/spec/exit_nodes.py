"""Checks the nodes that run when a run has ended: they stand apart from all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.spec.model import FOR_EACH, ExitHandler, Node, RunPolicy
from penstock.spec.problems import Problems

_KEYS = ("on_success", "on_failure", "always")


def report(policy: RunPolicy, nodes: Mapping[str, Node], declared: Mapping[str, Any], problems: Problems) -> None:
    """Reports exit handlers that name no node, and ties between their nodes and others.

    Args:
        policy: holds the exit handlers.
        nodes: the nodes that are wholly right.
        declared: all nodes as they stand in the file.
        problems: takes what is wrong.
    """
    found: dict[str, str] = {}
    for key in _KEYS:
        handlers: list[ExitHandler] = getattr(policy, key)
        for index, handler in enumerate(handlers):
            if handler.node is None:
                continue
            path = (key, index, "node")
            if handler.node not in declared:
                message = f"There is no node {handler.node!r}."
                problems.at_value(path, message, allowed=declared, name=handler.node)
            elif isinstance(declared[handler.node], dict) and FOR_EACH in declared[handler.node]:
                problems.at_value(path, f"{handler.node!r} has for_each, which an exit handler cannot have.")
            elif handler.node in found:
                problems.at_value(path, f"{handler.node!r} is an exit handler already, under {found[handler.node]}.")
            found[handler.node] = key
    for node in nodes.values():
        needed = [*dict.fromkeys([*(reference.node for reference in node.references()), *node.options.after])]
        for other in needed:
            if node.id in found:
                message = f"{node.id!r} runs when the run has ended, whatever became of {other!r}; it cannot need it."
            elif other in found:
                message = f"{node.id!r} cannot need {other!r}, which runs when the run has ended."
            else:
                continue
            problems.at_key(("nodes", node.id), message)
    if found and len(found) >= len(declared):
        problems.at_key(("nodes",), "Every node is an exit handler; the run itself would be empty.")
