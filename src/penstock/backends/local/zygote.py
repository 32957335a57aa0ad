"""The zygote: loads TensorFlow, Beam and TFX once, then forks a clean child for each job.

Runs as `python -m penstock.backends.local.zygote DESCRIPTOR IDLE_SECONDS`, where DESCRIPTOR is an inherited, listening
Unix socket. It serves any number of schedulers of the same user, ends the jobs of a scheduler that goes away, and ends
itself when nobody has been connected for a while. It never runs user code and stays single-threaded, so that forking is
safe.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import selectors
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

from penstock.backends.local import huge_pages, protocol

# Only what nodes use; `tfx.v1` would add half of Google Cloud's clients.
PRELOADED = (
    "tensorflow",
    "apache_beam",
    "apache_beam.runners.portability.fn_api_runner",
    "tensorflow_transform",
    "tensorflow_transform.beam",
    "tensorflow_data_validation",
    "tensorflow_model_analysis",
    "tfx.components",
    "tfx.dsl.compiler.compiler",
    "tfx.orchestration.pipeline",
    "tfx.orchestration.portable.beam_executor_operator",
    "penstock.compiler.compile",
    "penstock.engine.execution",
    "penstock.backends.local.worker",
    # What these load when they are used.
    "apache_beam.io.gcp.pubsub",
    "apache_beam.runners.portability.prism_runner",
    "pyarrow.pandas_compat",
    "setuptools",
    "tensorboard.summary.v2",
    # Executors of the nodes that most pipelines have.
    "penstock.beam.analysis_keys",
    "penstock.summaries.evaluation",
    "penstock_components.arrow_evaluator.executor",
    "penstock_components.ingestion.executor",
    "tfx.components.statistics_gen.executor",
    "tfx.components.trainer.executor",
)

# What a run may have loaded besides, because its user's code imports it: `tfx.v1` takes 8 s, keras_tuner 1 s.
LOADABLE = frozenset(("tfx.v1", "keras_tuner"))

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

_FIRST_CLIENT_SECONDS = 60.0

# Who has had so many is likely to want more: more than the nodes of most pipelines.
_MANY_JOBS = 20


@dataclass
class _Job:
    id: str
    pid: int
    pidfd: int
    outcome: int
    scratch: str
    client: _Client


@dataclass(eq=False)
class _Client:
    connection: socket.socket
    reader: protocol.Reader
    jobs: dict[str, _Job] = field(default_factory=dict)


class Zygote:
    """Accepts schedulers on a listening socket and forks their jobs."""

    def __init__(self, listener: socket.socket, idle_seconds: float):
        self._listener = listener
        self._idle_seconds = idle_seconds
        self._selector = selectors.DefaultSelector()
        self._clients: set[_Client] = set()
        # Waits until nobody does, or until it is worth their while.
        self._gathering = huge_pages.gather()
        self._jobs_begun = 0
        # Whoever started it is about to connect, however short it may be idle afterwards.
        self._idle_since = time.monotonic() + _FIRST_CLIENT_SECONDS

    def serve(self) -> None:
        """Serves until nobody has been connected for the idle time."""
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        while True:
            if not self._clients and self._idle_left() <= 0:
                return
            for key, _ in self._wait():
                callback, *arguments = key.data if isinstance(key.data, tuple) else (key.data,)
                callback(*arguments)

    def _idle_left(self) -> float:
        return self._idle_since + self._idle_seconds - time.monotonic()

    def _wait(self) -> list[tuple[selectors.SelectorKey, int]]:
        """Waits for something to do; while nobody is connected, also for the idle time to end."""
        # Children that run would be left with copies of their own.
        if not any(client.jobs for client in self._clients) and (not self._clients or self._jobs_begun >= _MANY_JOBS):
            while not (ready := self._selector.select(0)):
                if next(self._gathering, True):
                    break
            if ready:
                return ready
        return self._selector.select(None if self._clients else max(0.0, self._idle_left()))

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        if struct.unpack("3i", credentials)[1] != os.getuid():
            connection.close()
            return
        client = _Client(connection, protocol.Reader(connection))
        self._clients.add(client)
        self._selector.register(connection, selectors.EVENT_READ, (self._serve_client, client))
        self._send(client, {"event": "ready", "pid": os.getpid(), "idle_seconds": self._idle_seconds})

    def _serve_client(self, client: _Client) -> None:
        try:
            messages = client.reader.read()
        except ValueError:
            messages = None
        if messages is None:
            self._drop(client)
            return
        for message in messages:
            if message["do"] == "start":
                self._start(client, message)
            elif message["do"] == "kill" and message["job"] in client.jobs:
                _signal_group(client.jobs[message["job"]].pid, message["signal"])
            elif message["do"] == "load":
                self._load(LOADABLE.intersection(message["modules"]))
            elif message["do"] == "stop":
                self._idle_seconds = 0.0

    def _load(self, names: frozenset[str]) -> None:
        missing = [name for name in names if name not in sys.modules]
        for name in missing:
            # What cannot be loaded here cannot be loaded by the user's code either, which then says so better.
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        if missing:
            _share()

    def _drop(self, client: _Client) -> None:
        if client not in self._clients:
            return
        self._clients.discard(client)
        self._selector.unregister(client.connection)
        client.connection.close()
        for job in client.jobs.values():
            _signal_group(job.pid, signal.SIGKILL)
        if not self._clients:
            self._gathering = huge_pages.gather()
        self._idle_since = time.monotonic()

    def _send(self, client: _Client, message: protocol.Message) -> None:
        # One that has gone may have left a message, which is read before its end is.
        with contextlib.suppress(OSError):
            protocol.send(client.connection, message)

    def _start(self, client: _Client, message: protocol.Message) -> None:
        self._jobs_begun += 1
        outcome = os.memfd_create("penstock-outcome")
        scratch = tempfile.mkdtemp(prefix="penstock-job-")
        sys.stdout.flush()
        sys.stderr.flush()
        zygote = os.getpid()
        pid = os.fork()
        if pid == 0:
            # What user code and libraries leave in the temporary folder ends with the job.
            message["env"] = {**message["env"], "TMPDIR": scratch}
            self._run_child(message, outcome, zygote)
        pidfd = os.pidfd_open(pid)
        job = _Job(message["job"], pid, pidfd, outcome, scratch, client)
        client.jobs[job.id] = job
        self._selector.register(pidfd, selectors.EVENT_READ, (self._reap, job))
        self._send(client, {"event": "started", "job": job.id, "pid": pid})

    def _run_child(self, message: protocol.Message, outcome: int, zygote: int) -> None:
        """Runs the job in the forked child; never returns."""
        status = 70  # EX_SOFTWARE: the job did not even start
        try:
            _end_with(zygote)
            self._selector.close()
            self._listener.close()
            for client in self._clients:
                client.connection.close()
                for job in client.jobs.values():
                    os.close(job.pidfd)
                    os.close(job.outcome)
            from penstock.backends.local import worker

            status = worker.run(message, outcome)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            # Without the interpreter's own ending, which would run what the zygote registered.
            os._exit(status)

    def _reap(self, job: _Job) -> None:
        self._selector.unregister(job.pidfd)
        _, status, usage = os.wait4(job.pid, 0)
        # What the job left running in its group must not outlive it.
        _signal_group(job.pid, signal.SIGKILL)
        os.close(job.pidfd)
        content = os.pread(job.outcome, os.fstat(job.outcome).st_size, 0)
        os.close(job.outcome)
        shutil.rmtree(job.scratch, ignore_errors=True)
        job.client.jobs.pop(job.id, None)
        if job.client in self._clients:
            outcome: Any = json.loads(content) if content else None
            used = {
                "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
                # Linux counts in KiB.
                "peak_bytes": usage.ru_maxrss * 1024,
            }
            ended = {"event": "ended", "job": job.id, "status": status, "outcome": outcome, "usage": used}
            self._send(job.client, ended)


def _share() -> None:
    """Keeps the collector of every child from copying the pages that all of them share, and from looking too often.

    Tracing a graph makes many objects that stay; looking through them as often as Python does costs 6 % of Transform.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    ctypes.CDLL(None).malloc_trim(0)


def _end_with(parent: int) -> None:
    """Lets the system kill this process as soon as its parent has died; nobody else would, nor hear of its end."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before that
        os._exit(os.EX_SOFTWARE)


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        # Not yet its own group, or already gone.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def main() -> None:
    """Loads what nodes use, then serves the inherited socket."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    listener.set_inheritable(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    idle_seconds = float(sys.argv[2])
    from penstock.engine import lean_imports, tfdv_shim

    lean_imports.install()
    tfdv_shim.install()
    for name in PRELOADED:
        importlib.import_module(name)
    import tensorflow as tf

    tf.keras.Model  # noqa: B018 - Keras loads on first use; the children shall find it loaded
    _share()
    Zygote(listener, idle_seconds).serve()


if __name__ == "__main__":
    main()
