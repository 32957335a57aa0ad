"""Mistakes in the patterns and the range of an ExampleGen, told before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock import spec
from penstock.errors import DeclarationError, Problem
from penstock.spec import spans


def load(folder: Path, pattern: str, range_config: str = "", component: str = "CsvExampleGen") -> spec.Declaration:
    lines = [
        "penstock: 1",
        "name: spans",
        "nodes:",
        "  examples:",
        f"    component: {component}",
        "    input_base: data",
        f"    input_config: {{splits: [{pattern}]}}" if pattern else "",
        f"    range_config: {range_config}" if range_config else "",
    ]
    (folder / "pipeline.yaml").write_text("\n".join(lines))
    return spec.load(folder)


def problem(folder: Path, pattern: str, range_config: str = "") -> Problem:
    with pytest.raises(DeclarationError) as refused:
        load(folder, pattern, range_config)
    [found] = refused.value.problems
    return found


def split(pattern: str, name: str = "all") -> str:
    return f'{{name: {name}, pattern: "{pattern}"}}'


@pytest.mark.parametrize(
    ("pattern", "takes_spans"),
    [
        ("*", False),
        ("span-{SPAN}/*", True),
        ("span-{SPAN:4}/v{VERSION:2}/*", True),
        ("{YYYY}/{MM}/{DD}/*", True),
        ("{YYYY}{MM}{DD}-{VERSION}.csv", True),
        ("{OTHER}/*", False),
    ],
)
def test_patterns(tmp_path: Path, pattern: str, takes_spans: bool) -> None:
    assert spans.has_spans(load(tmp_path, split(pattern)).nodes["examples"]) is takes_spans


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{VERSION}/*", "has {VERSION}, but neither {SPAN} nor {YYYY}, {MM} and {DD}"),
        ("{SPAN}/{YYYY}-{MM}-{DD}/*", "has both {SPAN} and a date"),
        ("{SPAN}/{SPAN}/*", "has {SPAN} twice"),
        ("{SPAN}/{VERSION}/{VERSION:2}/*", "has {VERSION} twice"),
        ("{YYYY}-{MM}/*", "wants {YYYY}, {MM} and {DD} once each"),
        ("{YYYY}-{MM}-{DD}-{DD}/*", "wants {YYYY}, {MM} and {DD} once each"),
        ("{SPAN:0}/*", "wants a number of digits after the colon, as in {SPAN:2}, not '0'"),
        ("{SPAN:x}/*", "not 'x'"),
        ("{SPAN}/{VERSION:-1}/*", "not '-1'"),
    ],
)
def test_patterns_that_are_wrong(tmp_path: Path, pattern: str, said: str) -> None:
    found = problem(tmp_path, split(pattern))
    assert said in found.message
    assert (found.line, found.column) == (7, 50)
    assert found.found == repr(pattern)


def test_splits_that_differ(tmp_path: Path) -> None:
    both = f"{split('a-{SPAN}/*', 'train')}, {split('b-{SPAN}-{VERSION}/*', 'eval')}"
    assert "The patterns of all splits want the same" in problem(tmp_path, both).message
    load(tmp_path, f"{split('a-{SPAN}/*', 'train')}, {split('b-{SPAN:3}/*', 'eval')}")


@pytest.mark.parametrize(
    "given",
    [
        "{static_range: {start_span_number: 3, end_span_number: 3}}",
        "{static_range: {}}",
        "{rolling_range: {num_spans: 1}}",
    ],
)
def test_ranges(tmp_path: Path, given: str) -> None:
    for component in ("CsvExampleGen", "ImportExampleGen"):
        load(tmp_path, split("span-{SPAN}/*"), given, component)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{static_range: {start_span_number: 1, end_span_number: 3}}", "must be the same. Several spans in one run"),
        ("{static_range: {start_span_number: 1}}", "must be the same"),
        ("{static_range: {start_span_number: -1, end_span_number: -1}}", "A span is a number from 0 on"),
        ("{rolling_range: {num_spans: 3}}", "num_spans must be 1"),
        ("{rolling_range: {}}", "num_spans must be 1"),
        ("{rolling_range: {num_spans: 1, start_span_number: 2}}", "takes no start_span_number"),
        ("{}", "wants static_range or rolling_range"),
    ],
)
def test_ranges_that_are_wrong(tmp_path: Path, given: str, said: str) -> None:
    found = problem(tmp_path, split("span-{SPAN}/*"), given)
    assert said in found.message
    assert found.line == 8


@pytest.mark.parametrize("pattern", ["", split("all/*")])
def test_a_range_without_a_pattern_for_spans(tmp_path: Path, pattern: str) -> None:
    found = problem(tmp_path, pattern, "{rolling_range: {num_spans: 1}}")
    assert found.message == "range_config chooses a span, but no pattern has {SPAN}, or {YYYY}, {MM} and {DD}."
    assert found.found == ("the pattern 'all/*'" if pattern else "the pattern '*'")
