"""What is done when a run has ended, declared under `on_success`, `on_failure`, `always`: commands and webhooks.

Nodes among them are the scheduler's; they see the same variables as commands.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from penstock.errors import UsageError
from penstock.secrets import Secrets

FAILURES_FILE = "exit_handlers.txt"
"""In a run's folder: the exit handlers that failed, and why."""

_MOST_SHOWN = 2000


def call(policy: Mapping[str, Any], run: Mapping[str, Any], cwd: Path, secrets: Secrets) -> list[str]:
    """Calls the handlers that fit how a run ended, one after the other.

    Every handler gets the run as JSON: a command on its standard input, with `variables` in its environment; a webhook
    as the body of a POST. None of them can change how the run ended.

    Args:
        policy: the pipeline's `RunPolicy` as plain values.
        run: `run_id`, `pipeline`, `state`, `error` and `nodes` (state by node id).
        cwd: working folder of the commands.
        secrets: what the marks in commands and addresses stand for; what is returned has the marks.

    Returns:
        For each handler that failed, what it was and why.
    """
    fitting = [] if run["state"] == "cancelled" else policy.get(f"on_{_OUTCOMES[run['state']]}", [])
    failures = []
    for handler in [*fitting, *policy.get("always", [])]:
        if handler.get("node"):
            continue
        timeout = handler.get("timeout_seconds", 60.0)
        try:
            if handler.get("command"):
                _run_command([secrets.reveal(part) for part in handler["command"]], run, cwd, timeout)
            else:
                _post(secrets.reveal(handler["webhook"]), run, timeout)
        except (OSError, ValueError, UsageError, subprocess.SubprocessError) as error:
            what = " ".join(handler.get("command") or [handler["webhook"]])
            failures.append(f"{what}: {_cause(error)}")
    return failures


def keep(failures: Sequence[str], folder: Path) -> None:
    """Saves what `call` returned in a run's folder for those who look at the run later; no failures, no file."""
    file = folder / FAILURES_FILE
    # A full disk must not make a run that has ended well look bad.
    with contextlib.suppress(OSError):
        if failures:
            folder.mkdir(parents=True, exist_ok=True)
            file.write_text("\n\n".join(failures), encoding="utf-8")
        else:
            file.unlink(missing_ok=True)


def variables(run_id: str, pipeline: str, state: str, error: str | None) -> dict[str, str]:
    """Returns the environment variables that tell a command or node how the run ended."""
    return {
        "PENSTOCK_RUN_ID": run_id,
        "PENSTOCK_PIPELINE": pipeline,
        "PENSTOCK_RUN_STATE": state,
        "PENSTOCK_RUN_ERROR": error or "",
    }


_OUTCOMES = {"succeeded": "success", "failed": "failure"}


def _run_command(command: list[str], run: Mapping[str, Any], cwd: Path, timeout: float) -> None:
    environ = variables(run["run_id"], run["pipeline"], run["state"], run.get("error"))
    subprocess.run(
        command,
        input=json.dumps(run),
        env={**os.environ, **environ},
        cwd=cwd,
        timeout=timeout,
        capture_output=True,
        text=True,
        check=True,
    )


def _post(address: str, run: Mapping[str, Any], timeout: float) -> None:
    request = urllib.request.Request(
        address, data=json.dumps(run).encode(), headers={"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=timeout):
        pass


def _cause(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        said = (error.stderr or error.stdout or "").strip()[-_MOST_SHOWN:]
        return f"ended with status {error.returncode}" + (f": {said}" if said else "")
    if isinstance(error, subprocess.TimeoutExpired):
        return f"took longer than {error.timeout:g} s"
    return str(error)
