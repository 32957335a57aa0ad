"""Prints a node's log, to its end or for as long as the node runs."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from penstock.errors import StoreError
from penstock.metadata import logs
from penstock.metadata import runs as records
from penstock.metadata.database import Database
from penstock.metadata.runs import NodeRecord
from penstock.metadata.states import FINAL_NODE_STATES

_POLL_SECONDS = 0.3
_CHUNK_BYTES = 1 << 16


def print_log(database: Database, run_id: str, node_id: str, follow: bool) -> None:
    """Writes the log of a node's last attempt to standard output, byte for byte.

    Of a node that was executed several times, these are the logs of all executions, each under a heading; followed, it
    is the one that started last.

    Args:
        database: the store.
        run_id: the run.
        node_id: the node.
        follow: wait for what is still to come, and for further attempts, until the node or its run has ended.

    Raises:
        UsageError: the run has no such node.
        StoreError: there is no log, or it cannot be read.
    """
    node = _node(database, run_id, node_id)
    if not follow:
        if node.log is None:
            raise StoreError(f"Node {node_id} of run {run_id} has no log: {_why_no_log(node)}.")
        path = logs.place(database.location.folder, node.log)
        executions = _executions(path, node_id)
        for number, log in executions.items():
            sys.stdout.write(f"== execution {number} of {node_id}\n")
            sys.stdout.flush()
            _copy(log, 0)
        if not executions:
            _copy(path, 0)
        return
    shown: str | None = None
    position = 0
    while True:
        # What was written before the node ended is read after its end is seen, so nothing is missed.
        ended = node.state in FINAL_NODE_STATES or _run_ended(database, run_id)
        if node.log != shown:
            if shown is not None:
                _copy(logs.place(database.location.folder, shown), position, must_exist=False)
            shown, position = node.log, 0
        if shown is not None:
            position = _copy(logs.place(database.location.folder, shown), position, must_exist=ended)
        if ended:
            if shown is None:
                raise StoreError(f"Node {node_id} of run {run_id} has no log: {_why_no_log(node)}.")
            return
        time.sleep(_POLL_SECONDS)
        node = _node(database, run_id, node_id)


def _executions(path: Path, node_id: str) -> dict[int, Path]:
    """The log of each execution's last attempt, given one of them; empty where a node has one execution."""
    part = path.parent.parent
    if part.parent.name != node_id or _number(part) is None:
        return {}
    found = {}
    for folder in part.parent.iterdir():
        number = _number(folder)
        attempts = [log for log in folder.glob("attempt-*/log.txt") if _number(log.parent) is not None]
        if number is not None and attempts:
            found[number] = max(attempts, key=lambda log: _number(log.parent) or 0)
    return dict(sorted(found.items()))


def _number(folder: Path) -> int | None:
    """The number at the end of a folder's name, `part-3` or `attempt-1`."""
    name, _, number = folder.name.rpartition("-")
    return int(number) if name in ("part", "attempt") and number.isdigit() else None


def _why_no_log(node: NodeRecord) -> str:
    reasons = {
        "cached": "its results came from the cache, so nothing ran",
        "waiting": "it has not started",
        "skipped": "it was skipped",
        "upstream_failed": "a node it needs failed",
    }
    return reasons.get(node.state, f"it is {node.state} and wrote none")


def _run_ended(database: Database, run_id: str) -> bool:
    run = records.find_run(database, run_id)
    return run is None or run.state != "running"


def _node(database: Database, run_id: str, node_id: str) -> NodeRecord:
    """What is recorded of a node, after its logs were brought here from where a cluster left them."""
    node = records.get_node(database, run_id, node_id)
    if records.get_run(database, run_id).is_on_cluster:
        logs.fetch(database, run_id, node_id)
    return node


def _copy(path: Path, position: int, must_exist: bool = True) -> int:
    """Writes a file from a position on to standard output and returns the position it came to."""
    try:
        with path.open("rb") as file:
            file.seek(position)
            while chunk := file.read(_CHUNK_BYTES):
                sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
            return file.tell()
    except FileNotFoundError as error:
        if not must_exist:
            return position
        raise StoreError(
            f"{path}: the log is gone. It was written on the run's own machine and may have been removed since."
        ) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StoreError(f"{path}: the log cannot be read ({error.strerror}).") from error
