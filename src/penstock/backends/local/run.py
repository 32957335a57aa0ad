"""A whole local run, from source to result: workers, compilation, store, scheduler."""

from __future__ import annotations

import base64
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.backends.local import compiled
from penstock.backends.local.request import RunRequest
from penstock.backends.local.workers import LazyWorkers, Workers
from penstock.engine import light_tfx
from penstock.errors import DeclarationError, NotStarted, PenstockError, Problem, UsageError
from penstock.metadata import database as databases
from penstock.metadata import recording, runs, versions
from penstock.secrets import Secrets

if TYPE_CHECKING:  # the module needs TFX, which is not loaded before `light_tfx.load()`
    from penstock.backends.local.run_terms import RunResult
    from penstock.engine.graph import Graph


def compile_in_worker(workers: Workers, request: RunRequest) -> bytes:
    """Compiles the source in a worker and returns the serialised IR.

    Raises:
        DeclarationError: the source is wrong.
        PenstockError: the compilation failed otherwise; the message shows the user's frames.
    """
    from penstock.backends.local import deaths

    with tempfile.TemporaryDirectory(prefix="penstock-compile-") as folder:
        log = Path(folder, "log.txt")
        workers.start(
            "compile",
            "compile",
            {
                "source": request.source,
                "parameters": dict(request.parameters),
                "environment": request.environment,
                "pipeline_root": str(request.location.folder / "pipelines"),
            },
            log=log,
            cwd=Path.cwd(),
            env={**os.environ, **request.environment_variables},
            sys_path=request.import_roots,
        )
        ended = workers.wait("compile")
        outcome = ended.outcome
        if outcome is None:
            cause = deaths.cause_of_death(ended, log, request.import_roots)
            raise PenstockError(
                f"{request.source}: could not be compiled; the code it imports ended the process\n{cause}"
            )
    if outcome["ok"]:
        return base64.b64decode(outcome["ir"])
    if "problems" in outcome:
        raise DeclarationError(
            [Problem(**{**problem, "file": Path(problem["file"])}) for problem in outcome["problems"]]
        )
    from penstock.engine.failures import Failure

    failure = Failure.from_json(outcome["failure"])
    error = PenstockError(f"{request.source}: could not be compiled\n{failure}" if failure.kind else failure.message)
    error.exit_status = 2
    raise error


def run_pipeline(request: RunRequest, watch: Callable[..., Any], say: Callable[[str], None]) -> RunResult:
    """Runs a pipeline on this machine.

    Args:
        request: what to run.
        watch: called with the graph and the run id once both are known; returns the run's `RunListener`.
        say: prints a line for people.
    """
    # The store's own tables first: opening them is quick, and tells of most stores that cannot be used.
    with (
        closing(databases.connect(request.location, create=True)) as database,
        LazyWorkers(say, request.preload) as workers,
    ):
        ir = _known_ir(request, database)
        # By a connection that is closed before ml-metadata opens the file with a SQLite of its own.
        with closing(databases.connect(request.location, create=False)) as reader:
            reader.has_mlmd()
        if ir is None:
            workers.get()  # they load TensorFlow while this process loads what it needs itself
        light_tfx.load()
        from penstock.metadata import mlmd

        with closing(mlmd.open_store(request.location)) as store:
            if ir is None:
                ir = compile_in_worker(workers.get(), request)
                if request.compile_key is not None:
                    compiled.save(request.location, request.compile_key, ir)
            # Each span would be a version of its own otherwise.
            version = versions.digest_of(ir)
            if request.span is not None and request.resume is None:
                ir = _with_span(ir, request.span)
            return _run_compiled(request, ir, version, workers, store, database, watch, say)


def _with_span(ir: bytes, span: int) -> bytes:
    from tfx.proto.orchestration import pipeline_pb2

    from penstock.engine import spans

    pipeline = pipeline_pb2.Pipeline.FromString(ir)
    spans.fix_span(pipeline, span)
    return pipeline.SerializeToString(deterministic=True)


def _known_ir(request: RunRequest, database: databases.Database) -> bytes | None:
    if request.resume is not None:
        return _recorded_ir(database, request.resume)
    return None if request.compile_key is None else compiled.load(request.location, request.compile_key)


def _recorded_ir(database: databases.Database, run_id: str) -> bytes:
    ir = runs.run_ir(database, run_id)
    if ir is None:
        raise UsageError(f"--resume {run_id}: the compiled pipeline of that run is not recorded; start a new run.")
    return ir


def _run_compiled(
    request: RunRequest,
    ir: bytes,
    version: str,
    workers: LazyWorkers,
    store: Any,
    database: databases.Database,
    watch: Callable[..., Any],
    say: Callable[[str], None],
) -> RunResult:
    from tfx.proto.orchestration import pipeline_pb2

    from penstock.backends.local import admission, exit_handlers, requirements, scheduler, selection
    from penstock.backends.local.run_terms import RunSettings
    from penstock.engine import graph, prepared

    run_id = request.resume or request.run_id or recording.new_run_id()
    built = graph.build(pipeline_pb2.Pipeline.FromString(ir), run_id=run_id)
    requirements.check(built)
    selected = selection.select(built, request.from_nodes, request.to_nodes)
    settings = RunSettings(
        import_roots=request.import_roots,
        cwd=Path.cwd(),
        env={**os.environ, **request.environment_variables},
        jobs=request.jobs or os.cpu_count() or 1,
        use_cache=request.use_cache,
        selected=selected,
        base_run=None if selected is None else selection.base_run(database, built, request.base_run),
        secrets=Secrets(os.environ, request.parameter_values),
    )
    if request.resume is not None:
        recording.set_run_state(database, run_id, "running")
    else:
        refusal = admission.admit(
            built.policy.get("concurrency", {}),
            built.pipeline,
            database,
            request.location,
            lambda: record_new_run(request, run_id, built, ir, database, version=version),
            say,
        )
        if refusal is not None:
            raise NotStarted(refusal)
    runner = scheduler.Scheduler(
        built, prepared.StoreHandle(store), database, request.location, workers, settings, watch(built, run_id)
    )
    with _cancelling(runner.request_cancel):
        if request.resume is not None:
            runner.resume(runs.nodes_of(database, run_id))
        result = runner.run()
    failures = exit_handlers.call(built.policy, result.told(built), Path.cwd(), settings.secrets)
    for failure in failures:
        say(f"Exit handler failed: {failure}")
    exit_handlers.keep(failures, request.location.run_folder(run_id))
    return result


def record_new_run(
    request: RunRequest,
    run_id: str,
    graph: Graph,
    ir: bytes,
    database: databases.Database,
    backend: str = "local",
    version: str | None = None,
    cluster: str | None = None,
) -> None:
    """Records a run as running, with what is needed to take it up again; see `recording.create_run`."""
    recording.create_run(
        database,
        run_id,
        graph.pipeline,
        source=request.source,
        project=str(request.project),
        environment=request.environment,
        backend=backend,
        parameters=request.recorded_parameters,
        ir=ir,
        version=version,
        nodes=[(entry.id, entry.component) for entry in graph.nodes.values()],
        cluster=cluster,
    )


@contextmanager
def _cancelling(request_cancel: Callable[[], None]) -> Iterator[None]:
    """Turns Ctrl-C and SIGTERM into requests to cancel."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    earlier = {number: signal.signal(number, lambda *_: request_cancel()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
