"""The pages of artifacts and of sliced metrics, on made-up stores with known numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from penstock.dashboard import histograms, intervals, logs, rendering, slices
from penstock.dashboard.app import create_app
from penstock.dashboard.pages.artifacts import ViewQuery, schema_differences, statistics_values
from penstock.dashboard.settings import Settings
from penstock.metadata import notes, plots, recording
from penstock.metadata.database import connect
from penstock.metadata.runs import get_node
from tests.unit.dashboard.conftest import GOOD, Store, csrf, evaluation


def ids_on(page: str) -> list[int]:
    table = page.partition('id="artifacts"')[2]
    return [int(found) for found in re.findall(r'<td class="right"><a href="/artifacts/(\d+)">', table)]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["evaluation", "model", "examples"]),
        ("type=Model", ["model"]),
        (f"run={GOOD}&limit=2", ["evaluation", "model"]),
        ("state=live&pipeline=taxi", ["evaluation", "model", "examples"]),
        ("state=deleted", []),
    ],
)
def test_the_list_of_artifacts(client: TestClient, store: Store, query: str, names: list[str]) -> None:
    expected = [store.artifacts[name] for name in names]
    assert ids_on(client.get(f"/artifacts?{query}").text) == expected
    answer = client.get(f"/api/v1/artifacts?{query}").json()
    assert [entry["artifact_id"] for entry in answer["artifacts"]] == expected


@pytest.mark.parametrize(
    "query",
    ["type=Nothing", "type=Model'--", "pipeline=x", "run=none", "run=';--", "state=good", "before=x", "before=0"],
)
def test_what_cannot_be_asked_of_artifacts(client: TestClient, query: str) -> None:
    assert client.get(f"/artifacts?{query}").status_code == 400
    assert client.get(f"/api/v1/artifacts?{query}").status_code == 400


@pytest.mark.parametrize("path", ["0", "-1", "99", "1e3", "x", "9" * 30, "%00", "1%2f..%2f2"])
def test_there_is_no_such_artifact(client: TestClient, path: str) -> None:
    for prefix in ("/artifacts", "/api/v1/artifacts"):
        assert client.get(f"{prefix}/{path}").status_code == 404
        assert client.get(f"{prefix}/{path}/lineage").status_code == 404


def test_an_artifact_names_its_maker_with_inputs_and_its_users_with_outputs(client: TestClient, store: Store) -> None:
    page = client.get(f"/artifacts/{store.artifacts['model']}").text
    made_by, _, used_by = page.partition("Used by")
    assert f'href="/runs/{GOOD}/nodes/trainer"' in made_by
    assert f'href="/artifacts/{store.artifacts["examples"]}"' in made_by
    assert f'href="/runs/{GOOD}/nodes/evaluator"' in used_by
    assert f'href="/artifacts/{store.artifacts["evaluation"]}"' in used_by


def test_lineage_up_reaches_the_examples_and_down_the_evaluation(client: TestClient, store: Store) -> None:
    for start, direction, end in (("evaluation", "up", "examples"), ("examples", "down", "evaluation")):
        page = client.get(f"/artifacts/{store.artifacts[start]}/lineage?direction={direction}").text
        assert page.count('class="box artifact') == 3
        assert f'href="/artifacts/{store.artifacts[end]}"' in page
    both = client.get(f"/artifacts/{store.artifacts['model']}/lineage?direction=both").text
    assert both.count('class="box artifact') == 3
    one_step = client.get(f"/artifacts/{store.artifacts['model']}/lineage?depth=1&direction=down").text
    assert one_step.count('class="box artifact') == 2
    assert client.get(f"/artifacts/{store.artifacts['model']}/lineage?direction=sideways").status_code == 400


def test_small_slices_are_hidden_until_asked_for(client: TestClient, store: Store) -> None:
    path = f"/artifacts/{store.artifacts['evaluation']}/slices"
    page = client.get(path).text
    assert "2 slices with fewer than 100 examples hidden" in page
    page = client.get(f"{path}?least=50").text
    assert 'data-slice="{&#34;hour&#34;: &#34;8&#34;}"' in page
    assert 'data-slice="{&#34;hour&#34;: &#34;9&#34;}"' not in page
    page = client.get(f"{path}?least=0").text
    assert re.search(r'id="weakest">hour=9</a> <strong id="weakest-value">0\.1000</strong>', page)
    assert '<span id="weakest-examples">10</span>' in page
    rows = re.findall(r'<tr data-slice="([^"]*)"', page)
    assert [row.count("9") for row in rows] == [0, 1, 0]


@pytest.mark.parametrize(
    "query",
    ["metric=x", "feature=x", "least=-1", "least=x", "order=x", "desc=2", "slice=x", "thresholds=2", "thresholds=nan",
     "against=x", "by=x", "group=x", "thresholds=0.1+0.2+0.3+0.4+0.5+0.6"],
)  # fmt: skip
def test_what_cannot_be_asked_of_slices(client: TestClient, store: Store, query: str) -> None:
    assert client.get(f"/artifacts/{store.artifacts['evaluation']}/slices?{query}").status_code == 400


def test_what_is_no_evaluation_has_no_slices(client: TestClient, store: Store) -> None:
    assert client.get(f"/artifacts/{store.artifacts['model']}/slices").status_code == 404
    assert client.get(f"/api/v1/evaluations/{store.artifacts['model']}").status_code == 404


def test_the_api_and_the_csv_give_the_evaluations_own_numbers(client: TestClient, store: Store) -> None:
    path = f"/api/v1/evaluations/{store.artifacts['evaluation']}"
    own = [(row["slice"], row["metrics"]) for row in evaluation()["slices"]]
    assert [(row["slice"], row["metrics"]) for row in client.get(path).json()["slices"]] == own
    lines = client.get(f"{path}/slices.csv?least=50").text.splitlines()
    assert lines == ["slice,example_count,binary_accuracy", "Overall,100.0,0.8", "hour=8,90.0,0.9"]


def test_a_page_of_plots_may_have_styles_and_no_foreign_scripts(client: TestClient, store: Store) -> None:
    policy = client.get(f"/artifacts/{store.artifacts['evaluation']}/slices").headers["content-security-policy"]
    assert "style-src 'self' 'unsafe-inline'" in policy
    assert "script-src 'self';" in policy
    library = client.get("/static/plotly.min.js")
    assert library.status_code == 200
    assert len(library.content) > 1_000_000


def test_a_page_without_plots_is_light(client: TestClient) -> None:
    page = client.get("/runs")
    assets = re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)
    assert sum(len(client.get(path).content) for path in assets) + len(page.content) < 300_000


def test_a_run_gets_a_name_and_a_description(client: TestClient, store: Store) -> None:
    form = {"csrf": csrf(client.get(f"/runs/{GOOD}").text), "name": "First <try>", "description": "Before the change"}
    assert client.post(f"/runs/{GOOD}/note", data=form).status_code == 200
    page = client.get(f"/runs/{GOOD}").text
    assert "First &lt;try&gt;" in page and "Before the change" in page
    assert "First &lt;try&gt;" in client.get("/runs").text
    assert client.get(f"/api/v1/runs/{GOOD}").json()["name"] == "First <try>"
    too_long = client.post(f"/runs/{GOOD}/note", data={**form, "name": "x" * 101})
    assert too_long.status_code == 409
    with connect(store.location, create=False) as database:
        assert notes.find(database, [GOOD])[GOOD] == notes.Note("First <try>", "Before the change")
    json_note = {"name": "", "description": ""}
    assert client.put(f"/api/v1/runs/{GOOD}/note", json=json_note).status_code == 200
    assert client.put(f"/api/v1/runs/{GOOD}/note", content=json.dumps(json_note)).status_code == 400


def test_a_store_of_version_2_is_read(store: Store, tmp_path: Path) -> None:
    from penstock.metadata.location import StoreLocation

    location = StoreLocation(tmp_path / "old")
    with connect(location, create=True) as database:
        recording.create_run(database, "old-run", "taxi")
        database.execute("DROP TABLE penstock_notes")
        database.execute("DROP TABLE penstock_plots")
        database.execute("UPDATE penstock_schema SET version = 2")
    client = TestClient(create_app(Settings(location)), base_url="http://localhost")
    assert client.get("/runs").status_code == 200
    form = {"csrf": csrf(client.get("/runs/old-run").text), "name": "named", "description": ""}
    assert client.post("/runs/old-run/note", data=form).status_code == 200
    assert "named" in client.get("/runs").text


# Paths


HOSTILE = (
    "..", "../..", "../../etc/passwd", "%2e%2e", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "%252e%252e%252f", "..%5c..%5cetc",
    "..\\..", "/etc/passwd", "%2fetc%2fpasswd", "%00", "app.py%00.css", "a#b", "%23", ";", "..;/", "%ef%bc%8f",
    "%e2%88%95", "..%c0%af", "file:///etc/passwd", "file:%2f%2f%2fetc%2fpasswd", "~", "~root", "." * 300, "a" * 6000,
    "%f0%9f%92%a9", "con", "style.css/", "style.css/..", ".%2fstyle.css",
)  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_paths_name_nothing(client: TestClient, hostile: str) -> None:
    prefixes = (
        "/static/", "/runs/", f"/runs/{GOOD}/nodes/", f"/runs/{GOOD}/nodes/../", "/artifacts/", "/api/v1/runs/",
        f"/api/v1/runs/{GOOD}/nodes/", f"/runs/{GOOD}/nodes/trainer/log.txt/",
    )  # fmt: skip
    for prefix in prefixes:
        # httpx makes paths plain before it sends them; the application must be asked for what was written.
        answer = raw_get(client, prefix + hostile)
        assert answer == 404, (prefix, answer)


def raw_get(client: TestClient, path: str) -> int:
    """The status of a path that is sent as it is."""
    import asyncio
    from urllib.parse import unquote_to_bytes

    status = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            status.append(message["status"])

    raw = path.partition("#")[0] if "#" in path and not path.endswith("#b") else path.replace("#", "%23")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": unquote_to_bytes(raw).decode("utf-8", "replace"), "raw_path": raw.encode("utf-8"), "query_string": b"",
        "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1), "server": ("localhost", 80), "root_path": "",
    }  # fmt: skip

    async def ask() -> None:
        await client.app(scope, receive, send)

    asyncio.run(ask())
    return status[0]


@given(st.text(max_size=60))
@example("../../outside.txt")
@example("runs/../../outside.txt")
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_recorded_log_is_read_outside_of_the_store(store: Store, recorded: str) -> None:
    with connect(store.location, create=False) as database:
        node = get_node(database, GOOD, "trainer")
    from dataclasses import replace

    from penstock.errors import StoreError

    try:
        found = logs.attempts(store.location, replace(node, log=recorded))
    except (StoreError, ValueError, OSError):
        return
    root = store.location.folder.resolve()
    assert all(log.path.resolve().is_relative_to(root) for log in found)


def test_a_link_out_of_the_store_is_not_followed(store: Store, client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("not for readers")
    folder = store.location.folder / f"runs/{GOOD}/examples/attempt-2"
    folder.mkdir(exist_ok=True)
    (folder / "log.txt").symlink_to(tmp_path / "secret.txt")
    try:
        answer = client.get(f"/runs/{GOOD}/nodes/examples/log.txt?attempt=2")
        assert "not for readers" not in answer.text
        assert answer.status_code == 404
    finally:
        (folder / "log.txt").unlink()
        folder.rmdir()


def test_only_what_is_an_asset_is_served(client: TestClient) -> None:
    for path in rendering.STATIC.iterdir():
        assert client.get(f"/static/{path.name}").status_code == 200
    assert client.get("/static/app.py").status_code == 404
    assert client.get(f"/static/{quote('../app.py', safe='')}").status_code == 404


# Numbers


def test_wilson_agrees_with_published_values() -> None:
    # R. G. Newcombe, Statistics in Medicine 17 (1998), table I.
    for part, whole, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        found = intervals.wilson(part, whole)
        assert found is not None
        assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    assert intervals.wilson(0, 0) is None


def test_hanley_mcneil_agrees_with_its_formula_by_hand() -> None:
    found = intervals.hanley_mcneil(0.8, 50, 100)
    assert found is not None
    q1, q2 = 0.8 / 1.2, 1.28 / 1.8
    error = ((0.8 * 0.2 + 49 * (q1 - 0.64) + 99 * (q2 - 0.64)) / 5000) ** 0.5
    assert found.high - found.low == pytest.approx(2 * 1.959964 * error, rel=1e-6)
    assert intervals.hanley_mcneil(0.8, 0, 10) is None


def test_an_interval_is_only_given_where_its_counts_made_the_metric() -> None:
    confusion: dict[str, list[float]] = {
        "thresholds": [0.0, 0.5, 1.0],
        "tp": [10, 8, 0],
        "fp": [10, 2, 0],
        "tn": [0, 8, 10],
        "fn": [0, 2, 10],
    }
    assert intervals.interval("precision", 0.8, 20, None, confusion) is not None
    assert intervals.interval("precision", 0.7, 20, None, confusion) is None
    assert intervals.interval("precision", 0.8, 20, None, None) is None
    recorded = intervals.interval("mean_label", 0.5, 20, (0.4, 0.6), None)
    assert recorded == intervals.Interval(0.4, 0.6, "evaluation")
    assert intervals.interval("mean_label", 0.5, 20, None, confusion) is None


def drawn(tp: int, fp: int, tn: int, fn: int) -> dict[str, Any]:
    return {"plots": {"confusion": {"thresholds": [0.5], "tp": [tp], "fp": [fp], "tn": [tn], "fn": [fn]}}}


def test_a_group_is_compared_with_everybody_else() -> None:
    def row(features: dict[str, str], count: float) -> slices.SliceRow:
        return slices.SliceRow(features, count, 0.5, None, None, None, {})

    found = [row({}, 2000), row({"g": "a"}, 1000), row({"g": "b"}, 1000)]
    everything = {
        plots.slice_key({}): drawn(500, 150, 850, 500),
        plots.slice_key({"g": "a"}): drawn(250, 100, 400, 250),
        plots.slice_key({"g": "b"}): drawn(250, 50, 450, 250),
    }
    names = ["false_positive_rate", "false_negative_rate"]
    groups = slices.groups(found, everything, [0.5], names, plots.slice_key({}), {})
    rates = [group.rates["false_positive_rate"][0] for group in groups]
    assert [entry.rate.value for entry in rates] == [0.15, 0.2, 0.1]
    assert [entry.is_significant for entry in rates] == [False, True, True]
    assert rates[1].difference == pytest.approx(0.05)
    assert not any(group.rates["false_negative_rate"][0].is_significant for group in groups)
    # z = (0.2 − 0.1) / sqrt(0.15 · 0.85 · 2 / 500) = 4.43 by hand.
    assert intervals.differ(intervals.Rate(100, 500), intervals.Rate(50, 500))
    assert not intervals.differ(intervals.Rate(10, 50), intervals.Rate(5, 50))


def test_the_worst_slices_come_first_whatever_the_metrics_direction() -> None:
    def row(value: float | None, difference: float | None = None) -> slices.SliceRow:
        return slices.SliceRow({"a": str(value)}, 10, value, None, difference, None, {})

    rows = [row(0.5, 0.0), row(None), row(0.9, 0.4), row(0.1, -0.4), row(float("nan"))]
    assert [r.value for r in slices.worst_first(rows, "auc")][:3] == [0.1, 0.5, 0.9]
    assert [r.value for r in slices.worst_first(rows, "loss")][:3] == [0.9, 0.5, 0.1]
    assert [r.value for r in slices.worst_first(rows, "false_positive_rate")][:3] == [0.9, 0.5, 0.1]
    assert slices.worst_first(rows, "mean_label")[2].value == 0.5


def test_the_change_of_a_feature_is_the_largest_difference_of_shares() -> None:
    one = {"top": [["a", 60], ["b", 40]], "values": 100}
    other = {"top": [["a", 30], ["c", 70]], "values": 100}
    assert histograms.distance(one, other) == pytest.approx(0.7)
    assert histograms.distance(one, one) == 0
    assert histograms.distance(one, one, 0.0, 0.25) == 0.25
    even = {"histogram": [[0, 10, 100]], "quantiles": [0, 5, 10]}
    upper = {"histogram": [[0, 10, 100]], "quantiles": [0, 9, 10]}
    assert histograms.distance(even, upper) == pytest.approx(0.9 - 0.5)
    assert histograms.distance(one, even) is None
    # A single far value must not make two like distributions look different.
    tailed = {"histogram": [[0, 1000, 99], [1000, 10000, 1]], "quantiles": [0, 5, 10, 10000]}
    shorter = {"histogram": [[0, 100, 99], [100, 1000, 1]], "quantiles": [0, 5, 10, 1000]}
    assert (histograms.distance(tailed, shorter) or 0) < 0.35


def test_statistics_of_two_splits_are_sorted_by_what_changed_most() -> None:
    def feature(name: str, counts: list[list[Any]]) -> dict[str, Any]:
        return {"name": name, "type": "STRING", "missing": 0, "distinct": 2, "top": counts}

    content = {
        "splits": {
            "train": {"examples": 10, "features": [feature("calm", [["x", 10]]), feature("moved", [["x", 10]])]},
            "eval": {
                "examples": 10,
                "features": [feature("calm", [["x", 10]]), feature("moved", [["x", 1], ["y", 9]])],
            },
        }
    }
    values = statistics_values(content, None, ViewQuery())
    assert [row.name for row in values["rows"]] == ["moved", "calm"]
    assert (values["first"], values["second"]) == ("train", "eval")


def test_two_schemas_differ_in_features_types_and_domains() -> None:
    def schema(**features: tuple[str, list[str] | None]) -> dict[str, Any]:
        return {
            "features": [
                {"name": name, "type": kind, "required": False, "domain": domain}
                for name, (kind, domain) in features.items()
            ]
        }

    before = schema(kept=("INT", None), gone=("INT", None), typed=("INT", None), named=("BYTES", ["a", "b"]))
    after = schema(kept=("INT", None), come=("INT", None), typed=("FLOAT", None), named=("BYTES", ["b", "c"]))
    assert schema_differences(before, after) == [
        ("gone", "feature", "there", "–"),
        ("typed", "type", "INT", "FLOAT"),
        ("named", "domain", "− a", "+ c"),
        ("come", "feature", "–", "there"),
    ]


def test_plots_are_stored_apart_and_found_by_slice(tmp_path: Path) -> None:
    from penstock.metadata.location import StoreLocation
    from penstock.metadata.runs import find_summary

    entries = [{"slice": {}, "plots": {"a": 1}}, {"slice": {"x": "1", "b": "ü"}, "plots": {"a": 2}}]
    with connect(StoreLocation(tmp_path), create=True) as database:
        for _ in range(2):
            recording.put_summary(database, 7, "evaluation", {**evaluation(), "plots": entries})
        summary = find_summary(database, 7)
        assert summary is not None
        assert summary.content == evaluation()
        wanted = {"b": "ü", "x": "1"}
        assert plots.find(database, 7, [wanted]) == {plots.slice_key({"x": "1", "b": "ü"}): {"plots": {"a": 2}}}
        assert plots.find(database, 8, [wanted]) == {}
