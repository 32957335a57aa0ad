"""The scheduler's side of the zygote: find a warm one or start one, hand it jobs, hear how they end."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import penstock
from penstock.backends.local import protocol
from penstock.errors import WorkerError

WARM_MINUTES_VARIABLE = "PENSTOCK_WARM_MINUTES"
RUNTIME_VARIABLE = "PENSTOCK_RUNTIME_DIR"
_DEFAULT_WARM_MINUTES = 5.0
_ZYGOTE = "penstock.backends.local.zygote"
# What Linux allows in a Unix socket's address.
_MOST_SOCKET_BYTES = 107


@dataclass(frozen=True)
class Ended:
    """How a job ended.

    Attributes:
        job: the job's id.
        outcome: what the job reported, or None if it died before it could.
        status: its wait status, see `os.waitstatus_to_exitcode`.
        usage: `cpu_seconds` of its processes, and `peak_bytes`, the most memory that one of them had; what it shares
            with the zygote counts.
    """

    job: str
    outcome: dict[str, Any] | None
    status: int
    usage: Mapping[str, float] = field(default_factory=dict)

    @property
    def cause_of_death(self) -> str:
        """A sentence for a job that reported nothing."""
        code = os.waitstatus_to_exitcode(self.status)
        if code >= 0:
            return f"the worker exited with status {code} before it reported its result"
        name = signal.Signals(-code).name
        hint = " (the system kills so when memory runs out)" if -code == signal.SIGKILL else ""
        return f"the worker was killed by {name}{hint}"


class Workers:
    """A connection to the zygote of this environment. Use as a context manager; leaving it ends the jobs."""

    def __init__(self) -> None:
        socket_path = _socket_path()
        self._log = socket_path.with_suffix(".log")
        self._connection = _connect(socket_path, self._log)
        self._reader = protocol.Reader(self._connection)
        self.is_ready = False
        # The zygote's process id, and how long it stays when nobody is connected; 0 until it is ready.
        self.zygote_pid = 0
        self.idle_seconds = 0.0
        # Process id, and monotonic time of the start, of each job that runs.
        self.pids: dict[str, int] = {}
        self.started: dict[str, float] = {}

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._connection.close()

    def fileno(self) -> int:
        """The descriptor to wait on for `events`."""
        return self._connection.fileno()

    def start(
        self,
        job: str,
        kind: str,
        request: Mapping[str, Any],
        *,
        log: Path | None = None,
        cwd: Path,
        env: Mapping[str, str],
        sys_path: Sequence[Path] = (),
    ) -> None:
        """Asks for a job; it starts as soon as the zygote is ready."""
        message = {
            "do": "start",
            "job": job,
            "kind": kind,
            "request": dict(request),
            "log": None if log is None else str(log),
            "cwd": str(cwd),
            "env": dict(env),
            "sys_path": [str(folder) for folder in sys_path],
        }
        try:
            protocol.send(self._connection, message)
        except OSError as error:
            raise self._lost() from error

    def kill(self, job: str, number: int) -> None:
        """Sends a signal to a job's whole process group."""
        try:
            protocol.send(self._connection, {"do": "kill", "job": job, "signal": number})
        except OSError as error:
            raise self._lost() from error

    def load(self, modules: Sequence[str]) -> None:
        """Has slow packages loaded before the next job starts, once for all jobs; see `zygote.LOADABLE`."""
        protocol.send(self._connection, {"do": "load", "modules": list(modules)})

    def stop_zygote(self) -> None:
        """Lets the zygote end as soon as nobody is connected, instead of waiting for the next run."""
        protocol.send(self._connection, {"do": "stop"})

    def events(self, timeout: float | None = None) -> list[Ended]:
        """Waits up to `timeout` seconds and returns the jobs that ended.

        Raises:
            WorkerError: the zygote died; the message shows the end of its log.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection, selectors.EVENT_READ)
            if not selector.select(timeout):
                return []
        messages = self._reader.read()
        if messages is None:
            raise self._lost()
        ended = []
        for message in messages:
            if message["event"] == "ready":
                self.is_ready = True
                self.zygote_pid, self.idle_seconds = message["pid"], message["idle_seconds"]
            elif message["event"] == "started":
                self.pids[message["job"]] = message["pid"]
                self.started[message["job"]] = time.monotonic()
            elif message["event"] == "ended":
                self.pids.pop(message["job"], None)
                self.started.pop(message["job"], None)
                ended.append(Ended(message["job"], message["outcome"], message["status"], message["usage"]))
        return ended

    def wait_ready(self, timeout: float) -> bool:
        """Returns whether the zygote is ready within `timeout` seconds; no jobs must be running."""
        if not self.is_ready:
            self.events(timeout)
        return self.is_ready

    def wait(self, job: str) -> Ended:
        """Waits for one job; others must not be running."""
        while True:
            for ended in self.events():
                if ended.job == job:
                    return ended

    def _lost(self) -> WorkerError:
        """Ends what the zygote can no longer end, and returns the error to raise."""
        for pid in self.pids.values():
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        tail = ""
        if self._log.is_file():
            lines = self._log.read_text(errors="replace").splitlines()[-15:]
            tail = "\n" + "\n".join(f"  {line}" for line in lines)
        return WorkerError(
            f"the process that starts workers ended unexpectedly; its log, {self._log}, ends with:{tail}"
        )


class LazyWorkers:
    """Workers that are looked for, or started, when the first job needs one. Leaving it ends the jobs."""

    def __init__(self, say: Callable[[str], None], preload: Sequence[str] = ()):
        self._say = say
        self._preload = preload
        self._workers: Workers | None = None

    def __enter__(self) -> LazyWorkers:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._workers is not None:
            self._workers.__exit__()

    def get(self) -> Workers:
        """Returns the workers; the first time they may not be ready yet, and take jobs all the same."""
        if self._workers is None:
            self._workers = Workers()
            if not self._workers.wait_ready(0.05):
                self._say("Starting workers: loading TensorFlow, Beam and TFX …")
            if self._preload:
                self._workers.load(self._preload)
        return self._workers


def are_there() -> bool:
    """Whether this environment has a zygote, be it ready or still loading."""
    connection = _try_connect(_socket_path())
    if connection is not None:
        connection.close()
    return connection is not None


def stop_all(timeout: float) -> tuple[int, int]:
    """Lets all zygotes of this Python environment end, those of its earlier states among them.

    Args:
        timeout: how many seconds to wait for their end. One that is loading, or has jobs, takes longer.

    Returns:
        How many there were, and how many of these are still there.
    """
    asked = _ask_to_stop(_socket_path(), and_this=True)
    deadline = time.monotonic() + timeout
    while asked and time.monotonic() < deadline:
        left = []
        for path in asked:
            connection = _try_connect(path)
            if connection is not None:
                connection.close()
                left.append(path)
        if not left:
            return len(asked), 0
        time.sleep(0.1)
    return len(asked), len(asked)


def runtime_folder() -> Path:
    """The user's own folder for sockets and logs of worker processes, made if missing.

    Raises:
        WorkerError: the folder belongs to somebody else.
    """
    named = os.environ.get(RUNTIME_VARIABLE)
    base = named or os.path.join(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir(), f"penstock-{os.getuid()}")
    folder = Path(base)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise WorkerError(
            f"{folder}: must belong to you and be writable by nobody else; remove it, or set {RUNTIME_VARIABLE}"
        )
    return folder


def _environment_name() -> str:
    """Names the Python environment; one zygote is enough for each."""
    return hashlib.sha256(f"{sys.executable} {os.environ.get('LD_LIBRARY_PATH', '')}".encode()).hexdigest()[:8]


def environment_state() -> str:
    """Changes when the interpreter, the installed packages or Penstock's own code do."""
    digest = hashlib.sha256(sys.version.encode())
    for folder in sorted({entry for entry in sys.path if entry.endswith("site-packages")}):
        if os.path.isdir(folder):
            digest.update(f"{folder} {os.stat(folder).st_mtime_ns}".encode())
    for path in sorted(path for folder in _own_folders() for path in folder.rglob("*.py")):
        digest.update(f"{path} {path.stat().st_mtime_ns}".encode())
    return digest.hexdigest()[:8]


def _own_folders() -> list[Path]:
    components = importlib.util.find_spec("penstock_components")
    found = components.submodule_search_locations if components is not None else None
    return [Path(penstock.__file__).parent, *map(Path, found or ())]


def _socket_path() -> Path:
    return runtime_folder() / f"{_environment_name()}-{environment_state()}.sock"


def _connect(path: Path, log: Path) -> socket.socket:
    if len(os.fsencode(path)) > _MOST_SOCKET_BYTES:
        raise WorkerError(f"{path}: too long for a socket's path; set {RUNTIME_VARIABLE} to a shorter folder")
    with _exclusive(path.with_suffix(".lock")):
        connection = _try_connect(path)
        if connection is None:
            _ask_to_stop(path)
            _start(path, log)
            connection = _try_connect(path)
    if connection is None:
        raise WorkerError(f"the process that starts workers does not answer at {path}; its log is {log}")
    return connection


def _try_connect(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    return connection


def _ask_to_stop(path: Path, and_this: bool = False) -> list[Path]:
    """Lets zygotes of this environment's earlier states end: nobody will come to them any more.

    Args:
        path: the socket of the zygote of its present state.
        and_this: whether that one is to end too.

    Returns:
        The sockets of those that were asked.
    """
    environment, _, _ = path.name.partition("-")
    asked = []
    for other in path.parent.glob(f"{environment}-*.sock"):
        if other == path and not and_this:
            continue
        connection = _try_connect(other)
        if connection is None:
            other.unlink(missing_ok=True)
            continue
        with connection:
            protocol.send(connection, {"do": "stop"})
        asked.append(other)
    return asked


def _start(path: Path, log: Path) -> None:
    """Starts a zygote that inherits a socket already listening, so that connecting never races with its start."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    with listener:
        listener.bind(str(path))
        os.chmod(path, 0o600)
        listener.listen()
        minutes = float(os.environ.get(WARM_MINUTES_VARIABLE, _DEFAULT_WARM_MINUTES))
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        if "PYTHONPATH" in environ:  # the zygote's working folder is another
            environ["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, environ["PYTHONPATH"].split(os.pathsep)))
        # Threads that free memory in arenas of their own keep it from the others: 50 MB of Transform's.
        environ.setdefault("MALLOC_ARENA_MAX", "2")
        # Of Arrow's allocators the one that gives most back.
        environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
        command = [sys.executable, "-m", _ZYGOTE, str(listener.fileno()), str(minutes * 60)]
        with log.open("wb") as stream:
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                pass_fds=[listener.fileno()],
                env=environ,
                cwd="/",
                start_new_session=True,
            )


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    with path.open("w") as stream:
        deadline = time.monotonic() + 30
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise WorkerError(
                        f"{path}: held by another process for 30 s; end that process and try again"
                    ) from None
                time.sleep(0.02)
        yield
