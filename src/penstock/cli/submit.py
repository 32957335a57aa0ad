"""`penstock submit`."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.output import say, shortest_path
from penstock.errors import DeclarationError, UsageError

if TYPE_CHECKING:
    from penstock.backends.kubeflow.service import RunState, Service
    from penstock.spec import Declaration

_LOOK_EVERY_SECONDS = 2.0


@click.command()
@click.argument("path", metavar="PATH")
@click.option("--env", "environment", metavar="E", required=True, help="Environment on a cluster.")
@click.option("--param", "-p", "parameters", metavar="KEY=VALUE", multiple=True, help="Set a parameter; repeatable.")
@click.option("--wait", is_flag=True, help="Stay until the run has ended; the exit status tells how.")
def submit(path: str, environment: str, parameters: tuple[str, ...], wait: bool) -> None:
    """Compile the pipeline at PATH and start it on the environment's cluster. Prints the run's id."""
    from penstock import sources, spec
    from penstock.spec.parameters import split_parameters
    from penstock.spec.problem_text import render

    if sources.is_python_source(path):
        raise UsageError(f"{path}: a cluster takes declarations, and this is Python. Give a folder or a pipeline.yaml.")
    given = split_parameters(parameters)
    try:
        declaration = spec.load(path, parameters=given, environment=environment)
        required = [name for name, parameter in declaration.parameters.items() if parameter.required]
        # With the declared defaults: the same package whatever the parameters of this run.
        general = spec.load(path, parameters={name: given[name] for name in required}, environment=environment)
        service = _service(declaration)
        run_id = _start(service, declaration, general, given)
    except DeclarationError as error:
        click.echo(render(error.problems), err=True)
        sys.exit(error.exit_status)
    click.echo(run_id)
    if wait:
        state = _end_of(service, run_id)
        say(f"Run {run_id}: {state.state.lower()}" + (f": {state.error}" if state.error else ""))
        sys.exit(0 if state.state == "SUCCEEDED" else 1)


def _service(declaration: Declaration) -> Service:
    from penstock.backends.kubeflow import service

    environment = declaration.environment
    if environment.backend != "kubeflow":
        raise UsageError(
            f"Environment {environment.name!r} has the backend {environment.backend}; `penstock submit` takes those"
            f" with `backend: kubeflow`. On this machine: penstock run {shortest_path(str(declaration.file))}"
        )
    if environment.kubeflow is None:
        raise UsageError(f"{declaration.file}: environment {environment.name!r} has no kubeflow: {{image: …}}")
    return service.connect(environment.kubeflow, f"{declaration.file}: environment {environment.name!r}")


def _start(service: Service, declaration: Declaration, general: Declaration, given: Mapping[str, str]) -> str:
    import tempfile
    from pathlib import Path

    from penstock.backends.local import run as local
    from penstock.backends.local.workers import Workers
    from penstock.cli.compile import write_package
    from penstock.cli.run import declared_request
    from penstock.metadata import recording

    service.check()
    cluster = declaration.environment.kubeflow
    assert cluster is not None
    with tempfile.TemporaryDirectory(prefix="penstock-submit-") as folder:
        target = Path(folder) / "package.yaml"
        with Workers() as workers:
            ir = local.compile_in_worker(workers, declared_request(declaration, dict(given), None))
        write_package(general, ir, {}, target)
        say(f"Compiled {declaration.name}")
        registered = service.register(declaration.name, target, declaration.description)
    what = "Uploaded" if registered.is_new else "Known already:"
    say(f"{what} {registered.version} (id {registered.version_id})")
    name = f"{declaration.name}-{recording.new_run_id()}"
    values = {key: _value(declaration, key, text) for key, text in given.items()}
    run_id = service.start(
        registered, name, values, experiment=cluster.experiment, service_account=cluster.service_account
    )
    say(f"Started {name} (id {run_id})")
    say(f"  {service.run_page(run_id)}")
    say(f"  penstock runs show {run_id}, as soon as its first step is done")
    return run_id


def _value(declaration: Declaration, name: str, text: str) -> Any:
    """A parameter's value for the cluster; a path means a place there, and stays as it was written."""
    return text if declaration.parameters[name].type == "path" else declaration.parameter_values[name]


def _end_of(service: Service, run_id: str) -> RunState:
    told = ""
    while True:
        state = service.state(run_id)
        if state.state != told:
            told = state.state
            say(f"{told.lower()} …")
        if state.has_ended:
            return state
        time.sleep(_LOOK_EVERY_SECONDS)
