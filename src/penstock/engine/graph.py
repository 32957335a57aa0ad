"""The IR as a flat graph of nodes to run: sub-pipelines opened up, run parameters filled in, edges by node id."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from google.protobuf import struct_pb2
from tfx.orchestration.portable import runtime_parameter_utils
from tfx.proto.orchestration import executable_spec_pb2, pipeline_pb2

from penstock.errors import PenstockError, UsageError

RUN_ID_PARAMETER = "pipeline-run-id"
PIPELINE_ROOT_PARAMETER = "pipeline-root"

# After which states of the run an exit handler is called.
_AFTER = {
    "on_success": frozenset({"succeeded"}),
    "on_failure": frozenset({"failed"}),
    "always": frozenset({"succeeded", "failed", "cancelled"}),
}
_APPROVAL = "penstock_components.approval.ManualApproval"
_EXECUTABLE_SPECS = (
    executable_spec_pb2.PythonClassExecutableSpec,
    executable_spec_pb2.BeamExecutableSpec,
    executable_spec_pb2.ContainerExecutableSpec,
)


@dataclass(frozen=True)
class GraphNode:
    """One node, ready to be driven.

    Attributes:
        id: node id, unique in the graph.
        proto: the node's IR, run parameters filled in.
        pipeline_info: the pipeline it belongs to (the inner one for a node of a sub-pipeline).
        runtime_spec: pipeline root and run id of that pipeline.
        executor_spec: an executable spec, or None for system nodes (importer, resolver, pipeline begin and end).
        driver_spec: the custom driver's executable spec, or None.
        settings: Penstock's options of the node that the IR has no field for.
        upstream: ids of the nodes that must have ended first.
        enclosing: id of the node that begins the sub-pipeline it is in, or None.
    """

    id: str
    proto: pipeline_pb2.PipelineNode
    pipeline_info: pipeline_pb2.PipelineInfo
    runtime_spec: pipeline_pb2.PipelineRuntimeSpec
    executor_spec: Any = None
    driver_spec: Any = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    upstream: tuple[str, ...] = ()
    enclosing: str | None = None

    @property
    def component(self) -> str:
        """The component's class name, without its module."""
        return self.proto.node_info.type.name.rpartition(".")[2]

    @property
    def may_repeat(self) -> bool:
        """Whether it may be executed several times in a run, once for each of several sets of inputs."""
        return self.executor_spec is not None and bool(self.proto.inputs.input_graphs)

    @property
    def awaits_approval(self) -> bool:
        """Whether a person decides how it ends, rather than an executor."""
        return bool(self.proto.node_info.type.name == _APPROVAL)


@dataclass(frozen=True)
class Graph:
    """A pipeline run's nodes in an order in which each comes after its upstream nodes.

    `policy` says how the run as a whole is carried out, see `penstock.spec.RunPolicy`; what is not set is not there.
    """

    pipeline: str
    run_id: str
    nodes: Mapping[str, GraphNode]
    policy: Mapping[str, Any] = field(default_factory=dict)

    def exit_nodes(self) -> dict[str, frozenset[str]]:
        """Returns, by id, the nodes that run when the others have ended, with the states of a run they run after."""
        return {
            handler["node"]: states
            for key, states in _AFTER.items()
            for handler in self.policy.get(key, ())
            if handler.get("node")
        }

    def digest(self) -> str:
        """Returns what tells graphs of other nodes or edges apart."""
        edges = sorted((node.id, sorted(node.upstream)) for node in self.nodes.values())
        return hashlib.sha256(json.dumps([edges, sorted(self.exit_nodes())]).encode()).hexdigest()[:16]

    def upstream(self, node_id: str) -> set[str]:
        """Returns the ids of all nodes that `node_id` depends on, directly or not."""
        found = {node_id}
        for node in reversed(list(self.nodes.values())):
            if node.id in found:
                found.update(node.upstream)
        return found - {node_id}

    def downstream(self, node_id: str) -> set[str]:
        """Returns the ids of all nodes that depend on `node_id`, directly or not."""
        found = {node_id}
        for node in self.nodes.values():
            if found.intersection(node.upstream):
                found.add(node.id)
        return found - {node_id}


def build(pipeline: pipeline_pb2.Pipeline, *, run_id: str, pipeline_root: str | None = None) -> Graph:
    """Returns the graph of a compiled pipeline for one run.

    Args:
        pipeline: the IR; it is not changed.
        run_id: id of the pipeline run, written into every context of the run.
        pipeline_root: where payloads go; None keeps the root the pipeline was compiled with.
    """
    filled = pipeline_pb2.Pipeline()
    filled.CopyFrom(pipeline)
    parameters = {RUN_ID_PARAMETER: run_id}
    if pipeline_root is not None:
        parameters[PIPELINE_ROOT_PARAMETER] = pipeline_root
    runtime_parameter_utils.substitute_runtime_parameter(filled, parameters)
    if not filled.runtime_spec.pipeline_root.field_value.string_value:
        raise PenstockError(f"pipeline {filled.pipeline_info.id!r} was compiled without a pipeline root")

    nodes: dict[str, GraphNode] = {}
    for node in _walk(filled):
        if node.id in nodes:
            raise UsageError(
                f"two nodes have the id {node.id!r}, in pipeline {nodes[node.id].pipeline_info.id!r} and in"
                f" {node.pipeline_info.id!r}; give one of them another with .with_id('…')"
            )
        nodes[node.id] = node
    deployment = pipeline_pb2.IntermediateDeploymentConfig()
    filled.deployment_config.Unpack(deployment)
    policy = _settings(deployment.pipeline_level_platform_config)
    return Graph(filled.pipeline_info.id, run_id, _sorted(_without_strangers(nodes)), policy)


def _walk(
    pipeline: pipeline_pb2.Pipeline, outer: Mapping[str, str] | None = None, outer_begin: str | None = None
) -> Iterator[GraphNode]:
    """Yields a pipeline's nodes, those of its sub-pipelines among them.

    A sub-pipeline has a node that begins it, which all its other nodes wait for, and one that ends it, which waits for
    all of them and stands for the sub-pipeline where others wait for it.

    Args:
        pipeline: a pipeline or sub-pipeline.
        outer: of the pipeline around a sub-pipeline, the nodes that end its sub-pipelines, by the sub-pipeline's id.
        outer_begin: the node that begins the pipeline around a sub-pipeline.
    """
    deployment = pipeline_pb2.IntermediateDeploymentConfig()
    pipeline.deployment_config.Unpack(deployment)
    ends = {
        entry.sub_pipeline.pipeline_info.id: entry.sub_pipeline.nodes[-1].pipeline_node.node_info.id
        for entry in pipeline.nodes
        if entry.HasField("sub_pipeline")
    }
    is_inner = outer is not None
    ids = [
        ends[entry.sub_pipeline.pipeline_info.id]
        if entry.HasField("sub_pipeline")
        else entry.pipeline_node.node_info.id
        for entry in pipeline.nodes
    ]
    begin = ids[0] if is_inner else None
    for entry in pipeline.nodes:
        if entry.HasField("sub_pipeline"):
            yield from _walk(entry.sub_pipeline, ends, begin)
            continue
        node = entry.pipeline_node
        node_id = node.node_info.id
        enclosing = outer_begin if node_id == begin else begin
        stand_ins = outer if outer is not None and node_id == begin else ends
        upstream = [stand_ins.get(name, name) for name in node.upstream_nodes]
        if enclosing:
            upstream.append(enclosing)
        if is_inner and node_id == ids[-1]:
            upstream += ids[:-1]
        yield GraphNode(
            id=node_id,
            proto=node,
            pipeline_info=pipeline.pipeline_info,
            runtime_spec=pipeline.runtime_spec,
            executor_spec=_unpack(deployment.executor_specs.get(node_id)),
            driver_spec=_unpack(deployment.custom_driver_specs.get(node_id)),
            settings=_settings(deployment.node_level_platform_configs.get(node_id)),
            upstream=tuple(upstream),
            enclosing=enclosing,
        )


def _unpack(packed: Any) -> Any:
    if packed is None:
        return None
    for message_class in _EXECUTABLE_SPECS:
        if packed.Is(message_class.DESCRIPTOR):
            message = message_class()
            packed.Unpack(message)
            return message
    raise PenstockError(f"the IR holds an executor of the unknown kind {packed.type_url!r}")


def _settings(packed: Any) -> Mapping[str, Any]:
    settings = struct_pb2.Struct()
    if packed is None or not packed.Is(struct_pb2.Struct.DESCRIPTOR):
        return {}
    packed.Unpack(settings)
    from google.protobuf import json_format

    result: dict[str, Any] = json_format.MessageToDict(settings)
    return result


def _without_strangers(nodes: Mapping[str, GraphNode]) -> dict[str, GraphNode]:
    """Drops upstream ids that belong to a pipeline outside this IR: their outputs come from the store."""
    return {
        node.id: replace(node, upstream=tuple(dict.fromkeys(name for name in node.upstream if name in nodes)))
        for node in nodes.values()
    }


def _sorted(nodes: Mapping[str, GraphNode]) -> dict[str, GraphNode]:
    """Orders nodes by the length of the longest way to them; where it is equal, as they came."""
    downstream: dict[str, list[str]] = {name: [] for name in nodes}
    for node in nodes.values():
        for name in node.upstream:
            downstream[name].append(node.id)
    open_upstream = {node.id: len(node.upstream) for node in nodes.values()}
    layer = [name for name, count in open_upstream.items() if count == 0]
    depths: dict[str, int] = {}
    while layer:
        depths.update(dict.fromkeys(layer, len(depths)))
        following = []
        for name in layer:
            for other in downstream[name]:
                open_upstream[other] -= 1
                if open_upstream[other] == 0:
                    following.append(other)
        layer = following
    if len(depths) < len(nodes):
        left = sorted(nodes.keys() - depths.keys())
        raise PenstockError(f"the nodes {', '.join(left)} depend on each other in a circle")
    return {name: nodes[name] for name in sorted(nodes, key=depths.__getitem__)}
