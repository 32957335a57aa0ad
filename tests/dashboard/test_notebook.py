"""The dashboard's views in a notebook that is really executed, looked at in Chromium."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import nbformat
import pytest
from nbclient import NotebookClient
from playwright.sync_api import Browser, Frame, Page, expect

from tests.dashboard.conftest import SCREENSHOTS, Dashboard, RealStore
from tests.dashboard.test_pages import output_id

HOUR = "trip_start_hour"


@pytest.fixture(scope="module")
def evaluation(real: RealStore) -> int:
    return output_id(real, real.taxi[0], "evaluator", "evaluation")


@pytest.fixture(scope="module")
def outputs(real: RealStore, evaluation: int, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What the cells of an executed notebook put out: HTML of two views, a text, and the document's own file."""
    folder = tmp_path_factory.mktemp("notebook")
    store = f"store={str(real.folder)!r}"
    cells = [
        "from penstock import notebook",
        f"view = notebook.show_slices({evaluation}, {store}, feature={HOUR!r}); view",
        f"notebook.show(run={real.taxi[0]!r}, node='statistics', output='statistics', {store}, order='name')",
        "import sys\nprint(sorted({'tensorflow', 'tfx', 'ml_metadata', 'apache_beam'} & set(sys.modules)))",
        "from collections import namedtuple\n"
        f"print(notebook.show(namedtuple('Artifact', 'id')({evaluation}), {store}).html.count('Gates'))",
        f"print(view.save({str(folder / 'view.html')!r}))",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=180, kernel_name="python3").execute(cwd=str(folder))
    return [cell["outputs"] for cell in notebook["cells"]]


@pytest.fixture
def page(browser: Browser, outputs: list[Any]) -> Iterator[Page]:
    """A page that holds the notebook's views as a notebook does; it may ask no server for anything."""
    context = browser.new_context(viewport={"width": 1200, "height": 1000})
    found = context.new_page()
    troubles: list[str] = []
    found.on("pageerror", lambda error: troubles.append(str(error)))
    found.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    found.on("request", lambda request: troubles.append(request.url) if not request.url.startswith("blob:") else None)
    found.set_content("".join(f"<div>{cell[0]['data']['text/html']}</div>" for cell in outputs[1:3]))
    yield found
    context.close()
    assert troubles == []


def view(page: Page, place: int) -> Frame:
    frame = page.locator("iframe").nth(place).element_handle().content_frame()
    assert frame is not None
    return frame


def hours(dashboard: Dashboard, evaluation: int) -> dict[str, dict[str, float]]:
    with urlopen(f"{dashboard.address}/api/v1/evaluations/{evaluation}?feature={HOUR}") as answer:
        slices = json.load(answer)["slices"]
    return {row["slice"][HOUR]: row["metrics"] for row in slices if row["slice"]}


def test_a_notebook_loads_no_heavy_library(outputs: list[Any]) -> None:
    assert outputs[3][0]["text"].strip() == "[]"
    assert int(outputs[4][0]["text"]) >= 0


def test_metric_and_least_examples_are_chosen_in_the_view(page: Page, dashboard: Dashboard, evaluation: int) -> None:
    frame = view(page, 0)
    by_hour = hours(dashboard, evaluation)
    for metric in ("auc", "binary_accuracy"):
        frame.select_option("select[name=metric]", metric)
        expect(frame.locator("h1")).to_have_text(f"{metric} by {HOUR}")
        for least in (0, 100, 250):
            frame.fill("input[name=least]", str(least))
            large = {hour: values for hour, values in by_hour.items() if values["example_count"] >= least}
            rows = frame.locator("#slices tbody tr:visible")
            expect(rows).to_have_count(len(large) + 1)
            assert frame.locator("svg.bars a.slice:visible").count() == len(large)
            worst = min((values[metric], hour) for hour, values in large.items() if values[metric] is not None)
            assert frame.locator("#weakest").inner_text() == f"{HOUR}={worst[1]}"
            assert float(frame.locator("#weakest-value").inner_text()) == pytest.approx(worst[0], abs=6e-5)
            found = {
                str(row.get_attribute("data-slice")): float(str(row.locator("td").nth(2).get_attribute("data-value")))
                for row in rows.all()
            }
            assert {hour: found[json.dumps({HOUR: hour})] for hour in large} == {
                hour: values[metric] for hour, values in large.items()
            }
    page.screenshot(path=SCREENSHOTS / "notebook.png")


def test_a_click_draws_a_slice_over_overall(page: Page) -> None:
    frame = view(page, 0)
    roc = frame.locator("[data-plot=roc]")
    roc.scroll_into_view_if_needed()
    expect(roc.locator(".main-svg").first).to_be_visible()
    names = "[...new Set(document.querySelector('[data-plot=roc]').data.map((trace) => trace.name))]"
    assert frame.evaluate(names) == ["Overall"]
    frame.locator("#slices tbody tr", has_text=f"{HOUR}=12").locator("a").click()
    roc.scroll_into_view_if_needed()
    expect(roc.locator(".main-svg").first).to_be_visible()
    assert frame.evaluate(names) == ["Overall", f"{HOUR}=12"]
    frame.locator("#threshold").fill("0.25")
    expect(frame.locator("#threshold-value")).to_have_text("0.25")
    frame.locator("#slices th", has_text="Examples").click()
    counts = [
        float(str(cell.get_attribute("data-value")))
        for cell in frame.locator("#slices tbody tr:visible td:nth-child(2)").all()
    ]
    assert counts[1:] == sorted(counts[1:])


def test_another_view_is_the_page_of_its_artifact(page: Page) -> None:
    frame = view(page, 1)
    expect(frame.locator("h1")).to_contain_text("ExampleStatistics")
    assert frame.locator("svg.hist").count() > 10
    assert frame.locator("form, header, footer").count() == 0
    assert frame.locator("a[href^='/']").count() == 0


def test_the_frame_reaches_nothing_of_the_notebook(page: Page) -> None:
    frame = view(page, 0)
    with pytest.raises(Exception, match=r"(?i)cross-origin|SecurityError|Blocked a frame"):
        frame.evaluate("window.parent.document.body.innerHTML")


def test_a_view_is_saved_as_a_file_that_needs_nothing_else(browser: Browser, outputs: list[Any]) -> None:
    path = Path(outputs[5][0]["text"].strip())
    assert path.stat().st_size < 4_000_000
    context = browser.new_context(offline=True)
    found = context.new_page()
    found.goto(path.as_uri())
    expect(found.locator("#slices tbody tr").first).to_be_visible()
    context.close()
