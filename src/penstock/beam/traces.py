"""Traces of a preprocessing_fn, remembered.

Before Transform looks at any data, it traces the user's preprocessing_fn five times, always for the same inputs, to ask
which columns its analyzers need, which the transformation needs, and which entries of the analyzer cache there are.
The questions only read the graph, but for one that empties the list of analyzers, which is filled again here.
"""

from __future__ import annotations

import types
from typing import Any

from tensorflow_transform import analyzer_nodes, impl_helper, inspect_preprocessing_fn
from tensorflow_transform.beam import analysis_graph_builder

_Trace = tuple[Any, Any, Any]
# The one for the function that was asked about last, with what tells whether it fits: a job runs one Transform.
_last: tuple[Any, _Trace, list[Any]] | None = None


def trace(preprocessing_fn: Any, input_specs: Any, use_tf_compat_v1: bool) -> _Trace:
    """Stands in for TFT's `trace_preprocessing_function`: the graph, its structured inputs and outputs."""
    global _last
    asked = (preprocessing_fn, dict(input_specs), use_tf_compat_v1)
    if _last is None or _last[0] != asked:
        found = impl_helper.trace_preprocessing_function(preprocessing_fn, input_specs, use_tf_compat_v1)
        _last = (asked, found, found[0].get_collection(analyzer_nodes.TENSOR_REPLACEMENTS))
    _, found, analyzers = _last
    graph = found[0]
    graph.clear_collection(analyzer_nodes.TENSOR_REPLACEMENTS)
    for analyzer in analyzers:
        graph.add_to_collection(analyzer_nodes.TENSOR_REPLACEMENTS, analyzer)
    return found


def remember() -> None:
    """Makes TFT's inspections use remembered traces. Idempotent."""
    for module in (inspect_preprocessing_fn, analysis_graph_builder):
        module.impl_helper = types.SimpleNamespace(**{**vars(impl_helper), "trace_preprocessing_function": trace})
