"""Data that comes in spans: which one a run takes, when it comes from the cache, and windows of several."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import Penstock, Result
from tests.e2e.span_project import BY_SPAN, SpanProject, make_project

BY_VERSION = "span-{SPAN}/v{VERSION}/*"


@pytest.fixture
def project(tmp_path: Path, penstock: Penstock) -> SpanProject:
    return make_project(tmp_path / "project", penstock)


def ran(project: SpanProject, *options: str) -> tuple[str, str]:
    """Runs it; what `one` found, and the state of `examples`."""
    done = project.run(*options)
    assert done.status == 0, done.stderr
    return project.spans_of("one"), project.states()["examples"]


def test_the_latest_span_and_version(project: SpanProject) -> None:
    project.declare(BY_VERSION)
    project.data("span-9/v1")
    project.data("span-10/v1")
    assert ran(project) == ("10v1", "succeeded")
    assert ran(project) == ("10v1", "cached")
    project.data("span-10/v2", "5,6\n")
    assert ran(project) == ("10v2", "succeeded")
    project.data("span-11/v1")
    assert ran(project) == ("11v1", "succeeded")
    [examples] = [found for node, found in project.outputs().items() if node == "examples"]
    properties = project.read("artifacts", "show", str(examples["artifact_id"]))["custom_properties"]
    assert (properties["span"], properties["version"]) == (11, 1)


def test_a_span_that_is_asked_for(project: SpanProject) -> None:
    """By the declaration or by the call; the cache tells spans apart, and not how they were asked for."""
    project.declare(BY_SPAN)
    for span in (1, 2, 3):
        project.data(f"span-{span}", f"{span},0\n")
    assert ran(project) == ("3", "succeeded")
    assert ran(project, "--span", "2") == ("2", "succeeded")
    assert ran(project, "--span", "3") == ("3", "cached")
    assert project.read("runs", "show", "latest")["parameters"]["penstock.span"] == 3
    project.declare(BY_SPAN, "{static_range: {start_span_number: 2, end_span_number: 2}}")
    assert ran(project) == ("2", "cached")
    assert ran(project, "--span", "1") == ("1", "succeeded")
    again = project.penstock("runs", "rerun", "latest", "--store", project.store)
    assert again.status == 0, again.stderr
    assert (project.spans_of("one"), project.states()["examples"]) == ("1", "cached")
    # The data of a span that changes is ingested again.
    project.data("span-1", "7,8\n9,10\n")
    assert ran(project, "--span", "1") == ("1", "succeeded")


def test_a_failed_run_is_resumed_with_its_span(project: SpanProject) -> None:
    project.declare(BY_SPAN)
    project.data("span-1")
    project.data("span-2")
    module = project.folder / "parts.py"
    good = module.read_text()
    module.write_text(good.replace("    names = []\n", "    raise OSError('not now')\n"))
    assert project.run("--span", "1").status == 1
    module.write_text(good)
    resumed = project.penstock("run", "--resume", "latest", "--store", project.store)
    assert resumed.status == 0, resumed.stderr
    assert project.spans_of("one") == "1"
    assert project.run("--resume", "latest", "--span", "2").status == 2


def test_dates(project: SpanProject) -> None:
    """A date is a span too: the days since 1970-01-01."""
    project.declare("{YYYY}/{MM}-{DD}/*")
    project.data("2026/10-31")
    project.data("2026/11-02")
    assert ran(project) == ("20759", "succeeded")
    assert ran(project, "--span", "20757") == ("20757", "succeeded")
    missing = project.run("--span", "20758")
    assert missing.status == 1
    assert "there is no span 20758 (2026-11-01)" in missing.stderr
    assert "there are 20757 (2026-10-31), 20759 (2026-11-02)" in missing.stderr


def test_windows_of_the_latest_spans(project: SpanProject) -> None:
    windows = {
        "range": ("SpanRangeStrategy", "{range_config: {rolling_range: {num_spans: 2}}}"),
        "latest": ("LatestArtifactStrategy", "{desired_num_of_artifacts: 2}"),
        "newest": ("penstock_components.spans:SpanWindowStrategy", "{num_spans: 2}"),
    }
    project.declare(BY_SPAN)
    for span in (1, 2, 3):
        project.data(f"span-{span}", f"{span},0\n")
    assert project.run("--span", "1").status == 0
    assert project.run("--span", "2").status == 0
    project.declare(BY_SPAN, windows=windows)
    done = project.run()
    assert done.status == 0, done.stderr
    for name in windows:
        assert sorted(project.spans_of(f"several_{name}").split()) == ["2", "3"]
        artifact = project.outputs()[f"several_{name}"]["artifact_id"]
        lineage = project.read("artifacts", "lineage", str(artifact), "--up")
        taken = {found["artifact_id"] for found in lineage["artifacts"] if found["type"] == "Examples"}
        assert {project.read("artifacts", "show", str(one))["custom_properties"]["span"] for one in taken} == {2, 3}

    assert project.run().status == 0
    assert {project.states()[f"several_{name}"] for name in windows} == {"cached"}
    # The data of span 3 is mended, so that there are two artifacts of it.
    project.data("span-3", "33,0\n")
    assert project.run().status == 0
    found = {name: sorted(project.spans_of(f"several_{name}").split()) for name in windows}
    assert found == {"range": ["2", "3", "3"], "latest": ["3", "3"], "newest": ["2", "3"]}


def failed(project: SpanProject, *options: str) -> str:
    """Runs it in vain, and returns what it said."""
    done: Result = project.run(*options)
    assert done.status == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_spans_that_are_not_there(project: SpanProject) -> None:
    project.declare(BY_SPAN)
    data = project.folder / "data"
    project.data("other")
    assert f"{data}: there is no span at all: nothing fits 'span-{{SPAN}}/*'; it holds other" in failed(project)
    for span in range(1, 21):
        project.data(f"span-{span}")
    missing = f"{data}: there is no span 21 for 'span-{{SPAN}}/*'; there are 1, 2, 3, 4, 5, …, 16, 17, 18, 19, 20\n"
    assert missing in failed(project, "--span", "21")
    project.data("span-new")
    strange = f"{data / 'span-new' / 'rows.csv'}: 'new' in the place of {{SPAN}} is no number; move it away"
    assert strange in failed(project)
    assert ran(project, "--span", "20")[0] == "20"
    # It is not to blame for the one that is missing.
    assert missing in failed(project, "--span", "21")


def test_spans_that_are_written_with_leading_zeros(project: SpanProject) -> None:
    project.declare(BY_SPAN)
    project.data("span-007")
    advice = "span 7 is written '007'; say so in the pattern: {SPAN:3} for {SPAN}"
    assert advice in failed(project)
    assert advice in failed(project, "--span", "7")
    project.declare("span-{SPAN:3}/*")
    assert ran(project, "--span", "7") == ("7", "succeeded")
    assert ran(project) == ("7", "cached")


def test_splits_that_are_at_different_spans(project: SpanProject) -> None:
    project.declare(BY_SPAN)
    text = (project.folder / "pipeline.yaml").read_text()
    both = '{name: train, pattern: "train-{SPAN}/*"}, {name: eval, pattern: "eval-{SPAN}/*"}'
    text = text.replace(f'{{name: single, pattern: "{BY_SPAN}"}}', both)
    text = "".join(line for line in text.splitlines(keepends=True) if "output_config" not in line)
    (project.folder / "pipeline.yaml").write_text(text)
    for name in ("train-1", "train-2", "eval-1"):
        project.data(name)
    assert "the splits have different latest spans: 2 of 'train', 1 of 'eval'" in failed(project)
    assert ran(project, "--span", "1") == ("1", "succeeded")


def test_a_span_for_a_pipeline_without(project: SpanProject) -> None:
    (project.folder / "pipeline.yaml").write_text(
        "penstock: 1\nname: none\nnodes: {examples: {component: CsvExampleGen, input_base: data}}\n"
    )
    project.data("all")
    for refused in (project.run("--span", "1"), project.backfill("--spans", "1..3")):
        assert refused.status == 2
        assert "no ExampleGen takes its data by spans. Give one a pattern with {SPAN}" in refused.stderr
    assert not project.store.exists()
    (project.folder / "plain.py").write_text(
        "from tfx import v1 as tfx\n\n\ndef make(data: str):\n"
        "    examples = tfx.components.CsvExampleGen(input_base=data)\n"
        f"    return tfx.dsl.Pipeline('plain', {str(project.folder / 'root')!r}, components=[examples])\n"
    )
    options = ("-p", f"data={project.folder / 'data'}", "--store", str(project.store))
    source = f"{project.folder}/plain.py:make"
    for command in (("run", source, "--span", "1"), ("backfill", source, "--spans", "1..3")):
        refused = project.penstock(*command, *options)
        assert refused.status == 2, refused.stderr
        assert "no ExampleGen of plain takes its data by spans" in refused.stderr
    assert os.listdir(project.folder / "data") == ["all"]
    assert project.read("runs", "list") == []
