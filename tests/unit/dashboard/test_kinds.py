"""The pages of single kinds of artifacts, of executions, and of a node's attempts, on a made-up store."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from benchmarks.dashboard import MOST_QUERIES, counted
from penstock.dashboard import serving
from penstock.dashboard.app import create_app
from penstock.dashboard.pages.artifacts import ViewQuery, statistics_values
from penstock.dashboard.pages.nodes import attempt_rows
from penstock.dashboard.settings import Settings
from penstock.metadata import recording
from penstock.metadata.database import connect
from penstock.metadata.location import StoreLocation
from penstock.metadata.runs import ATTEMPTS, NodeRecord
from penstock.summaries import files
from tests.unit.dashboard.conftest import GOOD, Maker, Store

ROW = {"company": "Blue <Cab>", "trip_miles": 2.5, "hours": [1, 2], "empty": None}
SIGNATURES = {
    "serving_default": {"inputs": {"examples": "string"}, "outputs": {"p": "float"}},
    "raw": {"inputs": {"company": "string", "trip_miles": "float", "hour": "int64"}, "outputs": {"p": "float"}},
}
REPORT = "<h1 style='color:red'>A \"report\"</h1><script>1</script>"
STATISTICS = {
    "splits": {
        "train": {
            "examples": 10,
            "features": [
                {"name": "company", "type": "STRING", "missing": 0, "values": 10, "distinct": 2, "top": [["Red", 7]]},
                {"name": "trip_miles", "type": "FLOAT", "missing": 1, "values": 9, "zeros": 6, "median": 1.25,
                 "mean": 1.0, "deviation": 1.0, "minimum": 0.0, "maximum": 9.0, "histogram": [[0, 9, 9]],
                 "quantiles": [0.0, 0.5, 1.25, 4.0, 9.0]},
                {"name": "hour", "type": "INT", "missing": 5, "values": 5, "zeros": 1, "median": 12.0, "mean": 1.0,
                 "deviation": 1.0, "minimum": 0.0, "maximum": 23.0, "histogram": [[0, 23, 5]], "quantiles": []},
            ],
        }
    }
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Examples of three spans, a model made of the last of them and pushed twice, anomalies, and a report."""
    location = StoreLocation(tmp_path_factory.mktemp("kinds") / "store")
    maker = Maker(location)
    for span in (9, 10, 11):
        maker.make(f"examples{span}", "examples", "Examples", run=f"r{span}", span=span, version=0)
    maker.make("other", "others", "Examples")
    maker.make("statistics", "statistics", "ExampleStatistics", ["examples11"])
    maker.make("schema", "schema", "Schema", ["statistics"])
    maker.make("anomalies", "validator", "ExampleAnomalies", ["statistics", "schema"])
    ids, writer = maker.artifacts, maker.writer
    _, [ids["model"], ids["model_run"]] = writer.execute(
        "taxi",
        GOOD,
        "trainer",
        inputs={"examples": [ids["examples11"]], "schema": [ids["schema"]]},
        outputs={"model": [writer.artifact("Model", "/data/model")], "run": [writer.artifact("ModelRun", "/data/run")]},
    )
    for name in ("pushed9", "pushed10", "not_pushed"):
        maker.make(name, "pusher", "PushedModel", ["model"])
    maker.make("report", "reporter", "Report")
    with connect(location, create=True) as database:
        for span in (9, 10, 11):
            recording.create_run(database, f"r{span}", "taxi", nodes=[("examples", "CsvExampleGen")])
            recording.set_node(database, f"r{span}", "examples", execution_id=maker.executions[f"examples{span}"])
            content: dict[str, Any] = {"splits": {"train": 20 * span, "eval": 10 * span}}
            if span == 11:
                content["rows"] = {"train": [ROW, {"company": "Red"}], "eval": []}
            recording.put_summary(database, ids[f"examples{span}"], "examples", content)
        recording.put_summary(database, ids["statistics"], "statistics", STATISTICS)
        recording.put_summary(database, ids["schema"], "schema", {"features": []})
        recording.put_summary(database, ids["anomalies"], "anomalies", {"count": 0, "anomalies": []})
        listing = {"bytes": 1500, "number": 2, "files": [["saved_model.pb", 1000], ["variables/data", 500]]}
        recording.put_summary(database, ids["model"], "model", {**listing, "signatures": SIGNATURES})
        curves = {"train/loss": [[1, 0.5], [2, 0.25]], "never": []}
        recording.put_summary(database, ids["model_run"], "model_run", {"steps": 2, "curves": curves})
        for name, version in (("pushed9", "9"), ("pushed10", "10")):
            pushed = {"pushed": True, "destination": f"/srv/my models/taxi/{version}", "version": version}
            recording.put_summary(database, ids[name], "pushed_model", pushed)
        refused = {"pushed": False, "destination": None, "version": None}
        recording.put_summary(database, ids["not_pushed"], "pushed_model", refused)
        documents = [
            {"name": "report.html", "kind": "html", "text": REPORT},
            {"name": "notes.md", "kind": "markdown", "text": "# <b>notes</b>"},
            {"name": "facts.json", "kind": "text", "text": '{"a": "<i>"}'},
        ]
        recording.put_summary(
            database, ids["report"], "files", {"files": [["report.html", 99]], "number": 1, "bytes": 99,
                                               "documents": documents}
        )  # fmt: skip
    return Store(location, ids)


def browse(made: Store, **settings: Any) -> TestClient:
    return TestClient(create_app(Settings(made.location, **settings)), base_url="http://localhost")


@pytest.fixture
def client(made: Store) -> Iterator[TestClient]:
    with browse(made) as found:
        yield found


def page_of(client: TestClient, made: Store, name: str, query: str = "") -> str:
    answer = client.get(f"/artifacts/{made.artifacts[name]}{query}")
    assert answer.status_code == 200
    return answer.text


def test_examples_are_counted_by_split_and_span(client: TestClient, made: Store) -> None:
    page = page_of(client, made, "examples10")
    splits = page.partition('id="splits"')[2].partition("</table>")[0]
    assert re.findall(r"<td>(\w+)</td><td class=\"right\">([\d,]+)</td>", splits) == [
        ("train", "200"), ("eval", "100"), ("together", "300"),
    ]  # fmt: skip
    table = page.partition('id="spans"')[2].partition("</table>")[0]
    assert re.findall(r'<tr[^>]*><td class="right">(\d+)</td>', table) == ["11", "10", "9"]
    assert "330" not in table and "220" in table
    assert f'href="/artifacts/{made.artifacts["other"]}"' not in table


def test_rows_are_shown_to_admins_where_the_dashboard_was_told_so(made: Store) -> None:
    path = f"/artifacts/{made.artifacts['examples11']}"
    tokens = {f"{name}token": f"{name or 'operator_'}token-0123456789" for name in ("", "viewer_", "admin_")}
    seen = {}
    for shows_rows in (False, True):
        for name, token in tokens.items():
            client = browse(made, shows_rows=shows_rows, **tokens)
            headers = {"authorization": f"Bearer {token}"}
            page = client.get(path, headers=headers).text
            api = client.get(f"/api/v1{path}", headers=headers).json()["summary"]["content"]
            assert "Blue <Cab>" not in page
            if "Blue &lt;Cab&gt;" in page or "rows" in api:
                seen[shows_rows, name] = ("Blue &lt;Cab&gt;" in page, "rows" in api)
    assert seen == {(True, "admin_token"): (True, True)}


def test_why_there_are_no_rows_is_told_in_words(made: Store) -> None:
    assert "--show-rows" in page_of(browse(made), made, "examples11")
    assert "sample_rows" in page_of(browse(made, shows_rows=True), made, "examples10")


def test_statistics_are_sorted_and_narrowed(client: TestClient, made: Store) -> None:
    def names(**query: str) -> list[str]:
        return [row.name for row in statistics_values(STATISTICS, None, ViewQuery(**query))["rows"]]

    assert names(order="missing") == ["hour", "trip_miles", "company"]
    assert names(order="zeros") == ["trip_miles", "hour", "company"]
    assert names(kind="categorical") == ["company"]
    assert names(kind="numeric") == ["hour", "trip_miles"]
    page = page_of(client, made, "statistics", "?kind=numeric&order=missing")
    assert 'id="company"' not in page
    quantiles = re.findall(r'<div class="quantile"><span class="quiet">(.*?)</span>\s*(.*?)</div>', page)
    assert [share for share, _ in quantiles] == ["0 %", "25.0 %", "50.0 %", "75.0 %", "100 %"]
    assert [value.strip() for _, value in quantiles] == ["0", "0.5", "1.25", "4", "9"]
    for wrong in ("order=x", "kind=x"):
        assert client.get(f"/artifacts/{made.artifacts['statistics']}?{wrong}").status_code == 400


def test_anomalies_name_the_statistics_and_the_schema(client: TestClient, made: Store) -> None:
    against = page_of(client, made, "anomalies").partition('id="against"')[2].partition("</p>")[0]
    before, _, after = against.partition("checked against")
    assert f'href="/artifacts/{made.artifacts["statistics"]}"' in before
    assert f'href="/artifacts/{made.artifacts["schema"]}"' in after


def test_a_model_shows_files_signatures_and_how_it_was_trained(client: TestClient, made: Store) -> None:
    page = page_of(client, made, "model")
    assert "variables/data" in page and "500 B" in page and "2 files, 1.5 kB" in page
    assert page.count('class="chart"') == 1 and "train/loss" in page
    assert "tensorboard --logdir /data/model_run" not in page and "tensorboard --logdir /data/run" in page
    assert f'href="/artifacts/{made.artifacts["model_run"]}"' in page


def test_a_pushed_model_says_which_is_newest_and_how_to_serve_and_ask_it(client: TestClient, made: Store) -> None:
    page = page_of(client, made, "pushed9")
    rows = re.findall(r'<tr[^>]*><td class="right">(\d+)</td>', page.partition('id="versions"')[2])
    assert rows == ["10", "9"]
    assert f'the newest is <a href="/artifacts/{made.artifacts["pushed10"]}">10</a>' in page
    assert ", the newest" in page_of(client, made, "pushed10")
    command = html.unescape(page)
    assert "--model_base_path='/srv/my models/taxi'" in command and "--model_name=taxi" in command
    found = re.search(r'<pre id="request">(.*?)</pre>', page, re.DOTALL)
    assert found is not None
    words = shlex.split(html.unescape(found[1]))
    assert words[4] == "http://localhost:8501/v1/models/taxi:predict"
    body = json.loads(words[words.index("-d") + 1])
    # A typical value of each: the most frequent text, medians.
    assert body == {"signature_name": "raw", "instances": [{"company": "Red", "trip_miles": 1.25, "hour": 12}]}
    assert "Not pushed" in page_of(client, made, "not_pushed")
    own_row = html.unescape(page_of(browse(made, shows_rows=True), made, "pushed10"))
    assert '"company": "Blue <Cab>"' in own_row and "a row of its examples" in own_row


def test_a_model_that_takes_serialized_examples_is_asked_with_one() -> None:
    found = serving.trial("/m/taxi", {"serving_default": SIGNATURES["serving_default"]}, ROW)
    assert found.curl is not None
    body = json.loads(shlex.split(found.curl)[-1])
    encoded = base64.b64decode(body["instances"][0]["examples"]["b64"])
    assert encoded == serving.serialized_example(ROW)
    assert serving.trial("/m/taxi", {}, ROW).curl is None
    assert serving.trial("/m/taxi", SIGNATURES, {}).curl is None


def test_what_other_kinds_hold_is_shown_in_a_frame_that_may_do_nothing(client: TestClient, made: Store) -> None:
    answer = client.get(f"/artifacts/{made.artifacts['report']}")
    frames = re.findall(r"<iframe ([^>]*)>", answer.text)
    assert len(frames) == 2
    assert all(re.search(r"\bsandbox\b(?!=)", frame) for frame in frames)
    contents = [html.unescape(re.search(r'srcdoc="([^"]*)"', frame)[1]) for frame in frames]  # type: ignore[index]
    assert contents[0] == REPORT
    assert contents[1] == "<pre># &lt;b&gt;notes&lt;/b&gt;</pre>"
    outside = re.sub(r"<iframe [^>]*>", "", answer.text)
    assert "<script>1" not in outside and "<b>notes" not in outside and "&lt;i&gt;" in outside
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy and "default-src 'none'" in policy


def test_the_files_of_an_artifact_are_listed_and_links_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "payload"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "report.HTML").write_text("<p>é</p>")
    (folder / "large.md").write_text("x" * 200_000)
    (folder / "data.bin").write_bytes(b"\0" * 7)
    (tmp_path / "secret.txt").write_text("not for readers")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    assert files.listing(folder) == {
        "files": [["data.bin", 7], ["deep/report.HTML", 9], ["large.md", 200_000]], "number": 3, "bytes": 200_016,
    }  # fmt: skip
    assert files.documents(folder) == [{"name": "deep/report.HTML", "kind": "html", "text": "<p>é</p>"}]


def test_executions_are_listed_as_the_store_counts_them(client: TestClient, made: Store) -> None:
    seen: list[int] = []
    address = "/api/v1/executions?limit=5"
    while True:
        answer = client.get(address).json()
        seen += [entry["execution_id"] for entry in answer["executions"]]
        if answer["next"] is None:
            break
        address = f"/api/v1/executions?limit=5&before={answer['next']}"
    with connect(made.location, create=False) as database:
        assert database.has_mlmd()
        expected = [row["id"] for row in database.query("SELECT id FROM Execution ORDER BY id DESC")]
    assert seen == expected and len(expected) > 10
    page = client.get("/executions?run=r10").text
    assert page.count('<tr><td class="right">') == 1 and 'href="/runs/r10/nodes/examples"' in page
    assert client.get("/executions?state=complete").text.count('<tr><td class="right">') == len(expected)
    assert "No execution fits" in client.get("/executions?state=failed").text
    for wrong in ("state=x", "type=x", "run=none", "before=x", "limit=0"):
        assert client.get(f"/executions?{wrong}").status_code == 400
        assert client.get(f"/api/v1/executions?{wrong}").status_code == 400


def test_no_page_of_a_kind_asks_the_store_more_than_ten_times(made: Store) -> None:
    for shows_rows in (False, True):
        client = browse(made, shows_rows=shows_rows)
        client.get("/runs")
        for name, artifact_id in made.artifacts.items():
            with counted() as queries:
                assert client.get(f"/artifacts/{artifact_id}").status_code == 200
            assert len(queries) <= MOST_QUERIES, (name, queries)


def test_attempts_are_those_that_are_recorded_and_those_that_left_a_log(tmp_path: Path) -> None:
    location = StoreLocation(tmp_path / "store")
    with connect(location, create=True) as database:
        recording.create_run(database, "r", "p", nodes=[("n", "N")])
        for number in (1, 2, 3):
            file = location.folder / f"runs/r/n/attempt-{number}/log.txt"
            file.parent.mkdir(parents=True)
            file.write_text(f"attempt {number}\n")
        recording.set_node(database, "r", "n", state="running", attempt=3, log="runs/r/n/attempt-3/log.txt")
        entries = [
            {"attempt": 2, "state": "failed", "started_at": 1.0, "seconds": 2.0, "cpu_seconds": 1.5, "peak_bytes": 5e8,
             "error": "ValueError: no"},
            {"attempt": 3, "state": "succeeded", "started_at": 4.0, "seconds": 3.0, "cpu_seconds": 2.5,
             "peak_bytes": 6e8},
        ]  # fmt: skip
        recording.set_node(database, "r", "n", state="succeeded", detail={ATTEMPTS: entries, "examples": 3})
        recording.set_run_state(database, "r", "succeeded")
    client = TestClient(create_app(Settings(location)), base_url="http://localhost")
    page = client.get("/runs/r/nodes/n?tab=attempts").text
    rows = re.findall(r'<tr data-attempt="(\d)">(.*?)</tr>', page, re.DOTALL)
    assert [number for number, _ in rows] == ["1", "2", "3"]
    assert "not recorded" in rows[0][1]
    assert "failed" in rows[1][1] and "ValueError: no" in rows[1][1] and "500.0 MB" in rows[1][1]
    for number, row in rows:
        link = re.search(r'href="([^"]+)"', row)
        assert link is not None
        assert f"attempt {number}" in client.get(link[1].replace("&amp;", "&")).text
    properties = client.get("/runs/r/nodes/n?tab=properties").text
    assert "600.0 MB of memory" in properties and "4.0s of processor time" in properties
    assert "3 examples" in page
    node = client.get("/api/v1/runs/r/nodes/n").json()
    assert node["detail"] == {"examples": 3} and len(node["attempts"]) == 2


def test_the_attempts_of_several_executions_stand_apart() -> None:
    entries = [{"attempt": 1, "part": part, "state": state} for part, state in ((2, "failed"), (1, "succeeded"))]
    node = NodeRecord("r", "n", 0, "N", "failed", attempt=1, attempts=entries)
    rows = attempt_rows(node, [], 2, False)
    assert [(row.part, row.attempt, row.state) for row in rows] == [(1, 1, "succeeded"), (2, 1, "failed")]
