"""A store made by really running pipelines, the dashboard as people start it, and Debian's Chromium to look at it."""

from __future__ import annotations

import re
import shutil
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.conftest import REPOSITORY, Penstock
from tests.e2e.tiny import Project, make_project

TAXI = REPOSITORY / "pipelines" / "chicago_taxi"
SECONDS = 900
# In a log, among the parameters and in the environment of the dashboard and of all runs; in no page.
CANARY = "canary-1795-never-to-be-shown"
CAUSE = "the well is dry"
# What the pages look like, for people to look at after the tests.
SCREENSHOTS = REPOSITORY / "build" / "screenshots"


@dataclass(frozen=True)
class RealStore:
    """The store, the projects it was made with, and the ids of the runs in the order they ran."""

    folder: Path
    tiny: Project
    taxi: tuple[str, str, str]
    taxi_failed: str
    tiny_good: str
    tiny_failed: str

    def rows(self, sql: str, *values: Any, mlmd: bool = False) -> list[tuple[Any, ...]]:
        """What the store's database answers, without any of the project's code."""
        file = self.folder / ("metadata.db" if mlmd else "penstock.db")
        connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()


@dataclass
class Dashboard:
    """A dashboard that runs as a process of its own."""

    process: subprocess.Popen[str]
    address: str
    said: list[str] = field(default_factory=list)

    def stop(self) -> int:
        """Asks it to end, and returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)


@pytest.fixture(scope="session")
def real(penstock: Penstock, tmp_path_factory: pytest.TempPathFactory) -> RealStore:
    """The taxi pipeline run three times with more steps each time, and once failing; a tiny one run both ways."""
    root = tmp_path_factory.mktemp("dashboard")
    tiny = make_project(root / "tiny", penstock)
    store = tiny.store

    def run(*arguments: str | Path, status: int = 0) -> str:
        result = penstock("run", *arguments, "--store", store, timeout=SECONDS)
        assert result.status == status, result.stderr[-4000:]
        newest: str = penstock("runs", "show", "latest", "--json", "--store", store).json["run_id"]
        return newest

    push = f"push_to={root / 'pushed'}"
    first, second = run(TAXI, "-p", push, "-p", "train_steps=200"), run(TAXI, "-p", push, "-p", "train_steps=300")
    taxi_failed = run(TAXI, "-p", push, "-p", f"data={root / 'nowhere'}", status=1)
    third = run(TAXI, "-p", push, "-p", "train_steps=400")
    good = run(tiny.folder)
    tiny.faulty(f"raise ValueError({CAUSE!r})")
    failed = run(tiny.folder, status=1)
    tiny.mend()
    return RealStore(store, tiny, (first, second, third), taxi_failed, good, failed)


@pytest.fixture(scope="session")
def start(penstock: Penstock) -> Iterator[Callable[..., Dashboard]]:
    """Starts dashboards, and ends those that still run when the session does."""
    started: list[Dashboard] = []

    def start_one(store: Path, *options: str, environ: dict[str, str] | None = None) -> Dashboard:
        process = penstock.start("dashboard", "--port", "0", "--store", store, *options, environ=environ)
        assert process.stderr is not None
        said: list[str] = []
        for line in process.stderr:
            said.append(line)
            found = re.search(r"(http://[^/\s]+)/", line)
            if found:
                dashboard = Dashboard(process, found[1], said)
                # A full pipe would stop the server.
                threading.Thread(target=said.extend, args=(process.stderr,), daemon=True).start()
                started.append(dashboard)
                return dashboard
        pytest.fail("".join(said))

    yield start_one
    for dashboard in started:
        if dashboard.process.poll() is None:
            dashboard.stop()


@pytest.fixture(scope="session")
def dashboard(real: RealStore, start: Callable[..., Dashboard]) -> Dashboard:
    """The dashboard of the real store."""
    return start(real.folder, environ={"DEPLOY_TOKEN": CANARY})


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium as the system has it."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program is not None, "Chromium is not installed: run `make test-servers` as root."
    with sync_playwright() as playwright:
        # Inside containers root has no sandbox to put it in.
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


@dataclass
class Visit:
    """A browser's window on the dashboard, and what went wrong in it."""

    page: Page
    address: str
    troubles: list[str] = field(default_factory=list)

    def go(self, path: str) -> Page:
        """Opens a path and waits until it is there."""
        self.page.goto(self.address + path)
        return self.page


Open = Callable[..., Visit]


@pytest.fixture
def visit(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens windows on the real store's dashboard or another one; none may meet an error or ask another server."""
    contexts: list[BrowserContext] = []
    visits: list[Visit] = []

    def open_window(address: str | None = None, **options: Any) -> Visit:
        address = address or request.getfixturevalue("dashboard").address
        context = browser.new_context(**{"viewport": {"width": 1400, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        found = Visit(page, address)
        page.on("pageerror", lambda error: found.troubles.append(str(error)))
        page.on("console", lambda message: found.troubles.append(message.text) if message.type == "error" else None)
        page.on(
            "request",
            lambda request: (
                found.troubles.append(request.url)
                if not request.url.startswith((found.address, "data:", "blob:"))
                else None
            ),
        )
        visits.append(found)
        return found

    yield open_window
    troubles = [trouble for found in visits for trouble in found.troubles]
    for context in contexts:
        context.close()
    assert troubles == []
