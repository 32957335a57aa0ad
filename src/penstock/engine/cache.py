"""When a node need not run: the key of what it would do, and the outputs of an earlier execution with the same key."""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata as packages
from itertools import chain
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.io import fileio
from tfx.orchestration.portable.mlmd import context_lib, execution_lib
from tfx.types import Artifact, artifact_utils

from penstock.engine import content, user_code
from penstock.engine.content import CODE_PROPERTY, DIGEST_PROPERTY, LISTING_PROPERTY, SIZE_PROPERTY
from penstock.engine.graph import GraphNode
from penstock.storage import buckets, objects

_OUTPUT_EVENTS = (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.INTERNAL_OUTPUT)
# What decides a node's result besides its own code, inputs and parameters.
_PACKAGES = ("tfx", "tensorflow", "keras", "tensorflow-transform", "tensorflow-model-analysis", "apache-beam")


# Custom properties that say how an artifact came about, such as what a model was compared with to be blessed. Others
# are for its reader, such as the span of examples.
_BOOKKEEPING = frozenset(
    (CODE_PROPERTY, DIGEST_PROPERTY, LISTING_PROPERTY, SIZE_PROPERTY, "baseline_model", "baseline_model_id",
     "input_fingerprint", "is_external", "name", "pipeline_name", "producer_component", "state", "tfx_version")
)  # fmt: skip


def key_parts(
    node: GraphNode,
    inputs: Mapping[str, Sequence[Artifact]],
    parameters: Mapping[str, Any],
    import_roots: Sequence[Path],
) -> dict[str, Any]:
    """Returns everything the cache key is made of, by name, so that two keys can be compared part by part.

    Where and how a node runs (Beam's options, resources) is left out: it must not change the result.
    """
    executor = class_path(node.executor_spec)
    return {
        "pipeline": node.pipeline_info.id,
        "node": node.id,
        "component": node.proto.node_info.type.name,
        "executor": executor,
        "inputs": {name: [_identity(artifact) for artifact in inputs[name]] for name in sorted(inputs)},
        "outputs": {
            name: _hash(spec.SerializeToString(deterministic=True))
            for name, spec in sorted(node.proto.outputs.outputs.items())
        },
        "parameters": {name: _hash(repr(parameters[name]).encode()) for name in sorted(parameters)},
        "environment": dict(node.settings.get("env", {})),
        "code": user_code.digests(user_code.entry_points(parameters, [executor]), import_roots),
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


@dataclass(frozen=True)
class Decision:
    """Whether a node's result came from the cache, and why.

    Attributes:
        key: the cache key.
        parts: what the key was made of.
        outcome: `hit`, `miss`, or `off`: not looked up.
        reason: for a miss or `off`, why, as far as the store can tell without comparing keys.
        outputs: the outputs found; empty unless it is a hit.
    """

    key: str
    parts: Mapping[str, Any]
    outcome: str
    reason: str = ""
    outputs: Mapping[str, list[Artifact]] = field(default_factory=dict)


# How far the clocks of two machines that share a store may differ.
_CLOCK_SKEW_SECONDS = 60.0
NOTHING_YET = "no earlier execution has this key"


def look_up(
    handle: Any,
    cache_context: metadata_store_pb2.Context,
    parts: Mapping[str, Any],
    max_age_seconds: float | None = None,
) -> Decision:
    """Looks for the newest successful execution of the key whose payloads are what they were when they were made.

    Args:
        handle: the metadata store.
        cache_context: the key's context.
        parts: what the key was made of.
        max_age_seconds: older executions do not count; None for any age.
    """
    name = cache_context.name
    executions = handle.store.get_executions_by_context(cache_context.id)
    successful = [execution for execution in executions if execution_lib.is_execution_successful(execution)]
    reasons = []
    for execution in sorted(successful, key=lambda execution: execution.id, reverse=True):  # clocks can be set back
        if execution.last_known_state == metadata_store_pb2.Execution.CACHED:
            continue  # what it took over is an older execution's, which comes later
        age = time.time() - execution.last_update_time_since_epoch / 1000
        if max_age_seconds is not None and age < -_CLOCK_SKEW_SECONDS:
            reasons.append(
                f"execution {execution.id} lies in the future by this machine's clock, so its age is unknown"
            )
            continue
        if max_age_seconds is not None and age > max_age_seconds:
            reasons.append(f"execution {execution.id} is older than the cache may be ({max_age_seconds:g} s)")
            continue
        outputs = outputs_of(handle, execution)
        spoilt = next((cause for artifact in chain(*outputs.values()) if (cause := damage(artifact))), None)
        if spoilt is None:
            return Decision(name, parts, "hit", f"execution {execution.id} had the same key", outputs)
        reasons.append(f"the outputs of execution {execution.id} cannot be used: {spoilt}")
    return Decision(name, parts, "miss", "; ".join(reasons) or NOTHING_YET)


def outputs_of(handle: Any, execution: metadata_store_pb2.Execution) -> dict[str, list[Artifact]]:
    """Returns an execution's outputs by key, in the order in which they were published."""
    events = [e for e in handle.store.get_events_by_execution_ids([execution.id]) if e.type in _OUTPUT_EVENTS]
    artifacts = {a.id: a for a in handle.store.get_artifacts_by_id([event.artifact_id for event in events])}
    kinds = {t.id: t for t in handle.store.get_artifact_types_by_id([a.type_id for a in artifacts.values()])}
    outputs: dict[str, list[Artifact]] = defaultdict(list)
    for event in sorted(events, key=lambda event: event.path.steps[1].index if len(event.path.steps) > 1 else 0):
        artifact = artifacts[event.artifact_id]
        outputs[event.path.steps[0].key].append(artifact_utils.deserialize_artifact(kinds[artifact.type_id], artifact))
    return dict(outputs)


def damage(artifact: Artifact) -> str | None:
    """Returns what is wrong with an artifact's payload, or None if it is as it was recorded."""
    if artifact.mlmd_artifact.state != metadata_store_pb2.Artifact.LIVE:
        return f"artifact {artifact.id} is not live"
    if not artifact.uri:
        return None
    if buckets.is_object(artifact.uri) and artifact.has_custom_property(DIGEST_PROPERTY):
        return _remote_damage(artifact)
    if not fileio.exists(artifact.uri):
        return f"{artifact.uri} is gone"
    if not artifact.has_custom_property(DIGEST_PROPERTY):
        return None
    return _difference(artifact, *content.digest(artifact.uri))


def _remote_damage(artifact: Artifact) -> str | None:
    """The same of a payload on object storage, which is read only if it was written again since it was recorded."""
    files = objects.files(artifact.uri)
    if files is None:
        return f"{artifact.uri} is gone"
    if artifact.get_string_custom_property(LISTING_PROPERTY) == objects.listing(files):
        return None
    size = sum(each.size for each in files)
    as_recorded = size == artifact.get_int_custom_property(SIZE_PROPERTY)
    return _difference(artifact, content.remote_digest(artifact.uri, files) if as_recorded else None, size)


def _difference(artifact: Artifact, digest: str | None, size: int) -> str | None:
    recorded = artifact.get_int_custom_property(SIZE_PROPERTY)
    if size != recorded:
        return f"{artifact.uri} has {size} bytes, {recorded} were recorded"
    if digest != artifact.get_string_custom_property(DIGEST_PROPERTY):
        return f"{artifact.uri} has another content than was recorded"
    return None


def _identity(artifact: Artifact) -> str:
    """What an input is, as far as its reader can see: its content where that was recorded, else its place."""
    if artifact.has_custom_property(DIGEST_PROPERTY):
        proto = artifact.mlmd_artifact
        properties = {
            name: value.WhichOneof("value") and str(getattr(value, value.WhichOneof("value")))
            for name, value in chain(proto.properties.items(), proto.custom_properties.items())
            if name not in _BOOKKEEPING
        }
        return f"{artifact.get_string_custom_property(DIGEST_PROPERTY)} {json.dumps(properties, sort_keys=True)}"
    return f"{artifact.id} {artifact.uri}"


def class_path(spec: Any) -> str:
    """Returns what names an executable: a Python class, or a digest of the spec; empty where there is none."""
    if spec is None:
        return ""
    if hasattr(spec, "python_executor_spec"):
        return str(spec.python_executor_spec.class_path)
    return str(getattr(spec, "class_path", "")) or _hash(spec.SerializeToString(deterministic=True))


@functools.cache
def _version(name: str) -> str:
    try:
        return packages.version(name)
    except packages.PackageNotFoundError:
        return "-"


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
