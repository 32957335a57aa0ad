"""The pages of runs and nodes: what they show, what they answer to wrong addresses."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from penstock.dashboard import ir, layout, timeline
from penstock.dashboard.app import create_app
from penstock.dashboard.settings import Settings
from penstock.metadata import recording
from penstock.metadata.database import connect
from penstock.metadata.location import StoreLocation
from penstock.metadata.runs import NodeRecord, Run
from tests.unit.dashboard.conftest import BAD, GOOD, Store


def runs_on(page: str) -> list[str]:
    table = page.partition('id="runs"')[2]
    return re.findall(r'<td><a href="/runs/([^"/?]+)">', table)


def test_failures_show_their_cause_and_nothing_of_it_is_markup(client: TestClient) -> None:
    page = client.get("/runs").text
    assert runs_on(page) == [BAD, GOOD]
    assert "RuntimeError: &lt;b&gt;the data is gone&lt;/b&gt;" in page
    assert "<b>the data" not in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state=failed", [BAD]),
        ("state=succeeded", [GOOD]),
        ("pipeline=taxi", [BAD, GOOD]),
        ("text=GOOD", [GOOD]),
        ("text=%25", []),
        ("text=the+data", [BAD]),
        ("text=%27%20OR%201%3D1%20--", []),
        ("since=1h", [BAD, GOOD]),
        ("limit=1", [BAD]),
        (f"before={BAD}", [GOOD]),
        ("state=&pipeline=&text=&since=", [BAD, GOOD]),
    ],
)
def test_filters(client: TestClient, query: str, found: list[str]) -> None:
    answer = client.get(f"/runs?{query}")
    assert answer.status_code == 200
    assert runs_on(answer.text) == found


@pytest.mark.parametrize(
    "query",
    [
        "state=nothing",
        "pipeline=other",
        "pipeline=taxi'%20OR%20'1'='1",
        "before=none-such",
        "before=';DROP%20TABLE%20penstock_runs;--",
        "before=../../etc",
        "since=yesterday",
        "since=1%20OR%201",
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=1e3",
        "limit=%D9%A3",
        "text=%00",
        f"text={'a' * 201}",
    ],
)
def test_what_cannot_be_asked_is_told(client: TestClient, query: str) -> None:
    assert client.get(f"/runs?{query}").status_code == 400
    assert client.get(f"/api/v1/runs?{query}").status_code == 400


def test_pages_go_on_by_key_to_the_last_run(tmp_path: Path) -> None:
    location = StoreLocation(tmp_path)
    ids = [f"run-{number:03}" for number in range(25)]
    with connect(location, create=True) as database:
        for run_id in ids:
            recording.create_run(database, run_id, "many")
            recording.set_run_state(database, run_id, "succeeded")
    client = TestClient(create_app(Settings(location)), base_url="http://localhost")
    seen: list[str] = []
    address = "/runs?limit=10"
    while address:
        page = client.get(address).text
        seen += runs_on(page)
        older = re.search(r'rel="next" href="([^"]+)"', page)
        address = older[1].replace("&amp;", "&") if older else ""
    assert seen == ids[::-1]


def test_an_empty_store_says_how_to_fill_it_and_shows_runs_once_there_are(tmp_path: Path) -> None:
    location = StoreLocation(tmp_path / "store")
    client = TestClient(create_app(Settings(location)), base_url="http://localhost")
    for path, command in (
        ("/runs", "penstock run PATH"),
        ("/artifacts", "penstock run PATH"),
        ("/models", "Evaluator"),
    ):
        page = client.get(path)
        assert page.status_code == 200
        assert command in page.text
    assert not location.folder.exists()
    with connect(location, create=True) as database:
        recording.create_run(database, "first", "new")
    assert runs_on(client.get("/runs").text) == ["first"]


def test_a_run_shows_its_nodes_with_states_in_words(client: TestClient) -> None:
    page = client.get(f"/runs/{BAD}").text
    states = re.findall(r'<tr data-node="(\w+)" data-state="(\w+)">', page)
    assert states == [("examples", "failed"), ("trainer", "upstream_failed"), ("evaluator", "upstream_failed")]
    assert "upstream failed" in page
    assert f'action="/runs/{BAD}/resume"' in page
    assert client.get("/runs/latest").text.count(BAD) > 3


def test_a_run_that_ended_sends_its_last_state_and_closes(client: TestClient) -> None:
    with client.stream("GET", f"/runs/{GOOD}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [line for line in answer.iter_lines() if line]
    assert events[1] == "event: last"
    data = json.loads(events[2].removeprefix("data: "))
    assert data["state"] == "succeeded"
    assert 'data-node="trainer"' in data["html"]


@pytest.mark.parametrize(
    "path",
    ["/runs/none", f"/runs/{GOOD}/nodes/none", f"/runs/{GOOD}/compiled", "/nothing", f"/runs/{GOOD}/nodes/trainer/log"],
)
def test_what_is_not_there(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_log_is_shown_searched_and_downloaded(client: TestClient) -> None:
    path = f"/runs/{GOOD}/nodes/trainer"
    page = client.get(f"{path}?tab=log").text
    assert "line 300 of trainer &lt;script&gt;" in page
    found = client.get(f"{path}?tab=log&text=LINE+17+").text
    assert "line 17 of trainer" in found and "line 18 of trainer" not in found
    whole = client.get(f"{path}/log.txt")
    assert whole.text.count("\n") == 300
    assert "attachment" in whole.headers["content-disposition"]
    assert client.get(f"{path}/log.txt?attempt=2").status_code == 404
    assert client.get(f"{path}/log.txt?attempt=../1").status_code == 400


def test_a_log_outside_of_the_store_is_not_shown(client: TestClient) -> None:
    for path in ("?tab=log", "/log.txt"):
        answer = client.get(f"/runs/{BAD}/nodes/examples{path}")
        assert "not for readers" not in answer.text
        assert answer.status_code != 200


def test_the_log_events_go_on_from_a_position(client: TestClient, store: Store) -> None:
    size = (store.location.folder / f"runs/{GOOD}/trainer/attempt-1/log.txt").stat().st_size
    position = size - len("line 300 of trainer <script>\n")
    with client.stream("GET", f"/runs/{GOOD}/nodes/trainer/log/events?position={position}") as answer:
        data = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
    assert "".join(event["text"] for event in data) == "line 300 of trainer <script>\n"
    assert data[-1]["position"] == size


def test_two_runs_side_by_side(client: TestClient) -> None:
    page = client.get(f"/compare?a={GOOD}&b={BAD}").text
    assert re.search(r"steps <span class=\"quiet\">differs</span></td><td>10</td><td>20</td>", page)
    assert client.get(f"/compare?a={GOOD}&b=none").status_code == 404
    assert client.get("/compare?a=%27").status_code == 400


def test_a_layout_has_every_node_once_and_edges_from_left_to_right() -> None:
    names = [f"n{number}" for number in range(30)]
    edges = [(names[a], names[b]) for a in range(29) for b in (a + 1, a + 7) if b < 29]
    found = layout.layered(names, edges)
    assert set(found.places) == set(names)
    assert len(set(found.places.values())) == 30
    assert {(edge.source, edge.target) for edge in found.edges} == set(edges)
    for a, b in edges:
        assert found.places[a][0] < found.places[b][0]
    boxes = list(found.places.values())
    for index, (x, y) in enumerate(boxes):
        assert all(abs(x - u) >= 150 or abs(y - v) >= 44 for u, v in boxes[index + 1 :])
        assert 0 <= x <= found.width - 150 and 0 <= y <= found.height - 44
    assert layout.layered(names, edges) == found


def test_a_graph_without_edges_is_laid_out() -> None:
    found = layout.layered(["a", "b"], [])
    assert found.places["a"] != found.places["b"]
    assert layout.layered([], []).edges == []


def test_the_timeline_shows_waiting_from_the_end_of_what_a_node_needs() -> None:
    run = Run("r", "p", "running", 100.0, started_at=100.0)
    first = NodeRecord("r", "first", 0, "A", "succeeded", started_at=100.0, finished_at=110.0)
    second = NodeRecord("r", "second", 1, "B", "running", started_at=113.0)
    found = timeline.make(run, [first, second], [("first", "second")], now=120.0)
    assert found is not None
    bars = {bar.node.node_id: bar for bar in found.bars}
    assert bars["second"].waited_seconds == 3.0
    assert bars["second"].seconds == 7.0
    assert bars["first"].width / bars["second"].width == pytest.approx(10 / 7)
    assert bars["first"].x + bars["first"].width == pytest.approx(bars["second"].wait_x)
    assert timeline.make(run, [], []) is None


def test_a_resumed_run_whose_clock_was_set_back_has_a_timeline() -> None:
    run = Run("r", "p", "succeeded", 100.0, started_at=100.0, finished_at=90.0)
    node = NodeRecord("r", "first", 0, "A", "succeeded", started_at=100.0, finished_at=95.0)
    found = timeline.make(run, [node], [], now=time.time())
    assert found is not None
    assert found.bars[0].width > 0


def test_bytes_that_are_no_pipeline_are_refused() -> None:
    with pytest.raises(ValueError, match="no compiled pipeline"):
        ir.read(b"\xff\xff\xff")
