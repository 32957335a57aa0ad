"""Lets fifty clients and some browsers watch a run whose nodes change, kills the server, and starts it again.

Every client must see every change, also those that came while there was no server, and end with what the store holds;
the server's memory must stay what it is.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.dashboard_server import DashboardServer
from benchmarks.processes import proportional_bytes
from penstock.metadata import recording
from penstock.metadata.database import connect
from penstock.metadata.location import StoreLocation
from penstock.metadata.runs import nodes_of

RUN = "watched"
# What the server tells browsers to wait before they connect again.
_RETRY_SECONDS = 2.0
_STATES = re.compile(r'<tr data-node="([^"]+)" data-state="([^"]+)"')
_MEGABYTE = 1e6
# Python takes and gives memory in pieces, and glibc keeps some: less than this is no growth.
_MOST_GROWTH = 1.05
_SLACK_BYTES = 2e6


@dataclass(frozen=True)
class Event:
    """What a client was told: when, by this process's clock, and the nodes' states."""

    at: float
    states: dict[str, str]
    is_last: bool


@dataclass
class Client:
    """One that watches as a browser's EventSource does: it connects again until it was told the last event."""

    port: int
    events: list[Event] = field(default_factory=list)
    connections: int = 0
    is_stopped: bool = False

    async def watch(self) -> None:
        """Watches until the run has ended."""
        while not self.is_stopped and not (self.events and self.events[-1].is_last):
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._listen()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _listen(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 24)
        try:
            writer.write(f"GET /runs/{RUN}/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            self.connections += 1
            kind = ""
            # A chunk of the transfer never parts a line here: each event is one chunk.
            while line := (await reader.readline()).decode():
                if line.startswith("event: "):
                    kind = line[7:].strip()
                elif line.startswith("data: "):
                    html = json.loads(line[6:]).get("html", "")
                    self.events.append(Event(time.monotonic(), dict(_STATES.findall(html)), kind == "last"))
                    if kind == "last":
                        return
        finally:
            writer.close()


@dataclass(frozen=True)
class Change:
    """A node's state that was recorded, and when, by this process's clock."""

    at: float
    node: str
    state: str


@dataclass(frozen=True)
class Watched:
    """How it went.

    Attributes:
        changes: what was recorded, in its order.
        clients: those who watched by event streams.
        pages: for each browser page the states it showed at the end, and whether it went on without a reload after the
            server's restart.
        final: the nodes' states in the store at the end.
        memory: for each server its proportional set size over time, in bytes.
        restart_seconds: how long the second server took to start.
    """

    changes: Sequence[Change]
    clients: Sequence[Client]
    pages: Sequence[tuple[dict[str, str], bool]]
    final: dict[str, str]
    memory: Sequence[Sequence[int]]
    restart_seconds: float

    def troubles(self) -> list[str]:
        """What is wrong, in words; nothing if every client saw every change and the end."""
        told = {node: ["waiting", *(c.state for c in self.changes if c.node == node)] for node in self.final}
        found = []
        for number, client in enumerate(self.clients):
            if not client.events or not client.events[-1].is_last or client.events[-1].states != self.final:
                found.append(f"client {number} does not end with what the store holds")
            if client.connections < 2:
                found.append(f"client {number} did not connect again")
            for node, states in told.items():
                seen = [state for state, _ in itertools.groupby(event.states.get(node, "") for event in client.events)]
                if seen != states:
                    found.append(f"client {number} saw {node} be {seen}, and it was {states}")
        for number, (shown, went_on) in enumerate(self.pages):
            if shown != self.final:
                found.append(f"browser page {number} ends with {shown}")
            if not went_on:
                found.append(f"browser page {number} did not go on after the restart")
        return found

    def growth(self) -> list[float]:
        """For each server how its memory in the last third of its life compares with the third before, as medians."""
        return [max(0.0, last - _SLACK_BYTES) / middle for _, middle, last in map(thirds, self.memory)]

    def is_flat(self) -> bool:
        """Whether no server's memory grew by more than 5 % and 2 MB in the last third of its life."""
        return all(ratio <= _MOST_GROWTH for ratio in self.growth())

    def delays(self) -> list[float]:
        """Seconds from each change to the moment each client was told of it, in ascending order."""
        return sorted(
            next(e.at for e in client.events if e.at >= change.at and e.states.get(change.node) == change.state)
            - change.at
            for client in self.clients
            for change in self.changes
        )


def thirds(samples: Sequence[int]) -> tuple[float, float, float]:
    """The medians of the first, second and last third of some samples, of which there must be three."""
    third = len(samples) // 3
    parts = samples[:third], samples[third : 2 * third], samples[2 * third :]
    first, middle, last = (float(statistics.median(part)) for part in parts)
    return first, middle, last


def watch(location: StoreLocation, *, seconds: float, clients: int, pages: int, nodes: int) -> Watched:
    """Records a run that takes so many seconds, lets it be watched, and restarts the server in the middle.

    Each node changes its state once every `nodes` seconds, which must be longer than a restart takes.
    """
    with connect(location, create=True) as database:
        names = [f"node-{number:02d}" for number in range(nodes)]
        recording.create_run(database, RUN, "live", nodes=[(name, "Live") for name in names])
    server = DashboardServer(location)
    watchers = [Client(server.port) for _ in range(clients)]
    changes: list[Change] = []
    began, ended = threading.Event(), threading.Event()
    memory: list[list[int]] = [[]]
    pids = [server.pid]
    with ThreadPoolExecutor(4) as pool:
        try:
            streams = pool.submit(asyncio.run, _all(watchers))
            sampler = pool.submit(_sample, pids, memory, ended)
            browsing = pool.submit(_browse, server.address, pages, began, ended)
            deadline = time.monotonic() + 60
            while not began.is_set() or any(not watcher.events for watcher in watchers):
                if browsing.done() or time.monotonic() > deadline:
                    sys.exit(f"Not everybody could begin to watch: {browsing.exception() if browsing.done() else ''}")
                time.sleep(0.1)
            writing = pool.submit(_write, location, names, seconds, changes)
            time.sleep(seconds / 2)
            server.kill()
            server = DashboardServer(location, server.port)
            memory.append([])
            pids.append(server.pid)
            writing.result()
            streams.result(timeout=60)
        except BaseException:
            server.kill()
            raise
        finally:
            ended.set()
            for watcher in watchers:
                watcher.is_stopped = True
        shown = browsing.result()
        sampler.result()
    restart_seconds = server.start_seconds
    server.stop()
    with connect(location, create=False) as database:
        final = {node.node_id: node.state for node in nodes_of(database, RUN)}
    return Watched(changes, watchers, shown, final, memory, restart_seconds)


async def _all(watchers: Sequence[Client]) -> None:
    await asyncio.gather(*(watcher.watch() for watcher in watchers))


def _write(location: StoreLocation, names: Sequence[str], seconds: float, changes: list[Change]) -> None:
    """Lets each node run and fail in turn, a change a second, and all succeed in the end."""
    rounds = max(2, round(seconds / len(names)))
    rounds += rounds % 2
    interval = seconds / (rounds * len(names))
    begin = time.monotonic()
    with connect(location, create=True) as database:
        for number, (index, name) in enumerate(itertools.product(range(rounds), names)):
            state = "running" if index % 2 == 0 else "failed" if index < rounds - 1 else "succeeded"
            time.sleep(max(0.0, begin + number * interval - time.monotonic()))
            at = time.monotonic()
            recording.set_node(database, RUN, name, state=state, attempt=index // 2 + 1)
            changes.append(Change(at, name, state))
        recording.set_run_state(database, RUN, "succeeded")


def _sample(pids: Sequence[int], memory: list[list[int]], ended: threading.Event) -> None:
    while not ended.wait(1.0):
        number = len(pids) - 1
        size = proportional_bytes(pids[number])
        if size:
            memory[number].append(size)


def _browse(
    address: str, pages: int, began: threading.Event, ended: threading.Event
) -> list[tuple[dict[str, str], bool]]:
    """Opens the run in Chromium windows of their own and, when all is over, tells what they show."""
    import shutil

    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        sys.exit("Chromium is not installed: run `make test-servers` as root.")
    script = """() => Object.fromEntries([...document.querySelectorAll("#live tr[data-node]")]
        .map((row) => [row.dataset.node, row.dataset.state]))"""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        windows = [browser.new_context().new_page() for _ in range(pages)]
        for window in windows:
            window.goto(f"{address}/runs/{RUN}")
            window.evaluate(_WATCH_SCRIPT)
        began.set()
        kept: list[Any] = [None] * pages
        while not ended.is_set():
            # The page reloads when the run has ended; what it counted until then is what is asked for.
            for index, window in enumerate(windows):
                with suppress(Exception):
                    kept[index] = window.evaluate("window.openings") or kept[index]
            time.sleep(0.3)
        # Time for the reload that follows the end.
        time.sleep(3)
        shown = [(window.evaluate(script), (count or 0) >= 1) for window, count in zip(windows, kept, strict=True)]
        browser.close()
    return shown


# Counts how often the live part was replaced after the page had lost its server.
_WATCH_SCRIPT = """() => {
    window.openings = 0;
    let wasAway = false;
    setInterval(() => fetch("/health").then(() => {}, () => { wasAway = true; }), 200);
    new MutationObserver(() => { if (wasAway) window.openings += 1; })
        .observe(document.getElementById("live"), { childList: true });
}"""


def table(watched: Watched, seconds: float) -> str:
    """Returns the results as Markdown."""
    delays = watched.delays()
    events = sum(len(client.events) for client in watched.clients)
    rows = [
        ("clients, browser pages", f"{len(watched.clients)}, {len(watched.pages)}"),
        ("minutes, changes recorded", f"{seconds / 60:.1f}, {len(watched.changes)}"),
        ("events received", f"{events:,}"),
        ("changes that a client missed or saw out of order", str(sum("saw" in t for t in watched.troubles()))),
        ("from change to client, median", f"{statistics.median(delays):.2f} s"),
        ("the same, of 99 in 100", f"{delays[int(0.99 * len(delays))]:.2f} s"),
        ("the same, longest; over the restart", f"{delays[-1]:.1f} s"),
        ("start of the second server", f"{watched.restart_seconds:.1f} s"),
    ]
    for number, samples in enumerate(watched.memory, start=1):
        first, _, last = thirds(samples)
        rows.append(
            (
                f"memory of server {number}: first third, last third",
                f"{first / _MEGABYTE:.0f} MB, {last / _MEGABYTE:.0f} MB",
            )
        )
    lines = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"### Many who watch one run\n\n| | |\n|---|---:|\n{lines}"


def main() -> None:
    """Measures, and writes the result into README.md beside this file."""
    import os

    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard_live", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="[default: 10]")
    parser.add_argument("--clients", type=int, default=50, help="[default: 50]")
    parser.add_argument("--pages", type=int, default=3, help="pages in Chromium  [default: 3]")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave README.md as it is")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        watched = watch(
            StoreLocation(Path(folder) / "store"),
            seconds=60 * options.minutes,
            clients=options.clients,
            pages=options.pages,
            nodes=20,
        )
    text = f"{table(watched, 60 * options.minutes)}\n\n{report.circumstances(load)}"
    print(text)
    troubles = [*watched.troubles(), *([] if watched.is_flat() else ["the memory grew"])]
    if troubles:
        sys.exit("\n".join(troubles))
    if options.write:
        report.write("dashboard-live", text)


if __name__ == "__main__":
    main()
