"""What earlier executions of a run left in the metadata store: taken over by a new run, or cleared up."""

from __future__ import annotations

from collections.abc import Mapping

from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx.orchestration.portable import execution_publish_utils, outputs_utils
from tfx.orchestration.portable.mlmd import context_lib, execution_lib

from penstock.engine import cache
from penstock.engine.graph import GraphNode
from penstock.engine.node import IMPORTER, NodeError, Prepared, StoreHandle, discard_outputs

_State = metadata_store_pb2.Execution.State
_UNFINISHED = (_State.NEW, _State.RUNNING)


def reuse_outputs(node: GraphNode, handle: StoreHandle, this_run: str, base_run: str) -> Prepared:
    """Gives a node in this run the outputs it has in another one, by reference.

    Raises:
        NodeError: the other run has no successful execution of the node.
    """
    found = [e for e in _executions(node, handle, this_run, base_run) if execution_lib.is_execution_successful(e)]
    if not found:
        raise NodeError(f"it is not among the nodes to run, and run {base_run} has no outputs of it to use instead")
    base = max(found, key=lambda execution: execution.id)
    outputs = cache.outputs_of(handle, base)
    contexts = context_lib.prepare_contexts(metadata_handle=handle, node_contexts=node.proto.contexts)
    execution = execution_publish_utils.register_execution(
        metadata_handle=handle, execution_type=node.proto.node_info.type, contexts=contexts
    )
    if node.executor_spec is None and node.proto.node_info.type.name != IMPORTER:
        # Resolvers and the ends of sub-pipelines hand artifacts through, and do not count as their producers.
        execution_publish_utils.publish_internal_execution(
            metadata_handle=handle, contexts=contexts, execution_id=execution.id, output_artifacts=outputs
        )
    else:
        execution_publish_utils.publish_cached_executions(
            metadata_handle=handle, contexts=contexts, executions=[execution], output_artifacts_maps=[outputs]
        )
    return Prepared("cached", execution.id, contexts=contexts, outputs=outputs)


def settle(node: GraphNode, handle: StoreHandle, run_id: str) -> Prepared | None:
    """Brings a node of a run that was cut short to a state from which the run can go on.

    Executions that were not published are cancelled, and what they left of their outputs is removed.

    Returns:
        What was published and not yet recorded in the run, or None if the node has to run.
    """
    finished: list[metadata_store_pb2.Execution] = []
    for execution in _executions(node, handle, run_id, run_id):
        if execution.last_known_state in _UNFINISHED:
            _cancel(node, handle, execution)
        elif execution_lib.is_execution_successful(execution):
            finished.append(execution)
    if not finished:
        return None
    newest = max(finished, key=lambda execution: execution.id)
    outputs = cache.outputs_of(handle, newest)
    state = "cached" if newest.last_known_state == _State.CACHED else "succeeded"
    return Prepared(state, newest.id, outputs=outputs)


def _executions(node: GraphNode, handle: StoreHandle, this_run: str, run_id: str) -> list[metadata_store_pb2.Execution]:
    """Returns the executions of a node in run `run_id`, in any state; the node belongs to a graph of `this_run`."""
    contexts = []
    for spec in node.proto.contexts.contexts:
        name = spec.name.field_value.string_value
        if spec.type.name == "pipeline_run":
            # The run of an inner pipeline has a context of its own, named with the outer run's id at the end.
            name = name.removesuffix(this_run) + run_id
        if spec.type.name in ("pipeline_run", "node"):
            contexts.append(handle.store.get_context_by_type_and_name(spec.type.name, name))
    if not contexts or any(context is None for context in contexts):
        return []
    found: list[metadata_store_pb2.Execution] = execution_lib.get_executions_associated_with_all_contexts(
        handle, contexts
    )
    return found


def _cancel(node: GraphNode, handle: StoreHandle, execution: metadata_store_pb2.Execution) -> None:
    if node.executor_spec is not None:
        resolver = outputs_utils.OutputsResolver(node.proto, node.pipeline_info, node.runtime_spec)
        slots: Mapping[str, list[types.Artifact]] = resolver.generate_output_artifacts(execution.id)
        discard_outputs(Prepared("run", execution.id, outputs=dict(slots)))
    execution.last_known_state = _State.CANCELED
    handle.store.put_executions([execution])
