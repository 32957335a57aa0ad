"""Many runs on one store at the same time: all succeed, and the store holds the sum of what each wrote."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from penstock.metadata.database import Database, connect
from penstock.metadata.location import resolve
from tests.conftest import Penstock
from tests.contract.backend import Outcome, Project, Store
from tests.servers.postgres import PostgresServer, postgres_server

__all__ = ["postgres_server"]

NODES = """
one: {component: 'steps:number', value: 3, cache: false}
left: {component: 'steps:add', a: '${nodes.one.made}', cache: false}
right: {component: 'steps:divide', dividend: '${nodes.one.made}', divisor: '${nodes.one.made}', cache: false}
last: {component: 'steps:add', a: '${nodes.left.made}', b: '${nodes.right.quotient}', cache: false}
"""
# Of each run: one execution a node; `divide` puts out two artifacts; `right` takes one artifact under two names.
EXECUTIONS, ARTIFACTS, INPUTS = 4, 5, 4
TIMEOUT_SECONDS = 500


@pytest.mark.timeout(TIMEOUT_SECONDS + 60)
def test_on_sqlite(penstock: Penstock, tmp_path: Path) -> None:
    project = Project.make(tmp_path)
    run_at_once(penstock, project, str(project.store), [f"run-{number}" for number in range(8)])


@pytest.mark.slow
@pytest.mark.timeout(2 * TIMEOUT_SECONDS + 60)
def test_on_postgresql(penstock: Penstock, tmp_path: Path, postgres_server: PostgresServer) -> None:
    project = Project.make(tmp_path)
    store = postgres_server.new_database()
    run_at_once(penstock, project, store, [f"run-{number}" for number in range(20)])


def run_at_once(penstock: Penstock, project: Project, store: str, names: Sequence[str]) -> None:
    """Starts all runs before any has ended, waits for them, and compares what they wrote with what they must."""
    project.declare("at-once", NODES)
    processes: list[subprocess.Popen[str]] = []
    try:
        for name in names:
            options = ("--store", store, "--run-id", name, "--jobs", "2")
            # What they say goes to files: nobody reads pipes of many processes in turn.
            with (project.folder / f"{name}.said").open("w") as said:
                processes.append(
                    penstock.start("run", project.folder, *options, cwd=project.folder, stdout=said, stderr=said)
                )
        for name, process in zip(names, processes, strict=True):
            assert process.wait(TIMEOUT_SECONDS) == 0, (project.folder / f"{name}.said").read_text()
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
    outcomes = [Outcome(0, "", Store(store), name) for name in names]
    for outcome in outcomes:
        assert outcome.state == "succeeded"
        assert {node["state"] for node in outcome.nodes.values()} == {"succeeded"}
        assert outcome.value("last.made") == "4"
        assert outcome.origins("last.made") == {"one", "left", "right", "last"}
    with connect(resolve(store), create=False) as database:
        assert database.has_mlmd()
        assert _counts(database) == {
            "executions": len(names) * EXECUTIONS,
            "complete": len(names) * EXECUTIONS,
            "artifacts": len(names) * ARTIFACTS,
            "live": len(names) * ARTIFACTS,
            "outputs": len(names) * ARTIFACTS,
            "inputs": len(names) * INPUTS,
            "runs": len(names),
            "pipelines": 1,
            "nodes": EXECUTIONS,
            "types": len({"Integer"}),
        }


_COUNTS = {
    "executions": "Execution",
    "complete": "Execution WHERE last_known_state = 3",
    "artifacts": "Artifact",
    "live": "Artifact WHERE state = 2",
    "outputs": "Event WHERE type = 4",
    "inputs": "Event WHERE type = 3",
    "runs": "Context c JOIN Type t ON t.id = c.type_id WHERE t.name = 'pipeline_run'",
    "pipelines": "Context c JOIN Type t ON t.id = c.type_id WHERE t.name = 'pipeline'",
    "nodes": "Context c JOIN Type t ON t.id = c.type_id WHERE t.name = 'node'",
    "types": "Type WHERE name = 'Integer'",
}


def _counts(database: Database) -> dict[str, int]:
    return {
        name: database.query(f"SELECT count(*) AS number FROM {source}")[0]["number"]
        for name, source in _COUNTS.items()
    }
