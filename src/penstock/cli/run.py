"""`penstock run`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from penstock import __version__, sources
from penstock.backends.local.request import RunRequest
from penstock.cli.output import say, shortest_path
from penstock.cli.span_ranges import LARGEST_SPAN
from penstock.errors import DeclarationError, UsageError
from penstock.metadata.runs import SPAN_PARAMETER, Run
from penstock.project import find_root

if TYPE_CHECKING:
    from penstock.spec import Declaration

# Slow to import, and worth to be loaded once for all nodes of a run.
_SLOW_PACKAGES = ("tfx.v1", "keras_tuner")


@click.command()
@click.argument("path", metavar="PATH", required=False)
@click.option("--env", "environment", metavar="E", help="Environment to run in.  [default: local]")
@click.option("--param", "-p", "parameters", metavar="KEY=VALUE", multiple=True, help="Set a parameter; repeatable.")
@click.option("--from", "from_nodes", metavar="NODE", multiple=True, help="Run this node and what follows; repeatable.")
@click.option("--to", "to_nodes", metavar="NODE", multiple=True, help="Run this node and what it needs; repeatable.")
@click.option(
    "--base", metavar="RUN", help="With --from or --to: the run that lends its outputs.  [default: the latest good one]"
)
@click.option("--resume", metavar="RUN", help="Take up a run that failed or was cut short; PATH is not needed.")
@click.option("--no-cache", is_flag=True, help="Run every node, also those whose inputs did not change.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Nodes to run at a time.  [default: cores]")
@click.option("--span", type=click.IntRange(0, LARGEST_SPAN), metavar="N", help="Take this span of the data.")
@click.option("--run-id", metavar="ID", help="Name the run yourself.")
@click.option("--store", metavar="STORE", help="Metadata store: a folder or a postgresql:// URL.")
def run(
    path: str | None,
    environment: str | None,
    parameters: tuple[str, ...],
    from_nodes: tuple[str, ...],
    to_nodes: tuple[str, ...],
    base: str | None,
    resume: str | None,
    no_cache: bool,
    jobs: int | None,
    span: int | None,
    run_id: str | None,
    store: str | None,
) -> None:
    """Run the pipeline at PATH on this machine, with live progress.

    PATH is a pipeline's folder, a pipeline.yaml, or FILE.py:CALLABLE that returns a tfx.dsl pipeline.
    """
    from penstock.spec.parameters import split_parameters

    if base is not None and not (from_nodes or to_nodes):
        raise UsageError("--base goes with --from or --to: it lends outputs to the nodes outside of them.")
    if resume is not None:
        refused = {"PATH": path, "--env": environment, "-p": parameters, "--from": from_nodes, "--to": to_nodes}
        refused |= {"--run-id": run_id, "--span": None if span is None else str(span)}
        given = [name for name, value in refused.items() if value]
        if given:
            raise UsageError(f"--resume takes up a run as it was started; leave out {', '.join(given)}.")
        if _resume_on_cluster(resume, store):
            return
        carry_out(resumed(resume, store=store, jobs=jobs, use_cache=not no_cache))
    elif path is None:
        raise UsageError("Name a pipeline: penstock run PATH, or a run to take up again: penstock run --resume RUN.")
    else:
        carry_out(
            lambda: make_request(
                path,
                environment,
                split_parameters(parameters),
                store=store,
                run_id=run_id,
                jobs=jobs,
                use_cache=not no_cache,
                from_nodes=from_nodes,
                to_nodes=to_nodes,
                base_run=base,
                span=span,
            )
        )


def carry_out(ask: Callable[[], RunRequest]) -> NoReturn:
    """Makes a request and runs it with live progress and a closing report; exits with the run's status."""
    from penstock.cli.progress import Progress
    from penstock.cli.run_report import print_report
    from penstock.metadata.database import connect
    from penstock.spec.problem_text import render

    progress = Progress()
    try:
        request = ask()
        progress.say(f"penstock {__version__}: {shortest_path(request.source)}, store {request.location.display}")
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
        print_report(progress, result.state, database, result.error)
    sys.exit({"succeeded": 0, "failed": 1, "cancelled": 130}[result.state])


def _resume_on_cluster(run: str, store: str | None) -> bool:
    """Takes up a run on its cluster; returns whether it is one that runs on a cluster."""
    from penstock.metadata import location
    from penstock.metadata.database import connect
    from penstock.metadata.runs import get_run

    place = location.resolve(store)
    with connect(place, create=False) as database:
        record = get_run(database, run)
    if not record.is_on_cluster:
        return False
    from penstock.backends.kubeflow.resume import resume_run

    resume_run(place, record)
    say(f"Run {record.run_id} goes on on its cluster. See how it ends: penstock runs show {record.run_id}")
    return True


def resumed(run: str, *, store: str | None, jobs: int | None, use_cache: bool) -> Callable[[], RunRequest]:
    """Returns what makes the request to take up a recorded run.

    The request's environment variables are those that the declaration has now: they are not kept in the store.
    """

    def ask() -> RunRequest:
        from penstock.metadata import location
        from penstock.metadata.database import connect
        from penstock.metadata.runs import get_run

        place = location.resolve(store)
        with connect(place, create=False) as database:
            record = get_run(database, run)
        if record.state in ("succeeded", "running"):
            what = "is still running" if record.state == "running" else "succeeded; there is nothing left to do"
            raise UsageError(f"--resume {run}: run {record.run_id} {what}.")
        request = request_of(record, {}, store=store, jobs=jobs, use_cache=use_cache)
        return replace(request, resume=record.run_id)

    return ask


def request_of(
    record: Run, changes: Mapping[str, str], *, store: str | None, jobs: int | None, use_cache: bool
) -> RunRequest:
    """Returns the request that would start a recorded run again, with some of its parameters changed."""
    if record.source is None:
        raise UsageError(f"Run {record.run_id} does not say which pipeline it was started from.")
    recorded = dict(record.parameters)
    span = recorded.pop(SPAN_PARAMETER, None)
    parameters = {name: value if isinstance(value, str) else json.dumps(value) for name, value in recorded.items()}
    return make_request(
        record.source,
        record.environment,
        parameters | dict(changes),
        store=store,
        jobs=jobs,
        use_cache=use_cache,
        span=span,
    )


def make_request(
    path: str,
    environment: str | None,
    parameters: dict[str, str],
    *,
    store: str | None = None,
    run_id: str | None = None,
    jobs: int | None = None,
    use_cache: bool = True,
    from_nodes: Sequence[str] = (),
    to_nodes: Sequence[str] = (),
    base_run: str | None = None,
    span: int | None = None,
) -> RunRequest:
    """Checks what was asked for and returns it as a request; loads nothing heavy.

    Raises:
        DeclarationError: the declaration is wrong.
        UsageError: the path or an option does not fit.
    """
    from penstock.metadata import recording

    if run_id is not None:
        recording.check_run_id(run_id)
    if sources.is_python_source(path):
        request = python_request(path, environment, parameters, store)
    else:
        from penstock import spec

        declaration = spec.load(path, parameters=parameters, environment=environment)
        _check_it_runs_here(declaration, path)
        if span is not None:
            _check_it_has_spans(declaration)
        request = declared_request(declaration, parameters, store)
    return replace(
        request,
        run_id=run_id,
        jobs=jobs or request.jobs,
        use_cache=use_cache,
        from_nodes=from_nodes,
        to_nodes=to_nodes,
        base_run=base_run,
        span=span,
    )


def python_request(path: str, environment: str | None, parameters: dict[str, str], store: str | None) -> RunRequest:
    """Returns the request to run all of `FILE.py:CALLABLE`.

    Raises:
        DeclarationError: there is no such file, it is no Python, or it has no such name.
        UsageError: an environment is asked for.
    """
    from penstock.cli.validate import check_python_source
    from penstock.metadata import location

    if environment is not None:
        raise UsageError(f"--env {environment}: {path} declares no environments; leave the option out.")
    file, name = check_python_source(path)
    project = find_root(file.parent)
    return RunRequest(
        source=f"{file}:{name}",
        project=project,
        import_roots=[file.parent],
        location=location.resolve(store, project=project),
        parameters=parameters,
        parameter_values=parameters,
        preload=_slow_imports([str(file), *parameters.values()], [file.parent]),
    )


def declared_request(declaration: Declaration, parameters: dict[str, str], store: str | None) -> RunRequest:
    """Returns the request to run all of a declaration that was loaded with these parameters."""
    from penstock.backends.local import compiled
    from penstock.metadata import location
    from penstock.summaries import samples

    environment = declaration.environment
    place = location.resolve(store, environment.metadata, declaration.project)
    return RunRequest(
        source=str(declaration.file),
        project=declaration.project,
        import_roots=list(declaration.import_roots),
        location=place,
        compile_key=compiled.key(declaration, place.folder),
        preload=_slow_imports(declaration.user_code(), declaration.import_roots),
        parameters=parameters,
        parameter_values=declaration.parameter_values,
        environment=environment.name,
        environment_variables={**environment.env, samples.VARIABLE: str(environment.sample_rows)},
        jobs=environment.jobs,
    )


def _check_it_runs_here(declaration: Declaration, path: str) -> None:
    environment = declaration.environment
    if environment.backend != "local":
        raise UsageError(
            f"Environment {environment.name!r} runs on {environment.backend}; `penstock run` takes environments with "
            f"`backend: local`. `penstock compile {shortest_path(path)} --env {environment.name} -o FILE` makes the "
            "package that the cluster takes."
        )


def _check_it_has_spans(declaration: Declaration) -> None:
    from penstock.spec import spans

    # An own component may hold its pattern in its code; what was compiled will tell.
    if not any(spans.has_spans(node) or ":" in node.component for node in declaration.nodes.values()):
        raise UsageError(
            f"{declaration.file}: no ExampleGen takes its data by spans. Give one a pattern with {spans.SPAN}, or "
            f"{spans.DATE}, in input_config, as in 'span-{spans.SPAN}/*'."
        )


def _slow_imports(entry_points: Sequence[str], import_roots: Sequence[Path]) -> list[str]:
    from penstock.engine import user_code

    found = user_code.imported_names(entry_points, import_roots)
    return [package for package in _SLOW_PACKAGES if any(f"{name}.".startswith(f"{package}.") for name in found)]
