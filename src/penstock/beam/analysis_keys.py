"""What Transform's analyzer cache knows an analysis by: the data's content, how it is decoded, the graph over it.

TFX takes the data's place for the data. TFT takes from the graph the attributes of its operations without their kinds,
so that `log(x)` and `sqrt(x)` are the same to it, and does not see what lies outside of the graph: the files that a
table is filled from, the Python function that an operation calls.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tensorflow_transform import graph_tools
from tensorflow_transform.beam.analyzer_cache import DatasetKey
from tfx.components.transform import executor

_describe = graph_tools.describe_path_as_analyzer_cache_hash
_create_tfxio = executor.TransformProcessor._CreateTFXIO
_expand = executor.TransformProcessor._OptimizeRun.expand
# Their bodies are part of the graph.
_CALLS = frozenset(("PartitionedCall", "StatefulPartitionedCall"))
_READ_FILES = frozenset(("ReadFile",))
# No other process has it.
_HERE_ALONE = uuid.uuid4().bytes


def install(digests: Mapping[str, str]) -> None:
    """Makes this process, which runs one Transform, keep its analyses by what they are of.

    Args:
        digests: of the examples' content, by the folder they lie in. TFX's own key remains for others.
    """
    seen: Counter[str] = Counter()

    def create_tfxio(processor: Any, dataset: Any, schema: Any) -> Any:
        tfxio = _create_tfxio(processor, dataset, schema)
        content = _content(dataset.file_pattern, digests)
        if content is not None and dataset.dataset_key.is_cached:
            name = f"{content}-{_decoding_digest(tfxio, dataset.data_view_uri)}"
            seen[name] += 1
            # The same rows twice count twice.
            dataset.dataset_key = DatasetKey(name if seen[name] == 1 else f"{name}-{seen[name]}")
        return tfxio

    executor.TransformProcessor._CreateTFXIO = create_tfxio
    executor.TransformProcessor._OptimizeRun.expand = _optimize
    graph_tools.describe_path_as_analyzer_cache_hash = describe


def describe(x: tf.Operation | tf.Tensor | str | None, parents: Sequence[bytes] | None = None) -> bytes | None:
    """Stands in for TFT's `describe_path_as_analyzer_cache_hash`, which has the same arguments.

    Returns:
        What TFT makes of a node of the graph and its `parents`, for an operation with its kind. Where an operation's
        result depends on more than that, no other process makes the same of it.
    """
    described: bytes | None = _describe(x, parents)
    if described is None or not isinstance(x, tf.Operation):
        return described
    whole = hashlib.sha256(described)
    whole.update(x.type.encode())
    if _sees_more(x):
        whole.update(_HERE_ALONE)
    return whole.digest()


def _sees_more(operation: tf.Operation) -> bool:
    if operation.type in _CALLS:
        return False
    has_body = any(value.HasField("func") for value in operation.node_def.attr.values())
    return bool(has_body or operation.op_def.is_stateful or operation.type in _READ_FILES)


class _Unread:
    """Stands in for the reader of examples whose analyses are all known."""

    def BeamSource(self, batch_size: int | None = None) -> beam.PTransform:
        """Reads nothing."""
        return beam.Create([])


def _optimize(optimization: Any, pipeline: beam.Pipeline) -> Any:
    """Stands in for `_OptimizeRun.expand`: TFX would read what nobody looks at where it is to transform it later."""
    found = _expand(optimization, pipeline)
    if not optimization._is_stats_enabled:
        for dataset in optimization._analyze_data_list:
            if found[0].get(dataset.dataset_key, dataset) is None:
                dataset.tfxio = _Unread()
    return found


def _content(file_pattern: str, digests: Mapping[str, str]) -> str | None:
    """What tells the data of a split from other data; None if it is not known."""
    for folder, digest in digests.items():
        if file_pattern.startswith(folder.rstrip(os.sep) + os.sep):
            return f"{os.path.basename(os.path.dirname(file_pattern))}-{digest}"
    return None


def _decoding_digest(tfxio: Any, data_view_uri: str | None) -> str:
    """What tells ways apart to make tensors of the same data."""
    whole = hashlib.sha256(f"{tfxio.ArrowSchema()} {data_view_uri}".encode())
    for name, representation in sorted(tfxio.TensorRepresentations().items()):
        whole.update(f"{name} {representation.SerializeToString(deterministic=True).hex()} ".encode())
    return whole.hexdigest()[:16]
