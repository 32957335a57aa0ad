"""Kills the scheduler, a worker or the zygote at any moment: `run --resume latest` ends the run all the same."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from penstock.metadata.database import connect
from penstock.metadata.location import StoreLocation
from tests.conftest import REPOSITORY, Penstock
from tests.contract.backend import LocalBackend, Outcome, Project, Store

SEED = 20261120
PLACES_TRIED = 15
MOMENTS_TRIED = 100

NODES = """
table: {component: Importer, source_uri: FOLDER/old, artifact_type: 'steps:Table', properties: {rows: 2}}
read: {component: 'steps:read_table', table: '${nodes.table.result}'}
one: {component: 'steps:counted', name: one, folder: FOLDER/ran, killed: ''}
shaky: {component: 'steps:counted', name: shaky, folder: FOLDER/ran, killed: KILLED, a: '${nodes.one.made}', retries: RETRIES}
last: {component: 'steps:counted', name: last, folder: FOLDER/ran, killed: '', a: '${nodes.shaky.made}'}
"""  # noqa: E501 - one node a line
COUNTED = ("one", "shaky", "last")
_UNFINISHED = "(1, 2)"
_COMPLETE = 3


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of five nodes, one of which fails the first time and is tried again."""
    return make_project(tmp_path)


def make_project(folder: Path, killed: str = "raises", retries: int = 1) -> Project:
    """Makes the project; `killed` says what befalls `shaky` the first time."""
    project = Project.make(folder)
    (project.folder / "old").mkdir()
    (project.folder / "old" / "a.csv").write_text("x\n")
    (project.folder / "ran").mkdir()
    project.declare("killed", NODES.replace("KILLED", killed).replace("RETRIES", str(retries)))
    return project


def run_killed(penstock: Penstock, project: Project, place: int) -> str:
    """Runs until the place of this number and returns its name; for 0, to the end, and returns how many there are."""
    report = project.folder / "report"
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.contract.killing", str(place), report),
            *("run", project.folder, "--store", project.store, "--jobs", "2"),
        ],
        cwd=project.folder,
        env={**os.environ, **penstock.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == (-signal.SIGKILL if place else 0), done.stdout + done.stderr
    return report.read_text()


def assert_resumes(penstock: Penstock, project: Project) -> None:
    """Takes the run up again and compares the store, the payloads, the logs and what ran with what must be."""
    backend, store = LocalBackend(penstock), Store(str(project.store))
    recorded = store.read("runs", "list") if project.store.is_dir() else []
    published = published_nodes(project)
    ran_before = times_run(project)
    logs = {log: log.read_text() for log in (project.store / "runs").glob("*/*/attempt-*/log.txt")}
    if recorded and recorded[0]["state"] == "succeeded":
        outcome = Outcome(0, "", store, recorded[0]["run_id"])
    else:
        outcome = backend.run(project, "", ("--resume", "latest") if recorded else ())
    assert outcome.status == 0, outcome.said
    assert outcome.state == "succeeded"
    nodes = outcome.nodes
    assert {name: node["state"] for name, node in nodes.items() if node["state"] != "succeeded"} == {}, outcome.said
    assert outcome.value("last.made") == "3"
    assert outcome.origins("last.made") == {"one", "shaky", "last"}

    ran = times_run(project)
    assert {name: ran[name] for name in published} == {name: ran_before[name] for name in published}
    with connect(StoreLocation(project.store), create=False) as database:
        assert database.has_mlmd()
        assert database.query(f"SELECT id FROM Execution WHERE last_known_state IN {_UNFINISHED}") == []
    outputs = outcome.outputs()
    assert {output: [a["state"] for a in found] for output, found in outputs.items()} == {
        output: ["live"] for output in ("table.result", "read.rows", "read.files", *(f"{n}.made" for n in COUNTED))
    }
    slots = {slot for slot in (project.store / "pipelines" / "killed").glob("*/*/*") if ".system" not in slot.parts}
    made = {Path(found[0]["uri"]).parent for output, found in outputs.items() if output != "table.result"}
    assert slots == made, "nothing half-written stays"
    for log, text in logs.items():
        assert log.read_text().startswith(text)
    for name in COUNTED:
        attempts = list((project.store / "runs" / outcome.run_id / name).glob("attempt-*/log.txt"))
        assert project.store / nodes[name]["log"] in attempts
        assert len(attempts) >= ran[name], "each time it ran it had a log of its own"


def published_nodes(project: Project) -> set[str]:
    """Those of the nodes that count whose results are in the metadata store."""
    with connect(StoreLocation(project.store), create=False) as database:
        if not database.has_mlmd():
            return set()
        rows = database.query(
            "SELECT c.name FROM Execution x JOIN Association a ON a.execution_id = x.id "
            "JOIN Context c ON c.id = a.context_id JOIN Type t ON t.id = c.type_id "
            f"WHERE t.name = 'node' AND x.last_known_state = {_COMPLETE}"
        )
    return {row["name"].partition(".")[2] for row in rows}.intersection(COUNTED)


def times_run(project: Project) -> Counter[str]:
    """How often each of the nodes that count has run."""
    return Counter({file.name: len(file.read_text().splitlines()) for file in (project.folder / "ran").iterdir()})


def wait_until_gone(pids: list[int]) -> None:
    """Waits until these processes have ended."""
    deadline = time.monotonic() + 60
    while left := [pid for pid in pids if _is_running(pid)]:
        assert time.monotonic() < deadline, f"processes {left} still run"
        time.sleep(0.05)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture(scope="module")
def places(penstock: Penstock, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many places there are where the run can be cut short."""
    return int(run_killed(penstock, make_project(tmp_path_factory.mktemp("counted")), 0))


def test_there_are_places_to_be_killed_at(places: int) -> None:
    assert places > 100


@pytest.mark.parametrize("turn", range(PLACES_TRIED))
def test_scheduler_killed_at_some_places(turn: int, places: int, penstock: Penstock, project: Project) -> None:
    """One place in each of as many equal parts of a run as there are turns."""
    place = 1 + int((turn + random.Random(SEED + turn).random()) * places / PLACES_TRIED)
    name = run_killed(penstock, project, place)
    print(f"killed {name} ({place} of {places})")
    assert_resumes(penstock, project)


@pytest.mark.exhaustive
@pytest.mark.timeout(7200)
def test_scheduler_killed_at_every_place(places: int, penstock: Penstock, tmp_path: Path) -> None:
    failed: list[str] = []
    for place in range(1, places + 1):
        project = make_project(tmp_path / str(place))
        name = run_killed(penstock, project, place)
        try:
            assert_resumes(penstock, project)
        except AssertionError as error:
            failed.append(f"{place}, {name}: {str(error)[:2000]}")
    assert failed == []


@pytest.mark.exhaustive
@pytest.mark.timeout(7200)
def test_killed_again_and_again_at_any_moment(penstock: Penstock, tmp_path: Path) -> None:
    """Kills runs and resumed runs after a random time, on one project after another, until enough were hit."""
    chance = random.Random(SEED)
    kills = turn = 0
    while kills < MOMENTS_TRIED:
        turn += 1
        project = make_project(tmp_path / str(turn))
        options: tuple[str, ...] = ()
        for _ in range(chance.randint(1, 3)):
            process = penstock.start(
                *("run", *(options or (project.folder,)), "--store", project.store), cwd=project.folder
            )
            try:
                process.communicate(timeout=chance.uniform(0.5, 3.0))
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                kills += 1
            if Store(str(project.store)).read("runs", "list"):
                options = ("--resume", "latest")
        assert_resumes(penstock, project)


@pytest.mark.parametrize("moment", ["start", "midway", "end"])
def test_worker_killed(moment: str, penstock: Penstock, tmp_path: Path) -> None:
    project = make_project(tmp_path, killed=moment, retries=0)
    outcome = LocalBackend(penstock).run(project, "", ())
    assert (outcome.status, outcome.state) == (1, "failed")
    assert "was killed by SIGKILL" in outcome.nodes["shaky"]["error"]
    assert_resumes(penstock, project)
    assert times_run(project) == {"one": 1, "shaky": 2, "last": 1}


@pytest.mark.parametrize("moment", ["start", "midway", "end"])
def test_worker_killed_and_tried_again(moment: str, penstock: Penstock, tmp_path: Path) -> None:
    project = make_project(tmp_path, killed=moment, retries=1)
    outcome = LocalBackend(penstock).run(project, "", ())
    assert outcome.status == 0, outcome.said
    assert outcome.nodes["shaky"]["attempt"] == 2
    assert_resumes(penstock, project)
    assert times_run(project) == {"one": 1, "shaky": 2, "last": 1}


def test_zygote_killed(penstock: Penstock, tmp_path: Path) -> None:
    project = make_project(tmp_path, killed="zygote", retries=0)
    outcome = LocalBackend(penstock).run(project, "", ())
    assert (outcome.status, outcome.state) == (1, "failed")
    assert "the process that starts workers ended unexpectedly" in outcome.said
    assert "Traceback" not in outcome.said
    wait_until_gone([int(pid) for pid in (project.folder / "ran" / "pids").read_text().split()])
    (project.folder / "ran" / "pids").unlink()
    assert_resumes(penstock, project)
    assert times_run(project) == {"one": 1, "shaky": 2, "last": 1}
