"""Runs a node's executor in this process, and describes what it made. Loads what the executor needs."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import json_format
from tfx import types
from tfx.dsl.io import fileio
from tfx.orchestration.portable import (
    beam_executor_operator,
    data_types,
    outputs_utils,
    python_executor_operator,
)
from tfx.proto import example_gen_pb2
from tfx.proto.orchestration import executable_spec_pb2, execution_invocation_pb2, execution_result_pb2
from tfx.types import standard_component_specs
from tfx.types.value_artifact import ValueArtifact

from penstock.beam import (
    cached_sizes,
    fast_reading,
    option_views,
    packaging,
    pickling,
    profiles,
    signatures,
    state_sampling,
)
from penstock.engine import autograph, content, csv_check, staging
from penstock.engine.content import DIGEST_PROPERTY, SIZE_PROPERTY
from penstock.errors import PenstockError
from penstock.summaries import writer

_LOG = logging.getLogger(__name__)
_CSV_EXECUTOR = "tfx.components.example_gen.csv_example_gen.executor.Executor"
_TRANSFORM_EXECUTOR = "tfx.components.transform.executor.Executor"


class ExecutorError(PenstockError):
    """Indicates that an executor ended with an error code of its own."""


@dataclass
class Executed:
    """What an executor made.

    Attributes:
        output: TFX's record of the outputs, to be published.
        summaries: for each output key a list with one `(kind, view)` or None per artifact.
    """

    output: execution_result_pb2.ExecutorOutput
    summaries: dict[str, list[tuple[str, dict[str, Any]] | None]] = field(default_factory=dict)


def execute(invocation: execution_invocation_pb2.ExecutionInvocation, executor_spec: Any) -> Executed:
    """Runs the executor that `executor_spec` names on what `prepare` resolved.

    Whatever happens, no half-written output stays behind, and temporary folders are gone afterwards.

    Raises:
        ExecutorError: the executor reported an error code.
        DataError: the CSV files that CsvExampleGen is to read have a mistake.
        Exception: whatever the executor raised.
    """
    packaging.leave_tfx_out()
    signatures.remember()
    option_views.remember()
    cached_sizes.install()
    state_sampling.leave_out()
    pickling.install(in_process=profiles.runs_in_process(getattr(executor_spec, "beam_pipeline_args", ())))
    fast_reading.install()
    autograph.leave_tft_out()
    if _class_path(executor_spec) == _TRANSFORM_EXECUTOR:
        from penstock.beam import fast_writing, traces  # load Transform's executor

        fast_writing.install()
        traces.remember()
    info = data_types.ExecutionInfo.from_proto(invocation)
    operator = _operator(executor_spec)
    with staging.staged(info, executor_spec) as stage:
        return _execute(info, executor_spec, operator, stage)


def _execute(
    info: data_types.ExecutionInfo, executor_spec: Any, operator: Any, stage: staging.Stage | None
) -> Executed:
    # What an attempt that was killed left behind.
    outputs_utils.remove_output_dirs(_existing(info.output_dict))
    _remove(info.tmp_dir)
    fileio.makedirs(info.tmp_dir)
    outputs_utils.make_output_dirs(info.output_dict)
    try:
        if stage is not None:
            stage.fetch(info.exec_properties)
        if _class_path(executor_spec) == _CSV_EXECUTOR:
            _check_csv(info)
        if _class_path(executor_spec) == _TRANSFORM_EXECUTOR:
            from penstock.beam import analysis_keys  # loads Transform's executor

            analysis_keys.install(_digests(info.input_dict.get(standard_component_specs.EXAMPLES_KEY, ())))
        output = operator.run_executor(info)
        if output.execution_result.code != 0:
            raise ExecutorError(output.execution_result.result_message or f"error code {output.execution_result.code}")
        _add_missing(output, info.output_dict)
        _check_present(output, info.output_dict)
        if stage is not None:
            stage.correct_files()
        for artifacts in output.output_artifacts.values():
            for artifact in artifacts.artifacts:
                _record_content(artifact)
        executed = Executed(output)
        _summarise(executed, info)
        if stage is not None:
            stage.publish(output)
            executed.summaries = stage.original_view(executed.summaries)
    except BaseException:
        _discard(info.output_dict)
        raise
    finally:
        _remove(info.tmp_dir)
    _remove(info.stateful_working_dir)
    return executed


def _existing(outputs: Mapping[str, Sequence[types.Artifact]]) -> dict[str, list[types.Artifact]]:
    return {
        name: [artifact for artifact in artifacts if fileio.exists(artifact.uri)] for name, artifacts in outputs.items()
    }


def _operator(spec: Any) -> Any:
    if isinstance(spec, executable_spec_pb2.BeamExecutableSpec):
        return beam_executor_operator.BeamExecutorOperator(spec)
    if isinstance(spec, executable_spec_pb2.PythonClassExecutableSpec):
        return python_executor_operator.PythonExecutorOperator(spec)
    raise ExecutorError(
        "a container component needs a backend that runs containers; the local backend runs Python executors only"
    )


def _class_path(spec: Any) -> str:
    is_beam = isinstance(spec, executable_spec_pb2.BeamExecutableSpec)
    path: str = spec.python_executor_spec.class_path if is_beam else spec.class_path
    return path


def _digests(artifacts: Sequence[types.Artifact]) -> dict[str, str]:
    """The recorded digests of artifacts, by where they lie now."""
    found = ((artifact.uri, artifact.get_string_custom_property(DIGEST_PROPERTY)) for artifact in artifacts)
    return {uri: digest for uri, digest in found if digest}


def _check_csv(info: data_types.ExecutionInfo) -> None:
    config = example_gen_pb2.Input()
    json_format.Parse(info.exec_properties[standard_component_specs.INPUT_CONFIG_KEY], config)
    csv_check.check(
        info.exec_properties[standard_component_specs.INPUT_BASE_KEY], [split.pattern for split in config.splits]
    )


def _add_missing(
    output: execution_result_pb2.ExecutorOutput, generated: Mapping[str, Sequence[types.Artifact]]
) -> None:
    """An executor that returns its own record may leave outputs out; those stand as they were generated."""
    missing = {name: artifacts for name, artifacts in generated.items() if name not in output.output_artifacts}
    outputs_utils.populate_output_artifact(output, missing)


def _check_present(
    output: execution_result_pb2.ExecutorOutput, generated: Mapping[str, Sequence[types.Artifact]]
) -> None:
    """Refuses outputs whose folder, which was there before the executor ran, is no more."""
    for name, artifacts in output.output_artifacts.items():
        # A value is a file in such a folder, and is not written where it is None.
        is_value = any(isinstance(artifact, ValueArtifact) for artifact in generated.get(name, ()))
        for artifact in artifacts.artifacts:
            folder = os.path.dirname(artifact.uri) if is_value else artifact.uri
            if "://" not in folder and not fileio.exists(folder):
                raise ExecutorError(f"{folder}: the folder of output {name!r} was deleted while the node ran")


def _record_content(artifact: Any) -> None:
    digest, size = content.digest(artifact.uri)
    if digest is not None:
        artifact.custom_properties[DIGEST_PROPERTY].string_value = digest
        artifact.custom_properties[SIZE_PROPERTY].int_value = size


def _summarise(executed: Executed, info: data_types.ExecutionInfo) -> None:
    for name, generated in info.output_dict.items():
        views: list[tuple[str, dict[str, Any]] | None] = []
        for artifact in executed.output.output_artifacts[name].artifacts:
            try:
                # A copy: merely looking up a missing property of a proto adds it.
                summary = writer.summarise(generated[0].type_name, copy.deepcopy(artifact), info)
            except Exception:
                # A view that cannot be made must not cost the result it would have shown.
                _LOG.exception("no summary of output %s at %s", name, artifact.uri)
                summary = None
            if summary is None:
                views.append(None)
            else:
                views.append((summary.kind, summary.view))
        executed.summaries[name] = views


def _discard(outputs: Mapping[str, Sequence[types.Artifact]]) -> None:
    """Removes what a failed executor wrote; where that cannot be done, the cause of the failure still counts."""
    try:
        outputs_utils.remove_output_dirs(_existing(outputs))
    except Exception as error:
        _LOG.warning("outputs of the failed attempt could not be removed: %s", error)


def _remove(folder: str | None) -> None:
    if not folder:
        return
    try:
        fileio.rmtree(folder)
    except fileio.NotFoundError:
        return
    except Exception as error:
        _LOG.warning("%s could not be removed: %s", folder, error)
