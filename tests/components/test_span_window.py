"""Which artifacts a window of spans holds."""

from __future__ import annotations

import pytest
from tfx.types.standard_artifacts import Examples

from penstock_components.spans import SpanWindowStrategy


def examples(*made: tuple[int, int | None, int | None]) -> list[Examples]:
    """Artifacts, each by its id, its span and its version."""
    artifacts = []
    for number, span, version in made:
        artifact = Examples()
        artifact.id = number
        if span is not None:
            artifact.set_int_custom_property("span", span)
        if version is not None:
            artifact.set_int_custom_property("version", version)
        artifacts.append(artifact)
    return artifacts


@pytest.mark.parametrize(
    ("num_spans", "made", "ids"),
    [
        (1, [(1, 1, None), (2, 2, None)], [2]),
        (2, [(1, 1, None), (2, 2, None), (3, 3, None)], [3, 2]),
        # Ingested late: what counts is the span, not the time.
        (2, [(1, 2, None), (2, 3, None), (3, 1, None)], [2, 1]),
        # Mended data of a span; a new version; an older version that is ingested after it.
        (2, [(1, 1, None), (2, 2, None), (3, 2, None)], [3, 1]),
        (2, [(1, 1, 1), (2, 2, 1), (3, 2, 2)], [3, 1]),
        (2, [(1, 1, 1), (2, 2, 2), (3, 2, 1)], [2, 1]),
        # A gap makes the window hold less.
        (3, [(1, 1, None), (2, 4, None), (3, 5, None)], [3, 2]),
        # Examples that belong to no span.
        (2, [(1, 0, None), (2, None, None)], [1]),
    ],
)
def test_window(num_spans: int, made: list[tuple[int, int | None, int | None]], ids: list[int]) -> None:
    found = SpanWindowStrategy(num_spans).resolve_artifacts(None, {"examples": examples(*made)})
    assert found is not None
    assert [artifact.id for artifact in found["examples"]] == ids


def test_too_few_spans_are_nothing_found() -> None:
    made = examples((1, 1, None), (2, 4, None), (3, 5, None))
    assert SpanWindowStrategy(3, min_spans=2).resolve_artifacts(None, {"a": made}) is not None
    assert SpanWindowStrategy(3, min_spans=3).resolve_artifacts(None, {"a": made}) is None
    assert SpanWindowStrategy().resolve_artifacts(None, {"a": []}) is None
    assert SpanWindowStrategy().resolve_artifacts(None, {"a": made, "b": []}) is None


def test_each_channel_has_a_window_of_its_own() -> None:
    channels = {"a": examples((1, 1, None), (2, 2, None)), "b": examples((3, 9, None))}
    found = SpanWindowStrategy(2).resolve_artifacts(None, channels)
    assert found == {"a": [channels["a"][1], channels["a"][0]], "b": channels["b"]}


@pytest.mark.parametrize(("num_spans", "min_spans"), [(0, 1), (1, 0), (1, 2), (-1, -1)])
def test_numbers_that_make_no_window(num_spans: int, min_spans: int) -> None:
    with pytest.raises(ValueError, match=f"found min_spans={min_spans}, num_spans={num_spans}"):
        SpanWindowStrategy(num_spans, min_spans)
