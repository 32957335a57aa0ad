"""What earlier executions of a run left in the metadata store: taken over by a new run, or cleared up."""

from __future__ import annotations

from collections.abc import Mapping

from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx.orchestration.portable import execution_publish_utils, outputs_utils
from tfx.orchestration.portable.mlmd import context_lib, execution_lib

from penstock.engine import cache
from penstock.engine.graph import GraphNode
from penstock.engine.node import IMPORTER
from penstock.engine.prepared import InputKey, NodeError, Prepared, StoreHandle, input_key
from penstock.engine.publishing import discard_outputs

_State = metadata_store_pb2.Execution.State
_UNFINISHED = (_State.NEW, _State.RUNNING)


def reuse_outputs(node: GraphNode, handle: StoreHandle, this_run: str, base_run: str) -> list[Prepared]:
    """Gives a node in this run the outputs it has in another one, by reference: one for each of its executions.

    Raises:
        NodeError: the other run has no successful execution of the node, or not for all artifacts it ran for.
    """
    executions = _executions(node, handle, this_run, base_run)
    newest = {_key(node, handle, e): e for e in sorted(executions, key=_id)} if node.may_repeat else {}
    found = [e for e in executions if execution_lib.is_execution_successful(e)]
    if not found or not all(map(execution_lib.is_execution_successful, newest.values())):
        raise NodeError(f"it is not among the nodes to run, and run {base_run} has no outputs of it to use instead")
    bases = list(newest.values()) or [max(found, key=_id)]
    return [_take_over(node, handle, base) for base in sorted(bases, key=_id)]


def _take_over(node: GraphNode, handle: StoreHandle, base: metadata_store_pb2.Execution) -> Prepared:
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
        What was published and not yet recorded in the run, or None if the node has to run, or may have to run for
        some of its inputs.
    """
    finished: list[metadata_store_pb2.Execution] = []
    for execution in _executions(node, handle, run_id, run_id):
        if execution.last_known_state in _UNFINISHED:
            _cancel(node, handle, execution)
        elif execution_lib.is_execution_successful(execution):
            finished.append(execution)
    if not finished or node.may_repeat:
        return None
    return _as_prepared(handle, max(finished, key=_id))


def published(node: GraphNode, handle: StoreHandle, run_id: str) -> dict[InputKey, Prepared]:
    """Returns what a run has published of a node that may run for each of several sets of inputs, by these."""
    found = {}
    for execution in sorted(_executions(node, handle, run_id, run_id), key=_id):
        if execution_lib.is_execution_successful(execution):
            found[_key(node, handle, execution)] = _as_prepared(handle, execution)
    return found


def _as_prepared(handle: StoreHandle, execution: metadata_store_pb2.Execution) -> Prepared:
    state = "cached" if execution.last_known_state == _State.CACHED else "succeeded"
    return Prepared(state, execution.id, outputs=cache.outputs_of(handle, execution))


def _id(execution: metadata_store_pb2.Execution) -> int:
    number: int = execution.id
    return number


def _key(node: GraphNode, handle: StoreHandle, execution: metadata_store_pb2.Execution) -> InputKey:
    inputs = execution_lib.get_input_artifacts(handle, execution.id)
    # Transform may have taken earlier analyses besides, see `analyses`.
    return input_key({name: found for name, found in inputs.items() if name in node.proto.inputs.inputs})


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
