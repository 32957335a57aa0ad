"""Measures how fast the dashboard answers on a store of 200,000 runs and 2,000,000 artifacts, in SQLite and PostgreSQL.

Each kind of page is asked for at least a hundred times, each time for something else, from a server as people start it.
Prints a table, and writes it into README.md beside this file unless told otherwise.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from benchmarks import dashboard_store, report
from benchmarks.dashboard_server import DashboardServer
from benchmarks.dashboard_store import DAILY, LargeStore
from penstock.metadata.location import StoreLocation

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Response

REQUESTS = 120
MOST_MILLISECONDS = 100.0
MOST_QUERIES = 10
MOST_BYTES = 300_000
MOST_PAINT_MILLISECONDS = 1000.0
_PAINTS = 7
_SETTLE_SECONDS = 60.0


@dataclass(frozen=True)
class Page:
    """A kind of page, and addresses of it that differ in what they ask for."""

    name: str
    paths: Sequence[str]


@dataclass(frozen=True)
class Timing:
    """How long answers took.

    Attributes:
        milliseconds: from each request to its answer's end, ascending.
        cpu_milliseconds: what the server's process computed meanwhile, ascending.
        queries: the most queries that one of them took.
    """

    milliseconds: Sequence[float]
    cpu_milliseconds: Sequence[float]
    queries: int

    def part(self, share: float) -> float:
        """The time that so large a share of the answers stayed below."""
        return _part(self.milliseconds, share)


def _part(ascending: Sequence[float], share: float) -> float:
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))]


@dataclass(frozen=True)
class FirstPage:
    """The runs page in Chromium with an empty cache: bytes it is made of, and milliseconds until it was painted."""

    size_bytes: int
    paints: Sequence[float]


def pages(store: LargeStore, requests: int = REQUESTS) -> list[Page]:
    """The kinds of pages, with so many addresses each."""
    choose = random.Random(11)
    runs, pipelines = store.sample, store.pipelines
    types = ("Examples", "ExampleStatistics", "Schema", "Model", "ModelEvaluation", "ModelBlessing", "PushedModel")
    every_artifact = [artifact for ids in store.artifacts.values() for artifact in ids]

    def several(name: str, path: str, *choices: Mapping[str, Any]) -> Page:
        """Addresses with one of some queries each; a list among a query's values stands for one of its items."""
        found = []
        for number in range(requests):
            query = {
                key: choose.choice(value) if isinstance(value, list) else value
                for key, value in choices[number % len(choices)].items()
            }
            found.append(f"{path}?{urlencode(query)}" if query else path)
        return Page(name, found)

    def each(name: str, path: str, ids: Sequence[Any]) -> Page:
        return Page(name, [path.format(choose.choice(ids)) for _ in range(requests)])

    before = {"before": list(runs)}
    before_artifact = {"before": every_artifact}
    names = {"pipeline": list(pipelines)}
    state = {"state": ["succeeded", "failed", "cancelled", "running", "interrupted"]}
    text = {"text": ["loss is not a number at step 9", "/data/team-03/", "run-1999", "Train_Steps", "in no run", "7"]}
    since = {"since": ["1h", "24h", "7d", "30d", "300d"]}
    kinds = {"type": list(types)}
    artifact_state = {"state": ["live", "deleted", "pending", "abandoned"]}
    daily = {"pipeline": DAILY, "metric": ["binary_accuracy", "auc", "loss"]}
    hours = [json.dumps({"trip_start_hour": str(hour)}) for hour in range(24)]
    other = {"against": list(store.evaluations)}
    return [
        several("runs, newest and far back", "/runs", {}, before),
        several("runs of a pipeline", "/runs", names, {**names, **before}),
        several("runs in a state", "/runs", state, {**state, **before}),
        several("runs with a text", "/runs", text, {**text, **before}, {**text, **names}),
        several("runs of the last hour to year", "/runs", since, {**since, **names}),
        several("runs, several filters", "/runs", {**names, **state}, {**names, **state, **before, **text}),
        each("a run", "/runs/{}", [*runs, *store.failed]),
        each("an artifact", "/artifacts/{}", every_artifact),
        several("artifacts, newest and far back", "/artifacts", {}, before_artifact),
        several("artifacts of a type", "/artifacts", kinds, {**kinds, **before_artifact}),
        several("artifacts of a pipeline", "/artifacts", names, {**names, **before_artifact}),
        several("artifacts of a run", "/artifacts", {"run": list(runs)}, {"run": list(runs), **kinds}),
        several("artifacts in a state", "/artifacts", artifact_state, {**artifact_state, **before_artifact}),
        several(
            "artifacts, several filters",
            "/artifacts",
            {**names, **kinds},
            {**names, **artifact_state},
            {**names, **kinds, **artifact_state, **before_artifact},
        ),
        several("lineage of 500 nodes", f"/artifacts/{store.warm_model}/lineage", {}, {"direction": "both"}),
        each("lineage of any artifact", "/artifacts/{}/lineage?direction=both", every_artifact),
        several("models: 365 evaluations", "/models", daily),
        several("the same on a slice", "/models", {**daily, "slice": hours}),
        several("models, as opened", "/models", {}, names),
        several("two runs compared", "/compare", {"a": list(runs), "b": list(runs)}),
        Page(
            "slices of an evaluation",
            [
                f"/artifacts/{choose.choice(store.evaluations)}/slices?"
                + urlencode(
                    {
                        "metric": choose.choice(daily["metric"]),
                        "least": choose.choice([0, 100, 1000]),
                        "thresholds": choose.choice(["0.5", "0.3 0.5 0.7"]),
                        "slice": choose.choice(hours),
                        **({"against": choose.choice(other["against"])} if number % 2 else {}),
                    }
                )
                for number in range(requests)
            ],
        ),
    ]


def measure(location: StoreLocation, asked: Sequence[Page]) -> dict[str, Timing]:
    """Asks a server for every page, one after the other, and counts queries in an application of this process."""
    milliseconds: dict[str, list[float]] = {page.name: [] for page in asked}
    computed: dict[str, list[float]] = {page.name: [] for page in asked}
    server = DashboardServer(location)
    try:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        for page in asked:
            for path in page.paths:
                began, cpu_began = time.perf_counter(), server.cpu_seconds()
                connection.request("GET", path)
                answer = connection.getresponse()
                body = answer.read()
                milliseconds[page.name].append(1000 * (time.perf_counter() - began))
                computed[page.name].append(1000 * (server.cpu_seconds() - cpu_began))
                if answer.status != 200:
                    sys.exit(f"{path} answers with {answer.status}:\n{body.decode()[-2000:]}")
    finally:
        server.stop()
    queries = count_queries(location, asked)
    return {name: Timing(sorted(times), sorted(computed[name]), queries[name]) for name, times in milliseconds.items()}


def count_queries(location: StoreLocation, asked: Sequence[Page], paths: int = 12) -> dict[str, int]:
    """The most queries that one of some addresses of each page takes."""
    from starlette.testclient import TestClient

    from penstock.dashboard.app import create_app
    from penstock.dashboard.settings import Settings

    most: dict[str, int] = {}
    with TestClient(create_app(Settings(location)), base_url="http://localhost") as client:
        for page in asked:
            for path in page.paths[:paths]:
                # The first answer opens a connection and looks which tables there are.
                client.get(path)
                with counted() as queries:
                    client.get(path)
                most[page.name] = max(most.get(page.name, 0), len(queries))
    return most


@contextmanager
def counted() -> Iterator[list[str]]:
    """Lists the queries that any connection of this process to a store takes meanwhile."""
    from penstock.metadata.database import Row, SqliteDatabase
    from penstock.metadata.postgres import PostgresDatabase

    queries: list[str] = []

    def wrap(query: Any) -> Any:
        def counting(self: Any, sql: str, *arguments: Any) -> list[Row]:
            queries.append(sql)
            return query(self, sql, *arguments)  # type: ignore[no-any-return]

        return counting

    kinds: tuple[Any, ...] = (SqliteDatabase, PostgresDatabase)
    plain = [kind.query for kind in kinds]
    for kind, query in zip(kinds, plain, strict=True):
        kind.query = wrap(query)
    try:
        yield queries
    finally:
        for kind, query in zip(kinds, plain, strict=True):
            kind.query = query


def first_page(location: StoreLocation) -> FirstPage:
    """Opens the runs page in Chromium, each time with an empty cache."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        sys.exit("Chromium is not installed: run `make test-servers` as root.")
    server = DashboardServer(location)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            opened = [_open(browser, f"{server.address}/runs") for _ in range(_PAINTS)]
            browser.close()
    finally:
        server.stop()
    return FirstPage(max(size for size, _ in opened), [paint for _, paint in opened])


def _open(browser: Browser, address: str) -> tuple[int, float]:
    """Bytes of all that a page is made of, and milliseconds until it was painted."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))
    page.goto(address, wait_until="networkidle")
    paint = float(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    size = sum(len(answer.body()) for answer in answers)
    context.close()
    return size, paint


def table(measured: Mapping[str, Mapping[str, Timing]], first: FirstPage | None) -> str:
    """Returns the results as Markdown; `measured` is by the name of the database."""
    heads = "".join(f" {name}: p50 | p95 | p99 | CPU, p95 |" for name in measured)
    lines = [f"| milliseconds |{heads} queries |", f"|---|{'---:|' * (4 * len(measured) + 1)}"]
    for page in next(iter(measured.values())):
        timings = [by_page[page] for by_page in measured.values()]
        cells = [
            cell
            for timing in timings
            for cell in (
                f"{timing.part(0.5):.0f}",
                f"**{timing.part(0.95):.0f}**",
                f"{timing.part(0.99):.0f}",
                f"{_part(timing.cpu_milliseconds, 0.95):.0f}",
            )
        ]
        lines.append(f"| {page} | {' | '.join(cells)} | {max(timing.queries for timing in timings)} |")
    text = "\n".join(lines)
    if first is not None:
        text += (
            f"\n\nThe runs page in Chromium with an empty cache: {first.size_bytes / 1000:.0f} kB, painted after "
            f"{statistics.median(first.paints):.0f} ms ({min(first.paints):.0f}–{max(first.paints):.0f})."
        )
    return text


def troubles(measured: Mapping[str, Mapping[str, Timing]], first: FirstPage | None) -> list[str]:
    """What is slower or larger than it shall be, in words."""
    found = []
    for database, by_page in measured.items():
        for page, timing in by_page.items():
            if timing.part(0.95) >= MOST_MILLISECONDS:
                found.append(f"{database}: {page}: {timing.part(0.95):.0f} ms")
            if timing.queries > MOST_QUERIES:
                found.append(f"{database}: {page}: {timing.queries} queries")
    if first is not None and first.size_bytes > MOST_BYTES:
        found.append(f"the first page has {first.size_bytes:,} bytes")
    if first is not None and statistics.median(first.paints) >= MOST_PAINT_MILLISECONDS:
        found.append(f"the first page is painted after {statistics.median(first.paints):.0f} ms")
    return found


@contextmanager
def postgres_store(runs: int) -> Iterator[tuple[StoreLocation, LargeStore]]:
    """The store of so many runs in a PostgreSQL of its own, which is gone afterwards."""
    from tests.servers.postgres import PostgresServer

    # Not where only this user may enter: the server runs as another one.
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        Path(folder).chmod(0o755)
        place = Path(folder) / "server"
        place.mkdir()
        server = PostgresServer(place)
        try:
            location = StoreLocation(Path(folder) / "store", server.new_database())
            yield location, dashboard_store.make(location, runs)
        finally:
            server.stop()


def _settled_load() -> float:
    """The machine's load once what this process did before has gone out of it; of others, what there is."""
    time.sleep(_SETTLE_SECONDS)
    return os.getloadavg()[0]


def main() -> None:
    """Measures what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard", description=__doc__)
    parser.add_argument("--runs", type=int, default=dashboard_store.RUNS, help="[default: 200000]")
    parser.add_argument("--databases", choices=("SQLite", "PostgreSQL"), nargs="+", default=["SQLite", "PostgreSQL"])
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave README.md as it is")
    options = parser.parse_args()
    measured: dict[str, dict[str, Timing]] = {}
    first: FirstPage | None = None
    with ExitStack() as opened:
        stores: dict[str, tuple[StoreLocation, LargeStore]] = {}
        if "PostgreSQL" in options.databases:
            stores["PostgreSQL"] = opened.enter_context(postgres_store(options.runs))
        if "SQLite" in options.databases:
            stores["SQLite"] = dashboard_store.kept(options.runs)
        load = _settled_load()
        for name in reversed(stores):
            location, store = stores[name]
            measured[name] = measure(location, pages(store))
            if name == "SQLite":
                first = first_page(location)
    text = (
        f"### {options.runs:,} runs, {10 * options.runs:,} artifacts\n\n{table(measured, first)}\n\n"
        f"{report.circumstances(load)}"
    )
    print(text)
    found = troubles(measured, first)
    if options.write:
        report.write("dashboard", text)
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
