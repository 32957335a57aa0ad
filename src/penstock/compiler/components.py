"""A declaration's nodes as TFX component objects, connected as declared."""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from google.protobuf import json_format, struct_pb2
from tfx.dsl.components.base import base_beam_executor, base_component, executor_spec
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common import importer, resolver
from tfx.dsl.control_flow import for_each
from tfx.dsl.experimental.conditionals import conditional
from tfx.dsl.experimental.node_execution_options import utils as execution_options
from tfx.dsl.placeholder import placeholder as ph
from tfx.types import channel
from tfx.types.value_artifact import ValueArtifact

from penstock.beam import profiles
from penstock.errors import DeclarationError, Problem
from penstock.spec import ChannelQuery, Declaration, EachArtifact, Node, OutputReference, catalog, conditions

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class _Refused(Exception):
    """A node's argument that its component does not take; `path` is the argument's name."""

    def __init__(self, message: str, *path: str):
        self.path = path
        super().__init__(message)


def build(declaration: Declaration) -> dict[str, BaseNode]:
    """Returns a component object for each node, upstream nodes first.

    Raises:
        DeclarationError: at least one component refused its arguments; nodes downstream of those are not tried.
    """
    problems: list[Problem] = []
    built: dict[str, BaseNode] = {}
    for node in _in_order(declaration):
        needed = {reference.node for reference in node.references()} | set(node.options.after)
        if not needed <= built.keys():
            continue
        _import_own(declaration, node)
        try:
            with _condition(node, built), _loop(node, built) as item:
                component = _component(node, built, item, _defaults(declaration, node))
        except _Refused as refusal:
            problems.append(_problem(declaration, node, str(refusal), *refusal.path))
            continue
        except (TypeError, ValueError, AttributeError, ImportError, SyntaxError, NotImplementedError) as error:
            problems.append(_problem(declaration, node, f"{node.component} refuses its arguments: {error}"))
            continue
        component.with_id(node.id)
        for earlier in node.options.after:
            component.add_upstream_node(built[earlier])
        _apply_options(component, node)
        built[node.id] = component
    if problems:
        raise DeclarationError(problems)
    return {node_id: built[node_id] for node_id in declaration.nodes}


def _import_own(declaration: Declaration, node: Node) -> None:
    """Imports an own component's module. What its code raises is not a mistake in the declaration, and goes through."""
    module, separator, _ = node.component.partition(":")
    if not separator:
        return
    try:
        importlib.import_module(module)
    except BaseException as error:
        place = declaration.place(node.id, "component")
        error.add_note(f"while importing {module} for node {node.id!r}, {place.file}:{place.line}")
        raise


@contextmanager
def _condition(node: Node, built: Mapping[str, BaseNode]) -> Iterator[None]:
    """Components made inside run only where the node's condition holds."""
    if node.when is None:
        yield
        return
    with conditional.Cond(_predicate(node.when, built)):
        yield


@contextmanager
def _loop(node: Node, built: Mapping[str, BaseNode]) -> Iterator[channel.BaseChannel | None]:
    """A component made inside, with the item as an input, runs for each artifact of an output."""
    outputs = {value.reference for value in node.arguments.values() if isinstance(value, EachArtifact)}
    if not outputs:
        yield None
        return
    [reference] = outputs
    with for_each.ForEach(_output(reference, built, "for_each")) as item:
        yield item


def _predicate(condition: conditions.Condition, built: Mapping[str, BaseNode]) -> Any:
    if isinstance(condition, conditions.Not):
        return ph.logical_not(_predicate(condition.condition, built))
    if isinstance(condition, conditions.Combination):
        combine = ph.logical_and if condition.operator == "and" else ph.logical_or
        return combine(_predicate(condition.left, built), _predicate(condition.right, built))
    output = _output(OutputReference(condition.node, condition.output), built, "when")
    artifact = output.future()[0]
    if condition.property is None:
        if not issubclass(output.type, ValueArtifact):
            raise _Refused(
                f"when: {condition.node}.{condition.output} is {output.type_name}, which holds no value; ask for a "
                "property of it, as in ${nodes.evaluator.blessing}.blessed",
                "when",
            )
        actual = artifact.value
    elif condition.property in (output.type.PROPERTIES or {}):
        actual = artifact.property(condition.property)
    else:
        actual = artifact.custom_property(condition.property)
    return _COMPARE[condition.operator](actual, condition.literal)


def _problem(declaration: Declaration, node: Node, message: str, *path: str) -> Problem:
    place = declaration.place(node.id, *path)
    return Problem(f"node {node.id!r}: {message}", place.file, place.line, place.column)


def _in_order(declaration: Declaration) -> list[Node]:
    ordered: dict[str, Node] = {}
    remaining = dict(declaration.nodes)
    while remaining:
        for node in list(remaining.values()):
            needed = {reference.node for reference in node.references()} | set(node.options.after)
            if needed <= ordered.keys():
                ordered[node.id] = remaining.pop(node.id)
                break
        else:
            raise ValueError(f"nodes {sorted(remaining)} depend on each other in a circle")
    return list(ordered.values())


def _defaults(declaration: Declaration, node: Node) -> dict[str, Any]:
    """Returns what holds for parameters that the node leaves out, where that is not what TFX takes."""
    if node.component != "Transform" or "stats_options_updater_fn" in node.arguments:
        return {}
    # Transform's passes over all examples for statistics are made where somebody asks for these.
    outputs = catalog.load().components["Transform"].outputs
    optional = {name for name, output in outputs.items() if "disable_statistics" in output.needs}
    references = [reference for other in declaration.nodes.values() for reference in other.references()]
    asked = {reference.output for reference in references if reference.node == node.id}
    return {"disable_statistics": asked.isdisjoint(optional)}


def _component(
    node: Node, built: Mapping[str, BaseNode], item: channel.BaseChannel | None, defaults: Mapping[str, Any]
) -> BaseNode:
    if node.component == "Resolver":
        return _resolver(node, built)
    if node.component == "Importer":
        return _importer(node)
    known = catalog.load().components.get(node.component)
    factory = _load_object(known.class_path if known else node.component)
    arguments = dict(defaults)
    for name, value in node.arguments.items():
        parameter = known.parameters.get(name) if known else None
        arguments[name] = item if isinstance(value, EachArtifact) else _argument(name, value, parameter, built)
    component = factory(**arguments)
    if not isinstance(component, BaseNode):
        raise _Refused(f"{node.component} made a {type(component).__name__}, not a TFX component", "component")
    return component


def _argument(name: str, value: Any, parameter: catalog.Parameter | None, built: Mapping[str, BaseNode]) -> Any:
    if isinstance(value, OutputReference):
        return _output(value, built, name)
    if isinstance(value, tuple):
        return channel.union([_output(reference, built, name) for reference in value])
    if parameter is None:
        return value
    if parameter.kind == "message" and parameter.type is not None:
        return _message(parameter.type, value, name)
    if parameter.kind == "object" and parameter.type is not None:
        fields = catalog.load().objects[parameter.type]
        return _load_object(parameter.type)(
            **{key: _argument(name, item, fields.get(key), built) for key, item in value.items()}
        )
    if parameter.kind == "executor":
        executor = _load_object(value)
        is_beam = issubclass(executor, base_beam_executor.BaseBeamExecutor)
        return executor_spec.BeamExecutorSpec(executor) if is_beam else executor_spec.ExecutorClassSpec(executor)
    return value


def _message(full_name: str, value: Any, argument: str) -> Any:
    python = catalog.load().messages[full_name].python
    if python is None:
        raise _Refused(f"{full_name} cannot be written in a declaration", argument)
    try:
        return json_format.ParseDict(value, _load_object(python)())
    except json_format.ParseError as error:
        raise _Refused(f"{argument} is no {full_name}: {error}", argument) from error


def _output(reference: OutputReference, built: Mapping[str, BaseNode], argument: str) -> channel.BaseChannel:
    outputs = built[reference.node].outputs
    if reference.output not in outputs:
        allowed = ", ".join(outputs) or "none"
        raise _Refused(f"{reference} does not exist; outputs of {reference.node!r}: {allowed}", argument)
    return outputs[reference.output]


def _resolver(node: Node, built: Mapping[str, BaseNode]) -> resolver.Resolver:
    known = catalog.load().strategies
    name = node.arguments["strategy_class"]
    strategy = known.get(name)
    config = dict(node.arguments.get("config") or {})
    if strategy is not None:
        for key, parameter in strategy.parameters.items():
            if key in config and parameter.kind == "message" and parameter.type is not None:
                config[key] = _message(parameter.type, config[key], "config")
    channels = {}
    for key, value in node.arguments.items():
        if key in ("strategy_class", "config"):
            continue
        channels[key] = _channel(value) if isinstance(value, ChannelQuery) else _argument(key, value, None, built)
    strategy_class = _load_object(strategy.class_path if strategy else name)
    return resolver.Resolver(strategy_class=strategy_class, config=config or None, **channels)


def _channel(query: ChannelQuery) -> channel.Channel:
    return channel.Channel(
        type=_artifact_class(query.type),
        producer_component_id=query.producer_component_id,
        output_key=query.output_key,
    )


def _importer(node: Node) -> importer.Importer:
    arguments = dict(node.arguments)
    arguments["artifact_type"] = _artifact_class(arguments["artifact_type"])
    return importer.Importer(**arguments)


def _artifact_class(name: str) -> Any:
    return _load_object(catalog.load().artifact_types.get(name, name))


def _load_object(path: str) -> Any:
    """Returns what `package.module:Name` or `package.module.Name` names."""
    module, separator, name = path.partition(":")
    if not separator:
        module, _, name = path.rpartition(".")
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _apply_options(component: BaseNode, node: Node) -> None:
    options = node.options
    if options.retries or options.timeout_seconds:
        component.node_execution_options = execution_options.NodeExecutionOptions(
            max_execution_retries=options.retries,
            execution_timeout_sec=int(options.timeout_seconds or 0),
        )
    if not isinstance(component, base_component.BaseComponent):
        return
    if options.runner and isinstance(component.executor_spec, executor_spec.BeamExecutorSpec):
        # Options of the node come after the pipeline's own, and Beam takes the last.
        component.with_beam_pipeline_args(profiles.pipeline_args(options.runner))
    settings = {
        "backoff_seconds": options.backoff_seconds,
        "cache_ttl_seconds": options.cache.ttl_seconds or 0.0,
        "env": dict(options.env),
        "resources": options.resources.model_dump(exclude_none=True),
    }
    if any(settings.values()):
        packed = struct_pb2.Struct()
        packed.update(settings)
        component.with_platform_config(packed)
