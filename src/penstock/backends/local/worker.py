"""What a forked child does: one job, its outcome written to a descriptor, its output to the job's log."""

from __future__ import annotations

import base64
import contextlib
import faulthandler
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf import any_pb2

from penstock.backends.local import deaths
from penstock.engine import failures
from penstock.errors import DeclarationError

Outcome = dict[str, Any]


def run(message: dict[str, Any], outcome_descriptor: int) -> int:
    """Runs the job of a `start` message in this process, which becomes the job's own.

    Returns:
        The exit status: 0 when the outcome says `ok`, else 1.
    """
    os.setsid()
    request = message["request"]
    log = message.get("log")
    user_folders = [Path(folder) for folder in message["sys_path"]]
    try:
        _redirect(log)
        os.environ.clear()
        os.environ.update(message["env"])
        tempfile.tempdir = None  # the zygote's, which does not know this job's TMPDIR
        # For processes that the user's code starts, Beam's own workers among them.
        own_path = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([*message["sys_path"], *([own_path] if own_path else [])])
        os.chdir(message["cwd"])
        sys.argv = ["penstock-worker"]
        sys.path[:0] = message["sys_path"]
        _configure_logging()
        outcome = _JOBS[message["kind"]](request)
    except DeclarationError as error:
        outcome = {"ok": False, "problems": [_problem_json(problem) for problem in error.problems]}
    except BaseException as error:
        logging.getLogger(__name__).error(failures.TRACEBACK_HEADING, exc_info=True)
        user_folders += [Path(path).parent for path in request.get("user_files", ())]
        outcome = {"ok": False, "failure": failures.describe(error, user_folders).to_json()}
    os.pwrite(outcome_descriptor, json.dumps(outcome).encode(), 0)
    if log is not None:
        faulthandler.disable()
        deaths.crash_file(log).unlink(missing_ok=True)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # the log's disk is full; the outcome is safe
            stream.flush()
    return 0 if outcome["ok"] else 1


def _compile(request: dict[str, Any]) -> Outcome:
    from penstock.compiler import compile as compiler

    pipeline = compiler.compile_source(
        request["source"],
        parameters=request["parameters"],
        environment=request["environment"],
        pipeline_root=request["pipeline_root"],
    )
    return {"ok": True, "ir": base64.b64encode(pipeline.SerializeToString(deterministic=True)).decode()}


def _execute(request: dict[str, Any]) -> Outcome:
    from tfx.orchestration.portable import data_types  # noqa: F401 - registers the messages that Any unpacks
    from tfx.proto.orchestration import executable_spec_pb2, execution_invocation_pb2

    from penstock.engine import execution

    invocation = execution_invocation_pb2.ExecutionInvocation.FromString(base64.b64decode(request["invocation"]))
    packed = any_pb2.Any.FromString(base64.b64decode(request["executor_spec"]))
    spec = getattr(executable_spec_pb2, packed.TypeName().rpartition(".")[2])()
    packed.Unpack(spec)
    executed = execution.execute(invocation, spec)
    return {
        "ok": True,
        "output": base64.b64encode(executed.output.SerializeToString()).decode(),
        "summaries": executed.summaries,
    }


def _ping(request: dict[str, Any]) -> Outcome:
    return {"ok": True}


_JOBS: dict[str, Callable[[dict[str, Any]], Outcome]] = {"compile": _compile, "execute": _execute, "ping": _ping}


def _redirect(log: str | None) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    target = null
    if log is not None:
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        crash = os.open(deaths.crash_file(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        faulthandler.enable(crash)
    os.dup2(target, 1)
    os.dup2(target, 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _configure_logging() -> None:
    from absl import logging as absl_logging

    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.raiseExceptions = False
    absl_logging.set_verbosity(absl_logging.INFO)
    logging.getLogger("apache_beam").setLevel(logging.WARNING)


def _problem_json(problem: Any) -> dict[str, Any]:
    return {**problem.__dict__, "file": str(problem.file), "allowed": list(problem.allowed)}
