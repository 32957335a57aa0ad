"""Who is the model bad for? The slice page's every number is the evaluation's own, as TFMA reads it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any
from urllib.request import urlopen

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import Dashboard, Open, RealStore, Visit
from tests.dashboard.test_pages import output_id

HOUR = "trip_start_hour"
# Run with TFMA alone, which none of the dashboard's own code stands behind.
READ = """
import json, math, sys
from penstock.engine import tfdv_shim
import tensorflow_model_analysis as tfma
result = tfma.load_eval_result(sys.argv[1])
def name(key): return json.dumps({str(k): str(v) for k, v in key}, sort_keys=True)
def numbers(values):
    known = {metric: float(value["doubleValue"]) for metric, value in values[""][""].items() if "doubleValue" in value}
    return {metric: value for metric, value in known.items() if math.isfinite(value)}
metrics = {name(key): numbers(values) for key, values in result.slicing_metrics}
matrices = {name(key): values[""][""]["confusionMatrixAtThresholds"]["matrices"] for key, values in result.plots}
print(json.dumps({"metrics": metrics, "matrices": matrices}))
"""


@pytest.fixture(scope="module")
def evaluation(real: RealStore) -> int:
    return output_id(real, real.taxi[0], "evaluator", "evaluation")


@pytest.fixture(scope="module")
def truth(real: RealStore, evaluation: int) -> dict[str, Any]:
    """What TFMA reads from the evaluation's files: metrics and confusion matrices by slice."""
    [[uri]] = real.rows("SELECT uri FROM Artifact WHERE id = ?", evaluation, mlmd=True)
    done = subprocess.run([sys.executable, "-c", READ, uri], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def key(**features: Any) -> str:
    return json.dumps({name: str(value) for name, value in features.items()}, sort_keys=True)


def shown(page: Page) -> dict[str, dict[str, float]]:
    """The table's exact values by slice and metric, read off the page."""
    rows = {}
    for row in page.locator("#slices tbody tr").all():
        cells = row.locator("td[data-metric]").all()
        values = {c.get_attribute("data-metric"): c.get_attribute("data-value") for c in cells}
        values["example_count"] = row.locator("td").nth(1).get_attribute("data-value")
        values[page.locator("select[name=metric]").input_value()] = row.locator("td").nth(2).get_attribute("data-value")
        found = {str(name): float(value) for name, value in values.items() if value not in (None, "None")}
        rows[str(row.get_attribute("data-slice"))] = found
    return rows


@pytest.mark.parametrize("feature", [HOUR, "payment_type", f"payment_type,{HOUR}"])
def test_every_number_is_the_evaluations_own(visit: Open, evaluation: int, truth: dict[str, Any], feature: str) -> None:
    page = visit().go(f"/artifacts/{evaluation}/slices?feature={feature}&least=0")
    wanted = set(feature.split(","))
    expected = {name: values for name, values in truth["metrics"].items() if set(json.loads(name)) in (set(), wanted)}
    found = shown(page)
    assert len(found) > 5
    assert found == expected


def test_a_slice_leads_to_its_examples(visit: Open, evaluation: int, truth: dict[str, Any]) -> None:
    page = visit().go(f"/artifacts/{evaluation}/slices?feature=payment_type&least=0")
    page.get_by_title("The examples of payment_type=Cash").click()
    expect(page.get_by_role("heading", name="Examples of payment_type=Cash")).to_be_visible()
    for name, identifier in ((key(payment_type="Cash"), "slice-examples"), (key(), "overall-examples")):
        assert page.locator(f"#{identifier}").inner_text() == f"{truth['metrics'][name]['example_count']:,.0f}"
    distinct = page.locator("tr#payment_type td").last
    expect(distinct).to_contain_text(f"Cash {truth['metrics'][key(payment_type='Cash')]['example_count']:,.0f}")
    page.get_by_role("link", name="slices").click()
    expect(page.locator(f"#slices tr[data-slice='{key(payment_type='Cash')}'].differs")).to_be_visible()


def test_the_least_examples_make_small_slices_vanish(visit: Open, evaluation: int, truth: dict[str, Any]) -> None:
    page = visit().go(f"/artifacts/{evaluation}/slices?feature={HOUR}&least=0")
    hours = {name: values for name, values in truth["metrics"].items() if set(json.loads(name)) == {HOUR}}
    assert page.locator("svg.bars a.slice").count() == len(hours) == 24
    page.fill("input[name=least]", "250")
    page.press("input[name=least]", "Enter")
    page.wait_for_url("**least=250**")
    large = [name for name, values in hours.items() if values["example_count"] >= 250]
    assert 0 < len(large) < 24
    assert page.locator("svg.bars a.slice").count() == len(large)
    expect(page.locator("#hidden")).to_contain_text(f"{24 - len(large)} slices")


@pytest.mark.parametrize("metric", ["binary_accuracy", "auc"])
def test_the_weakest_hour_is_told_by_the_page_alone(
    visit: Open, evaluation: int, truth: dict[str, Any], metric: str
) -> None:
    page = visit().go(f"/artifacts/{evaluation}/slices")
    page.select_option("select[name=feature]", HOUR)
    page.wait_for_url(f"**feature={HOUR}**")
    page.select_option("select[name=metric]", metric)
    page.wait_for_url(f"**metric={metric}**")
    hours = {
        name: values
        for name, values in truth["metrics"].items()
        if set(json.loads(name)) == {HOUR} and values["example_count"] >= 100
    }
    weakest = min(hours, key=lambda name: hours[name][metric])
    expect(page.locator("#weakest")).to_have_text(f"{HOUR}={json.loads(weakest)[HOUR]}")
    told = page.locator("p.facts", has=page.locator("#weakest")).inner_text()
    assert f"{hours[weakest][metric]:.4f}" in told
    assert f"{hours[weakest]['example_count']:.0f} examples" in told
    first = page.locator("#slices tbody tr").nth(1)
    assert first.get_attribute("data-slice") == weakest


def test_a_link_shows_a_colleague_the_same(visit: Open, evaluation: int) -> None:
    page = visit().go(f"/artifacts/{evaluation}/slices?feature={HOUR}&metric=auc&least=50")
    page.locator("svg.bars a.slice").nth(2).click()
    page.wait_for_url("**slice=**")
    page.locator("#slices thead a", has_text="Examples").click()
    page.wait_for_url("**order=examples**")
    other = visit().page
    other.goto(page.url)
    assert shown(other) == shown(page)
    assert other.locator("tr.differs").count() == 1
    assert other.locator("h2#plots").inner_text() == "Plots of overall and chosen slices"


def open_plots(window: Visit, evaluation: int, *slices: str) -> Page:
    query = "".join(f"&slice={name}" for name in slices)
    page = window.go(f"/artifacts/{evaluation}/slices?feature={HOUR}&least=0{query}")
    page.locator("#plots").scroll_into_view_if_needed()
    for kind in ("roc", "pr", "calibration", "distribution"):
        plot = page.locator(f"[data-plot={kind}]")
        plot.scroll_into_view_if_needed()
        expect(plot.locator(".main-svg").first).to_be_visible(timeout=60_000)
    return page


def test_curves_load_when_looked_at_and_show_overall_and_a_slice(visit: Open, evaluation: int) -> None:
    window = visit()
    asked: list[str] = []
    window.page.on("request", lambda request: asked.append(request.url))
    window.go(f"/artifacts/{evaluation}/slices?feature={HOUR}&least=0")
    assert not any("plotly" in url for url in asked)
    page = open_plots(window, evaluation, key(trip_start_hour=12))
    assert any("plotly" in url for url in asked)
    for kind in ("roc", "pr", "calibration", "distribution"):
        traces = page.evaluate(f"document.querySelector('[data-plot={kind}]').data.filter(t => t.x.length > 1)")
        assert [trace["name"] for trace in traces] == ["Overall", f"{HOUR}=12"], kind


def test_the_roc_goes_through_the_evaluations_own_points(visit: Open, evaluation: int, truth: dict[str, Any]) -> None:
    page = open_plots(visit(), evaluation)
    curve = page.evaluate("(({x, y}) => ({x, y}))(document.querySelector('[data-plot=roc]').data[0])")
    matrices = truth["matrices"]["{}"]
    assert curve["x"] == pytest.approx([matrix.get("falsePositiveRate", 0.0) for matrix in matrices])
    assert curve["y"] == pytest.approx([matrix.get("recall", 0.0) for matrix in matrices])


def test_dragging_the_threshold_moves_the_confusion_matrix_and_the_address(
    visit: Open, evaluation: int, truth: dict[str, Any]
) -> None:
    page = open_plots(visit(), evaluation, key(trip_start_hour=12))
    page.locator("#threshold").evaluate(
        "slider => { slider.value = 0.3; slider.dispatchEvent(new Event('input')); "
        "slider.dispatchEvent(new Event('change')); }"
    )
    for index, name in enumerate(("{}", key(trip_start_hour=12))):
        matrix = min(truth["matrices"][name], key=lambda entry: abs(entry.get("threshold", 0.0) - 0.3))
        table = page.locator("#matrices table").nth(index)
        for cell, field in (("tp", "truePositives"), ("fp", "falsePositives"), ("fn", "falseNegatives")):
            text = table.locator(f"[data-cell={cell}]").inner_text().replace(",", "")
            assert float(text) == matrix.get(field, 0.0)
    assert "thresholds=0.3" in page.url
    other = page.context.new_page()
    other.goto(page.url)
    assert other.locator("#matrices").inner_text() == page.locator("#matrices").inner_text()


def test_a_plot_has_its_table_and_can_be_saved(visit: Open, evaluation: int) -> None:
    page = open_plots(visit(), evaluation)
    figure = page.locator("figure", has=page.locator("[data-plot=roc]"))
    figure.get_by_role("button", name="Table").click()
    expect(figure.locator("table tbody tr")).to_have_count(202)
    for word, start in (("CSV", b"slice,"), ("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with page.expect_download() as download:
            figure.get_by_role("button", name=word).click()
        assert download.value.path().read_bytes().startswith(start)


def test_two_models_side_by_side_per_slice_and_threshold(visit: Open, real: RealStore, evaluation: int) -> None:
    newer = output_id(real, real.taxi[1], "evaluator", "evaluation")
    window = visit()
    page = window.go(f"/artifacts/{newer}/slices?feature={HOUR}&least=0&against={evaluation}&thresholds=0.3+0.5")
    mine = shown(window.go(f"/artifacts/{newer}/slices?feature={HOUR}&least=0"))
    theirs = shown(window.go(f"/artifacts/{evaluation}/slices?feature={HOUR}&least=0"))
    page = window.go(f"/artifacts/{newer}/slices?feature={HOUR}&least=0&against={evaluation}&thresholds=0.3+0.5")
    for row in page.locator("#slices tbody tr").all():
        name = str(row.get_attribute("data-slice"))
        change = row.locator("td").nth(6).inner_text().replace("−", "-")
        expected = mine[name]["binary_accuracy"] - theirs[name]["binary_accuracy"]
        assert float(change) == pytest.approx(expected, abs=6e-5)
    assert page.locator("#rates thead th").count() == 2 + 2 * 2 * 2


def test_error_rates_of_groups_are_those_of_the_matrices(visit: Open, evaluation: int, truth: dict[str, Any]) -> None:
    page = visit().go(f"/artifacts/{evaluation}/slices?feature={HOUR}&least=0&thresholds=0.5+0.25")
    for row in page.locator("#rates tbody tr").all():
        cells = row.locator("td").all_inner_texts()
        name = "{}" if cells[0] == "Overall" else key(trip_start_hour=cells[0].partition("=")[2])
        for index, threshold in enumerate((0.5, 0.25)):
            matrix = min(truth["matrices"][name], key=lambda entry: abs(entry.get("threshold", 0.0) - threshold))
            tp, fp, tn, fn = (
                matrix.get(field, 0.0)
                for field in ("truePositives", "falsePositives", "trueNegatives", "falseNegatives")
            )
            shown_rates = [
                float(re.split(r"\s", cells[2 + 2 * index + offset])[0].replace("–", "nan")) for offset in (0, 1)
            ]
            rates = [fp / (fp + tn) if fp + tn else float("nan"), fn / (fn + tp) if fn + tp else float("nan")]
            assert shown_rates == pytest.approx(rates, abs=6e-5, nan_ok=True)


def test_the_api_has_the_same_numbers(dashboard: Dashboard, evaluation: int, truth: dict[str, Any]) -> None:
    with urlopen(f"{dashboard.address}/api/v1/evaluations/{evaluation}") as answer:
        document = json.load(answer)
    found = {json.dumps(row["slice"], sort_keys=True): row["metrics"] for row in document["slices"]}
    for name, values in truth["metrics"].items():
        assert {metric: value for metric, value in found[name].items() if value is not None} == values
