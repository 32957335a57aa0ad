"""People look at runs and artifacts: what they see is what the store holds, by keys, without scripts, in the dark."""

from __future__ import annotations

import json
import re
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import urlopen

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.dashboard.conftest import CANARY, CAUSE, SCREENSHOTS, Dashboard, Open, RealStore

MAIN_PAGES = (
    "/runs",
    "/runs/{taxi}",
    "/runs/{taxi}/nodes/trainer?tab=log",
    "/artifacts",
    "/artifacts/{model}/lineage",
    "/artifacts/{evaluation}/slices",
    "/artifacts/{evaluation}/slices?feature=payment_type,trip_start_hour&by=recall",
    "/artifacts/{statistics}",
    "/models",
    "/pipelines",
    "/pipelines/chicago-taxi",
    "/compare?a={taxi0}&b={taxi}",
)


def main_pages(real: RealStore) -> list[str]:
    places = {"model": "trainer", "evaluation": "evaluator", "statistics": "statistics"}
    ids = {key: output_id(real, real.taxi[1], node, key) for key, node in places.items()}
    return [path.format(taxi=real.taxi[1], taxi0=real.taxi[0], **ids) for path in MAIN_PAGES]


def name(path: str) -> str:
    """A path as the name of a file."""
    return re.sub(r"[^a-z]+", "-", re.sub(r"[0-9]{8}-[0-9]{6}-[0-9a-z]+", "run", path)).strip("-")


def output_id(real: RealStore, run_id: str, node: str, key: str) -> int:
    """The id of the artifact a node put out in a run, straight from ml-metadata's tables."""
    [[found]] = real.rows(
        "SELECT e.artifact_id FROM Event e JOIN EventPath p ON p.event_id = e.id AND p.step_key = ? "
        "JOIN Association r ON r.execution_id = e.execution_id JOIN Context rc ON rc.id = r.context_id AND rc.name = ? "
        "JOIN Association n ON n.execution_id = e.execution_id JOIN Context nc ON nc.id = n.context_id "
        "AND nc.name LIKE ? WHERE e.type IN (1, 4)",
        key,
        run_id,
        f"%.{node}",
        mlmd=True,
    )
    return int(found)


def test_failures_are_on_top_with_their_cause(visit: Open, real: RealStore) -> None:
    page = visit().go("/runs")
    first = page.locator("table[aria-label^='Latest state'] tbody tr").first
    expect(first).to_contain_text("tiny")
    expect(first).to_contain_text("failed")
    expect(first).to_contain_text(CAUSE)
    assert page.locator("#runs tbody tr").count() == len(real.rows("SELECT 1 FROM penstock_runs"))
    assert page.locator(".spark").count() == 1


def test_filters_stand_in_the_address_and_back_works(visit: Open, real: RealStore) -> None:
    page = visit().go("/runs")
    page.select_option("select[name=state]", "failed")
    page.wait_for_url("**/runs?state=failed")
    assert page.locator("#runs tbody tr").all_inner_texts()[0].startswith(real.tiny_failed)
    page.go_back()
    expect(page.locator("#runs tbody tr")).to_have_count(6)


def test_keys_search_move_open_and_help(visit: Open, real: RealStore) -> None:
    page = visit().go("/runs")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type(real.taxi[0])
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs?*text=*")
    expect(page.locator("#runs tbody tr")).to_have_count(1)
    for _ in range(3):
        page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("j")
    expect(page.locator("tr.here")).to_contain_text(real.taxi[0])
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/runs/{real.taxi[0]}")


def test_the_graph_has_every_node_and_edge_of_the_declaration(visit: Open, real: RealStore) -> None:
    page = visit().go(f"/runs/{real.taxi[0]}")
    names = {row[0] for row in real.rows("SELECT node_id FROM penstock_nodes WHERE run_id = ?", real.taxi[0])}
    assert {box.get_attribute("data-node") for box in page.locator("svg.dag a.box").all()} == names
    assert page.locator("svg.dag path.edge").count() == 14
    x = {name: page.locator(f"svg.dag a[data-node={name}] rect").bounding_box() for name in names}
    for before, after in (("examples", "statistics"), ("transform", "trainer"), ("trainer", "evaluator")):
        left, right = x[before], x[after]
        assert left is not None and right is not None and left["x"] + left["width"] < right["x"]


def test_the_timeline_shows_independent_nodes_overlapping(visit: Open, real: RealStore) -> None:
    page = visit().go(f"/runs/{real.taxi[0]}")
    boxes = {}
    for bar in page.locator("svg.timeline a.bar").all():
        box = bar.locator("rect:not(.wait)").bounding_box()
        assert box is not None
        boxes[bar.locator("text.name").text_content()] = (box["x"], box["x"] + box["width"])
    assert boxes["example_validator"][0] < boxes["transform"][1]
    assert boxes["transform"][0] < boxes["example_validator"][1] + 2
    assert boxes["evaluator"][0] >= boxes["trainer"][1] - 1


def test_each_tab_of_a_node_tells_something(visit: Open, real: RealStore) -> None:
    window = visit()
    page = window.go(f"/runs/{real.taxi[0]}")
    page.locator("svg.dag a[data-node=trainer]").click()
    page.wait_for_url("**/nodes/trainer")
    expect(page.locator("main")).to_contain_text("transform_graph")
    page.get_by_role("link", name="Log", exact=True).click()
    expect(page.locator("#log")).not_to_be_empty()
    page.get_by_role("link", name="Execution properties").click()
    expect(page.locator("dl.facts").last).to_contain_text("train_args")
    page = window.go(f"/runs/{real.taxi[1]}/nodes/trainer?tab=cache")
    expect(page.locator("main")).to_contain_text("Did not come from the cache")
    expect(page.locator("main")).to_contain_text("train_args")
    page = window.go(f"/runs/{real.taxi[1]}/nodes/examples?tab=log")
    expect(page.locator("main")).to_contain_text("came from the cache")


def test_lists_count_what_the_store_counts(visit: Open, real: RealStore) -> None:
    window = visit()
    for query, sql in (
        ("", "SELECT count(*) FROM Artifact"),
        ("type=Model", "SELECT count(*) FROM Artifact a JOIN Type t ON t.id = a.type_id WHERE t.name = 'Model'"),
        ("state=live", "SELECT count(*) FROM Artifact WHERE state = 2"),
    ):
        [[expected]] = real.rows(sql, mlmd=True)
        page = window.go(f"/artifacts?limit=7&{query}")
        found = page.locator("#artifacts tbody tr").count()
        while page.locator("a[rel=next]").count():
            page.locator("a[rel=next]").click()
            page.wait_for_load_state()
            found += page.locator("#artifacts tbody tr").count()
        assert found == expected, query
    [[executed]] = real.rows("SELECT count(*) FROM penstock_nodes WHERE run_id = ?", real.taxi[1])
    page = window.go(f"/runs/{real.taxi[1]}")
    assert page.locator("#nodes tbody tr").count() == executed


def test_from_the_model_up_to_the_examples_and_down_to_the_push_by_links(visit: Open, real: RealStore) -> None:
    window = visit()
    page = window.go(f"/artifacts/{output_id(real, real.taxi[0], 'trainer', 'model')}")
    expect(page.locator("h1")).to_contain_text("Model")
    expect(page.locator("p.facts").first).to_contain_text("trainer")
    page.locator("p.facts a", has_text="TransformGraph").click()
    page.wait_for_load_state()
    page.locator("p.facts a", has_text=re.compile("^Examples")).click()
    expect(page.locator("h1")).to_contain_text("Examples")
    expect(page.locator("table").first).to_contain_text("10,036")
    page = window.go(f"/artifacts/{output_id(real, real.taxi[0], 'trainer', 'model')}")
    used_by = page.locator("table", has_text="Made of it")
    for made in ("ModelEvaluation", "PushedModel"):
        expect(used_by).to_contain_text(made)


def test_lineage_is_a_chain_from_left_to_right(visit: Open, real: RealStore) -> None:
    page = visit().go(f"/artifacts/{output_id(real, real.taxi[0], 'pusher', 'pushed_model')}/lineage")
    labels = page.locator("svg.dag a.artifact text.name").all_text_contents()
    for kind in ("Examples", "Schema", "TransformGraph", "Model ", "ModelBlessing", "PushedModel"):
        assert any(label.startswith(kind) for label in labels), kind

    def left(text: str) -> float:
        box = page.locator("svg.dag a.box", has=page.get_by_text(text)).first.bounding_box()
        assert box is not None
        return box["x"]

    raw = output_id(real, real.taxi[0], "examples", "examples")
    assert left(f"Examples {raw}") < left("TransformGraph") < left("PushedModel")


def test_each_kind_of_artifact_has_a_page_that_tells_its_content(visit: Open, real: RealStore) -> None:
    window = visit()
    told = {
        ("statistics", "statistics"): "payment_type",
        ("schema", "schema"): "Credit Card",
        ("example_validator", "anomalies"): "no anomalies",
        ("transform", "transform_graph"): "Bucket boundaries",
        ("trainer", "model"): "serving_default",
        ("trainer", "model_run"): "train/",
        ("evaluator", "evaluation"): "binary_accuracy",
        ("evaluator", "blessing"): "blessed",
        ("pusher", "pushed_model"): "pushed to",
    }
    for place, text in told.items():
        page = window.go(f"/artifacts/{output_id(real, real.taxi[0], *place)}")
        expect(page.locator("main")).to_contain_text(text)


def test_statistics_are_those_of_the_data(visit: Open, real: RealStore) -> None:
    artifact = output_id(real, real.taxi[0], "statistics", "statistics")
    [[content]] = real.rows("SELECT content FROM penstock_summaries WHERE artifact_id = ?", artifact)
    splits = json.loads(content)["splits"]
    means = [f["mean"] for s in ("train", "eval") for f in splits[s]["features"] if f["name"] == "trip_miles"]
    page = visit().go(f"/artifacts/{artifact}?order=name")
    row = page.locator("tr#trip_miles")
    for mean in means:
        expect(row).to_contain_text(f"{mean:.4g}")
    assert page.locator("svg.hist").count() == len(splits["train"]["features"])


def test_a_comparison_leads_from_a_metric_to_what_changed(visit: Open, real: RealStore) -> None:
    page = visit().go(f"/compare?a={real.taxi[0]}&b={real.taxi[1]}")
    expect(page.locator("tr.differs")).to_contain_text("train_steps")
    changes = page.locator("table").first.inner_text()
    assert "trainer" in changes and "transform" not in changes
    expect(page.locator("main")).to_contain_text("binary_accuracy")


def test_models_over_time(visit: Open, real: RealStore) -> None:
    page = visit().go("/models?pipeline=chicago-taxi&metric=auc")
    assert page.locator("svg.chart circle").count() == 3
    assert page.locator("#models tbody tr").count() == 3


def test_pages_work_without_scripts(visit: Open, real: RealStore) -> None:
    window = visit(java_script_enabled=False)
    for path in main_pages(real):
        page = window.go(path)
        assert page.locator("main").inner_text().count("\n") >= 5, path
    page = window.go("/runs")
    page.fill("input[name=text]", "well is dry")
    page.click("button:has-text('Filter')")
    assert page.locator("#runs tbody tr").count() == 1


def test_pages_look_different_in_the_dark_and_fit_a_small_screen(visit: Open, real: RealStore) -> None:
    ground: dict[str, list[list[str]]] = {}
    for scheme in ("light", "dark"):
        window = visit(color_scheme=scheme)
        for index, path in enumerate(main_pages(real)):
            page = window.go(path)
            for plot in page.locator("[data-plot]").all():
                plot.scroll_into_view_if_needed()
                expect(plot.locator(".main-svg").first).to_be_visible()
            page.evaluate("scrollTo(0, 0)")
            page.screenshot(path=SCREENSHOTS / f"{index:02}-{name(path)}-{scheme}.png", full_page=True)
            colours = page.evaluate(
                "[getComputedStyle(document.documentElement).backgroundColor, getComputedStyle(document.body).color]"
            )
            ground.setdefault(path, []).append(colours)
    assert all(light != dark for light, dark in ground.values())
    window = visit(viewport={"width": 390, "height": 800})
    for path in main_pages(real):
        page = window.go(path)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, (path, width)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(visit: Open, real: RealStore, scheme: str) -> None:
    window = visit(color_scheme=scheme, bypass_csp=True)
    for path in main_pages(real):
        page = window.go(path)
        found = Axe().run(page).response["violations"]
        serious = [
            (entry["id"], entry["nodes"][0]["html"][:200])
            for entry in found
            if entry["impact"] in ("serious", "critical")
        ]
        assert serious == [], path


def test_every_link_leads_somewhere_and_no_page_shows_a_secret(dashboard: Dashboard, real: RealStore) -> None:
    seen: set[str] = set()
    waiting = ["/runs"]
    while waiting and len(seen) < 600:
        path = waiting.pop(0)
        if path in seen:
            continue
        seen.add(path)
        with urlopen(urljoin(dashboard.address, path)) as answer:
            assert answer.status == 200, path
            body = answer.read()
        assert CANARY.encode() not in body, path
        for link in re.findall(r'href="([^"#]+)', body.decode(errors="replace")):
            target = link.replace("&amp;", "&").replace("&#34;", '"')
            # Each page of slices links to hundreds like itself.
            if target.startswith("/") and not re.search(r"/slices\?.*(order|slice)=", target):
                waiting.append(target)
    kinds = {urlsplit(path).path.split("/")[1] for path in seen}
    assert kinds >= {"runs", "artifacts", "models", "compare", "static", "api"}
    assert len(seen) > 100


def test_hostile_choices_of_statistics_are_refused(dashboard: Dashboard, real: RealStore) -> None:
    artifact = output_id(real, real.taxi[0], "statistics", "statistics")
    for name in ("a", "b", "order", "against"):
        for text in ("' OR '1'='1", "1; DROP TABLE penstock_runs", "../../etc/passwd", "{{7*7}}", "x" * 5000):
            with pytest.raises(HTTPError) as caught:
                urlopen(f"{dashboard.address}/artifacts/{artifact}?{urlencode({name: text})}")
            assert caught.value.code == 400, (name, text)
