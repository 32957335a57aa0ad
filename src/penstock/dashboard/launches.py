"""Starts runs as processes of their own, by the same command that people type."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from penstock.backends.local.request import RunRequest
from penstock.cli.run import make_request, request_of
from penstock.metadata import recording
from penstock.metadata.location import StoreLocation
from penstock.metadata.runs import SPAN_PARAMETER, Run

_LAST_BYTES = 8192


@dataclass
class Launch:
    """A run that was asked for: its id, its process, and where that writes."""

    run_id: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def status(self) -> int | None:
        """The process's exit status; None while it lives."""
        return self.process.poll()

    def output(self) -> str:
        """The end of what the process wrote."""
        try:
            return self.log.read_bytes()[-_LAST_BYTES:].decode(errors="replace")
        except OSError:
            return ""


class Launches:
    """The processes this dashboard started. They outlive it."""

    def __init__(self, location: StoreLocation):
        self._location = location
        self._launched: dict[str, Launch] = {}

    def find(self, run_id: str) -> Launch | None:
        """What was started for a run here, or None."""
        return self._launched.get(run_id)

    def start(
        self,
        source: str,
        environment: str | None,
        parameters: Mapping[str, str],
        *,
        span: int | None = None,
        use_cache: bool = True,
    ) -> Launch:
        """Starts a declaration's first run, or another one.

        Raises:
            DeclarationError: the declaration or a parameter is wrong; nothing was started.
            UsageError: the environment cannot be started here, or there are no spans.
        """
        request = make_request(
            source, environment, dict(parameters), store=self._store(), use_cache=use_cache, span=span
        )
        return self._start_new(request, environment, parameters, span, use_cache)

    def rerun(self, run: Run, changes: Mapping[str, str], *, use_cache: bool = True) -> Launch:
        """Starts a run once more as a new one, with some parameters changed.

        Raises:
            DeclarationError: the declaration or a parameter is wrong; nothing was started.
            UsageError: the run cannot be started again.
        """
        request = request_of(run, changes, store=self._store(), jobs=None, use_cache=use_cache)
        return self._start_new(request, run.environment, request.parameters, request.span, use_cache)

    def resume(self, run: Run) -> Launch:
        """Takes up a run that failed or was cut short.

        Raises:
            DeclarationError: the declaration is wrong by now; nothing was started.
            UsageError: the run succeeded or is running.
        """
        from penstock.cli.run import resumed

        request = resumed(run.run_id, store=self._store(), jobs=None, use_cache=True)()
        return self._start(run.run_id, ["--resume", run.run_id], request.project)

    def _start_new(
        self,
        request: RunRequest,
        environment: str | None,
        parameters: Mapping[str, str],
        span: int | None,
        use_cache: bool,
    ) -> Launch:
        run_id = recording.new_run_id()
        arguments = [request.source, "--run-id", run_id]
        if environment is not None and not _is_python(request.source):
            arguments += ["--env", environment]
        for name, value in parameters.items():
            arguments += ["-p", f"{name}={value}"]
        if span is not None:
            arguments += ["--span", str(span)]
        if not use_cache:
            arguments.append("--no-cache")
        return self._start(run_id, arguments, request.project)

    def _store(self) -> str:
        return self._location.database or str(self._location.folder)

    def _start(self, run_id: str, arguments: list[str], project: Path) -> Launch:
        folder = self._location.folder / "dashboard"
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / f"{run_id}.txt"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "penstock", "run", *arguments],
                # By the environment, so that the address of a database shows in no list of processes.
                env={**os.environ, "PENSTOCK_STORE": self._store()},
                cwd=project,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        launch = Launch(run_id, process, log)
        self._launched[run_id] = launch
        # Collects the process when it ends.
        threading.Thread(target=process.wait, daemon=True).start()
        return launch


def parameter_texts(run: Run) -> dict[str, str]:
    """A run's parameters as a person would type them."""
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in run.parameters.items()
        if name != SPAN_PARAMETER
    }


def _is_python(source: str) -> bool:
    from penstock import sources

    return sources.is_python_source(source)
