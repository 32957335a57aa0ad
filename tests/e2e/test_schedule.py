"""`penstock schedule` and `penstock scheduler`, from a schedule that is made to a run that it started."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from penstock.metadata.database import connect
from penstock.metadata.location import StoreLocation
from tests.conftest import Penstock
from tests.e2e.tiny import NODES, Project, make_project, wait_for


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, penstock: Penstock) -> Project:
    return make_project(tmp_path_factory.mktemp("scheduled"), penstock)


def test_a_schedule_from_its_making_to_its_run(tiny: Project) -> None:
    def schedule(*arguments: str) -> str:
        result = tiny.penstock("schedule", *arguments, "--store", tiny.store)
        assert result.status == 0, result.stderr
        return result.stdout + result.stderr

    said = schedule("create", str(tiny.folder), "--cron", "* * * * *", "--name", "often", "-p", "seed=5")
    assert "Schedule often: due next at" in said
    with connect(StoreLocation(tiny.store), create=True) as database:  # as if a minute had gone by since
        database.execute("UPDATE penstock_schedules SET handled_until = :then", {"then": time.time() - 60})
    process = tiny.penstock.start("scheduler", "--store", tiny.store)
    try:
        wait_for(lambda: any(run["state"] == "succeeded" for run in tiny.runs()), process)
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    first = tiny.runs()[-1]
    assert first["run_id"].startswith("often-")
    assert first["parameters"]["seed"] == 5
    assert tiny.states(first["run_id"]) == dict.fromkeys(NODES, "succeeded")
    assert f"often: started {first['run_id']}" in errors
    assert "succeeded" in schedule("show", "often")

    schedule("pause", "often")
    assert "paused" in schedule("list")
    schedule("resume", "often")
    listed = tiny.penstock("schedule", "list", "--json", "--store", tiny.store).json
    assert [(each["name"], each["paused"], each["parameters"]) for each in listed] == [("often", False, {"seed": "5"})]
    schedule("delete", "often")
    assert "There are no schedules" in schedule("list")
    assert len(tiny.runs()) >= 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--cron", "61 * * * *"), "the minute is wrong"),
        (("--cron", "@daily", "--time-zone", "Berlin"), "'Berlin' is no time zone"),
        (("--cron", "@daily", "-p", "sed=1"), "there is no parameter 'sed'"),
        (("--cron", "@daily", "--env", "cluster"), "cluster"),
        (("--cron", "@daily", "--jitter", "soon"), "--jitter soon: wants a duration"),
        (("--cron", "@daily", "--name", "Not A Name"), "--name 'Not A Name': wanted are"),
        (("--cron", "@daily", "--catch-up", "--overlap", "skip"), "choose one of them"),
    ],
)
def test_what_cannot_be_scheduled(options: tuple[str, ...], said: str, tiny: Project, tmp_path: Path) -> None:
    result = tiny.penstock("schedule", "create", tiny.folder, *options, "--store", tmp_path / "store")
    assert result.status == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_name_that_is_not_there(tiny: Project, tmp_path: Path) -> None:
    for command in ("show", "pause", "resume", "delete"):
        result = tiny.penstock("schedule", command, "taxi", "--store", tmp_path / "store")
        assert result.status == 2
        assert "There is no schedule 'taxi'" in result.stderr
