"""Nodes that are written once and run for each item of a list: spread out before they are checked.

    train:
      component: Trainer
      for_each: {city: [chicago, boston]}      # the nodes train-chicago and train-boston
      custom_config: {city: "${each.city}"}
    push:
      component: Pusher
      for_each: train                          # one for each of train: push-chicago and push-boston
      model: ${nodes.train.model}              # the model of the one it belongs to
    compare:
      component: parts:compare
      models: ${nodes.train.model}             # elsewhere: the models of all

A list that is known only when the pipeline runs, the artifacts of an output, does not make several nodes: the one node
is executed for each artifact.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from penstock.spec import conditions
from penstock.spec.model import EACH_NAME_PATTERN, FOR_EACH, EachArtifact, OutputReference
from penstock.spec.problems import Problems, describe
from penstock.spec.substitution import UNKNOWN, Substitution
from penstock.spec.yaml_source import ValuePath

_MOST = 1000
_LABEL = re.compile(r"[A-Za-z0-9_]{1,32}")
_EXAMPLES = ("{NAME: [ITEM, …]}", "{NAME: ${parameters.LIST}}", "{NAME: ${nodes.NODE.OUTPUT}}", "NODE")


@dataclass(frozen=True)
class _Loop:
    """What `for_each` of one node comes to.

    Attributes:
        root: the node whose list it is.
        name: what an item is called in `${each.NAME}`.
        items: the items; one `EachArtifact` where they are artifacts.
        ids: the ids of the nodes it makes, by item.
    """

    root: str
    name: str
    items: tuple[Any, ...]
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Instance:
    """One node as it is to be checked.

    Attributes:
        id: its id.
        declared: what stands in the file for it.
        loop: the loop it is part of, if any.
        index: which item of the loop it is for.
    """

    id: str
    declared: Any
    loop: _Loop | None = None
    index: int = 0

    @property
    def each(self) -> Mapping[str, Any] | None:
        """What `${each.NAME}` means in it."""
        return None if self.loop is None else {self.loop.name: self.loop.items[self.index]}


@dataclass
class Spread:
    """All nodes, with references to those that were spread out followed."""

    instances: list[Instance] = field(default_factory=list)
    loops: dict[str, _Loop] = field(default_factory=dict)

    def value(self, instance: Instance, value: Any) -> Any:
        """Returns an argument of a node with outputs of spread nodes in place of those of the one declared."""
        if isinstance(value, OutputReference):
            names = self._meant(instance, value.node)
            if names is None:
                return value
            found = [replace(value, node=name) for name in names]
            return found if len(found) > 1 else found[0]
        if isinstance(value, list):
            items = [self.value(instance, item) for item in value]
            return [part for item in items for part in (item if isinstance(item, list) else [item])]
        return value

    def nodes(self, instance: Instance, names: Any) -> Any:
        """Returns the node ids that a list of declared ones means."""
        if not isinstance(names, list):
            return names
        return [meant for name in names for meant in (self._meant(instance, name) or [name])]

    def condition(self, instance: Instance, condition: conditions.Condition) -> conditions.Condition:
        """Returns a condition that asks the nodes it means.

        Raises:
            ConditionError: it asks a node that there are several of.
        """
        if isinstance(condition, conditions.Not):
            return conditions.Not(self.condition(instance, condition.condition))
        if isinstance(condition, conditions.Combination):
            sides = (self.condition(instance, side) for side in (condition.left, condition.right))
            return conditions.Combination(condition.operator, *sides)
        names = self._meant(instance, condition.node) or [condition.node]
        if len(names) > 1:
            raise conditions.ConditionError(
                f"asks {condition.node!r}, of which there are {len(names)}: name one, as in {names[0]!r}"
            )
        return replace(condition, node=names[0])

    def _meant(self, instance: Instance, name: Any) -> list[str] | None:
        loop = self.loops.get(name) if isinstance(name, str) else None
        if loop is None or not loop.ids:
            return None
        if instance.loop is not None and instance.loop.root == loop.root:
            return [loop.ids[instance.index]]
        return list(loop.ids)


def spread(declared: Mapping[str, Any], substitution: Substitution, problems: Problems) -> Spread:
    """Returns the nodes of a declaration, spread out; what is wrong with their loops goes to `problems`."""
    found = Spread()
    for node_id in declared:
        _loop(node_id, declared, found.loops, substitution, problems, set())
    for node_id, value in declared.items():
        loop = found.loops.get(node_id)
        if loop is None:
            found.instances.append(Instance(node_id, value))
            continue
        for index, instance_id in enumerate(loop.ids):
            if instance_id != node_id and instance_id in declared:
                message = f"for_each makes a node {instance_id!r}, and there is one of that name; rename one of them."
                problems.at_key(("nodes", node_id, FOR_EACH), message)
            found.instances.append(Instance(instance_id, value, loop, index))
            problems.source.stands_for[instance_id] = node_id
    return found


def _loop(
    node_id: str,
    declared: Mapping[str, Any],
    loops: dict[str, _Loop],
    substitution: Substitution,
    problems: Problems,
    asking: set[str],
) -> _Loop | None:
    value = declared[node_id]
    if node_id in loops or not isinstance(value, dict) or FOR_EACH not in value:
        return loops.get(node_id)
    path: ValuePath = ("nodes", node_id, FOR_EACH)
    over = substitution.replace(value[FOR_EACH], path)
    loop: _Loop | None
    if isinstance(over, str):
        loop = _same(node_id, over, path, declared, loops, substitution, problems, asking)
    elif isinstance(over, dict) and len(over) == 1:
        [(name, items)] = over.items()
        if isinstance(items, OutputReference) and items.node in declared and items.node not in asking:
            made_by = _loop(items.node, declared, loops, substitution, problems, {*asking, node_id})
            if made_by is not None and not isinstance(made_by.items[0], EachArtifact):
                items = [replace(items, node=made) for made in made_by.ids]
        loop = _own(node_id, name, items, path, problems)
    else:
        if over is not UNKNOWN:
            message = "for_each wants one name with what to run for, or another node that has for_each."
            problems.at_value(path, message, found=describe(over), allowed=_EXAMPLES)
        loop = None
    if loop is not None:
        loops[node_id] = loop
    return loop


def _same(
    node_id: str,
    other: str,
    path: ValuePath,
    declared: Mapping[str, Any],
    loops: dict[str, _Loop],
    substitution: Substitution,
    problems: Problems,
    asking: set[str],
) -> _Loop | None:
    candidates = [name for name, value in declared.items() if isinstance(value, dict) and FOR_EACH in value]
    if other not in candidates or other == node_id or other in asking:
        message = f"for_each names {other!r}, which is no other node that has for_each itself."
        problems.at_value(path, message, allowed=[name for name in candidates if name != node_id], name=other)
        return None
    loop = _loop(other, declared, loops, substitution, problems, {*asking, node_id})
    if loop is not None and isinstance(loop.items[0], EachArtifact):
        message = (
            f"{other!r} runs for artifacts that are known only when it runs; run for each of its outputs instead, "
            f"as in {{item: ${{nodes.{other}.OUTPUT}}}}."
        )
        problems.at_value(path, message)
        return None
    return None if loop is None else replace(loop, ids=_ids(node_id, loop.items))


def _own(node_id: str, name: Any, items: Any, path: ValuePath, problems: Problems) -> _Loop | None:
    place = (*path, name)
    if not isinstance(name, str) or not re.fullmatch(EACH_NAME_PATTERN, name):
        problems.at_key(place, "The name of an item begins with a letter and has letters, digits and '_'.")
        return None
    if isinstance(items, OutputReference):
        return _Loop(node_id, name, (EachArtifact(items),), (node_id,))
    if not isinstance(items, list) or not 1 <= len(items) <= _MOST:
        if items is not UNKNOWN:
            found = f"a list of {len(items)}" if isinstance(items, list) else describe(items)
            message = f"for_each wants a list of 1 to {_MOST:,} items, or an output of a node."
            problems.at_value(place, message, found=found)
        return None
    if any(item is UNKNOWN for item in items):
        return None
    return _Loop(node_id, name, tuple(items), _ids(node_id, items))


def _ids(node_id: str, items: Any) -> tuple[str, ...]:
    """Names nodes for their items where all are short words or numbers, else for their positions."""
    labels = [str(item) if isinstance(item, str | int) and not isinstance(item, bool) else "" for item in items]
    if len(set(labels)) < len(labels) or not all(map(_LABEL.fullmatch, labels)):
        labels = [str(index) for index in range(len(labels))]
    return tuple(f"{node_id}-{label}" for label in labels)
