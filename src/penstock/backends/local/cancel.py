"""Asks a run's own process to stop, after making sure that it is that process."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

from penstock.errors import PenstockError
from penstock.metadata import process
from penstock.metadata.runs import Run
from penstock.metadata.states import INTERRUPTED


def cancel_run(run: Run) -> None:
    """Sends SIGINT to a run's scheduler on this machine.

    Raises:
        PenstockError: the run has ended, its process is gone or on another machine, or is not to be signalled.
    """
    if run.state == INTERRUPTED:
        raise PenstockError(f"Run {run.run_id} does not run any more: its process {run.pid} is gone.")
    if run.state != "running":
        raise PenstockError(f"Run {run.run_id} has ended already: it is {run.state}.")
    if run.pid is None or run.host is None:
        raise PenstockError(f"Run {run.run_id} does not say which process it is, so it cannot be stopped from here.")
    here = socket.gethostname()
    if run.host != here:
        raise PenstockError(f"Run {run.run_id} runs on {run.host}, this is {here}. Cancel it there.")
    # A process that is older than its run and has its id is the one that recorded it, unless host names are shared.
    if not process.is_alive(run.pid, before=max(run.created_at, run.started_at or 0.0)):
        raise PenstockError(f"Run {run.run_id} does not run any more: its process {run.pid} is gone.")
    command = _command(run.pid)
    if command is not None and "penstock" not in command:
        raise PenstockError(
            f"Process {run.pid} of run {run.run_id} is no penstock command but {command!r}. "
            f"If it is the one you mean, stop it with: kill -INT {run.pid}"
        )
    try:
        os.kill(run.pid, signal.SIGINT)
    except ProcessLookupError as error:
        raise PenstockError(f"Run {run.run_id} has just ended.") from error
    except PermissionError as error:
        raise PenstockError(
            f"Process {run.pid} of run {run.run_id} belongs to another user. Ask them, or cancel it as that user."
        ) from error


def _command(pid: int) -> str | None:
    """A process's command line where the system shows it."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return None
