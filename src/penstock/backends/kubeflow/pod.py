"""What the containers of a run do: begin it, run one of its nodes, end it.

    python -m penstock.backends.kubeflow.pod begin SOURCE --env E --run-id ID [-p KEY=VALUE]… --graph DIGEST
    python -m penstock.backends.kubeflow.pod node SOURCE --env E --run-id ID [-p KEY=VALUE]… NODE
    python -m penstock.backends.kubeflow.pod end SOURCE --env E --run-id ID [-p KEY=VALUE]…

`begin` compiles the declaration in the image with the run's parameters and records run and IR in the metadata store,
where the others find them: nothing of that goes through a command line. All three may be killed and started again.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from penstock import spec
from penstock.backends.local import run as local
from penstock.backends.local.request import RunRequest
from penstock.backends.local.run_terms import RunListener, RunSettings
from penstock.backends.local.workers import WARM_MINUTES_VARIABLE, LazyWorkers, Workers
from penstock.engine import light_tfx
from penstock.errors import DeclarationError, PenstockError, StoreError, UsageError
from penstock.metadata import database as databases
from penstock.metadata import location, logs, runs
from penstock.metadata.location import StoreLocation
from penstock.metadata.states import DONE_STATES
from penstock.secrets import Secrets
from penstock.spec.parameters import split_parameters
from penstock.spec.problem_text import render

if TYPE_CHECKING:  # the modules need TFX, which is not loaded before `light_tfx.load()`
    from penstock.backends.local.one_node import OneNode
    from penstock.engine.graph import Graph

# How often a node's log goes to the store while it runs: each time takes a round trip or two.
_KEEP_SECONDS = 5.0


@click.group()
def pod() -> None:
    """Does one step of a run."""
    os.environ.setdefault(WARM_MINUTES_VARIABLE, "0")  # in a container nobody comes after this step


def _common(command: Any) -> Any:
    for option in (
        click.option("--run-id", required=True),
        click.option("--env", "environment", required=True),
        click.option("--param", "-p", "parameters", multiple=True),
        click.argument("source"),
    ):
        command = option(command)
    return command


@pod.command()
@_common
@click.option("--graph", "digest", required=True)
def begin(source: str, parameters: tuple[str, ...], environment: str, run_id: str, digest: str) -> None:
    """Compiles the declaration and records the run."""
    given = split_parameters(parameters)
    declaration = spec.load(source, parameters=given, environment=environment)
    place = location.resolve(None, declaration.environment.metadata, declaration.project)
    request = RunRequest(
        source=source,
        project=declaration.project,
        import_roots=list(declaration.import_roots),
        location=place,
        parameters=given,
        parameter_values=declaration.parameter_values,
        environment=environment,
        environment_variables=declaration.environment.env,
        run_id=run_id,
    )
    with closing(databases.connect(place, create=True)) as database:
        if runs.find_run(database, run_id) is not None:
            _say(f"run {run_id} is recorded already")
            return
        with Workers() as workers:
            ir = local.compile_in_worker(workers, request)
        graph = _graph(ir, run_id)
        if graph.digest() != digest:
            raise UsageError(
                f"{source}: its nodes or what they wait for are not those of the package, which this run was started"
                " from. The image holds another version of the declaration, or a parameter changes the graph; compile"
                " the package again, with that parameter's value"
            )
        kubeflow = declaration.environment.kubeflow
        endpoint = "" if kubeflow is None else kubeflow.endpoint or ""
        local.record_new_run(request, run_id, graph, ir, database, backend=runs.CLUSTER_BACKEND, cluster=endpoint)
    _say(f"run {run_id} of {graph.pipeline}: {len(graph.nodes)} nodes")


@pod.command()
@_common
@click.argument("node_id", metavar="NODE")
def node(source: str, parameters: tuple[str, ...], environment: str, run_id: str, node_id: str) -> None:
    """Runs one node once."""
    with _opened(source, parameters, environment, run_id) as step:
        output = _Output(step.database, run_id, node_id)
        try:
            state = step.runner(output).run_node(node_id, step.records)
        finally:
            output.keep()
        [record] = [each for each in runs.nodes_of(step.database, run_id) if each.node_id == node_id]
    _say(f"{node_id}: {state}" + (f": {record.error}" if record.error else ""))
    sys.exit(0 if state in DONE_STATES else 1)


@pod.command()
@_common
def end(source: str, parameters: tuple[str, ...], environment: str, run_id: str) -> None:
    """Records how the run ended, and calls its exit handlers."""
    from penstock.backends.local import exit_handlers

    with _opened(source, parameters, environment, run_id) as step:
        if runs.get_run(step.database, run_id).state != "running":
            _say(f"run {run_id} has ended already")
            return
        result = step.runner(RunListener()).end_run(step.records)
        for failure in exit_handlers.call(step.graph.policy, result.told(step.graph), Path.cwd(), step.secrets):
            _say(f"Exit handler failed: {failure}")
    _say(f"run {run_id}: {result.state}" + (f": {result.error}" if result.error else ""))


@dataclass(frozen=True)
class _Step:
    """The run that a step belongs to, and what the step works with."""

    declaration: spec.Declaration
    graph: Graph
    location: StoreLocation
    store: Any
    database: databases.Database
    workers: LazyWorkers
    records: list[runs.NodeRecord]

    @property
    def secrets(self) -> Secrets:
        """What the marks in the nodes' arguments stand for."""
        return Secrets(os.environ, self.declaration.parameter_values)

    def runner(self, listener: RunListener) -> OneNode:
        from penstock.backends.local.one_node import OneNode
        from penstock.engine.prepared import StoreHandle

        settings = RunSettings(
            import_roots=self.declaration.import_roots,
            cwd=Path.cwd(),
            env={**os.environ, **self.declaration.environment.env},
            jobs=os.cpu_count() or 1,
            secrets=self.secrets,
        )
        handle = StoreHandle(self.store)
        return OneNode(self.graph, handle, self.database, self.location, self.workers, settings, listener)


@contextmanager
def _opened(source: str, parameters: tuple[str, ...], environment: str, run_id: str) -> Iterator[_Step]:
    declaration = spec.load(source, parameters=split_parameters(parameters), environment=environment)
    place = location.resolve(None, declaration.environment.metadata, declaration.project)
    light_tfx.load()
    from penstock.metadata import mlmd

    with closing(databases.connect(place, create=True)) as database:
        ir = runs.run_ir(database, run_id)
        if ir is None:
            raise PenstockError(f"run {run_id} is not recorded in {place.display}: its first step did not succeed")
        with closing(mlmd.open_store(place)) as store, LazyWorkers(_say) as workers:
            records = runs.nodes_of(database, run_id)
            yield _Step(declaration, _graph(ir, run_id), place, store, database, workers, records)


def _graph(ir: bytes, run_id: str) -> Graph:
    light_tfx.load()
    from tfx.proto.orchestration import pipeline_pb2

    from penstock.engine import graph

    return graph.build(pipeline_pb2.Pipeline.FromString(ir), run_id=run_id)


class _Output(RunListener):
    """Passes what the node writes into its logs on to the container's output, and to the store for all others."""

    def __init__(self, database: databases.Database, run_id: str, node_id: str):
        self._database = database
        self._run_id, self._node_id = run_id, node_id
        self._folder = database.location.run_folder(run_id) / node_id
        self._read: dict[Path, int] = {path: path.stat().st_size for path in self._folder.rglob("log.txt")}
        self._kept = dict(self._read)
        self._kept_at = time.monotonic()

    def node_ends(self) -> None:
        self.keep()  # who follows the log looks once more when it has seen the end, and no more after that

    def node_changed(self, node_id: str, state: str, **facts: Any) -> None:
        self.tick()

    def tick(self) -> None:
        for path in sorted(self._folder.rglob("log.txt")):
            with path.open("rb") as stream:
                stream.seek(self._read.get(path, 0))
                sys.stdout.buffer.write(stream.read())
                self._read[path] = stream.tell()
        sys.stdout.flush()
        if time.monotonic() - self._kept_at >= _KEEP_SECONDS:
            self.keep()

    def keep(self) -> None:
        """Brings the store up to the logs. What it does not take now is brought the next time."""
        self._kept_at = time.monotonic()
        for path in sorted(self._folder.rglob("log.txt")):
            start = self._kept.get(path, 0)
            with path.open("rb") as stream:
                stream.seek(start)
                written = stream.read()
            if not written:
                continue
            try:
                log = path.relative_to(self._database.location.folder).as_posix()
                logs.put(self._database, self._run_id, self._node_id, log, start, written)
            except StoreError as error:
                _say(f"the log of {self._node_id} was not kept: {error}")
                return
            self._kept[path] = start + len(written)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Does the step that the command line names."""
    # Python shows those of the libraries to whoever runs a module, which here is a log that people read.
    warnings.simplefilter("ignore", DeprecationWarning)
    try:
        pod()
    except DeclarationError as error:
        _say(render(error.problems))
        sys.exit(error.exit_status)
    except PenstockError as error:
        _say(str(error))
        sys.exit(error.exit_status)


if __name__ == "__main__":
    main()
