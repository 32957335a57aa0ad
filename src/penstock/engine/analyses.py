"""What Transform's analyzers found in an earlier run, taken up where neither data nor code have changed.

A Transform over a window of spans then analyses the new ones alone. TFX has the analyzer cache for that, an input and
an output of Transform, and leaves it to the pipeline to hand the output of one run to the next. Here a Transform for
which nothing is declared takes its own newest one. That changes no result, so it is not part of the node's cache key.

TFT tells analyses apart by the graph that leads to them, but not by all of it: that a logarithm became a root goes
unnoticed. So only what the same code left is taken.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ml_metadata.metadata_store import ListOptions, OrderByField
from tfx.types import Artifact, artifact_utils, standard_artifacts

from penstock.engine import cache
from penstock.engine.content import CODE_PROPERTY, DIGEST_PROPERTY
from penstock.engine.graph import GraphNode
from penstock.engine.prepared import Artifacts, StoreHandle

INPUT, OUTPUT = "analyzer_cache", "updated_analyzer_cache"
_TRANSFORM_EXECUTOR = "tfx.components.transform.executor.Executor"
# More damaged ones than that are not looked at.
_MOST_TRIED = 5


def takes_earlier(node: GraphNode) -> bool:
    """Whether a node is a Transform that keeps its analyses and is not told which earlier ones to take."""
    return (
        cache.class_path(node.executor_spec) == _TRANSFORM_EXECUTOR
        and OUTPUT in node.proto.outputs.outputs
        and INPUT not in node.proto.inputs.inputs
    )


def code_digest(key_parts: Mapping[str, Any]) -> str:
    """Returns what the executions share that differ in their data alone.

    Args:
        key_parts: what the node's cache key is made of, see `cache.key_parts`.
    """
    code = {name: part for name, part in key_parts.items() if name != "inputs"}
    return hashlib.sha256(json.dumps(code, sort_keys=True).encode()).hexdigest()


def find(node: GraphNode, handle: StoreHandle, inputs: Artifacts, digest: str) -> tuple[Artifact | None, list[str]]:
    """Returns the newest analyzer cache of the same node and code that is whole.

    Args:
        node: one that takes earlier analyses.
        handle: the metadata store.
        inputs: the node's inputs.
        digest: the `code_digest` of the execution.

    Returns:
        The artifact, None if there is none; and what the node's log should say about it.
    """
    unknown = [a.uri for a in inputs.get("examples", ()) if not a.has_custom_property(DIGEST_PROPERTY)]
    if unknown:
        # Their content may have changed since they were analysed.
        return None, [f"no earlier analyses are taken up: no digest of {unknown[0]} was recorded"]
    said: list[str] = []
    for artifact in _candidates(node, handle, digest):
        damage = cache.damage(artifact)
        if damage is None:
            return artifact, [*said, f"analyses that artifact {artifact.id} keeps are taken up: {artifact.uri}"]
        said.append(f"analyses of an earlier run cannot be taken up: {damage}")
    if said:
        said.append("everything is analysed anew")
    return None, said


def _candidates(node: GraphNode, handle: StoreHandle, digest: str) -> Sequence[Artifact]:
    [name] = [spec.name.field_value.string_value for spec in node.proto.contexts.contexts if spec.type.name == "node"]
    context = handle.store.get_context_by_type_and_name("node", name)
    type_name = standard_artifacts.TransformCache.TYPE_NAME
    artifact_type = next((known for known in handle.store.get_artifact_types() if known.name == type_name), None)
    if context is None or artifact_type is None:
        return []
    wanted = f"type = '{type_name}' AND state = LIVE AND custom_properties.{CODE_PROPERTY}.string_value = '{digest}'"
    options = ListOptions(limit=_MOST_TRIED, order_by=OrderByField.ID, is_asc=False, filter_query=wanted)
    found = handle.store.get_artifacts_by_context(context.id, list_options=options)
    return [artifact_utils.deserialize_artifact(artifact_type, each) for each in found]
