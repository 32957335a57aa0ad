"""Binary, multi-class and regression models: each number and each line of a plot is in TFMA's own result files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from penstock.metadata import recording
from penstock.metadata.database import connect
from penstock.metadata.location import StoreLocation
from tests.conftest import REPOSITORY
from tests.dashboard.conftest import SCREENSHOTS, Dashboard, Open
from tests.dashboard.test_slices import shown
from tests.integration.metadata.stores import StoreWriter

KINDS = ("binary", "classes", "regression")
_EVALUATE = """
import sys
from penstock.engine import tfdv_shim
tfdv_shim.install()
from tests.dashboard import evaluations
evaluations.main(sys.argv[1])
"""
COUNTS = ("truePositives", "falsePositives", "trueNegatives", "falseNegatives")


@dataclass(frozen=True)
class Models:
    """A store with an evaluation of each kind, its dashboard, and what TFMA's files of the evaluations hold."""

    folder: Path
    ids: dict[str, int]
    truth: dict[str, dict[str, Any]]
    dashboard: Dashboard

    def metrics(self, kind: str, feature: str) -> dict[str, dict[str, float]]:
        """Metrics by slice and label, of overall and the slices by a feature."""
        wanted = set(feature.split(","))
        found: dict[str, dict[str, float]] = {}
        for features, output, sub_key, name, value in self.truth[kind]["metrics"]:
            if set(features) in (set(), wanted):
                label = "/".join(part for part in (output, name, sub_key) if part)
                found.setdefault(key(features), {})[label] = float(value)
        return found

    def plot(self, kind: str, field: str, sub_key: str = "", name: str = "", **features: str) -> list[dict[str, Any]]:
        """The buckets or matrices of a plot."""
        [found] = [
            data[field]
            for of, sub, title, data in self.truth[kind]["plots"]
            if of == features and sub == sub_key and title == name and field in data
        ]
        return list(found.get("matrices") or found.get("buckets"))


def key(features: dict[str, str]) -> str:
    return json.dumps(dict(sorted(features.items())))


@pytest.fixture(scope="module")
def models(start: Callable[..., Dashboard], tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    command = [sys.executable, "-c", _EVALUATE, str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    made = json.loads(done.stdout.splitlines()[-1])
    location = StoreLocation(folder / "store")
    writer = StoreWriter(location)
    ids = {}
    for kind in KINDS:
        artifact = writer.artifact("ModelEvaluation", str(folder / kind / "evaluation"))
        _, [ids[kind]] = writer.execute(kind, f"run-{kind}", "evaluator", outputs={"evaluation": [artifact]})
        with connect(location, create=True) as database:
            recording.put_summary(database, ids[kind], "evaluation", made[kind]["summary"])
    truth = {kind: made[kind]["truth"] for kind in KINDS}
    return Models(folder, ids, truth, start(location.folder))


Go = Callable[..., Page]


@pytest.fixture
def go(visit: Open, models: Models) -> Go:
    """Opens the slices of an evaluation."""

    def open_page(kind: str, query: str = "") -> Page:
        return visit(models.dashboard.address).go(f"/artifacts/{models.ids[kind]}/slices?least=0&{query}")

    return open_page


def traces(page: Page, kind: str, mode: str) -> list[dict[str, Any]]:
    """What a plot draws, line by line."""
    element = page.locator(f"[data-plot={kind}]")
    element.scroll_into_view_if_needed()
    expect(element.locator(".main-svg").first).to_be_visible()
    drawn = "(e, mode) => e.data.filter((t) => t.mode === mode).map((t) => ({name: t.name, x: [...t.x], y: [...t.y]}))"
    return list(element.evaluate(drawn, mode))


def number(entry: dict[str, Any], field: str) -> float:
    return float(entry.get(field, 0.0))


def ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def near(found: list[Any], expected: list[Any]) -> None:
    """Checks numbers; nothing is where nothing should be."""
    assert [value is None for value in found] == [value is None for value in expected]
    assert [value for value in found if value is not None] == pytest.approx(
        [value for value in expected if value is not None], abs=1e-9
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("feature", ["region", "region,size"])
def test_every_number_is_tfmas_own(go: Go, models: Models, kind: str, feature: str) -> None:
    page = go(kind, f"feature={feature}")
    expected = models.metrics(kind, feature)
    assert len(expected) == (4 if feature == "region" else 13)
    assert shown(page) == expected


@pytest.mark.parametrize(("kind", "sub_keys"), [("binary", [""]), ("classes", [f"classId:{i}" for i in range(3)])])
def test_curves_have_tfmas_points(go: Go, models: Models, kind: str, sub_keys: list[str]) -> None:
    page = go(kind)
    roc, recalls = traces(page, "roc", "lines"), traces(page, "pr", "lines")
    names = ["class 0", "class 1", "class 2"] if kind == "classes" else ["Overall"]
    assert [trace["name"] for trace in roc] == names
    for line, recall, sub_key in zip(roc, recalls, sub_keys, strict=True):
        matrices = models.plot(kind, "confusionMatrixAtThresholds", sub_key)
        tp, fp, tn, fn = ([number(matrix, field) for matrix in matrices] for field in COUNTS)
        near(line["x"], [ratio(f, f + t) for f, t in zip(fp, tn, strict=True)])
        near(line["y"], [ratio(t, t + f) for t, f in zip(tp, fn, strict=True)])
        near(recall["x"], line["y"])
        near(recall["y"], [ratio(t, t + f) for t, f in zip(tp, fp, strict=True)])
    calibration = traces(page, "calibration", "markers")
    for points, sub_key in zip(calibration, sub_keys, strict=True):
        buckets = [b for b in models.plot(kind, "calibrationHistogramBuckets", sub_key) if b.get("numWeightedExamples")]
        counts = [number(bucket, "numWeightedExamples") for bucket in buckets]
        sums = [number(bucket, "totalWeightedRefinedPrediction") for bucket in buckets]
        labels = [number(bucket, "totalWeightedLabel") for bucket in buckets]
        near(points["x"], [one / count for one, count in zip(sums, counts, strict=True)])
        near(points["y"], [one / count for one, count in zip(labels, counts, strict=True)])
    assert page.locator("[data-plot=residuals], [data-plot=mean_residuals]").count() == 0


def read_matrix(page: Page) -> dict[tuple[str, str], float]:
    """The cells of the confusion matrix of several classes as they stand on the page."""
    cells = page.locator("td[data-actual]").all()
    return {
        (str(cell.get_attribute("data-actual")), str(cell.get_attribute("data-predicted"))): float(
            cell.locator("span").first.inner_text().replace(",", "")
        )
        for cell in cells
    }


def test_the_matrix_of_several_classes_follows_the_threshold(go: Go, models: Models) -> None:
    page = go("classes")
    by_threshold = {
        number(matrix, "threshold"): {
            (str(entry.get("actualClassId", 0)), str(entry.get("predictedClassId", 0)).replace("-1", "none")): number(
                entry, "numWeightedExamples"
            )
            for entry in matrix["entries"]
        }
        for matrix in models.plot(
            "classes", "multiClassConfusionMatrixAtThresholds", name="multi_class_confusion_matrix_plot"
        )
    }
    assert sorted(by_threshold) == [0.0, 0.5, 0.8]
    for asked, threshold in ((0.5, 0.5), (0.9, 0.8), (0.1, 0.0), (0.55, 0.5)):
        page.locator("#threshold").fill(str(asked))
        found = {pair: count for pair, count in read_matrix(page).items() if count}
        expected = {pair: count for pair, count in by_threshold[threshold].items() if count}
        assert found == expected, asked
        for row in page.locator(".by-class tbody tr").all():
            label = str(row.get_attribute("data-class"))
            actual = sum(count for pair, count in expected.items() if pair[0] == label)
            called = sum(count for pair, count in expected.items() if pair[1] == label)
            right = expected.get((label, label), 0.0)
            values = [float(str(cell.get_attribute("data-value"))) for cell in row.locator("td").all()]
            near(values, [actual, called, right / called, right / actual, 2 * right / (actual + called)])


def test_a_class_has_its_own_matrix_rates_and_intervals(go: Go, models: Models) -> None:
    page = go("classes", f"feature=region&of=classId:1&thresholds=0.3+0.7&metric={quote('precision/classId:1')}")
    fields = {"tp": COUNTS[0], "fp": COUNTS[1], "tn": COUNTS[2], "fn": COUNTS[3]}

    def matrix(threshold: float, **features: str) -> dict[str, Any]:
        matrices = models.plot("classes", "confusionMatrixAtThresholds", "classId:1", **features)
        return min(matrices, key=lambda entry: abs(number(entry, "threshold") - threshold))

    for cell in page.locator("#matrices td[data-cell]").all():
        field = fields[str(cell.get_attribute("data-cell"))]
        assert float(cell.inner_text().replace(",", "")) == number(matrix(0.3), field)
    expect(page.locator("#groups")).to_contain_text("class 1")
    rows = page.locator("#rates tbody tr").all()
    assert len(rows) == 4
    for row in rows:
        cells = row.locator("td").all_inner_texts()
        features = {} if cells[0] == "Overall" else {"region": cells[0].partition("=")[2]}
        for index, threshold in enumerate((0.3, 0.7)):
            tp, fp, tn, fn = (number(matrix(threshold, **features), field) for field in COUNTS)
            rates = [float(cells[2 + 2 * index + offset].split()[0]) for offset in (0, 1)]
            assert rates == pytest.approx([fp / (fp + tn), fn / (fn + tp)], abs=6e-5)
    # The interval is Wilson's, of the class's own counts at one half.
    tp, fp = (number(matrix(0.5), field) for field in COUNTS[:2])
    assert float(page.locator("#slices tbody tr").first.locator("td").nth(2).get_attribute("data-value") or "") == (
        pytest.approx(tp / (tp + fp))
    )
    assert page.locator("#slices td.interval span[title=Wilson]").count() == 4


def test_residuals_are_those_of_the_regression(go: Go, models: Models) -> None:
    page = go("regression", f"feature=region&slice={quote(key({'region': 'south'}))}")
    assert [figure.inner_text() for figure in page.locator("#plots-section figcaption").all()] == [
        "Calibration",
        "Predictions",
        "Residuals over predictions",
        "Residuals",
    ]
    for index, features in enumerate(({}, {"region": "south"})):
        buckets = [
            b
            for b in models.plot("regression", "calibrationHistogramBuckets", **features)
            if b.get("numWeightedExamples")
        ]
        counts = [number(bucket, "numWeightedExamples") for bucket in buckets]
        residuals = [
            (number(bucket, "totalWeightedLabel") - number(bucket, "totalWeightedRefinedPrediction")) / count
            for bucket, count in zip(buckets, counts, strict=True)
        ]
        near(traces(page, "mean_residuals", "markers")[index]["y"], residuals)
        bars = traces(page, "distribution", "lines")[index]
        half = (bars["x"][1] - bars["x"][0]) / 2
        within = [
            sum(
                count
                for bucket, count in zip(buckets, counts, strict=True)
                if at - half - 1e-6 <= number(bucket, "lowerThresholdInclusive")
                and number(bucket, "upperThresholdExclusive") <= at + half + 1e-6
            )
            for at in bars["x"]
        ]
        assert sum(within) == sum(counts)
        near(bars["y"], [count / sum(counts) for count in within])
        buckets = models.plot("regression", "calibrationHistogramBuckets", name="residual_plot", **features)
        total = sum(number(bucket, "numWeightedExamples") for bucket in buckets)
        assert total == (900 if not features else 300)
        expected = [share for b in buckets if (share := number(b, "numWeightedExamples") / total)]
        drawn = traces(page, "residuals", "lines")[index]
        near([share for share in drawn["y"] if share], expected)
        middles = [
            (number(b, "lowerThresholdInclusive") + number(b, "upperThresholdExclusive")) / 2
            for b in buckets
            if number(b, "numWeightedExamples") and "Infinity" not in str(b)
        ]
        assert [min(abs(at - middle) for at in drawn["x"]) for middle in middles] == pytest.approx([0.0] * len(middles))


def test_two_features_crossed_stand_in_a_table(go: Go, models: Models) -> None:
    page = go("binary", "feature=region,size&metric=auc&least=0")
    expected = {name: values["auc"] for name, values in models.metrics("binary", "region,size").items() if name != "{}"}
    cells = page.locator("table.crossing td[data-slice]").all()
    found = {cell.get_attribute("data-slice"): float(str(cell.get_attribute("data-value"))) for cell in cells}
    assert found == expected
    assert page.locator("table.crossing tbody tr").count() == 4


def test_two_metrics_over_slices(go: Go, models: Models) -> None:
    page = go("binary", "feature=region&metric=precision&by=recall")
    [points] = traces(page, "scatter", "markers")
    values = models.metrics("binary", "region")
    assert sorted(zip(points["x"], points["y"], strict=True)) == sorted(
        (v["recall"], v["precision"]) for v in values.values()
    )


def test_what_is_not_there_cannot_be_asked_for(go: Go, models: Models) -> None:
    from urllib.error import HTTPError
    from urllib.request import urlopen

    for kind, of in (("binary", "classId:0"), ("classes", "classId:7"), ("regression", "each"), ("classes", "../x")):
        with pytest.raises(HTTPError) as caught:
            urlopen(f"{models.dashboard.address}/artifacts/{models.ids[kind]}/slices?of={quote(of)}")
        assert caught.value.code == 400


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_everybody_can_read_it(visit: Open, models: Models, kind: str, scheme: str) -> None:
    window = visit(models.dashboard.address, color_scheme=scheme, bypass_csp=True)
    page = window.go(
        f"/artifacts/{models.ids[kind]}/slices?feature=region&least=0&slice={quote(key({'region': 'south'}))}"
    )
    for plot in page.locator("[data-plot]").all():
        plot.scroll_into_view_if_needed()
        expect(plot.locator(".main-svg").first).to_be_visible()
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=SCREENSHOTS / f"model-{kind}-{scheme}.png", full_page=True)
    found = [entry for entry in Axe().run(page).response["violations"] if entry["impact"] in ("serious", "critical")]
    assert [(entry["id"], entry["nodes"][0]["html"][:200]) for entry in found] == []
