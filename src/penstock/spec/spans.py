"""Spans, dates and versions in the patterns of an ExampleGen's splits, and the range of spans it may take.

The rules are those of TFX's file-based ExampleGen driver (`tfx/components/example_gen/utils.py` and
`input_processor.py`), told before anything runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from penstock.spec.model import Node
from penstock.spec.problems import Problems

SPAN, DATE, VERSION = "{SPAN}", "{YYYY}, {MM} and {DD}", "{VERSION}"
_SPAN = re.compile(r"\{SPAN(?::(.*?))?\}")
_VERSION = re.compile(r"\{VERSION(?::(.*?))?\}")
_DATE_PARTS = ("{YYYY}", "{MM}", "{DD}")
_DEFAULT_PATTERN = "*"


def specs(pattern: str) -> tuple[bool, bool, bool]:
    """Returns whether a pattern has a span, a date, a version."""
    return bool(_SPAN.search(pattern)), any(part in pattern for part in _DATE_PARTS), bool(_VERSION.search(pattern))


def mistake(pattern: str) -> str | None:
    """Returns what is wrong with the span, date or version of a pattern, or None."""
    has_span, has_date, has_version = specs(pattern)
    spans, versions = _SPAN.findall(pattern), _VERSION.findall(pattern)
    if has_span and has_date:
        return f"has both {SPAN} and a date; a date is a span already"
    if len(spans) > 1 or len(versions) > 1:
        return f"has {SPAN if len(spans) > 1 else VERSION} twice"
    if has_date and any(pattern.count(part) != 1 for part in _DATE_PARTS):
        return f"wants {DATE} once each"
    if has_version and not (has_span or has_date):
        return f"has {VERSION}, but neither {SPAN} nor {DATE}"
    for width in (*spans, *versions):
        if width and not re.fullmatch(r"[1-9][0-9]{0,2}", width):
            return f"wants a number of digits after the colon, as in {{SPAN:2}}, not {width!r}"
    return None


def has_spans(node: Node) -> bool:
    """Whether a node is an ExampleGen that takes one span of its data at a time."""
    return any(any(specs(pattern)[:2]) for _, pattern in _patterns(node.arguments))


def patterns(node: Node) -> list[str]:
    """Returns the patterns of a node's splits that have a span or a date."""
    return [pattern for _, pattern in _patterns(node.arguments) if any(specs(pattern)[:2])]


def report(nodes: Iterable[Node], problems: Problems) -> None:
    """Reports the mistakes in the patterns and ranges of all ExampleGens."""
    for node in nodes:
        if not _is_file_based(node):
            continue
        patterns = _patterns(node.arguments)
        for index, pattern in patterns:
            place = ("nodes", node.id, "input_config", "splits", index, "pattern")
            if wrong := mistake(pattern):
                problems.at_value(place, f"The pattern {wrong}.", found=repr(pattern))
            elif specs(pattern) != specs(patterns[0][1]):
                message = "The patterns of all splits want the same of {SPAN}, date and {VERSION}."
                problems.at_value(place, message, found=repr(pattern))
        _report_range(node, [pattern for _, pattern in patterns] or [_DEFAULT_PATTERN], problems)


def _report_range(node: Node, patterns: list[str], problems: Problems) -> None:
    given = node.arguments.get("range_config")
    if not isinstance(given, Mapping):
        return
    place = ("nodes", node.id, "range_config")
    if not any(any(specs(pattern)[:2]) for pattern in patterns):
        message = f"range_config chooses a span, but no pattern has {SPAN}, or {DATE}."
        problems.at_key(place, message, found=f"the pattern {patterns[0]!r}")
        return
    static, rolling = given.get("static_range"), given.get("rolling_range")
    if isinstance(static, Mapping):
        first, last = static.get("start_span_number", 0), static.get("end_span_number", 0)
        if isinstance(first, int) and isinstance(last, int):
            if first != last:
                message = (
                    "An ExampleGen takes one span at a time: start_span_number and end_span_number must be the same. "
                    "Several spans in one run: a Resolver with SpanRangeStrategy; a run for each: penstock backfill."
                )
                problems.at_value((*place, "static_range"), message, found=f"{first} to {last}")
            elif first < 0:
                problems.at_value((*place, "static_range"), "A span is a number from 0 on.", found=str(first))
    elif isinstance(rolling, Mapping):
        number = rolling.get("num_spans", 0)
        if isinstance(number, int) and number != 1:
            message = (
                "An ExampleGen takes one span at a time, the latest: num_spans must be 1. "
                "Several spans in one run: a Resolver with SpanRangeStrategy."
            )
            problems.at_value((*place, "rolling_range"), message, found=f"num_spans: {number}")
        elif rolling.get("start_span_number"):
            message = "An ExampleGen's rolling_range takes no start_span_number."
            problems.at_key((*place, "rolling_range", "start_span_number"), message)
    else:
        message = "range_config wants static_range or rolling_range."
        problems.at_key(place, message, allowed=("static_range", "rolling_range"))


def _is_file_based(node: Node) -> bool:
    return "input_base" in node.arguments and ":" not in node.component


def _patterns(arguments: Mapping[str, Any]) -> list[tuple[int, str]]:
    """The patterns of the splits that could be read, each with its place in the list."""
    config = arguments.get("input_config")
    splits = config.get("splits") if isinstance(config, Mapping) else None
    return [
        (index, split["pattern"])
        for index, split in enumerate(splits if isinstance(splits, list) else ())
        if isinstance(split, Mapping) and isinstance(split.get("pattern"), str)
    ]
