"""A run is watched, cancelled, taken up, started anew and approved from the browser; the server may go and come."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from playwright.sync_api import expect

from tests.conftest import Penstock
from tests.dashboard.conftest import CANARY, Dashboard, Open, Visit
from tests.e2e.tiny import Project, make_project, wait_for


@dataclass(frozen=True)
class Lively:
    """A tiny project with a store of its own, a run in it that ended well, and its dashboard."""

    tiny: Project
    good: str
    dashboard: Dashboard

    def rows(self, sql: str, *values: str) -> list[tuple[Any, ...]]:
        """What the store's database answers."""
        connection = sqlite3.connect(f"file:{self.tiny.store / 'penstock.db'}?mode=ro", uri=True)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    def begin(self, run_id: str) -> None:
        """Starts a run and waits until `faulty` runs."""
        process = self.tiny.start("--run-id", run_id, "--no-cache", environ={"DEPLOY_TOKEN": CANARY})
        threading.Thread(target=process.communicate, daemon=True).start()
        sql = "SELECT 1 FROM penstock_nodes WHERE run_id = ? AND node_id = 'faulty' AND state = 'running'"
        wait_for(lambda: self.rows(sql, run_id) != [])

    def state(self, run_id: str) -> str:
        """A run's state as it is recorded."""
        [[state]] = self.rows("SELECT state FROM penstock_runs WHERE run_id = ?", run_id)
        return str(state)


@pytest.fixture(scope="module")
def lively(penstock: Penstock, start: Callable[..., Dashboard], tmp_path_factory: pytest.TempPathFactory) -> Lively:
    tiny = make_project(tmp_path_factory.mktemp("lively") / "tiny", penstock)
    # The page has time to show that `faulty` has ended before the run has.
    steps = tiny.folder / "steps.py"
    slow_last = '    import time\n\n    time.sleep(3)\n    return {"made": number}\n'
    steps.write_text(steps.read_text().replace('    return {"made": number}\n', slow_last))
    assert tiny.run("--run-id", "good").status == 0
    return Lively(tiny, "good", start(tiny.store, environ={"DEPLOY_TOKEN": CANARY}))


@pytest.fixture
def gate(lively: Lively, tmp_path: Path) -> Iterator[Path]:
    """`faulty` waits until this file is there, writing a line now and then."""
    file = tmp_path / "gate"
    lively.tiny.faulty(f"""\
        print("faulty has begun", flush=True)
        while not os.path.exists({str(file)!r}):
            print("still waiting", os.environ.get("DEPLOY_TOKEN", "no token"), flush=True)
            time.sleep(0.2)
        return {{'made': number + 1}}""")
    yield file
    file.touch()
    lively.tiny.mend()


@pytest.fixture
def window(lively: Lively, visit: Open) -> Visit:
    """A window on the lively dashboard."""
    found = visit()
    found.address = lively.dashboard.address
    return found


def test_a_running_page_updates_by_itself_without_a_reload(window: Visit, lively: Lively, gate: Path) -> None:
    lively.begin("watched")
    page = window.go("/runs/watched")
    expect(page.locator("tr[data-node=faulty]")).to_have_attribute("data-state", "running")
    expect(page.locator("tr[data-node=last]")).to_have_attribute("data-state", "waiting")
    # What was clicked stays where it was while the page goes on.
    page.locator("tr[data-node=faulty] a").focus()
    page.evaluate("window.mark = 'not reloaded'")
    gate.touch()
    expect(page.locator("tr[data-node=faulty]")).to_have_attribute("data-state", "succeeded", timeout=30_000)
    assert page.evaluate("[window.mark, document.activeElement.closest('tr')?.dataset.node]") == [
        "not reloaded",
        "faulty",
    ]
    wait_for(lambda: lively.state("watched") == "succeeded")
    expect(page.locator("#live p.facts .state").first).to_contain_text("succeeded", timeout=30_000)


def test_a_log_is_followed_while_it_is_written_and_shows_no_secret(window: Visit, lively: Lively, gate: Path) -> None:
    lively.begin("followed")
    page = window.go("/runs/followed/nodes/faulty?tab=log")
    expect(page.locator("#log")).to_contain_text("faulty has begun")
    before = page.locator("#log").inner_text().count("still waiting")
    deadline = time.monotonic() + 20
    while page.locator("#log").inner_text().count("still waiting") < before + 3 and time.monotonic() < deadline:
        page.wait_for_timeout(200)
    text = page.locator("#log").inner_text()
    assert text.count("still waiting") >= before + 3
    assert "•••" in text and CANARY not in text
    gate.touch()
    wait_for(lambda: lively.state("followed") == "succeeded")
    page.reload()
    lines = page.locator("#log").inner_text().splitlines()
    assert sum("faulty has begun" in line for line in lines) == 1


def test_cancel_and_resume(window: Visit, lively: Lively, gate: Path) -> None:
    lively.begin("stopped")
    page = window.go("/runs/stopped")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible(timeout=30_000)
    assert lively.state("stopped") == "cancelled"
    gate.touch()
    page.get_by_role("button", name="Resume").click()
    wait_for(lambda: lively.state("stopped") == "succeeded")
    expect(page.locator("#live p.facts").first).to_contain_text("succeeded", timeout=30_000)


def test_a_run_is_started_anew_with_a_changed_parameter(window: Visit, lively: Lively) -> None:
    page = window.go(f"/runs/{lively.good}")
    page.locator("#rerun summary").click()
    page.fill("input[name='p.seed']", "7")
    page.locator("#rerun button").click()
    page.wait_for_url(lambda url: "/runs/" in url and lively.good not in url and "rerun" not in url)
    run_id = page.url.rpartition("/")[2]
    wait_for(lambda: lively.rows("SELECT 1 FROM penstock_runs WHERE run_id = ?", run_id) != [])
    wait_for(lambda: lively.state(run_id) == "succeeded")
    page.goto(page.url)
    expect(page.locator("dl.facts")).to_contain_text("7")


def test_a_wrong_parameter_is_told_and_what_was_typed_stays(window: Visit, lively: Lively) -> None:
    runs = lively.rows("SELECT count(*) FROM penstock_runs")
    page = window.go(f"/runs/{lively.good}")
    page.locator("#rerun summary").click()
    page.fill("input[name='p.seed']", "seven")
    page.locator("#rerun button").click()
    expect(page.locator("pre")).to_contain_text("seed")
    expect(page.locator("input[name='p.seed']")).to_have_value("seven")
    assert lively.rows("SELECT count(*) FROM penstock_runs") == runs
    # A refusal has a status of its own, which browsers write to their console.
    window.troubles.clear()


@pytest.fixture
def own(penstock: Penstock, tmp_path: Path) -> Project:
    """A tiny project with a store of its own, whose server may be ended."""
    return make_project(tmp_path / "own", penstock)


def test_the_server_ends_soon_though_somebody_watches(own: Project, start: Callable[..., Dashboard]) -> None:
    file = own.folder / "gate"
    own.faulty(f"while not os.path.exists({str(file)!r}): time.sleep(0.1)\nreturn {{'made': 1}}")
    process = own.start("--run-id", "long")
    threading.Thread(target=process.communicate, daemon=True).start()
    wait_for(lambda: own.store.exists() and own.runs() != [], process)
    dashboard = start(own.store)
    with urlopen(f"{dashboard.address}/runs/long/events") as stream:
        assert stream.readline() == b"retry: 2000\n"
        begun = time.monotonic()
        assert dashboard.stop() == 0
        assert time.monotonic() - begun < 6
    assert process.poll() is None
    file.touch()
    process.wait(timeout=60)


def test_a_page_reconnects_when_the_server_comes_back(
    own: Project, start: Callable[..., Dashboard], visit: Open
) -> None:
    file = own.folder / "gate"
    own.faulty(f"while not os.path.exists({str(file)!r}): time.sleep(0.1)\nreturn {{'made': 1}}")
    process = own.start("--run-id", "long")
    threading.Thread(target=process.communicate, daemon=True).start()
    wait_for(lambda: own.store.exists() and own.runs() != [], process)
    first = start(own.store)
    window = visit()
    window.address = first.address
    page = window.go("/runs/long")
    expect(page.locator("tr[data-node=faulty]")).to_have_attribute("data-state", "running", timeout=30_000)
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    port = first.address.rpartition(":")[2]
    start(own.store, "--port", port)
    file.touch()
    expect(page.locator("#live p.facts").first).to_contain_text("succeeded", timeout=60_000)
    process.wait(timeout=60)
    # The first server's end shows in the console; that is what was asked for.
    window.troubles.clear()


def test_many_watch_one_run_and_none_loses_its_end(lively: Lively, gate: Path) -> None:
    lively.begin("crowded")
    ends: list[str] = []

    def watch() -> None:
        with urlopen(f"{lively.dashboard.address}/runs/crowded/events", timeout=60) as stream:
            for line in stream:
                if line.startswith(b"event: last"):
                    ends.append(stream.readline().decode())
                    return

    watchers = [threading.Thread(target=watch) for _ in range(30)]
    for watcher in watchers:
        watcher.start()
    time.sleep(1)
    gate.touch()
    for watcher in watchers:
        watcher.join(timeout=60)
    assert len(ends) == 30
    assert all('"state": "succeeded"' in end for end in ends)
