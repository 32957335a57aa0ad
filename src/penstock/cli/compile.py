"""`penstock compile`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from penstock.errors import DeclarationError, UsageError

if TYPE_CHECKING:
    from penstock.spec import Declaration


@click.command("compile")
@click.argument("path", metavar="PATH")
@click.option("--env", "environment", metavar="E", help="Environment to compile for.  [default: local]")
@click.option("--param", "-p", "parameters", metavar="KEY=VALUE", multiple=True, help="Set a parameter; repeatable.")
@click.option(
    "-o",
    "--output",
    "target",
    metavar="FILE",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write: for Kubeflow a pipeline package, .yaml; else the TFX IR, as text if it ends in .pbtxt, as "
    "JSON if in .json, else binary.",
)
@click.option("--store", metavar="STORE", help="Metadata store whose folder payloads would go to.")
def compile_(path: str, environment: str | None, parameters: tuple[str, ...], target: Path, store: str | None) -> None:
    """Compile the pipeline at PATH to the package a backend takes."""
    import sys

    from penstock import sources, spec
    from penstock.cli.run import declared_request, python_request
    from penstock.spec.parameters import split_parameters
    from penstock.spec.problem_text import render

    if not target.parent.is_dir():
        raise UsageError(f"-o {target}: the folder {target.parent} does not exist.")
    try:
        given = split_parameters(parameters)
        if sources.is_python_source(path):
            declaration = None
            request = python_request(path, environment, given, store)
        else:
            declaration = spec.load(path, parameters=given, environment=environment)
            request = declared_request(declaration, given, store)
        from penstock.backends.local import run as local
        from penstock.backends.local.workers import Workers

        with Workers() as workers:
            ir = local.compile_in_worker(workers, request)
    except DeclarationError as error:
        click.echo(render(error.problems), err=True)
        sys.exit(error.exit_status)
    if declaration is not None and declaration.environment.backend == "kubeflow":
        if target.suffix not in (".yaml", ".yml"):
            raise UsageError(f"-o {target}: a package of Kubeflow Pipelines is a YAML file; give it a name with .yaml.")
        write_package(declaration, ir, given, target)
    else:
        target.write_bytes(_in_format(ir, target.suffix))
    click.echo(f"{target}: written", err=True)


def write_package(declaration: Declaration, ir: bytes, given: Mapping[str, str], target: Path) -> None:
    """Writes the package of a declaration and what it compiled to; parameters in `given` become its defaults."""
    from penstock.engine import light_tfx

    light_tfx.load()
    from tfx.proto.orchestration import pipeline_pb2

    from penstock.backends.kubeflow import package
    from penstock.engine import graph

    built = graph.build(pipeline_pb2.Pipeline.FromString(ir), run_id="compiled")
    package.write(declaration, built, given, target)


def _in_format(ir: bytes, suffix: str) -> bytes:
    if suffix not in (".pbtxt", ".json"):
        return ir
    from penstock.engine import light_tfx

    light_tfx.load()
    from google.protobuf import json_format, text_format
    from tfx.proto.orchestration import executable_spec_pb2, pipeline_pb2  # noqa: F401 - registers what Any holds

    pipeline = pipeline_pb2.Pipeline.FromString(ir)
    if suffix == ".json":
        return json_format.MessageToJson(pipeline, preserving_proto_field_name=True).encode()
    return text_format.MessageToString(pipeline).encode()
