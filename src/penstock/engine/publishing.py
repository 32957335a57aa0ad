"""The end of an execution in the metadata store, and of what it wrote if it did not succeed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.io import fileio
from tfx.orchestration.portable import execution_publish_utils
from tfx.proto.orchestration import execution_result_pb2
from tfx.types.value_artifact import ValueArtifact

from penstock.engine.prepared import Artifacts, Prepared, StoreHandle


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
