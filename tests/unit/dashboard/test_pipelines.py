"""The pages of pipelines: declarations before any run, starting them, versions, schedules, tags, compiled pipelines."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from benchmarks.dashboard import MOST_QUERIES, counted
from penstock.dashboard.app import create_app
from penstock.dashboard.settings import Settings
from penstock.metadata import recording, schedules, tags
from penstock.metadata.database import connect
from penstock.metadata.location import StoreLocation
from penstock.metadata.schedules import Schedule, Tick
from tests.unit.dashboard.compiled_pipelines import pipeline
from tests.unit.dashboard.conftest import csrf

DECLARATION = """\
penstock: 1
name: taxi
description: Who tips <well>.
parameters:
  data: {type: path, help: Folder of the trips}
  steps: {type: int, default: 10, min: 1, max: 50, help: Batches to train on}
  optimizer: {type: str, default: adam, choices: [adam, sgd]}
  shuffle: {type: bool, default: true}
  api_token: {type: str, default: none-yet}
nodes:
  examples: {component: CsvExampleGen, input_base: "${parameters.data}"}
  statistics: {component: StatisticsGen, examples: "${nodes.examples.examples}"}
  schema: {component: SchemaGen, statistics: "${nodes.statistics.statistics}"}
timeout: 1h
always:
  - command: [echo, over]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project" / "pipelines" / "taxi"
    folder.mkdir(parents=True)
    (folder / "pipeline.yaml").write_text(DECLARATION)
    return tmp_path / "project"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would have been started."""
    found: list[list[str]] = []

    class Ended:
        def __init__(self, command: list[str], **_: Any):
            found.append(command[3:])

        def poll(self) -> int:
            return 0

        def wait(self) -> int:
            return 0

    monkeypatch.setattr("penstock.dashboard.launches.subprocess.Popen", Ended)
    return found


def browse(project: Path, **settings: Any) -> TestClient:
    location = StoreLocation(project / ".penstock")
    return TestClient(create_app(Settings(location, project=project, **settings)), base_url="http://localhost")


def test_a_declaration_is_listed_and_drawn_before_any_run(project: Path) -> None:
    client = browse(project)
    listed = client.get("/pipelines").text
    assert 'href="/pipelines/taxi"' in listed and "no run yet" in listed
    page = client.get("/pipelines/taxi").text
    assert "Who tips &lt;well&gt;." in page
    assert set(re.findall(r'data-node="(\w+)"', page)) == {"examples", "statistics", "schema"}
    edges = set(re.findall(r'data-from="(\w+)" data-to="(\w+)"', page))
    assert edges == {("examples", "statistics"), ("statistics", "schema")}
    # What has no default must be given.
    assert re.search(r"penstock run \S*taxi -p data=…", page)
    assert "Batches to train on" in page and "at least 1, at most 50" in page
    assert "echo over" in page
    assert not (project / ".penstock").exists()
    api = client.get("/api/v1/pipelines").json()["pipelines"]
    assert [(entry["name"], len(entry["nodes"]), entry["latest_run"]) for entry in api] == [("taxi", 3, None)]


def test_a_wrong_declaration_says_where_it_is_wrong(project: Path) -> None:
    file = project / "pipelines/taxi/pipeline.yaml"
    file.write_text(DECLARATION.replace("component: SchemaGen", "component: SchemaGem"))
    client = browse(project)
    assert "wrong" in client.get("/pipelines").text
    page = client.get("/pipelines/taxi").text
    assert "SchemaGem" in page and "did you mean" in page and "SchemaGen" in page
    assert 'action="/pipelines/taxi/start"' not in page


@pytest.mark.parametrize("text", ["", "nothing: of ours\n", "- a\n- list\n", "penstock: [\n", "\0"])
def test_files_that_are_no_declarations_do_no_harm(project: Path, text: str) -> None:
    folder = project / "other"
    folder.mkdir()
    (folder / "pipeline.yaml").write_text(text)
    listed = browse(project).get("/pipelines")
    assert listed.status_code == 200
    assert 'data-pipeline="taxi"' in listed.text


def test_hidden_folders_are_not_looked_into(project: Path) -> None:
    for name in (".hidden", "node_modules", "a/b/c/d/e"):
        folder = project / name
        folder.mkdir(parents=True)
        (folder / "pipeline.yaml").write_text(DECLARATION.replace("name: taxi", "name: never"))
    assert "never" not in browse(project).get("/pipelines").text


def form_of(client: TestClient, project: Path, **values: str) -> dict[str, str]:
    page = client.get("/pipelines/taxi").text
    form = {"csrf": csrf(page), "file": str(project / "pipelines/taxi/pipeline.yaml")}
    given = {"data": "data", "steps": "10", "optimizer": "adam", "shuffle": "true", "api_token": "", **values}
    return form | {f"p.{name}": value for name, value in given.items()}


def test_a_run_is_started_with_what_was_changed(project: Path, started: list[list[str]]) -> None:
    (project / "data").mkdir()
    client = browse(project)
    form = form_of(client, project, data=str(project / "data"), steps="20", shuffle="false")
    answer = client.post("/pipelines/taxi/start", data={**form, "no_cache": "yes"}, follow_redirects=False)
    assert answer.status_code == 303
    [command] = started
    run_id = answer.headers["location"].rpartition("/")[2]
    assert command == [
        "run", str(project / "pipelines/taxi/pipeline.yaml"), "--run-id", run_id, "-p", f"data={project / 'data'}",
        "-p", "steps=20", "-p", "shuffle=false", "--no-cache",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "name", "words"),
    [
        ({"steps": "many"}, "steps", "whole number"),
        ({"steps": "99"}, "steps", "at most 50"),
        ({"optimizer": "lion"}, "optimizer", "choices"),
        ({"data": ""}, "data", "needs a value"),
    ],
)
def test_what_is_wrong_stands_at_its_field_and_what_was_typed_stays(
    project: Path, started: list[list[str]], changed: dict[str, str], name: str, words: str
) -> None:
    client = browse(project)
    form = form_of(client, project, data="somewhere/else", **{k: v for k, v in changed.items() if k != "data"})
    form |= {f"p.{key}": value for key, value in changed.items()}
    answer = client.post("/pipelines/taxi/start", data=form)
    assert answer.status_code == 409
    assert started == []
    hint = re.search(rf'id="{name}-hint">(.*?)</span><br>', answer.text, re.DOTALL)
    assert hint is not None and words in hint[1]
    if changed.get("steps"):
        assert f'value="{changed["steps"]}"' in answer.text
        assert 'value="somewhere/else"' in answer.text


def test_only_declarations_that_were_found_are_started(project: Path, started: list[list[str]], tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "pipeline.yaml").write_text(DECLARATION)
    client = browse(project)
    form = form_of(client, project) | {"file": str(other / "pipeline.yaml")}
    assert client.post("/pipelines/taxi/start", data=form).status_code == 404
    assert client.post("/pipelines/other/start", data=form_of(client, project)).status_code == 404
    assert client.post("/pipelines/taxi/start", data={**form_of(client, project), "csrf": "0"}).status_code == 403
    assert started == []


def test_a_secret_default_is_not_shown(project: Path) -> None:
    assert "none-yet" not in browse(project).get("/pipelines/taxi").text


@pytest.mark.parametrize(
    "path", ["/pipelines/none", "/pipelines/none/versions", "/pipelines/taxi/versions", "/pipelines/.."]
)
def test_there_is_no_such_pipeline(project: Path, path: str) -> None:
    assert browse(project).get(f"/pipelines/{path}").status_code == 404


@pytest.fixture
def ran(project: Path) -> Path:
    """The project with two runs of two versions, a tag, and schedules."""
    source = str(project / "pipelines/taxi/pipeline.yaml")
    with connect(StoreLocation(project / ".penstock"), create=True) as database:
        for run_id, steps in (("first", 10), ("second", 20), ("third", 20)):
            recording.create_run(
                database,
                run_id,
                "taxi",
                source=source,
                environment="local",
                parameters={"data": "d", "steps": steps, "shuffle": True},
                ir=pipeline(steps=steps, extra=steps == 20),
                nodes=[("examples", "CsvExampleGen"), ("trainer", "Trainer")],
            )
            recording.set_run_state(database, run_id, "succeeded")
        tags.add(database, "first", ["baseline"])
        parts = {"packages": {"tensorflow": "2.99.1"}}
        recording.put_cache_decision(database, "first", "trainer", key="k", outcome="miss", reason="", parts=parts)
        now = time.time()
        for name, of in (("nightly", source), ("foreign", "/elsewhere/pipeline.yaml")):
            made = Schedule(name, of, None, {"api_token": "hush-hush"}, "0 3 * * *", "Europe/Berlin", False, "skip",
                            False, 0.0, False, now)  # fmt: skip
            schedules.create_schedule(database, made)
            ticks = [
                Tick(name, now - 60, now - 60, "skipped", f"{name}-x", reason="second was still running"),
                Tick(name, now - 120, now - 120, "started", "second"),
            ]
            schedules.add_ticks(database, made, ticks if name == "nightly" else [], now)
    return project


def test_versions_say_when_they_were_first_used_and_by_which_runs(ran: Path) -> None:
    client = browse(ran)
    page = client.get("/pipelines/taxi").text
    table = page.partition('id="versions"')[2].partition("</table>")[0]
    rows = [re.findall(r'href="/runs/(\w+)"', row) for row in table.split("<tr>")[2:]]
    assert rows == [["second", "third"], ["first", "first"]]
    link = re.search(r'href="(/pipelines/taxi/versions\?[^"]+)"', table)
    assert link is not None
    difference = client.get(link[1].replace("&amp;", "&")).text
    found = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td>", difference)
    assert ("trainer", "parameter", "num_steps") in found and ("evaluator", "node", "evaluator") in found
    assert 'class="added"' in difference and 'class="removed"' in difference
    api = client.get("/api/v1/pipelines/taxi/versions").json()["versions"]
    assert [(entry["runs"], entry["first_run"]) for entry in api] == [(2, "second"), (1, "first")]
    listed = client.get(f"/api/v1/runs?version={api[0]['digest']}").json()["runs"]
    assert [run["run_id"] for run in listed] == ["third", "second"]
    for wrong in ("a=0000000000", "b=x"):
        assert client.get(f"/pipelines/taxi/versions?{wrong}").status_code == 400
    assert client.get("/runs?version=xyz").status_code == 400


def test_no_page_of_a_pipeline_asks_the_store_more_than_ten_times(ran: Path) -> None:
    client = browse(ran)
    for path in ("/pipelines", "/pipelines/taxi", "/pipelines/taxi/versions", "/runs/first", "/runs?tag=baseline"):
        client.get("/runs")
        with counted() as queries:
            assert client.get(path).status_code == 200
        assert len(queries) <= MOST_QUERIES, (path, queries)


def test_schedules_show_when_they_are_due_and_what_became_of_the_last_times(ran: Path) -> None:
    page = browse(ran).get("/pipelines/taxi").text
    table = page.partition('id="schedules"')[2].partition("</table>")[0]
    assert "nightly" in table and "foreign" not in table
    assert re.search(r"<time [^>]*>in \d+[smhd]</time>", table)
    assert "Europe/Berlin" in table and "0 3 * * *" in table
    assert "second was still running" in table and 'href="/runs/second"' in table and "succeeded" in table
    assert "hush-hush" not in page
    listed = browse(ran).get("/pipelines").text
    assert "foreign" in listed.partition("Schedules of other pipelines")[2]


def test_a_schedule_is_paused_and_resumed(ran: Path) -> None:
    client = browse(ran)
    token = csrf(client.get("/pipelines/taxi").text)
    for action, is_paused in (("pause", True), ("resume", False)):
        form = {"csrf": token, "pipeline": "taxi"}
        answer = client.post(f"/schedules/nightly/{action}", data=form, follow_redirects=False)
        assert answer.headers["location"] == "/pipelines/taxi"
        with connect(StoreLocation(ran / ".penstock"), create=False) as database:
            assert schedules.get_schedule(database, "nightly").paused is is_paused
        assert ("paused" in client.get("/pipelines/taxi").text.partition('id="schedules"')[2]) is is_paused
    assert client.post("/schedules/none/pause", data={"csrf": token}).status_code == 400
    assert client.post("/schedules/nightly/pause", data={"csrf": "no"}).status_code == 403


def test_a_viewer_sees_a_pipeline_and_changes_nothing(ran: Path) -> None:
    client = browse(ran, token="operator-token-0123456789", viewer_token="viewer-token-0123456789")
    client.post("/sign-in", data={"token": "viewer-token-0123456789", "next": "/runs"})
    page = client.get("/pipelines/taxi").text
    assert "nightly" in page
    assert "/start" not in page and "/schedules/nightly" not in page
    assert client.post("/schedules/nightly/pause", data={"csrf": "x"}).status_code == 403
    assert client.post("/pipelines/taxi/start", data={"csrf": "x"}).status_code == 403
    assert client.post("/runs/first/tags", data={"csrf": "x", "add": "mine"}).status_code == 403


def test_a_run_is_tagged_and_found_by_its_tag(ran: Path) -> None:
    client = browse(ran)
    page = client.get("/runs/second").text
    form = {"csrf": csrf(page)}
    client.post("/runs/second/tags", data={**form, "add": " baseline "})
    client.post("/runs/second/tags", data={**form, "add": "release:1.0"})
    assert "release:1.0" in client.get("/runs/second").text
    listed = client.get("/api/v1/runs?tag=baseline").json()["runs"]
    assert [(run["run_id"], run["tags"]) for run in listed] == [
        ("second", ["baseline", "release:1.0"]),
        ("first", ["baseline"]),
    ]
    assert "third" not in client.get("/runs?tag=baseline").text.partition('id="runs"')[2]
    client.post("/runs/second/tags", data={**form, "remove": "baseline"})
    assert [run["run_id"] for run in client.get("/api/v1/runs?tag=baseline").json()["runs"]] == ["first"]
    assert client.post("/runs/second/tags", data={**form, "add": "no tag"}).status_code == 409
    assert client.get("/runs?tag=no+tag").status_code == 400
    assert client.put("/api/v1/runs/third/tags", json={"tags": ["b", "a"]}).json()["tags"] == ["a", "b"]
    assert client.get("/api/v1/runs/third").json()["tags"] == ["a", "b"]
    assert client.put("/api/v1/runs/third/tags", json={"tags": ["a b"]}).status_code == 400


def test_a_run_tells_its_environment_and_packages(ran: Path) -> None:
    page = browse(ran).get("/runs/first").text
    assert "tensorflow 2.99.1" in page
    assert 'href="/pipelines/taxi"' in page and "baseline" in page


def test_the_form_of_a_run_is_made_of_the_declaration(ran: Path) -> None:
    client = browse(ran)
    page = client.get("/runs/second").text.partition('id="rerun"')[2]
    assert re.search(r'name="p\.steps" value="20"', page)
    assert re.search(r'<select name="p\.shuffle".*?<option selected>true</option>', page, re.DOTALL)
    assert "Batches to train on" in page
    form = {"csrf": csrf(page), "p.steps": "many", "p.data": "typed/too"}
    answer = client.post("/runs/second/rerun", data=form)
    assert answer.status_code == 409
    assert 'value="many"' in answer.text and 'value="typed/too"' in answer.text
    assert "whole number" in answer.text.partition('id="steps-hint"')[2].partition("</span>")[0]


def test_a_compiled_pipeline_is_read_and_downloaded(ran: Path) -> None:
    client = browse(ran)
    page = client.get("/runs/first/compiled")
    assert page.status_code == 200
    assert "num_steps" in page.text and "GenericExecutor" in page.text
    assert "num_steps" in client.get("/runs/first/compiled.yaml").text
    assert client.get("/runs/first/compiled.pb").content == pipeline(steps=10)


def test_a_compiled_pipeline_that_cannot_be_read_says_so(ran: Path) -> None:
    with connect(StoreLocation(ran / ".penstock"), create=True) as database:
        recording.set_run_ir(database, "first", b"\xff\xff")
    client = browse(ran)
    assert "cannot be shown as text" in client.get("/runs/first/compiled").text
    assert client.get("/runs/first/compiled.yaml").status_code == 404
    assert client.get("/runs/first/compiled.pb").content == b"\xff\xff"
    assert client.get("/runs/first").status_code == 200
