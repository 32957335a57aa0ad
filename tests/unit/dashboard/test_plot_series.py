"""Parts of models, and what their plots are drawn from."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.dashboard import intervals, parts, plot_series, slices
from penstock.dashboard.parts import EACH, WHOLE
from penstock.metadata.plots import slice_key

OVERALL = slice_key({})


def confusion(tp: int) -> dict[str, list[float]]:
    return {"thresholds": [0.5], "tp": [tp], "fp": [1], "tn": [2], "fn": [3]}


PLOTS: dict[str, Any] = {
    "classes": {
        "0": [[0, 0, 5], [0, 1, 1], [1, 1, 4], [2, 1, 2]],
        "0.8": [[0, 0, 3], [0, None, 3], [1, 1, 2], [1, None, 2], [2, None, 2]],
    },
    "confusion/classId:10": confusion(10),
    "confusion/classId:2": confusion(2),
    "head/calibration": [[0.0, 0.5, 2, 1, 0.5]],
    "head/confusion/classId:2": confusion(22),
    "precision/topK:3": 0.5,
}


@pytest.mark.parametrize(
    ("label", "pieces"),
    [
        ("auc", ("", "auc", "")),
        ("auc/classId:2", ("", "auc", "classId:2")),
        ("head/auc", ("head", "auc", "")),
        ("a/b/auc/topK:3", ("a/b", "auc", "topK:3")),
        ("classId:2", ("", "classId:2", "")),
        ("head/classId:x", ("head", "classId:x", "")),
    ],
)
def test_a_label_has_an_output_a_name_and_a_sub_key(label: str, pieces: tuple[str, str, str]) -> None:
    assert parts.split(label) == pieces


@given(
    output=st.text("abc", max_size=3),
    name=st.text("xyz", min_size=1, max_size=3),
    sub_key=st.sampled_from(["", "classId:0", "classId:12", "k:1", "topK:5"]),
)
def test_part_and_name_make_the_label_again(output: str, name: str, sub_key: str) -> None:
    label = "/".join(piece for piece in (output, name, sub_key) if piece)
    assert parts.label_of(parts.part_of(label), name) == label


def test_parts_come_in_order_and_have_names() -> None:
    found = parts.parts_of(PLOTS)
    assert found == [WHOLE, "classId:2", "classId:10", "topK:3", "head", "head/classId:2"]
    assert [parts.part_name(part) for part in found] == [
        *("the whole model", "class 2", "class 10", "top 3", "head", "head, class 2")
    ]
    assert parts.class_parts(found) == ["classId:2", "classId:10", "head/classId:2"]
    assert parts.of_part(PLOTS, "head/classId:2") == {"confusion": confusion(22)}


def test_what_there_is_most_to_say_of_is_drawn_first() -> None:
    assert plot_series.chosen_part(None, {"confusion": 1, "confusion/classId:0": 1}) == WHOLE
    assert plot_series.chosen_part(None, {"classes": 1, "confusion/classId:0": 1}) == EACH
    assert plot_series.chosen_part(None, {"head/calibration": 1}) == "head"
    assert plot_series.chosen_part(None, {}) == WHOLE
    assert plot_series.chosen_part("classId:0", {"confusion": 1, "confusion/classId:0": 1}) == "classId:0"


def test_each_class_is_a_line() -> None:
    by_key: dict[str, dict[str, str]] = {OVERALL: {}}
    drawn = {OVERALL: {"plots": PLOTS}}
    found = plot_series.series([OVERALL], EACH, by_key, drawn)
    assert [one.name for one in found] == ["class 2", "class 10", "head, class 2"]
    assert plot_series.kinds(found) == [("roc", "ROC"), ("pr", "Precision and recall")]
    counts = [counts.tp for _, _, counts in plot_series.matrices(found, 0.5)]
    assert counts == [2, 10, 22]
    assert plot_series.series([OVERALL], "topK:9", by_key, drawn) == []


def test_the_matrix_of_classes_is_that_of_the_nearest_threshold() -> None:
    plain = plot_series.class_matrix("Overall", 0, PLOTS["classes"], 0.3)
    assert (plain.threshold, plain.labels, plain.predicted) == (0.0, [0, 1, 2], [0, 1, 2, None])
    assert [(row.actual, row.predicted, row.right) for row in plain.rows] == [(6, 5, 5), (4, 7, 4), (2, 0, 0)]
    assert plain.rows[1].precision.value == pytest.approx(4 / 7)
    assert plain.rows[1].recall.value == 1
    assert plain.rows[1].f1 == pytest.approx(8 / 11)
    assert plain.rows[2].precision.value is None
    assert plain.share(0, 1) == pytest.approx(1 / 6)
    strict = plot_series.class_matrix("Overall", 0, PLOTS["classes"], 0.9)
    assert strict.threshold == 0.8
    assert strict.cells[0, None] == 3
    assert strict.is_movable


def test_metrics_of_a_class_have_intervals_of_its_own_counts() -> None:
    entry = {"plots": {"confusion": confusion(99), "confusion/classId:1": confusion(8)}}
    found = intervals.confusion_of(entry, parts.part_of("precision/classId:1"))
    assert found == confusion(8)
    interval = intervals.interval("precision/classId:1", 8 / 9, 14, None, found)
    assert interval == intervals.wilson(8, 9)
    assert intervals.confusion_of(entry, "classId:2") is None


def test_two_features_cross() -> None:
    def row(**features: str) -> slices.SliceRow:
        return slices.SliceRow(features, 10, 0.5, None, None, None, {})

    rows = [row(hour="10", day="1"), row(hour="9", day="1"), row(hour="9", day="2"), row(hour="1", day="2")]
    crossing = slices.crossing(rows, ["day", "hour"])
    assert crossing is not None
    assert crossing.features == ("hour", "day")
    assert crossing.columns == ["1", "2"]
    assert [(value, [cell is not None for cell in cells]) for value, cells in crossing.lines] == [
        *(("1", [False, True]), ("9", [True, True]), ("10", [True, False]))
    ]
    assert slices.crossing(rows, ["day"]) is None
    assert slices.crossing([], ["day", "hour"]) is None
