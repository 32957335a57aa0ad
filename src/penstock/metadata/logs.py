"""Logs kept in the store: those of containers, whose disks nobody else sees and nobody sees afterwards.

A log is kept in pieces, each under the place where it begins; a place that is there already is not written again, so
that a piece may be put twice. Readers bring the log's file in the store's folder up to what is kept, and read that.
"""

from __future__ import annotations

import os
from pathlib import Path

from penstock.errors import StoreError
from penstock.metadata.database import Database

_SINCE_VERSION = 7
# Of one log; what comes after that is in the container's own output alone.
MOST_BYTES = 16 << 20
_PIECE_BYTES = 256 << 10
_END = "\n… the rest of this log is in the output of its container alone\n".encode()


def put(database: Database, run_id: str, node_id: str, log: str, position: int, content: bytes) -> None:
    """Keeps what was written to a log.

    Args:
        database: the store, open for writing.
        run_id: the run.
        node_id: the node whose log it is.
        log: the log's place in the store's folder.
        position: where in the log the content begins, in bytes.
        content: what was written there.
    """
    if position >= MOST_BYTES:
        return
    if position + len(content) > MOST_BYTES:
        content = content[: MOST_BYTES - position] + _END
    with database.transaction():
        for start in range(0, len(content), _PIECE_BYTES):
            database.execute(
                "INSERT INTO penstock_logs (run_id, node_id, log, position, content) "
                "VALUES (:run_id, :node_id, :log, :position, :content) "
                "ON CONFLICT (run_id, node_id, log, position) DO NOTHING",
                {
                    "run_id": run_id,
                    "node_id": node_id,
                    "log": log,
                    "position": position + start,
                    "content": content[start : start + _PIECE_BYTES],
                },
            )


def fetch(database: Database, run_id: str, node_id: str) -> None:
    """Brings the files of a node's logs in the store's folder up to what is kept of them. Safe at any time, by anybody.

    Raises:
        StoreError: a file cannot be written, or a log is recorded outside the store's folder.
    """
    if database.tables_version < _SINCE_VERSION:
        return
    node = {"run_id": run_id, "node_id": node_id}
    kept = database.query(
        "SELECT log, max(position + length(content)) AS size FROM penstock_logs "
        "WHERE run_id = :run_id AND node_id = :node_id GROUP BY log",
        node,
    )
    for row in kept:
        path = place(database.location.folder, row["log"])
        size = path.stat().st_size if path.is_file() else 0
        if size >= row["size"]:
            continue
        pieces = database.query(
            "SELECT position, content FROM penstock_logs WHERE run_id = :run_id AND node_id = :node_id AND log = :log "
            "AND position + length(content) > :size ORDER BY position",
            {**node, "log": row["log"], "size": size},
        )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                for piece in pieces:
                    os.pwrite(descriptor, bytes(piece["content"]), piece["position"])
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StoreError(f"{path}: the log cannot be written ({error.strerror}).") from error


def place(folder: Path, log: str) -> Path:
    """The file of a log; one outside the store's folder is refused: who may write to the store may not read all.

    Raises:
        StoreError: it lies outside.
    """
    within = folder.resolve()
    path = (within / log).resolve()
    if not path.is_relative_to(within):
        raise StoreError(f"The log {log!r} is recorded outside the store's folder {within}; it is not shown.")
    return path
