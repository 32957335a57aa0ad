"""When a node need not run: the key of what it would do, and the outputs of an earlier execution with the same key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import metadata as packages
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration.portable import cache_utils
from tfx.orchestration.portable.mlmd import context_lib
from tfx.types import Artifact

from penstock.engine import user_code
from penstock.engine.artifact_properties import DIGEST_PROPERTY
from penstock.engine.graph import GraphNode

# What decides a node's result besides its own code, inputs and parameters.
_PACKAGES = ("tfx", "tensorflow", "keras", "tensorflow-transform", "tensorflow-model-analysis", "apache-beam")


def key_parts(
    node: GraphNode,
    inputs: Mapping[str, Sequence[Artifact]],
    parameters: Mapping[str, Any],
    import_roots: Sequence[Path],
) -> dict[str, Any]:
    """Returns everything the cache key is made of, by name, so that two keys can be compared part by part.

    Where and how a node runs (Beam's options, resources) is left out: it must not change the result.
    """
    class_path = _class_path(node.executor_spec)
    return {
        "pipeline": node.pipeline_info.id,
        "node": node.id,
        "component": node.proto.node_info.type.name,
        "executor": class_path,
        "inputs": {name: [_identity(artifact) for artifact in inputs[name]] for name in sorted(inputs)},
        "outputs": {
            name: _hash(spec.SerializeToString(deterministic=True))
            for name, spec in sorted(node.proto.outputs.outputs.items())
        },
        "parameters": {name: _hash(str(parameters[name]).encode()) for name in sorted(parameters)},
        "environment": dict(node.settings.get("env", {})),
        "code": user_code.digests(user_code.entry_points(parameters, [class_path]), import_roots),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def key(parts: Mapping[str, Any]) -> str:
    """Returns the cache key of the given parts as a hexadecimal SHA-256."""
    return _hash(json.dumps(parts, sort_keys=True).encode())


def context(handle: Any, cache_key: str) -> metadata_store_pb2.Context:
    """Returns, registering it if new, the context that all executions of one cache key share, as TFX keeps it."""
    return context_lib.register_context_if_not_exists(
        metadata_handle=handle, context_type_name=context_lib.CONTEXT_TYPE_EXECUTION_CACHE, context_name=cache_key
    )


def find(handle: Any, cache_context: metadata_store_pb2.Context) -> dict[str, list[Artifact]] | None:
    """Returns the outputs of the newest successful execution of the key whose payloads still exist, or None."""
    return cache_utils.get_cached_outputs(metadata_handle=handle, cache_context=cache_context)


def _identity(artifact: Artifact) -> str:
    """What an input is, as far as its reader can see: its content where that was recorded, else its place."""
    if artifact.has_custom_property(DIGEST_PROPERTY):
        properties = {
            name: value.WhichOneof("value") and str(getattr(value, value.WhichOneof("value")))
            for name, value in artifact.mlmd_artifact.properties.items()
        }
        return f"{artifact.get_string_custom_property(DIGEST_PROPERTY)} {json.dumps(properties, sort_keys=True)}"
    return f"{artifact.id} {artifact.uri}"


def _class_path(spec: Any) -> str:
    if spec is None:
        return ""
    if hasattr(spec, "python_executor_spec"):
        return str(spec.python_executor_spec.class_path)
    return str(getattr(spec, "class_path", "")) or _hash(spec.SerializeToString(deterministic=True))


def _version(name: str) -> str:
    try:
        return packages.version(name)
    except packages.PackageNotFoundError:
        return "-"


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
