"""Each accumulation against the combiner of TFMA it stands for, on made-up rows cut into batches at any places."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tensorflow_model_analysis as tfma
from google.protobuf.message import Message
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tensorflow_model_analysis.api import types
from tensorflow_model_analysis.evaluators import metrics_plots_and_validations_evaluator as evaluator
from tensorflow_model_analysis.metrics import metric_specs, metric_types
from tensorflow_model_analysis.slicer import slicer_lib

from penstock_components.arrow_evaluator import queries
from penstock_components.arrow_evaluator.accumulation import Accumulation
from penstock_components.arrow_evaluator.batch import Batch
from penstock_components.arrow_evaluator.binary import Histogram
from penstock_components.arrow_evaluator.coverage import NotCovered
from penstock_components.arrow_evaluator.plan import plan
from penstock_components.arrow_evaluator.slicing import Membership, Slicer, slice_specs
from penstock_components.arrow_evaluator.sums import Sums, SumsBySlice, merge, starts_of
from tests.components.evaluator_helpers import config, near

WEIGHTS = st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.25])
PROBABILITIES = st.one_of(st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.floats(0, 1, width=32))
NUMBERS = st.floats(-100, 100, width=32)


def pair(spec: Mapping[str, Any]) -> tuple[list[Any], Sequence[Accumulation], tfma.EvalConfig]:
    """Returns TFMA's combiners of a metrics specification, and the accumulations that stand for them."""
    return _pair(json.dumps(spec))


@functools.cache
def _pair(spec: str) -> tuple[list[Any], Sequence[Accumulation], tfma.EvalConfig]:
    model = {"label_key": "label", "prediction_key": "pred", "example_weight_key": "weight"}
    weighted = {"example_weights": {"weighted": True}}
    eval_config = config(model_specs=[model], metrics_specs=[{**weighted, **json.loads(spec)}])
    computations = evaluator._filter_and_separate_computations(
        metric_specs.to_computations(list(eval_config.metrics_specs), eval_config=eval_config)
    )
    combiners = [computation.combiner for computation in computations.non_derived_computations]
    return combiners, plan(eval_config).groups[0].accumulations, eval_config


def by_tfma(combiner: Any, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> Any:
    combiner.setup()
    accumulator = combiner.create_accumulator()
    for label, prediction, weight in zip(labels, predictions, weights, strict=True):
        row = {"labels": label.copy(), "predictions": prediction.copy(), "example_weights": weight.copy()}
        accumulator = combiner.add_input(accumulator, metric_types.StandardMetricInputs(row))
    return combiner.extract_output(accumulator)


def on_vectors(
    accumulation: Accumulation, eval_config: tfma.EvalConfig, cuts: Sequence[int], *arrays: np.ndarray
) -> Any:
    """Adds the batches between `cuts` up separately and merges them."""
    edges = [0, *sorted(cut for cut in cuts if 0 < cut < len(arrays[0])), len(arrays[0])]
    parts = []
    for start, end in itertools.pairwise(edges):
        if start == end:
            continue
        labels, predictions, weights = (array[start:end] for array in arrays)
        entries = accumulation.entries(Batch(end - start, eval_config, labels, predictions, weights))
        sums = SumsBySlice(accumulation.columns, 1)
        sums.add(np.zeros(len(entries.values), np.int64), entries.buckets, entries.values, None)
        parts += list(sums.by_slice(1))
    return accumulation.output(merge(parts))


def check(spec: Mapping[str, Any], cuts: Sequence[int], *arrays: np.ndarray) -> None:
    combiners, accumulations, eval_config = pair(spec)
    assert len(combiners) == len(accumulations) > 0
    for combiner, accumulation in zip(combiners, accumulations, strict=True):
        expected, found = by_tfma(combiner, *arrays), on_vectors(accumulation, eval_config, cuts, *arrays)
        assert expected.keys() == found.keys()
        for key, value in expected.items():
            assert near(plain(value), plain(found[key]), 1e-6), (key, value, found[key])


def plain(value: Any) -> Any:
    """Returns intermediate results of all kinds as nested lists of numbers; protocol buffers as they are."""
    if isinstance(value, Message):
        return value
    if isinstance(value, Histogram):
        value = list(value)
    if isinstance(value, Mapping):
        return [[plain(key), plain(value[key])] for key in sorted(value) if plain(value[key]) not in (0.0, [])]
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if hasattr(value, "__slots__") and not isinstance(value, np.generic):
        return [plain(getattr(value, name)) for name in value.__slots__]
    if hasattr(value, "__dict__"):
        return [plain(one) for _, one in sorted(vars(value).items())]
    return float(value) if isinstance(value, int | float | np.generic | np.ndarray) else value


def table(values: Sequence[Any], dtype: type) -> np.ndarray:
    return np.array(values, dtype).reshape(len(values), -1)


CUTS = st.lists(st.integers(0, 30), max_size=4)


@settings(max_examples=240, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), PROBABILITIES, WEIGHTS), min_size=1, max_size=30), CUTS)
def test_binary(rows: list[tuple[int, float, float]], cuts: list[int]) -> None:
    labels, predictions, weights = zip(*rows, strict=True)
    arrays = table(labels, np.int64), table(predictions, np.float32), table(weights, np.float32)
    metrics = [
        *("AUC", "BinaryAccuracy", "MeanLabel", "CoefficientOfDiscrimination", "ExampleCount"),
        ("Precision", {"thresholds": [0.5, 0.3]}),
        ("CalibrationPlot", {"left": 0.2, "right": 0.7}),
    ]
    check({"metrics": metrics}, cuts, *arrays)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1, width=32), PROBABILITIES, WEIGHTS), min_size=1, max_size=20), CUTS)
def test_fractional_labels(rows: list[tuple[float, float, float]], cuts: list[int]) -> None:
    labels, predictions, weights = zip(*rows, strict=True)
    arrays = table(labels, np.float32), table(predictions, np.float32), table(weights, np.float32)
    check({"metrics": ["AUC", ("Recall", {"thresholds": [0.5]}), "MeanLabel"]}, cuts, *arrays)


@settings(max_examples=160, deadline=None)
@given(st.lists(st.tuples(NUMBERS, NUMBERS, WEIGHTS), min_size=1, max_size=30), CUTS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_regression(rows: list[tuple[float, float, float]], cuts: list[int]) -> None:
    labels, predictions, weights = zip(*rows, strict=True)
    arrays = table(labels, np.float32), table(predictions, np.float32), table(weights, np.float32)
    metrics = ["MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredLogarithmicError"]
    residuals = ("ResidualPlot", {"left": -20, "right": 30}, {"module": "penstock_components.residuals"})
    check({"metrics": [*metrics, ("CalibrationPlot", {"left": -10, "right": 10}), residuals]}, cuts, *arrays)


CLASS_ROWS = st.lists(
    st.tuples(st.integers(-1, 2), st.lists(PROBABILITIES, min_size=3, max_size=3), WEIGHTS), min_size=1, max_size=20
)
WAYS: list[dict[str, Any]] = [
    {
        "metrics": [
            ("MultiClassConfusionMatrixAtThresholds", {"thresholds": [0.2, 0.5]}),
            "MultiClassConfusionMatrixPlot",
        ]
    },
    {"metrics": ["MultiLabelConfusionMatrixPlot"]},
    {"binarize": {"class_ids": {"values": [0, 2]}}, "metrics": ["AUC", "MeanPrediction"]},
    {"binarize": {"k_list": {"values": [1, 2]}, "top_k_list": {"values": [2]}}, "metrics": ["Precision"]},
    {"aggregate": {"micro_average": True, "class_weights": {"0": 0.5, "2": 2.0}}, "metrics": ["AUC", "Recall"]},
    {"aggregate": {"micro_average": True, "top_k_list": {"values": [2]}}, "metrics": ["Precision"]},
    {"aggregate": {"weighted_macro_average": True, "class_weights": {"0": 1.0, "1": 1.0}}, "metrics": ["AUC"]},
]


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=100, deadline=None)
@given(CLASS_ROWS, CUTS)
@example([(-1, [0.0, 0.0, 0.0], 0.0)], [])
def test_classes(way: dict[str, Any], rows: list[tuple[int, list[float], float]], cuts: list[int]) -> None:
    labels, predictions, weights = zip(*rows, strict=True)
    check(way, cuts, table(labels, np.int64), table(predictions, np.float32), table(weights, np.float32))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.floats(0.0625, 1, width=32), min_size=3, max_size=3), min_size=1, max_size=10), CUTS)
def test_cross_entropy_of_classes(rows: list[list[float]], cuts: list[int]) -> None:
    labels: np.ndarray = np.eye(3, dtype=np.float32)[np.arange(len(rows)) % 3]
    weights: np.ndarray = np.ones((len(rows), 1), np.float32)
    smoothed = ("CategoricalCrossEntropy", {"from_logits": True, "label_smoothing": 0.1, "name": "smoothed"})
    check({"metrics": ["CategoricalCrossEntropy", smoothed]}, cuts, labels, table(rows, np.float32), weights)


@settings(max_examples=240, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(-5, 5), st.integers(-5, 5)), max_size=40),
    st.randoms(use_true_random=False),
)
def test_sums_by_slice_are_those_of_a_dictionary(rows: list[tuple[int, int, int, int]], random: Any) -> None:
    expected: dict[tuple[int, int], np.ndarray] = {}
    for slice_number, bucket, first, second in rows:
        total = expected.setdefault((slice_number, bucket), np.zeros(2))
        total += (first, second)
    found: dict[int, list[Sums]] = {number: [] for number in range(4)}
    while rows:
        cut = random.randint(1, len(rows))
        part, rows = np.array(rows[:cut]), rows[cut:]
        sums = SumsBySlice(2, 1)
        for row in part:
            sums.add(row[:1], row[1:2], row[np.newaxis, 2:].astype(float), None)
        for number, one in enumerate(sums.by_slice(4)):
            found[number].append(one)
    for number, parts in found.items():
        if parts:
            merged = merge(parts)
            values = {
                (number, int(bucket)): value[:, 0] for bucket, value in zip(merged.buckets, merged.values, strict=True)
            }
            assert values.keys() == {key for key in expected if key[0] == number}
            assert all(np.array_equal(values[key], expected[key]) for key in values)


FEATURES = st.fixed_dictionaries(
    {
        "a": st.lists(st.sampled_from([b"x", b"y", "ü".encode()]), max_size=3),
        "b": st.lists(st.integers(0, 2), max_size=2),
        "c": st.lists(st.sampled_from([0.5, 1.0]), min_size=1, max_size=1),
    }
)
SLICINGS = [
    {},
    {"feature_keys": ["a"]},
    {"feature_keys": ["a", "b"]},
    {"feature_keys": ["c"], "feature_values": {"b": "1"}},
    {"feature_values": {"a": "ü"}},
    {"feature_values": {"c": "0.5", "a": "x"}},
    {"feature_keys": ["d"]},
]


@settings(max_examples=320, deadline=None)
@given(st.lists(FEATURES, min_size=1, max_size=15))
def test_rows_are_in_the_slices_tfma_puts_them_in(rows: list[dict[str, list[Any]]]) -> None:
    eval_config = config(model_specs=[{}], slicing_specs=SLICINGS)
    raw: dict[str, Any] = {}
    for name in ("a", "b"):
        places = [(row, place) for row, features in enumerate(rows) for place in range(len(features[name]))]
        values = np.array([rows[row][name][place] for row, place in places], object if name == "a" else np.int64)
        raw[name] = types.VarLenTensorValue(values, np.array(places, np.int64).reshape(-1, 2), np.array([len(rows), 3]))
    raw["c"] = np.array([features["c"] for features in rows], np.float32)
    slicer = Slicer(slice_specs(eval_config))
    members = slicer.members(len(rows), [], raw)
    specs = [slicer_lib.SingleSliceSpec(spec=spec) for spec in eval_config.slicing_specs]
    for row, features in enumerate(rows):
        arrays = {name: np.array(values) for name, values in features.items()}
        expected = set(slicer_lib.get_slices_for_features_dicts([], arrays, specs))
        numbers = members.slices[members.starts[row] : members.starts[row + 1]]
        assert len(numbers) == len(set(numbers))
        assert {slicer.keys[number] for number in numbers} == expected


@settings(max_examples=160, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=30), CUTS)
def test_queries_do_not_depend_on_how_documents_are_spread(rows: list[tuple[int, int]], cuts: list[int]) -> None:
    names = np.array([f"q{query}" for query, _ in rows], object)
    columns: np.ndarray = np.arange(len(rows), dtype=float)[:, np.newaxis]
    slices = [(("s", number),) for number in range(3)]
    whole = queries.Documents(
        names, np.arange(len(rows)), columns, np.array([[row, one] for row, (_, one) in enumerate(rows)]), slices
    )
    edges = [0, *sorted(cut for cut in cuts if 0 < cut < len(rows)), len(rows)]
    parts = [
        replace(
            whole,
            queries=names[start:end],
            places=np.arange(start, end),
            columns=columns[start:end],
            members=np.array([[row - start, 2 - rows[row][1]] for row in range(start, end)]).reshape(-1, 2),
            slices=slices[::-1],
        )
        for start, end in itertools.pairwise(edges)
        if end > start
    ]
    expected, found = queries.group([whole]), queries.group(parts[::-1])
    assert np.array_equal(expected.starts, found.starts)
    assert np.array_equal(expected.documents, found.documents)
    assert memberships(expected) == memberships(found)


def memberships(grouped: queries.Queries) -> list[tuple[int, Any]]:
    members: Membership = grouped.members
    assert np.array_equal(members.starts, starts_of(members.rows, len(grouped.starts) - 1))
    return [(int(row), grouped.slices[number]) for row, number in zip(members.rows, members.slices, strict=True)]


@pytest.mark.parametrize(
    ("labels", "predictions", "reason"),
    [
        (np.array([[0], [2]]), np.array([[0.5], [0.5]]), "labels outside 0 to 1"),
        (np.array([[0], [1]]), np.array([[0.5], [np.nan]]), "not numbers"),
        (np.array([[b"a"], [b"b"]], object), np.array([[0.5], [0.5]]), "labels of type object"),
        (np.array([[0], [7]]), np.array([[0.5, 0.5], [0.1, 0.9]]), "class ids outside 0 to 1"),
        (None, np.array([[0.5], [0.5]]), "examples without labels"),
    ],
)
def test_what_tfma_would_refuse_is_not_covered(labels: Any, predictions: np.ndarray, reason: str) -> None:
    _, (accumulation,), eval_config = pair({"metrics": ["AUC"]})
    with pytest.raises(NotCovered, match=reason):
        accumulation.entries(Batch(2, eval_config, labels, predictions, None))
