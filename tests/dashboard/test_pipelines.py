"""From a declaration that has never run to its artifacts, in the browser: drawn, started, watched, tagged, compared."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.conftest import Penstock
from tests.dashboard.conftest import Dashboard, Open, RealStore, Visit
from tests.dashboard.test_pages import output_id
from tests.e2e.tiny import wait_for

DECLARATION = """\
penstock: 1
name: reports
description: Counts rows and writes a report.
parameters:
  title: {type: str, default: Numbers, help: Heading of the report}
  failures: {type: int, default: 1, min: 0, max: 3, help: How often it fails before it works}
nodes:
  examples: {component: CsvExampleGen, input_base: data}
  report:
    component: steps:report
    examples: ${nodes.examples.examples}
    title: ${parameters.title}
    failures: ${parameters.failures}
    retries: 3
    resources: {cpu: 1, memory: 8Gi}
environments:
  local: {sample_rows: 3}
always:
  - command: [sh, -c, "echo the handler broke >&2; exit 3"]
"""

STEPS = """\
import os
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.artifact import Artifact
from tfx.types.standard_artifacts import Examples


class Report(Artifact):
    TYPE_NAME = "Report"


@component
def report(
    examples: InputArtifact[Examples], title: Parameter[str], failures: Parameter[int], written: OutputArtifact[Report]
):
    tries = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tries-" + title)
    with open(tries, "a") as file:
        file.write("x")
    if os.path.getsize(tries) <= failures:
        raise RuntimeError("not yet")
    with open(os.path.join(written.uri, "report.html"), "w") as file:
        file.write(f"<h1 style='color: teal'>{title}</h1><script>parent.document.title = 'taken over'</script>")
"""


@dataclass(frozen=True)
class Fresh:
    """A project nothing has run of yet, and its dashboard."""

    folder: Path
    dashboard: Dashboard

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the store's database answers."""
        connection = sqlite3.connect(f"file:{self.folder / '.penstock' / 'penstock.db'}?mode=ro", uri=True)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def fresh(penstock: Penstock, start: Callable[..., Dashboard], tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    folder = tmp_path_factory.mktemp("fresh") / "reports"
    (folder / "data").mkdir(parents=True)
    lines = [f"{number},Cab {number % 3}" for number in range(60)]
    (folder / "data" / "trips.csv").write_text("\n".join(["miles,company", *lines]) + "\n")
    (folder / "pipeline.yaml").write_text(DECLARATION)
    (folder / "steps.py").write_text(STEPS)
    return Fresh(folder, start(folder / ".penstock", "--show-rows"))


@pytest.fixture
def window(fresh: Fresh, visit: Open) -> Visit:
    return visit(fresh.dashboard.address)


def artifact_of(page: Page, node: str, type_: str) -> None:
    """Goes from a run's page over a node to an artifact it put out."""
    page.locator(f"svg.dag a[data-node={node}]").click()
    page.wait_for_url(f"**/nodes/{node}")
    page.locator("h2:has-text('Outputs') + table a", has_text=re.compile(f"^{type_} ")).first.click()
    page.wait_for_url("**/artifacts/*")


def test_a_pipeline_is_drawn_before_any_run_started_and_watched_to_its_end(window: Visit, fresh: Fresh) -> None:
    page = window.go("/pipelines")
    page.locator("#pipelines a", has_text="reports").click()
    page.wait_for_url("**/pipelines/reports")
    assert {box.get_attribute("data-node") for box in page.locator("svg.dag g.box").all()} == {"examples", "report"}
    assert page.locator("svg.dag path.edge").count() == 1
    expect(page.locator("main")).to_contain_text("It has not run yet.")
    page.fill("input[name='p.failures']", "nine")
    page.locator("details.start button").click()
    expect(page.locator("#failures-hint")).to_contain_text("whole number")
    expect(page.locator("input[name='p.failures']")).to_have_value("nine")
    assert not (fresh.folder / ".penstock" / "penstock.db").exists() or fresh.rows("SELECT 1 FROM penstock_runs") == []
    # A refusal has a status of its own, which browsers write to their console.
    window.troubles.clear()
    page.fill("input[name='p.failures']", "1")
    page.fill("input[name='p.title']", "First")
    page.locator("details.start button").click()
    page.wait_for_url("**/runs/*")
    run_id = page.url.rpartition("/")[2]
    wait_for(lambda: fresh.rows("SELECT 1 FROM penstock_runs WHERE state = 'succeeded'") != [], seconds=120)
    page.goto(f"{fresh.dashboard.address}/runs/{run_id}")
    expect(page.locator("tr[data-node=report]")).to_have_attribute("data-state", "succeeded")
    expect(page.locator("main")).to_contain_text("First")
    # What was called when it ended, and failed.
    expect(page.locator("main")).to_contain_text("the handler broke")
    page = window.go("/pipelines")
    expect(page.locator("tr[data-pipeline=reports]")).to_contain_text("succeeded")


def test_a_failed_attempt_and_what_each_used_are_on_the_nodes_page(window: Visit) -> None:
    page = window.go("/runs/latest/nodes/report?tab=attempts")
    rows = page.locator("#attempts tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("failed")
    expect(rows.nth(0)).to_contain_text("not yet")
    expect(rows.nth(1)).to_contain_text("succeeded")
    for row in rows.all():
        assert re.search(r"\d+\.\d MB|\d\.\d\d GB", row.inner_text()), row.inner_text()
    rows.nth(0).locator("a").click()
    expect(page.locator("#log")).to_contain_text("RuntimeError: not yet")
    page = window.go("/runs/latest/nodes/report?tab=properties")
    expect(page.locator("dl.facts").first).to_contain_text("cpu 1")
    expect(page.locator("dl.facts").first).to_contain_text("memory 8Gi")
    expect(page.locator("dl.facts").first).to_contain_text("of processor time")


def test_examples_show_rows_and_a_report_is_shut_in_its_frame(window: Visit) -> None:
    page = window.go("/runs/latest")
    artifact_of(page, "examples", "Examples")
    expect(page.locator("#splits")).to_contain_text("60")
    expect(page.locator("table.sample").first.locator("tbody tr")).to_have_count(3)
    expect(page.locator("table.sample").first).to_contain_text("Cab")
    page = window.go("/runs/latest")
    artifact_of(page, "report", "Report")
    heading = page.frame_locator("iframe").locator("h1")
    expect(heading).to_have_text("First")
    assert heading.evaluate("element => getComputedStyle(element).color") == "rgb(0, 128, 128)"
    assert "taken over" not in page.title()
    # The script in the frame was refused, which the browser says.
    assert all("script" in trouble for trouble in window.troubles)
    window.troubles.clear()


def test_a_run_is_tagged_and_found(window: Visit) -> None:
    page = window.go("/runs/latest")
    page.fill("input[name=add]", "baseline")
    page.keyboard.press("Enter")
    expect(page.locator("#tags .tag")).to_have_text(re.compile("baseline"))
    page.locator("#tags .tag a").click()
    page.wait_for_url("**/runs?tag=baseline")
    expect(page.locator("#runs tbody tr")).to_have_count(1)
    page.select_option("select[name=tag]", "")
    page.wait_for_url(re.compile(r"/runs\??$"))
    page.go_back()
    page.go_back()
    page.get_by_role("button", name="Take the tag baseline off").click()
    expect(page.locator("#tags .tag")).to_have_count(0)


def test_a_schedule_is_paused_and_resumed(window: Visit, fresh: Fresh, penstock: Penstock) -> None:
    made = penstock(
        "schedule", "create", fresh.folder, "--cron", "0 3 * * *", "--name", "nightly", "--store",
        fresh.folder / ".penstock",
    )  # fmt: skip
    assert made.status == 0, made.stderr
    page = window.go("/pipelines/reports")
    row = page.locator("tr[data-schedule=nightly]")
    expect(row).to_contain_text(re.compile(r"in \d+[hm]"))
    page.get_by_role("button", name="Pause nightly").click()
    expect(page.get_by_role("button", name="Resume nightly")).to_be_visible()
    assert fresh.rows("SELECT paused FROM penstock_schedules") == [(1,)]
    page.get_by_role("button", name="Resume nightly").click()
    expect(row).to_contain_text("active")
    assert fresh.rows("SELECT paused FROM penstock_schedules") == [(0,)]


def test_two_versions_of_the_taxi_pipeline_differ_in_a_parameter(visit: Open, real: RealStore) -> None:
    window = visit()
    page = window.go("/pipelines/chicago-taxi")
    sql = "SELECT DISTINCT digest FROM penstock_versions WHERE pipeline = 'chicago-taxi'"
    expect(page.locator("#versions tbody tr")).to_have_count(len(real.rows(sql)))
    assert page.locator("svg.chart circle").count() == len(real.taxi)
    digests, steps = [], []
    for run_id in real.taxi[:2]:
        [[digest]] = real.rows("SELECT digest FROM penstock_versions WHERE run_id = ?", run_id)
        [[parameters]] = real.rows("SELECT parameters FROM penstock_runs WHERE run_id = ?", run_id)
        digests.append(digest[:10])
        steps.append(str(json.loads(parameters)["train_steps"]))
    expect(page.get_by_role("link", name="what changed")).to_have_count(len(real.rows(sql)) - 1)
    page = window.go(f"/pipelines/chicago-taxi/versions?a={digests[0]}&b={digests[1]}")
    changed = page.locator("#differences tbody tr")
    expect(changed).to_have_count(1)
    expect(changed).to_contain_text("train_args")
    expect(changed.locator("td").nth(3)).to_contain_text(steps[0])
    expect(changed.locator("td").nth(4)).to_contain_text(steps[1])
    expect(page.locator("pre.diff .added").first).to_contain_text(steps[1])
    page.get_by_role("link", name="The whole text after").click()
    expect(page.locator("#compiled")).to_contain_text("ArrowExampleGen")


def test_the_pushed_model_says_what_to_type(visit: Open, real: RealStore) -> None:
    window = visit()
    page = window.go(f"/artifacts/{output_id(real, real.taxi[1], 'pusher', 'pushed_model')}")
    versions = [int(text) for text in page.locator("#versions tbody tr td:first-child").all_inner_texts()]
    assert len(versions) == len(real.taxi) and versions == sorted(versions, reverse=True)
    expect(page.locator("main")).to_contain_text("tensorflow_model_server")
    words = shlex.split(page.locator("#request").inner_text())
    [instance] = json.loads(words[-1])["instances"]
    assert {"trip_miles", "payment_type", "trip_start_hour"} <= set(instance)
    assert isinstance(instance["trip_miles"], float) and isinstance(instance["trip_start_hour"], int)
    assert instance["payment_type"] in ("Cash", "Credit Card")
    page = window.go(f"/artifacts/{output_id(real, real.taxi[1], 'trainer', 'model')}")
    expect(page.locator("#files")).to_contain_text("saved_model.pb")
    assert page.locator("svg.chart").count() > 0


def test_executions_are_as_many_as_the_store_has(visit: Open, real: RealStore) -> None:
    page = visit().go("/executions?limit=200")
    [[expected]] = real.rows("SELECT count(*) FROM Execution", mlmd=True)
    assert page.locator("#executions tbody tr").count() == expected


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(visit: Open, real: RealStore, fresh: Fresh, scheme: str) -> None:
    window = visit(color_scheme=scheme, bypass_csp=True)
    pushed = output_id(real, real.taxi[1], "pusher", "pushed_model")
    model = output_id(real, real.taxi[1], "trainer", "model")
    examples = output_id(real, real.taxi[1], "examples", "examples")
    paths = [
        "/pipelines", "/pipelines/chicago-taxi", "/pipelines/chicago-taxi/versions", "/executions",
        f"/artifacts/{pushed}", f"/artifacts/{model}", f"/artifacts/{examples}", f"/runs/{real.taxi[0]}/compiled",
        f"/runs/{real.taxi[0]}/nodes/trainer?tab=attempts", f"/runs/{real.taxi[0]}/nodes/trainer?tab=properties",
    ]  # fmt: skip
    for path in paths:
        found = Axe().run(window.go(path)).response["violations"]
        serious = [
            (entry["id"], entry["nodes"][0]["html"][:200])
            for entry in found
            if entry["impact"] in ("serious", "critical")
        ]
        assert serious == [], path
