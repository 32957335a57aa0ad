"""The two ends of a node: `prepare` before its executor runs, `publish…` after. Needs no TensorFlow.

What lies between, running the executor, is `engine/execution.py`, in another process.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx.dsl.compiler import placeholder_utils
from tfx.dsl.io import fileio
from tfx.orchestration import data_types_utils, metadata
from tfx.orchestration.portable import (
    data_types,
    execution_publish_utils,
    importer_node_handler,
    inputs_utils,
    outputs_utils,
    python_driver_operator,
)
from tfx.orchestration.portable.input_resolution import exceptions as resolution_errors
from tfx.orchestration.portable.mlmd import context_lib
from tfx.proto.orchestration import execution_invocation_pb2, execution_result_pb2
from tfx.types.value_artifact import ValueArtifact

from penstock.engine import cache, content, input_files, spans
from penstock.engine.graph import GraphNode
from penstock.errors import PenstockError

IMPORTER = "tfx.dsl.components.common.importer.Importer"
_RESOLVER = "tfx.dsl.components.common.resolver.Resolver"
# What TFX says of a strategy that resolves to nothing.
_FOUND_NOTHING = re.compile(r"<[\w.]+\.(\w+) object at 0x\w+> returned None")
_BLESSINGS = ("ModelBlessing", "InfraBlessing")
# A driver runs in the scheduling process, which must stay free of user code and TensorFlow.
_DRIVER_MODULE = spans.DRIVER_MODULE

Artifacts = dict[str, list[types.Artifact]]


class NodeError(PenstockError):
    """Indicates that a node could not be prepared: its inputs or parameters do not resolve."""


class StoreHandle(metadata.Metadata):
    """TFX's metadata handle over one store that stays open."""

    def __init__(self, store: Any):
        super().__init__(metadata_store_pb2.ConnectionConfig())
        self._store = store

    def __enter__(self) -> StoreHandle:
        return self

    def __exit__(self, *exc_info: object) -> None:
        return None


@dataclass
class Prepared:
    """What `prepare` decided.

    Attributes:
        state: `run` (execute `invocation`), or what became of the node without: `cached`, `succeeded` (a system node,
            all done), `skipped` (a condition is false).
        execution_id: id in the metadata store; None when skipped.
        invocation: all that an executor needs, when `state` is `run`.
        contexts: contexts the results will be published into.
        outputs: outputs known now.
        cache: what the cache answered; None where it was not asked.
    """

    state: str
    execution_id: int | None = None
    invocation: execution_invocation_pb2.ExecutionInvocation | None = None
    contexts: list[metadata_store_pb2.Context] = field(default_factory=list)
    outputs: Artifacts = field(default_factory=dict)
    cache: cache.Decision | None = None


def prepare(
    node: GraphNode,
    handle: StoreHandle,
    *,
    import_roots: Sequence[Path] = (),
    no_cache_because: str | None = None,
    skipped: Collection[str] = (),
) -> Prepared:
    """Resolves inputs, registers the execution, and decides whether the executor must run.

    Args:
        node: the node; its upstream nodes have ended.
        handle: the metadata store.
        import_roots: folders the user's code is imported from.
        no_cache_because: why earlier results may not be reused; None if they may.
        skipped: ids of its upstream nodes that were skipped. A node is skipped too where these leave a required input
            empty, where one of them is to bless its model, or where they hold the sub-pipeline it is in.

    Raises:
        NodeError: if inputs or parameters do not resolve; the execution is then published as failed.
    """
    if node.enclosing in skipped or _gates(node).intersection(skipped):
        return Prepared("skipped")
    node_type = node.proto.node_info.type.name
    if node_type == IMPORTER and not node.proto.inputs.conditionals:
        return _import(node, handle)

    contexts = context_lib.prepare_contexts(metadata_handle=handle, node_contexts=node.proto.contexts)
    parameters = data_types_utils.build_parsed_value_dict(
        inputs_utils.resolve_parameters_with_schema(node_parameters=node.proto.parameters)
    )
    try:
        resolved = inputs_utils.resolve_input_artifacts(pipeline_node=node.proto, metadata_handle=handle)
        if isinstance(resolved, inputs_utils.Skip):
            return Prepared("skipped", contexts=contexts)
        if node_type == IMPORTER:  # its condition holds
            return _import(node, handle)
        if len(resolved) > 1:
            raise NodeError(
                f"ForEach gives it {len(resolved)} sets of inputs; a node runs once, on one set. Hand it all of them as"
                " one input, without ForEach"
            )
        inputs: Artifacts = {name: list(artifacts) for name, artifacts in resolved[0].items()}
        parameters.update(_dynamic_parameters(node, inputs))
    except (resolution_errors.InputResolutionError, NodeError) as error:
        if skipped and isinstance(error, resolution_errors.InsufficientInputError):
            return Prepared("skipped", contexts=contexts)
        execution = _register(node, handle, contexts, {}, parameters)
        message = _resolution_message(node, error)
        publish_failure(handle, execution.id, contexts, message)
        raise NodeError(message) from error

    if node.executor_spec is None:  # a resolver, or begin or end of a sub-pipeline
        is_resolver = node_type == _RESOLVER
        names = inputs if is_resolver else node.proto.outputs.outputs
        handed_through = {name: inputs[name] for name in names if name in inputs}
        # As TFX records it, a resolver has no inputs: what it found goes out alone.
        execution = _register(node, handle, contexts, {} if is_resolver else inputs, parameters)
        execution_publish_utils.publish_internal_execution(
            metadata_handle=handle, contexts=contexts, execution_id=execution.id, output_artifacts=handed_through
        )
        return Prepared("succeeded", execution.id, contexts=contexts, outputs=handed_through)
    execution = _register(node, handle, contexts, inputs, parameters)
    try:
        return _prepare_execution(node, handle, execution, contexts, inputs, parameters, import_roots, no_cache_because)
    except Exception as error:
        publish_failure(handle, execution.id, contexts, str(error))
        raise


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
    return Prepared("run", execution.id, invocation, contexts, outputs, decision)


def _check_present(inputs: Artifacts) -> None:
    for name, artifacts in inputs.items():
        for artifact in artifacts:
            # What had content when it was published.
            if artifact.has_custom_property(content.DIGEST_PROPERTY) and not fileio.exists(artifact.uri):
                raise NodeError(
                    f"{artifact.uri}: input {name!r}, artifact {artifact.id}, is gone. Put it back, or run the pipeline"
                    " without --resume, which makes anew what is missing"
                )


def publish_success(
    handle: StoreHandle, prepared: Prepared, executor_output: execution_result_pb2.ExecutorOutput
) -> Artifacts:
    """Publishes an ended execution with its outputs, and returns them with their ids."""
    published = execution_publish_utils.publish_succeeded_execution(
        metadata_handle=handle,
        execution_id=prepared.execution_id,
        contexts=prepared.contexts,
        output_artifacts=prepared.outputs,
        executor_output=executor_output,
    )
    outputs = published[0] if isinstance(published, tuple) else published
    return {name: list(artifacts) for name, artifacts in (outputs or {}).items()}


def publish_failure(
    handle: StoreHandle, execution_id: int, contexts: Sequence[metadata_store_pb2.Context], message: str
) -> None:
    """Publishes an execution as failed, with the cause."""
    result = execution_result_pb2.ExecutorOutput()
    result.execution_result.code = 2  # grpc.StatusCode.UNKNOWN, what TFX records for a failed executor
    result.execution_result.result_message = message[:1000]
    execution_publish_utils.publish_failed_execution(
        metadata_handle=handle, execution_id=execution_id, contexts=contexts, executor_output=result
    )


def discard_outputs(prepared: Prepared) -> None:
    """Removes what an executor that did not succeed left of its outputs, their empty slots included.

    What cannot be removed stays: why the executor did not succeed is told, and the next attempt clears its slot.
    """
    for artifacts in prepared.outputs.values():
        for artifact in artifacts:
            slot = os.path.dirname(artifact.uri) if isinstance(artifact, ValueArtifact) else artifact.uri
            with contextlib.suppress(OSError):
                if not artifact.is_external and fileio.exists(slot):
                    fileio.rmtree(slot)


def publish_cancelled(handle: StoreHandle, execution_id: int) -> None:
    """Publishes an execution as cancelled."""
    [execution] = handle.store.get_executions_by_id([execution_id])
    execution.last_known_state = metadata_store_pb2.Execution.CANCELED
    handle.store.put_executions([execution])


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
