"""Reads the bucket boundaries out of a transform graph, where Transform keeps them as constants and in no file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import tensor_util

# What `tft.apply_buckets` makes, under the name that was given to `tft.bucketize`.
_SCOPE = "/apply_buckets/assign_buckets/"
_OP = "UpperBound"


def boundaries(saved_model: Path) -> dict[str, list[float]]:
    """Returns the inner boundaries of each `tft.bucketize` and `tft.apply_buckets` by the operation's name.

    A value equal to a boundary belongs to the bucket above it.

    Args:
        saved_model: the file `saved_model.pb` of a transform graph.
    """
    model = saved_model_pb2.SavedModel.FromString(saved_model.read_bytes())
    graph = model.meta_graphs[0].graph_def
    functions = {function.signature.name: function for function in graph.library.function}
    constants = {node.name: node.attr["value"].tensor for node in graph.node if node.op == "Const"}
    found = dict(_in_nodes(graph.node, constants, functions))
    return {name: tensor_util.MakeNdarray(found[name]).ravel().tolist() for name in sorted(found)}


def _in_nodes(nodes: Any, constants: Mapping[str, Any], functions: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields names and boundaries below these nodes; `constants` are the tensors known here by name."""
    by_name = {node.name: node for node in nodes}
    for node in nodes:
        called = functions.get(node.attr["f"].func.name) if "f" in node.attr else None
        if called is not None:
            names = [argument.name for argument in called.signature.input_arg]
            passed = zip(names, map(_node_name, node.input), strict=False)  # control inputs come last
            yield from _in_nodes(
                called.node_def, {name: constants[given] for name, given in passed if given in constants}, functions
            )
        elif node.op == _OP and _SCOPE in node.name:
            source = _node_name(node.input[0])
            while source in by_name and by_name[source].op in ("Reshape", "Identity"):
                source = _node_name(by_name[source].input[0])
            if source in constants:
                yield node.name.split(_SCOPE)[0], constants[source]


def _node_name(tensor: str) -> str:
    return tensor.split(":")[0]
