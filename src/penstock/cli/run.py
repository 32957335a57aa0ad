"""`penstock run`."""

from __future__ import annotations

import sys

import click

from penstock import __version__, sources
from penstock.backends.local.request import RunRequest
from penstock.errors import DeclarationError, UsageError


@click.command()
@click.argument("path", metavar="PATH")
@click.option("--env", "environment", metavar="E", help="Environment to run in.  [default: local]")
@click.option("--param", "-p", "parameters", metavar="KEY=VALUE", multiple=True, help="Set a parameter; repeatable.")
@click.option("--no-cache", is_flag=True, help="Run every node, also those whose inputs did not change.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Nodes to run at a time.  [default: cores]")
@click.option("--run-id", metavar="ID", help="Name the run yourself.")
@click.option("--store", metavar="STORE", help="Metadata store: a folder or a postgresql:// URL.")
def run(
    path: str,
    environment: str | None,
    parameters: tuple[str, ...],
    no_cache: bool,
    jobs: int | None,
    run_id: str | None,
    store: str | None,
) -> None:
    """Run the pipeline at PATH on this machine, with live progress.

    PATH is a pipeline's folder, a pipeline.yaml, or FILE.py:CALLABLE that returns a tfx.dsl pipeline.
    """
    from penstock.cli.progress import Progress
    from penstock.cli.run_report import print_report
    from penstock.cli.validate import render, split_parameters
    from penstock.metadata.database import connect

    values = split_parameters(parameters)
    progress = Progress()
    try:
        request = make_request(path, environment, values, store=store, run_id=run_id, jobs=jobs, use_cache=not no_cache)
        progress.say(f"penstock {__version__}: {path}, store {request.location.display}")
        # Not before the declaration is known to be right: what follows loads and starts heavy things.
        from penstock.backends.local import run as local

        result = local.run_pipeline(request, progress.watch, progress.say)
    except DeclarationError as error:
        progress.close()
        click.echo(render(error.problems), err=True)
        sys.exit(error.exit_status)
    finally:
        progress.close()
    with connect(request.location, create=False) as database:
        print_report(progress, result.state, database)
    sys.exit({"succeeded": 0, "failed": 1, "cancelled": 130}[result.state])


def make_request(
    path: str,
    environment: str | None,
    parameters: dict[str, str],
    *,
    store: str | None = None,
    run_id: str | None = None,
    jobs: int | None = None,
    use_cache: bool = True,
) -> RunRequest:
    """Checks what was asked for and returns it as a request; loads nothing heavy.

    Raises:
        DeclarationError: the declaration is wrong.
        UsageError: the path or an option does not fit.
    """
    from penstock.metadata import location, recording

    if run_id is not None:
        recording.check_run_id(run_id)
    if sources.is_python_source(path):
        if environment is not None:
            raise UsageError(f"--env {environment}: {path} declares no environments; leave the option out.")
        from penstock.cli.validate import check_python_source

        file, name = check_python_source(path)
        project = location.find_project(file.parent)
        return RunRequest(
            source=f"{file}:{name}",
            project=project,
            import_roots=[file.parent],
            location=location.resolve(store, project=project),
            parameters=parameters,
            parameter_values=parameters,
            run_id=run_id,
            jobs=jobs,
            use_cache=use_cache,
        )
    from penstock import spec

    declaration = spec.load(path, parameters=parameters, environment=environment)
    chosen = declaration.environment
    if chosen.backend != "local":
        raise UsageError(
            f"Environment {chosen.name!r} runs on {chosen.backend}, which this version cannot start; "
            "`penstock run` takes environments with `backend: local`."
        )
    return RunRequest(
        source=str(declaration.file),
        project=declaration.project,
        import_roots=list(declaration.import_roots),
        location=location.resolve(store, chosen.metadata, declaration.project),
        parameters=parameters,
        parameter_values=declaration.parameter_values,
        environment=chosen.name,
        environment_variables=chosen.env,
        run_id=run_id,
        jobs=jobs or chosen.jobs,
        use_cache=use_cache,
    )
