"""What old runs hold that nobody needs any more, and its removal."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.errors import PenstockError
from penstock.metadata import runs
from penstock.metadata.artifacts import Artifact, read_artifacts, read_properties
from penstock.metadata.database import Database, in_parts
from penstock.metadata.executions import OUTPUTS_SQL, executions_of_run
from penstock.metadata.location import StoreLocation
from penstock.metadata.runs import Run
from penstock.storage import buckets, objects

_GONE = "deleted"
# What the engine records of each output, see `penstock.engine.content`.
_SIZE_PROPERTY = "penstock_bytes"

_TABLES_OF_RUNS = (
    "penstock_approvals",
    "penstock_cache_decisions",
    "penstock_logs",
    "penstock_notes",
    "penstock_nodes",
    "penstock_tags",
    "penstock_versions",
    "penstock_runs",
)


@dataclass(frozen=True)
class Garbage:
    """What a clean-up removes.

    Attributes:
        runs: runs whose records and logs go.
        artifacts: artifacts whose payloads go; ml-metadata keeps them, marked as deleted.
        kept: how many artifacts of those runs stay, because a kept run uses them or they are, or led to, a pushed model
            or the latest blessed one.
        size_bytes: size of the payloads and logs.
    """

    runs: tuple[Run, ...]
    artifacts: tuple[Artifact, ...]
    kept: int
    size_bytes: int


def find(
    database: Database,
    *,
    keep_last: int | None,
    older_than_seconds: float | None,
    pipeline: str | None,
    now: float,
) -> Garbage:
    """Returns what can go.

    Args:
        database: the store.
        keep_last: runs to keep of each pipeline, the newest; None for any number.
        older_than_seconds: only runs that ended longer ago go; None for any age.
        pipeline: only runs of this pipeline go.
        now: the time, in seconds since the epoch.

    Raises:
        PenstockError: a run is going on, which could take an old result from the cache at any moment.
    """
    every = _all_runs(database)
    going_on = [run.run_id for run in every if run.state == "running"]
    if going_on:
        raise PenstockError(
            f"Runs are going on ({', '.join(going_on)}), and could use what would be removed. Wait for their end."
        )
    old = [run for run in _beyond(every, keep_last) if pipeline is None or run.pipeline == pipeline]
    if older_than_seconds is not None:
        old = [run for run in old if now - (run.finished_at or run.created_at) > older_than_seconds]
    candidates = _outputs_of(database, old)
    needed = _used_elsewhere(database, candidates, old) | _led_to_a_push(database) | _latest_blessed(database)
    artifacts = read_artifacts(database, sorted(candidates - needed)).values()
    removable = tuple(artifact for artifact in artifacts if artifact.type != "PushedModel" and slot(artifact))
    size = sum(_sizes(database, removable))
    size += sum(_size(database.location.run_folder(run.run_id)) for run in old)
    return Garbage(tuple(old), removable, len(candidates) - len(removable), size)


def slot(artifact: Artifact) -> str | None:
    """Returns the folder made for an artifact alone, here or on object storage.

    None if there is none: it was imported, or is on another file system.
    """
    producer = artifact.producer
    if producer is None or ("://" in artifact.uri and not buckets.is_object(artifact.uri)):
        return None
    folder = artifact.uri.rstrip("/")
    if folder.endswith("/value"):  # an artifact that holds a value is a file in its folder
        folder = folder.removesuffix("/value")
    expected = (producer.execution.node, producer.key, str(producer.execution.execution_id))
    return folder if tuple(folder.split("/")[-3:]) == expected else None


def remove(garbage: Garbage, location: StoreLocation) -> None:
    """Removes garbage. Cut short, the same call finishes later: the records of runs go last.

    No connection of `database` to the same store may be open in this process, see `mlmd.open_store`.
    """
    from contextlib import closing

    from ml_metadata.proto import metadata_store_pb2

    from penstock.metadata import mlmd
    from penstock.metadata.database import connect

    if garbage.artifacts:
        with closing(mlmd.open_store(location)) as store:
            found = store.get_artifacts_by_id([artifact.artifact_id for artifact in garbage.artifacts])
            for artifact in found:
                artifact.state = metadata_store_pb2.Artifact.DELETED
            store.put_artifacts(found)
    for removed in garbage.artifacts:
        if (made := slot(removed)) is not None:
            _remove_folder(made)
    for run in garbage.runs:
        _remove_folder(str(location.run_folder(run.run_id)))
    with connect(location, create=True) as database, database.transaction():
        for names, values in in_parts([run.run_id for run in garbage.runs]):
            for table in _TABLES_OF_RUNS:
                database.execute(f"DELETE FROM {table} WHERE run_id IN ({names})", values)
        for names, values in in_parts([artifact.artifact_id for artifact in garbage.artifacts]):
            for table in ("penstock_summaries", "penstock_plots"):
                database.execute(f"DELETE FROM {table} WHERE artifact_id IN ({names})", values)


def _all_runs(database: Database) -> list[Run]:
    found: list[Run] = []
    while page := runs.list_runs(database, limit=1000, before=found[-1].run_id if found else None):
        found += page
    return found


def _beyond(every: Sequence[Run], keep_last: int | None) -> list[Run]:
    """The runs that are not among the newest of their pipeline; `every` is newest first."""
    if keep_last is None:
        return list(every)
    seen: dict[str, int] = {}
    beyond = []
    for run in every:
        seen[run.pipeline] = seen.get(run.pipeline, 0) + 1
        if seen[run.pipeline] > keep_last:
            beyond.append(run)
    return beyond


def _outputs_of(database: Database, old: Sequence[Run]) -> set[int]:
    executions = [e.execution_id for run in old for e in executions_of_run(database, run.run_id)]
    found: set[int] = set()
    for names, values in in_parts(executions):
        sql = f"SELECT DISTINCT artifact_id FROM Event WHERE execution_id IN ({names}) AND type IN {OUTPUTS_SQL}"
        found.update(row["artifact_id"] for row in database.query(sql, values))
    return found


def _used_elsewhere(database: Database, artifacts: set[int], old: Sequence[Run]) -> set[int]:
    """Those of the artifacts that an execution outside the old runs took or gave, be it from the cache.

    What Transform took of earlier analyses it can do without: its own has all of them that a later run may want.
    """
    executions = {e.execution_id for run in old for e in executions_of_run(database, run.run_id)}
    used: set[int] = set()
    for names, values in in_parts(sorted(artifacts)):
        sql = (
            "SELECT DISTINCT e.artifact_id, e.execution_id FROM Event e JOIN Artifact a ON a.id = e.artifact_id "
            f"JOIN Type t ON t.id = a.type_id WHERE e.artifact_id IN ({names}) "
            f"AND (t.name <> 'TransformCache' OR e.type IN {OUTPUTS_SQL})"
        )
        used.update(row["artifact_id"] for row in database.query(sql, values) if row["execution_id"] not in executions)
    return used


def _led_to_a_push(database: Database) -> set[int]:
    """Everything that an execution took which put out a pushed model: the model, and what blessed it."""
    if not database.has_mlmd():
        return set()
    rows = database.query(
        "SELECT DISTINCT i.artifact_id FROM Event i JOIN Event o ON o.execution_id = i.execution_id "
        "JOIN Artifact a ON a.id = o.artifact_id JOIN Type t ON t.id = a.type_id "
        f"WHERE t.name = 'PushedModel' AND o.type IN {OUTPUTS_SQL}"
    )
    return {row["artifact_id"] for row in rows}


def _latest_blessed(database: Database) -> set[int]:
    """The newest blessing of each pipeline and the model it is of: the baseline of the next run."""
    if not database.has_mlmd():
        return set()
    sql = (
        "SELECT a.id FROM Artifact a JOIN Type t ON t.id = a.type_id WHERE t.name = 'ModelBlessing' ORDER BY a.id DESC"
    )
    blessings = read_artifacts(database, [row["id"] for row in database.query(sql)])
    properties = read_properties(database, list(blessings))
    newest: dict[str | None, Artifact] = {}
    for artifact_id in sorted(blessings, reverse=True):
        producer = blessings[artifact_id].producer
        if producer is not None and properties.get(artifact_id, {}).get("blessed") == 1:
            newest.setdefault(producer.execution.pipeline, blessings[artifact_id])
    needed = {artifact.artifact_id for artifact in newest.values()}
    makers = [artifact.producer.execution.execution_id for artifact in newest.values() if artifact.producer]
    for names, values in in_parts(makers):
        sql = (
            "SELECT DISTINCT e.artifact_id FROM Event e JOIN Artifact a ON a.id = e.artifact_id "
            f"JOIN Type t ON t.id = a.type_id WHERE t.name = 'Model' AND e.execution_id IN ({names})"
        )
        needed.update(row["artifact_id"] for row in database.query(sql, values))
    return needed


def _remove_folder(folder: str) -> None:
    if buckets.is_object(folder):
        with contextlib.suppress(FileNotFoundError):
            objects.remove_folder(folder)
    else:
        shutil.rmtree(folder, ignore_errors=not os.path.exists(folder))


def _sizes(database: Database, artifacts: Sequence[Artifact]) -> Iterator[int]:
    """The payloads' sizes in bytes; of those on object storage, which is not asked, as they were recorded."""
    remote = [artifact.artifact_id for artifact in artifacts if buckets.is_object(artifact.uri)]
    recorded = read_properties(database, remote)
    for artifact in artifacts:
        folder = slot(artifact)
        if artifact.artifact_id in recorded:
            yield int(recorded[artifact.artifact_id].get(_SIZE_PROPERTY) or 0)
        elif folder is not None:
            yield _size(Path(folder))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
