"""Source to IR: `compile_source` takes what `penstock run` takes. Loads TFX."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf import struct_pb2
from tfx.dsl.compiler import compiler as tfx_compiler
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.proto.orchestration import executable_spec_pb2, pipeline_pb2

from penstock import sources, spec
from penstock.beam import profiles
from penstock.compiler import components, python_source
from penstock.engine import remote_files
from penstock.spec import Declaration


def compile_source(
    source: str,
    *,
    parameters: Mapping[str, str],
    environment: str | None,
    pipeline_root: str,
) -> pipeline_pb2.Pipeline:
    """Compiles a declaration's path, or `FILE.py:CALLABLE`.

    Args:
        source: as given on the command line.
        parameters: values of parameters, as text.
        environment: the environment's name; None for the default one. A Python source has none.
        pipeline_root: folder under which each pipeline has one for its payloads, unless the source names another.

    Raises:
        DeclarationError: the declaration is wrong, with every mistake found.
        UsageError: the Python file or function does not exist or does not fit.
    """
    remote_files.register()  # TFX keeps the code of a `module_file` in the pipeline root
    if sources.is_python_source(source):
        pipeline = python_source.load_pipeline(source, parameters)
        if not pipeline.pipeline_info.pipeline_root:
            pipeline.pipeline_info.pipeline_root = f"{pipeline_root}/{pipeline.pipeline_info.pipeline_name}"
        return _compile(pipeline)
    declaration = spec.load(source, parameters=parameters, environment=environment)
    return compile_declaration(declaration, pipeline_root=f"{pipeline_root}/{declaration.name}")


def compile_declaration(declaration: Declaration, *, pipeline_root: str) -> pipeline_pb2.Pipeline:
    """Compiles a declaration.

    Args:
        declaration: a loaded declaration.
        pipeline_root: folder for payloads, unless the environment names one.

    Raises:
        DeclarationError: a component refused its arguments, with every refusal found.
    """
    environment = declaration.environment
    instances = components.build(declaration)
    pipeline = tfx_pipeline.Pipeline(
        pipeline_name=declaration.name,
        pipeline_root=environment.pipeline_root or pipeline_root,
        components=list(instances.values()),
        enable_cache=True,
        beam_pipeline_args=profiles.pipeline_args(environment.runner, environment.beam_args),
        platform_config=_policy(declaration),
    )
    compiled = _compile(pipeline)
    for entry in compiled.nodes:
        node = declaration.nodes[entry.pipeline_node.node_info.id]
        entry.pipeline_node.execution_options.caching_options.enable_cache = node.options.cache.enabled
    return compiled


def _policy(declaration: Declaration) -> struct_pb2.Struct | None:
    """How a run as a whole is carried out, for which the IR has no field."""
    given = declaration.policy.model_dump(exclude_defaults=True)
    if not given:
        return None
    packed = struct_pb2.Struct()
    packed.update(given)
    return packed


def _compile(pipeline: tfx_pipeline.Pipeline) -> pipeline_pb2.Pipeline:
    compiled = tfx_compiler.Compiler().compile(pipeline)
    _complete_beam_args(compiled)
    return compiled


def _complete_beam_args(pipeline: pipeline_pb2.Pipeline) -> None:
    """Gives Beam nodes that do not say which runner they want the in-memory direct one, and others what they lack."""
    deployment = pipeline_pb2.IntermediateDeploymentConfig()
    pipeline.deployment_config.Unpack(deployment)
    for packed in deployment.executor_specs.values():
        beam = executable_spec_pb2.BeamExecutableSpec()
        if not packed.Unpack(beam):
            continue
        args = [placeholder.value.string_value for placeholder in beam.beam_pipeline_args_placeholders]
        for arg in profiles.missing_args(args):
            beam.beam_pipeline_args_placeholders.add().value.string_value = arg
        packed.Pack(beam)
    pipeline.deployment_config.Pack(deployment)
    for entry in pipeline.nodes:
        if entry.HasField("sub_pipeline"):
            _complete_beam_args(entry.sub_pipeline)
