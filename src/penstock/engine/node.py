"""What comes before a node's executor: inputs, parameters, cache, registration. Needs no TensorFlow.

`engine/execution.py` runs the executor, in another process; `engine/publishing.py` records how it ended.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import placeholder_utils
from tfx.dsl.io import fileio
from tfx.orchestration import data_types_utils
from tfx.orchestration.portable import (
    data_types,
    execution_publish_utils,
    importer_node_handler,
    inputs_utils,
    outputs_utils,
    python_driver_operator,
)
from tfx.orchestration.portable.input_resolution import exceptions as resolution_errors
from tfx.orchestration.portable.mlmd import context_lib, execution_lib

from penstock.engine import analyses, cache, content, input_files, spans
from penstock.engine.graph import GraphNode
from penstock.engine.prepared import Artifacts, InputKey, NodeError, Prepared, StoreHandle, input_key
from penstock.engine.publishing import publish_cancelled, publish_failure
from penstock.errors import PenstockError
from penstock.storage.waiting import StorageAwayError, StorageError

IMPORTER = "tfx.dsl.components.common.importer.Importer"
_RESOLVER = "tfx.dsl.components.common.resolver.Resolver"
# What TFX says of a strategy that resolves to nothing.
_FOUND_NOTHING = re.compile(r"<[\w.]+\.(\w+) object at 0x\w+> returned None")
_BLESSINGS = ("ModelBlessing", "InfraBlessing")
# A driver runs in the scheduling process, which must stay free of user code and TensorFlow.
_DRIVER_MODULE = spans.DRIVER_MODULE


def prepare(
    node: GraphNode,
    handle: StoreHandle,
    *,
    import_roots: Sequence[Path] = (),
    no_cache_because: str | None = None,
    skipped: Collection[str] = (),
    published: Mapping[InputKey, Prepared] = MappingProxyType({}),
) -> list[Prepared]:
    """Resolves inputs, registers the executions, and decides for each whether the executor must run.

    Args:
        node: the node; its upstream nodes have ended.
        handle: the metadata store.
        import_roots: folders the user's code is imported from.
        no_cache_because: why earlier results may not be reused; None if they may.
        skipped: ids of its upstream nodes that were skipped. A node is skipped too where these leave a required input
            empty, where one of them is to bless its model, or where they hold the sub-pipeline it is in.
        published: what this run has published of the node already, by its inputs.

    Returns:
        One for each set of inputs: several where the node runs for each artifact of a channel, in their order.

    Raises:
        NodeError: if inputs or parameters do not resolve; an execution is then published as failed, and the others
            that were registered as cancelled.
    """
    if node.enclosing in skipped or _gates(node).intersection(skipped):
        return [Prepared("skipped")]
    node_type = node.proto.node_info.type.name
    if node_type == IMPORTER and not node.proto.inputs.conditionals:
        return [_import(node, handle)]

    contexts = context_lib.prepare_contexts(metadata_handle=handle, node_contexts=node.proto.contexts)
    declared = data_types_utils.build_parsed_value_dict(
        inputs_utils.resolve_parameters_with_schema(node_parameters=node.proto.parameters)
    )
    try:
        resolved = inputs_utils.resolve_input_artifacts(pipeline_node=node.proto, metadata_handle=handle)
        if isinstance(resolved, inputs_utils.Skip):
            return [Prepared("skipped", contexts=contexts)]
        if node_type == IMPORTER:  # its condition holds
            return [_import(node, handle)]
        is_sub_pipeline = node.executor_spec is None and node_type != _RESOLVER
        if len(resolved) > 1 and (node.awaits_approval or is_sub_pipeline):
            raise NodeError(
                f"ForEach gives it {len(resolved)} sets of inputs; a sub-pipeline and a ManualApproval take one. Hand"
                " it all of them as one input, without ForEach"
            )
        sets: list[Artifacts] = [{name: list(found) for name, found in inputs.items()} for inputs in resolved]
        parameters = [{**declared, **_dynamic_parameters(node, inputs)} for inputs in sets]
    except (resolution_errors.InputResolutionError, NodeError) as error:
        if skipped and isinstance(error, resolution_errors.InsufficientInputError):
            return [Prepared("skipped", contexts=contexts)]
        execution = _register(node, handle, contexts, {}, declared)
        message = _resolution_message(node, error)
        publish_failure(handle, execution.id, contexts, message)
        raise NodeError(message) from error

    prepared: list[Prepared] = []
    try:
        for inputs, values in zip(sets, parameters, strict=True):
            done = published.get(input_key(inputs))
            if done is None and node.executor_spec is None:
                done = _hand_through(node, handle, contexts, inputs, values)
            prepared.append(
                done or _prepare_execution(node, handle, contexts, inputs, values, import_roots, no_cache_because)
            )
    except Exception:
        for other in prepared:
            if other.state == "run" and other.execution_id is not None:
                publish_cancelled(handle, other.execution_id)
        raise
    return prepared


def _hand_through(
    node: GraphNode,
    handle: StoreHandle,
    contexts: list[metadata_store_pb2.Context],
    inputs: Artifacts,
    parameters: dict[str, Any],
) -> Prepared:
    """Does all there is to do for a resolver, or for the begin or end of a sub-pipeline."""
    is_resolver = node.proto.node_info.type.name == _RESOLVER
    names = inputs if is_resolver else node.proto.outputs.outputs
    handed_through = {name: inputs[name] for name in names if name in inputs}
    # As TFX records it, a resolver has no inputs: what it found goes out alone.
    execution = _register(node, handle, contexts, {} if is_resolver else inputs, parameters)
    execution_publish_utils.publish_internal_execution(
        metadata_handle=handle, contexts=contexts, execution_id=execution.id, output_artifacts=handed_through
    )
    return Prepared("succeeded", execution.id, contexts=contexts, outputs=handed_through)


def _gates(node: GraphNode) -> set[str]:
    """Ids of the nodes whose blessing it waits for. TFX's Pusher takes a missing one for consent."""
    return {
        channel.producer_node_query.id
        for spec in node.proto.inputs.inputs.values()
        for channel in spec.channels
        if channel.artifact_query.type.name in _BLESSINGS
    }


def _prepare_execution(
    node: GraphNode,
    handle: StoreHandle,
    contexts: list[metadata_store_pb2.Context],
    inputs: Artifacts,
    parameters: dict[str, Any],
    import_roots: Sequence[Path],
    no_cache_because: str | None,
) -> Prepared:
    execution = _register(node, handle, contexts, inputs, parameters)
    try:
        return _decide(node, handle, execution, contexts, inputs, parameters, import_roots, no_cache_because)
    except Exception as error:
        publish_failure(handle, execution.id, contexts, str(error))
        raise


def _decide(
    node: GraphNode,
    handle: StoreHandle,
    execution: metadata_store_pb2.Execution,
    contexts: list[metadata_store_pb2.Context],
    inputs: Artifacts,
    parameters: dict[str, Any],
    import_roots: Sequence[Path],
    no_cache_because: str | None,
) -> Prepared:
    resolver = outputs_utils.OutputsResolver(node.proto, node.pipeline_info, node.runtime_spec)
    outputs = dict(resolver.generate_output_artifacts(execution.id))
    deciding = parameters
    if node.driver_spec is not None:
        _run_driver(node, handle, resolver, inputs, outputs, parameters)
        # However a span was asked for, what counts is the one that was found.
        deciding = {name: value for name, value in parameters.items() if name != spans.RANGE_CONFIG}

    parts = cache.key_parts(node, inputs, deciding, import_roots)
    cache_context = cache.context(handle, cache.key(parts))
    contexts = [*contexts, cache_context]
    if no_cache_because is not None:
        decision = cache.Decision(cache_context.name, parts, "off", no_cache_because)
    elif not node.proto.execution_options.caching_options.enable_cache:
        decision = cache.Decision(cache_context.name, parts, "off", "the declaration switches the node's cache off")
    else:
        decision = cache.look_up(handle, cache_context, parts, node.settings.get("cache_ttl_seconds") or None)
    if decision.outcome == "hit":
        outputs = dict(decision.outputs)
        execution_publish_utils.publish_cached_executions(
            metadata_handle=handle, contexts=contexts, executions=[execution], output_artifacts_maps=[outputs]
        )
        return Prepared("cached", execution.id, contexts=contexts, outputs=outputs, cache=decision)

    _check_present(inputs)
    notes: list[str] = []
    if analyses.takes_earlier(node):
        inputs, notes = _with_earlier_analyses(node, handle, execution, contexts, inputs, outputs, decision)
    invocation = data_types.ExecutionInfo(
        execution_id=execution.id,
        input_dict=inputs,
        output_dict=outputs,
        exec_properties=parameters,
        execution_output_uri=resolver.get_executor_output_uri(execution.id),
        stateful_working_dir=resolver.get_stateful_working_directory(execution),
        tmp_dir=resolver.make_tmp_dir(execution.id),
        pipeline_node=node.proto,
        pipeline_info=node.pipeline_info,
        pipeline_run_id=node.runtime_spec.pipeline_run_id.field_value.string_value,
    ).to_proto()
    return Prepared("run", execution.id, invocation, contexts, outputs, decision, notes)


def _with_earlier_analyses(
    node: GraphNode,
    handle: StoreHandle,
    execution: metadata_store_pb2.Execution,
    contexts: Sequence[metadata_store_pb2.Context],
    inputs: Artifacts,
    outputs: Artifacts,
    decision: cache.Decision,
) -> tuple[Artifacts, list[str]]:
    """Returns a Transform's inputs with what is found of its earlier analyses, and marks those it is going to keep."""
    digest = analyses.code_digest(decision.parts)
    for artifact in outputs[analyses.OUTPUT]:
        artifact.set_string_custom_property(content.CODE_PROPERTY, digest)
    if decision.outcome == "off":  # nothing of earlier runs is wanted
        return inputs, []
    earlier, notes = analyses.find(node, handle, inputs, digest)
    if earlier is None:
        return inputs, notes
    added: Artifacts = {analyses.INPUT: [earlier]}
    execution_lib.put_execution(handle, execution, contexts, input_artifacts=added)
    return {**inputs, **added}, notes


def _check_present(inputs: Artifacts) -> None:
    for name, artifacts in inputs.items():
        for artifact in artifacts:
            # What had content when it was published.
            if artifact.has_custom_property(content.DIGEST_PROPERTY) and not fileio.exists(artifact.uri):
                raise NodeError(
                    f"{artifact.uri}: input {name!r}, artifact {artifact.id}, is gone. Put it back, or run the pipeline"
                    " without --resume, which makes anew what is missing"
                )


def _import(node: GraphNode, handle: StoreHandle) -> Prepared:
    handler = importer_node_handler.ImporterNodeHandler()
    info = handler.run(handle, node.proto, node.pipeline_info, node.runtime_spec)
    [execution] = handle.store.get_executions_by_id([info.execution_id])
    state = "cached" if execution.last_known_state == metadata_store_pb2.Execution.CACHED else "succeeded"
    return Prepared(state, info.execution_id, outputs={k: list(v) for k, v in info.output_dict.items()})


def _dynamic_parameters(node: GraphNode, inputs: Artifacts) -> dict[str, Any]:
    info = data_types.ExecutionInfo(
        input_dict=inputs,
        pipeline_node=node.proto,
        pipeline_info=node.pipeline_info,
        pipeline_run_id=node.runtime_spec.pipeline_run_id.field_value.string_value,
    )
    context = placeholder_utils.ResolutionContext(exec_info=info, executor_spec=node.executor_spec)
    found: dict[str, Any] = inputs_utils.resolve_dynamic_parameters(
        node_parameters=node.proto.parameters, context=context
    )
    return found


def _register(
    node: GraphNode,
    handle: StoreHandle,
    contexts: Sequence[metadata_store_pb2.Context],
    inputs: Artifacts,
    parameters: dict[str, Any],
) -> metadata_store_pb2.Execution:
    return execution_publish_utils.register_execution(
        metadata_handle=handle,
        execution_type=node.proto.node_info.type,
        contexts=contexts,
        input_artifacts=inputs,
        exec_properties=parameters,
    )


def _run_driver(
    node: GraphNode,
    handle: StoreHandle,
    resolver: outputs_utils.OutputsResolver,
    inputs: Artifacts,
    outputs: Artifacts,
    parameters: dict[str, Any],
) -> None:
    class_path = node.driver_spec.class_path
    if not class_path.startswith(_DRIVER_MODULE):
        raise NodeError(
            f"the custom driver {class_path} is not supported; TFX's ExampleGen drivers ({_DRIVER_MODULE}*) are"
        )
    operator = python_driver_operator.PythonDriverOperator(node.driver_spec, handle)
    declared = dict(parameters)
    try:
        found = operator.run_driver(
            data_types.ExecutionInfo(
                input_dict=inputs,
                output_dict=outputs,
                exec_properties=parameters,
                execution_output_uri=resolver.get_driver_output_uri(),
                pipeline_node=node.proto,
                pipeline_info=node.pipeline_info,
            )
        )
    except (StorageError, StorageAwayError) as error:  # which another question would only wait for again
        raise NodeError(str(error)) from error
    except (ValueError, RuntimeError, OSError) as error:
        raise NodeError(spans.explain(declared) or f"the input cannot be read: {error}") from error
    for name, value in found.exec_properties.items():
        parameters[name] = getattr(value, value.WhichOneof("value"))
    try:
        input_files.check_present(parameters)
    except PenstockError as error:
        raise NodeError(spans.explain(declared) or str(error)) from error
    for name, artifacts in found.output_artifacts.items():
        artifact_class = outputs[name][0].type
        outputs[name] = []
        for proto in artifacts.artifacts:
            artifact = artifact_class()
            artifact.set_mlmd_artifact(proto)
            outputs[name].append(artifact)


def _resolution_message(node: GraphNode, error: Exception) -> str:
    if nothing := _FOUND_NOTHING.search(str(error)):
        channels = chain.from_iterable(spec.channels for spec in node.proto.inputs.inputs.values())
        wanted = " and ".join(sorted({channel.artifact_query.type.name for channel in channels}))
        return f"{nothing[1]} finds no {wanted} in the store that it could take; run what makes them first"
    causes = [str(error)]
    cause = error.__cause__
    while cause is not None:
        causes.append(f"{type(cause).__name__}: {cause}")
        cause = cause.__cause__
    return "\n".join(causes)
