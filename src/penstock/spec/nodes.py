"""Checks the nodes of a declaration, each by itself and then against each other."""

from __future__ import annotations

import graphlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.spec import conditions, for_each
from penstock.spec.arguments import ArgumentChecker
from penstock.spec.catalog import Catalog, Component, Input, Output
from penstock.spec.model import (
    FOR_EACH,
    NODE_ID_PATTERN,
    OPTION_NAMES,
    WHEN,
    ChannelQuery,
    EachArtifact,
    Node,
    NodeOptions,
    OutputReference,
)
from penstock.spec.own_components import ComponentReader
from penstock.spec.problems import Problems, describe, nearest
from penstock.spec.substitution import UNKNOWN, Substitution
from penstock.spec.usercode import UserCodeError
from penstock.spec.validation import validate
from penstock.spec.yaml_source import ValuePath

_CHANNEL_KEYS = ("type", "producer_component_id", "output_key")
_MOST_SHOWN = 3
_BLESSED_MODEL = ("Model", "ModelBlessing")


@dataclass
class _Draft:
    """A node half checked: its component is known, its references to other nodes are not followed yet."""

    id: str
    component: Component
    values: dict[str, Any]
    options: NodeOptions | None
    when: conditions.Condition | None

    @property
    def path(self) -> ValuePath:
        return ("nodes", self.id)


class NodeChecker:
    """Checks all nodes; what is wrong goes to `problems`."""

    def __init__(
        self,
        catalog: Catalog,
        reader: ComponentReader,
        checker: ArgumentChecker,
        substitution: Substitution,
        problems: Problems,
    ):
        self.catalog = catalog
        self.reader = reader
        self.checker = checker
        self.substitution = substitution
        self.problems = problems
        self.drafts: dict[str, _Draft] = {}
        self.ids: list[str] = []
        self.spread = for_each.Spread()

    def check(self, declared: Mapping[str, Any]) -> dict[str, Node]:
        """Returns the nodes that are wholly right, in the declaration's order."""
        self.spread = for_each.spread(declared, self.substitution, self.problems)
        self.ids = [instance.id for instance in self.spread.instances]
        for instance in self.spread.instances:
            draft = self._draft(instance)
            if draft is not None:
                self.drafts[instance.id] = draft
        nodes = {}
        for draft in self.drafts.values():
            arguments = self._arguments(draft)
            if draft.options is not None:
                nodes[draft.id] = Node(draft.id, draft.component.name, arguments, draft.options, draft.when)
        self._report_cycles()
        return nodes

    def _draft(self, instance: for_each.Instance) -> _Draft | None:
        node_id, value = instance.id, instance.declared
        path: ValuePath = ("nodes", node_id)
        if not re.fullmatch(NODE_ID_PATTERN, node_id):
            message = "A node's id begins with a letter and has at most 63 letters, digits, '_' and '-'."
            self.problems.at_key(path, message, found=repr(node_id))
        if not isinstance(value, dict):
            self.problems.at_key(path, f"The node {node_id!r} wants a mapping.", found=describe(value))
            return None
        substitution = self.substitution if instance.each is None else self.substitution.for_item(instance.each)
        values = {
            key: self.spread.value(instance, substitution.replace(item, (*path, key)))
            for key, item in value.items()
            if key not in ("component", WHEN, FOR_EACH)
        }
        if "after" in values:
            values["after"] = self.spread.nodes(instance, values["after"])
        options = {key: values.pop(key) for key in OPTION_NAMES if key in values}
        checked_options = validate(NodeOptions, options, path, self.problems, "A node")
        component = self._component(value, path)
        when = self._condition(instance, substitution.marking_secrets(False)) if WHEN in value else None
        if component is not None:
            self._report_unused_item(instance, values)
        return _Draft(node_id, component, values, checked_options, when) if component else None

    def _condition(self, instance: for_each.Instance, substitution: Substitution) -> conditions.Condition | None:
        value, path = instance.declared[WHEN], ("nodes", instance.id, WHEN)
        if not isinstance(value, str):
            self.problems.at_value(path, "when wants a condition as text.", found=describe(value))
            return None
        try:
            parsed = conditions.parse(value, lambda reference: substitution.replace(reference, path))
            return self.spread.condition(instance, parsed)
        except conditions.ConditionError as error:
            self.problems.at_value(path, f"when {error}.", found=repr(value))
            return None

    def _report_unused_item(self, instance: for_each.Instance, values: Mapping[str, Any]) -> None:
        for name, item in (instance.each or {}).items():
            if isinstance(item, EachArtifact) and item not in values.values():
                message = f"The node runs for each {name!r}, but takes none: give ${{each.{name}}} to an input."
                self.problems.at_key(("nodes", instance.id, FOR_EACH), message)

    def _component(self, value: Mapping[str, Any], path: ValuePath) -> Component | None:
        name = value.get("component")
        place = (*path, "component")
        if "component" not in value:
            self.problems.at_key(path, f"The node {path[-1]!r} needs the key 'component'.")
        elif not isinstance(name, str):
            self.problems.at_value(place, "component wants a name.", found=describe(name))
        elif ":" in name:
            return self._own_component(name, place)
        elif name in self.catalog.components:
            return self.catalog.components[name]
        else:
            message = f"There is no standard component {name!r}; an own one is written package.module:Name."
            self.problems.at_value(place, message, allowed=self.catalog.components, name=name)
        return None

    def _own_component(self, name: str, place: ValuePath) -> Component | None:
        try:
            component = self.reader.read(name)
        except UserCodeError as error:
            self.checker.user_code(error, place)
            return None
        for argument in (*component.inputs, *component.parameters):
            if argument in (*OPTION_NAMES, "component"):
                message = f"{name} has an argument {argument!r}, which is an option of every node; rename the argument."
                self.problems.at_value(place, message)
        return component

    def _arguments(self, draft: _Draft) -> dict[str, Any]:
        component = draft.component
        arguments: dict[str, Any] = {}
        for name, value in draft.values.items():
            path = (*draft.path, name)
            if name in component.inputs:
                arguments[name] = self._input(draft, name, component.inputs[name], value)
            elif name == "strategy_class":
                arguments[name] = self._strategy(value, path)
            elif name == "config" and component.name == "Resolver":
                arguments[name] = self._strategy_config(draft, value, path)
            elif name in component.parameters:
                parameter = component.parameters[name]
                arguments[name] = self.checker.parameter(parameter, value, path, component.module_function)
            elif component.name == "Resolver":
                arguments[name] = self._channel(draft, name, value)
            elif component.open_arguments:
                arguments[name] = self._open_argument(draft, name, value)
            else:
                names = sorted([*component.inputs, *component.parameters])
                message = f"{component.name} has no input or parameter {name!r}."
                self.problems.at_key(path, message, allowed=[*names, *OPTION_NAMES], name=name)
        self._report_missing(draft)
        self._report_rules(draft)
        if component.name == "Resolver":
            self._report_resolver(draft, arguments)
        for asked in conditions.comparisons(draft.when) if draft.when else ():
            self._output(draft, WHEN, Input(None), OutputReference(asked.node, asked.output), (*draft.path, WHEN))
        if draft.options is not None:
            for index, node_id in enumerate(draft.options.after):
                if node_id not in self.ids:
                    message = f"There is no node {node_id!r}."
                    self.problems.at_value((*draft.path, "after", index), message, allowed=self.ids, name=node_id)
        return arguments

    def _input(self, draft: _Draft, name: str, wanted: Input, value: Any) -> Any:
        path = (*draft.path, name)
        if value is UNKNOWN or (value is None and not wanted.required):
            return value
        if isinstance(value, OutputReference):
            return self._output(draft, name, wanted, value, path)
        if isinstance(value, EachArtifact):
            each = self._output(draft, name, wanted, value.reference, path)
            return EachArtifact(each) if isinstance(each, OutputReference) else each
        is_list = isinstance(value, list) and value
        if not is_list or not all(isinstance(item, OutputReference) or item is UNKNOWN for item in value):
            message = f"{name!r} is an input of {draft.component.name} and takes an output of a node."
            self.problems.at_value(path, message, found=describe(value), allowed=["${nodes.NODE.OUTPUT}"])
            return UNKNOWN
        if not wanted.several and len(value) > 1:
            message = f"{name!r} of {draft.component.name} takes one output, not several."
            found = ", ".join(map(str, value[:_MOST_SHOWN])) + (", …" if len(value) > _MOST_SHOWN else "")
            self.problems.at_value(path, message, found=f"{len(value)} outputs: {found}")
            return UNKNOWN
        return tuple(
            item if item is UNKNOWN else self._output(draft, name, wanted, item, (*path, index))
            for index, item in enumerate(value)
        )

    def _output(self, draft: _Draft, name: str, wanted: Input, reference: OutputReference, path: ValuePath) -> Any:
        place = self.problems.source.place(path)
        if reference.node not in self.ids:
            message = f"There is no node {reference.node!r}."
            self.problems.at(place, message, allowed=self.ids, name=reference.node)
            return UNKNOWN
        producer = self.drafts.get(reference.node)
        if producer is None:  # its own problem is reported already
            return UNKNOWN
        outputs = self._outputs(producer)
        if reference.output not in outputs:
            if producer.component.open_outputs:
                return reference
            message = f"The node {reference.node!r} ({producer.component.name}) has no output {reference.output!r}."
            self.problems.at(place, message, allowed=sorted(outputs), name=reference.output)
            return UNKNOWN
        output = outputs[reference.output]
        for parameter, is_set in output.needs.items():
            default = producer.component.parameters[parameter].default
            if bool(producer.values.get(parameter, default)) != is_set:
                state = "is set" if not is_set else "is not set"
                message = f"The node {reference.node!r} makes no {reference.output!r}, as its {parameter!r} {state}."
                self.problems.at(place, message, found=str(reference))
                return UNKNOWN
        if wanted.type is not None and output.type is not None and wanted.type != output.type:
            message = (
                f"{name!r} of the node {draft.id!r} wants {wanted.type}, but {reference.output!r} of the node "
                f"{reference.node!r} is {output.type}."
            )
            fitting = [
                f"${{nodes.{other.id}.{key}}}"
                for other in self.drafts.values()
                if other is not draft
                for key, candidate in self._outputs(other).items()
                if candidate.type == wanted.type
            ]
            self.problems.at(place, message, found=str(reference), allowed=fitting)
            return UNKNOWN
        return reference

    def _outputs(self, draft: _Draft) -> Mapping[str, Output]:
        if draft.component.name == "Importer":
            key = draft.values.get("output_key") or "result"
            return {str(key): Output(self._type_name(draft.values.get("artifact_type")))}
        if draft.component.name == "Resolver":
            return {
                name: Output(self._channel_type(value, {draft.id}))
                for name, value in draft.values.items()
                if name not in draft.component.parameters
            }
        return draft.component.outputs

    def _channel_type(self, value: Any, seen: set[str]) -> str | None:
        if isinstance(value, dict):
            return self._type_name(value.get("type"))
        if isinstance(value, OutputReference) and value.node in self.drafts and value.node not in seen:
            producer = self.drafts[value.node]
            if producer.component.name == "Resolver":
                return self._channel_type(producer.values.get(value.output), {*seen, value.node})
            output = self._outputs(producer).get(value.output)
            return output.type if output else None
        return None

    def _type_name(self, value: Any) -> str | None:
        """Returns the name of a declared artifact type, None for an own one whose source does not tell."""
        if not isinstance(value, str) or value in self.catalog.artifact_types:
            return value if isinstance(value, str) else None
        module_name, _, name = value.rpartition(":" if ":" in value else ".")
        return self.reader.artifact_type_name(module_name, name)

    def _strategy(self, value: Any, path: ValuePath) -> Any:
        if value is UNKNOWN:
            return value
        if isinstance(value, str) and value in self.catalog.strategies:
            return value
        if isinstance(value, str) and (":" in value or "." in value):
            return self.checker.class_path(value, path)
        message = "strategy_class wants a resolver strategy, or package.module:Class of an own one."
        details: dict[str, Any] = {"name": value} if isinstance(value, str) else {"found": describe(value)}
        self.problems.at_value(path, message, allowed=self.catalog.strategies, **details)
        return UNKNOWN

    def _strategy_config(self, draft: _Draft, value: Any, path: ValuePath) -> Any:
        strategy = self.catalog.strategies.get(str(draft.values.get("strategy_class")))
        if value is UNKNOWN:
            return value
        if strategy is not None:
            return self.checker.keywords(strategy.parameters, value, path)
        return self.checker.parameter(draft.component.parameters["config"], value, path)

    def _channel(self, draft: _Draft, name: str, value: Any) -> Any:
        """Checks a channel of a resolver: an output of a node, or what to look for in the store."""
        path = (*draft.path, name)
        if value is UNKNOWN:
            return value
        if isinstance(value, OutputReference | list):
            return self._input(draft, name, Input(None, several=True), value)
        if not isinstance(value, dict) or "type" not in value:
            message = f"The channel {name!r} of a Resolver wants {{type: ArtifactType}} or an output of a node."
            self.problems.at_value(path, message, found=describe(value))
            return UNKNOWN
        for key in value:
            if key not in _CHANNEL_KEYS:
                message = f"A channel has no key {key!r}."
                self.problems.at_key((*path, key), message, allowed=_CHANNEL_KEYS, name=key)
        for key in _CHANNEL_KEYS[1:]:
            item = value.get(key)
            if item is not None and item is not UNKNOWN and not isinstance(item, str):
                self.problems.at_value((*path, key), f"{key} wants text.", found=describe(item))
        producer = value.get("producer_component_id")
        if isinstance(producer, str) and producer not in self.ids:
            place = (*path, "producer_component_id")
            self.problems.at_value(place, f"There is no node {producer!r}.", allowed=self.ids, name=producer)
        if value["type"] is UNKNOWN:
            return UNKNOWN
        artifact_type = self.checker.artifact_type(value["type"], (*path, "type"))
        return ChannelQuery(artifact_type, producer, value.get("output_key"))

    def _open_argument(self, draft: _Draft, name: str, value: Any) -> Any:
        if isinstance(value, OutputReference | EachArtifact) or (
            isinstance(value, list) and value and all(isinstance(item, OutputReference) for item in value)
        ):
            return self._input(draft, name, Input(None, several=True), value)
        return value if self.checker.messages.plain_data(value, (*draft.path, name)) else UNKNOWN

    def _report_missing(self, draft: _Draft) -> None:
        component = draft.component
        known = [*component.inputs, *component.parameters]
        # A misspelt name is reported already, with the right one suggested.
        misspelt = {nearest(name, known) for name in draft.values if name not in known}
        for kind, wanted in (("input", component.inputs), ("parameter", component.parameters)):
            for name, entry in wanted.items():
                if entry.required and draft.values.get(name) is None and name not in misspelt:
                    self.problems.at_key(draft.path, f"{component.name} needs the {kind} {name!r}.")

    def _report_rules(self, draft: _Draft) -> None:
        given = {name for name, value in draft.values.items() if value is not None}
        for rule in draft.component.rules:
            if "if" in rule:
                if rule["if"] in given and rule["needs"] not in given:
                    message = f"{draft.component.name} with {rule['if']!r} needs {rule['needs']!r} too."
                    self.problems.at_key((*draft.path, rule["if"]), message)
                continue
            kind, names = next(iter(rule.items()))
            present = [name for name in names if name in given]
            choice = " or ".join(repr(name) for name in names)
            if not present and kind != "at_most_one":
                self.problems.at_key(draft.path, f"{draft.component.name} needs {choice}.")
            if len(present) > 1 and kind != "at_least_one":
                message = f"{draft.component.name} takes either {choice}, not both."
                self.problems.at_key((*draft.path, present[-1]), message, found=present[-1])

    def _report_resolver(self, draft: _Draft, arguments: Mapping[str, Any]) -> None:
        types = [output.type for output in self._outputs(draft).values()]
        if not types:
            self.problems.at_key(draft.path, "A Resolver needs a channel, like `model: {type: Model}`.")
        elif draft.values.get("strategy_class") == "LatestBlessedModelStrategy":
            for wanted in _BLESSED_MODEL:
                if None not in types and types.count(wanted) != 1:
                    message = f"LatestBlessedModelStrategy needs one channel of type {wanted}."
                    self.problems.at_key(draft.path, message)
        if "config" in arguments and "strategy_class" not in arguments:
            message = "'config' holds the arguments of a strategy; give 'strategy_class' too."
            self.problems.at_key((*draft.path, "config"), message)
        strategy = self.catalog.strategies.get(str(draft.values.get("strategy_class")))
        if strategy is not None and "config" not in arguments:
            for name, parameter in strategy.parameters.items():
                if parameter.required:
                    message = f"{draft.values['strategy_class']} needs 'config' with {name!r}."
                    self.problems.at_key((*draft.path, "strategy_class"), message)

    def _report_cycles(self) -> None:
        graph = {draft.id: self._upstream(draft) for draft in self.drafts.values()}
        while True:
            try:
                graphlib.TopologicalSorter(graph).prepare()
                return
            except graphlib.CycleError as error:
                cycle: list[str] = error.args[1]
            # graphlib names each node after one that depends on it; turn it so that the first declared leads.
            members = cycle[:-1]
            first = min(range(len(members)), key=lambda index: self.ids.index(members[index]))
            ordered = members[first:] + members[:first]
            text = " → ".join([*ordered, ordered[0]])
            self.problems.at_key(("nodes", ordered[0]), f"These nodes wait for each other: {text}.")
            graph = {node: upstream - set(members) for node, upstream in graph.items() if node not in members}

    def _upstream(self, draft: _Draft) -> set[str]:
        found = set(draft.options.after if draft.options else ())
        for value in draft.values.values():
            for item in value if isinstance(value, list) else (value,):
                if isinstance(item, EachArtifact):
                    found.add(item.reference.node)
                if isinstance(item, OutputReference):
                    found.add(item.node)
        found.update(asked.node for asked in (conditions.comparisons(draft.when) if draft.when else ()))
        return found & self.drafts.keys()
