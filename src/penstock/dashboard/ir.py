"""Reads nodes and edges off a compiled pipeline without TFX.

The fields named here are those of `tfx/proto/orchestration/pipeline.proto`; protobuf skips all others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

_PACKAGE = "penstock.ir"
_STRING, _MESSAGE = descriptor_pb2.FieldDescriptorProto.TYPE_STRING, descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
# message -> [(field, number, message or None for a string, whether it is repeated)]
_MESSAGES: dict[str, list[tuple[str, int, str | None, bool]]] = {
    "Type": [("name", 2, None, False)],
    "NodeInfo": [("type", 1, "Type", False), ("id", 2, None, False)],
    "PipelineInfo": [("id", 1, None, False)],
    "PipelineNode": [("node_info", 1, "NodeInfo", False), ("upstream_nodes", 7, None, True)],
    "Entry": [("pipeline_node", 1, "PipelineNode", False), ("sub_pipeline", 2, "Pipeline", False)],
    "Pipeline": [("pipeline_info", 1, "PipelineInfo", False), ("nodes", 2, "Entry", True)],
}


@dataclass(frozen=True)
class PipelineGraph:
    """A pipeline's nodes: component by node id, in order, and (upstream, downstream) pairs of ids."""

    components: dict[str, str]
    edges: tuple[tuple[str, str], ...]


def read(serialized: bytes) -> PipelineGraph:
    """Reads a serialized `tfx.orchestration.Pipeline`; sub-pipelines are opened up.

    Raises:
        ValueError: the bytes are none.
    """
    pipeline = _pipeline_class()()
    try:
        pipeline.ParseFromString(serialized)
    except DecodeError as error:
        raise ValueError(f"this is no compiled pipeline: {error}") from error
    components: dict[str, str] = {}
    edges: list[tuple[str, str]] = []
    stand_ins: dict[str, str] = {}
    for name, component, upstream in _walk(pipeline, stand_ins):
        components[name] = component
        edges += [(before, name) for before in upstream]
    named = ((stand_ins.get(before, before), after) for before, after in edges)
    known = dict.fromkeys((a, b) for a, b in named if a in components and b in components and a != b)
    return PipelineGraph(components, tuple(known))


def _walk(pipeline: Any, stand_ins: dict[str, str]) -> Iterator[tuple[str, str, list[str]]]:
    """Yields id, component and upstream ids. `stand_ins` gets the node that ends each sub-pipeline, by its name."""
    for entry in pipeline.nodes:
        if entry.HasField("sub_pipeline"):
            inner = entry.sub_pipeline
            if inner.nodes:
                stand_ins[inner.pipeline_info.id] = inner.nodes[-1].pipeline_node.node_info.id
            yield from _walk(inner, stand_ins)
            continue
        node = entry.pipeline_node
        component = node.node_info.type.name.rpartition(".")[2]
        yield node.node_info.id, component, list(node.upstream_nodes)


@cache
def _pipeline_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="penstock_ir.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            message.field.add(
                name=field,
                number=number,
                type=_STRING if kind is None else _MESSAGE,
                type_name=None if kind is None else f".{_PACKAGE}.{kind}",
                label=descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
                if repeated
                else descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Pipeline"))
