"""The pipeline of ArrowEvaluator: how work is spread does not matter, and data it does not cover is told."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from tests.components.evaluator_helpers import (
    FOUR_THREADS,
    Results,
    by_tfma,
    config,
    differences,
    example,
    on_vectors,
    write,
)

MODEL = {"label_key": "label", "prediction_key": "pred", "example_weight_key": "weight"}
SLICES: list[dict[str, Any]] = [{}, {"feature_keys": ["kind"]}]
ROWS = 9000


def binary(options: dict[str, Any] | None = None, metrics: list[Any] | None = None) -> tfma.EvalConfig:
    chosen = metrics or ["ExampleCount", "AUC", "Precision", "MeanLabel", "BinaryCrossentropy", "CalibrationPlot"]
    specs: list[dict[str, Any]] = [{"metrics": chosen, "example_weights": {"weighted": True}}]
    return config(model_specs=[MODEL], slicing_specs=SLICES, metrics_specs=specs, options=options or {})


@pytest.fixture(scope="module")
def rows() -> list[bytes]:
    """Rows of a binary classification with queries, more than one batch of them."""
    generator = np.random.default_rng(11)
    made = []
    for number in range(ROWS):
        label = int(generator.random() < 0.4)
        made.append(
            example(
                label=label,
                pred=float(np.clip(generator.normal(0.35 + 0.3 * label, 0.25), 0, 1)),
                kind=[f"k{generator.integers(5)}"] if number % 9 else None,
                weight=float(generator.integers(0, 4)),
                query=int(generator.integers(500)),
                gain=float(generator.integers(0, 3)),
            )
        )
    return made


@pytest.fixture(scope="module")
def whole(rows: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("whole")
    return Results(on_vectors(write(folder / "examples", rows), binary(), folder / "vectors"))


@pytest.mark.parametrize("seed", range(3))
def test_bundles_cut_anywhere_give_the_same(seed: int, rows: list[bytes], whole: Results, tmp_path: Path) -> None:
    cuts = [int(cut) for cut in np.random.default_rng(seed).integers(0, ROWS, size=1 + 4 * seed)]
    found = Results(on_vectors(write(tmp_path / "examples", rows, cuts), binary(), tmp_path / "vectors"))
    assert differences(whole, found, tolerance=1e-12) == []


def test_four_workers_give_the_same(rows: list[bytes], whole: Results, tmp_path: Path) -> None:
    files = write(tmp_path / "examples", rows, [1000, 2000, 5000, 5001, 7000])
    found = Results(on_vectors(files, binary(), tmp_path / "vectors", options=FOUR_THREADS))
    assert differences(whole, found, tolerance=1e-12) == []


def test_queries_are_ranked_across_files(rows: list[bytes], tmp_path: Path) -> None:
    metrics = [("NDCG", {"gain_key": "gain", "top_k_list": [2, 5]}), "QueryStatistics", "MinLabelPosition"]
    eval_config = config(
        model_specs=[MODEL], slicing_specs=SLICES, metrics_specs=[{"query_key": "query", "metrics": metrics}]
    )
    eval_config.metrics_specs[0].example_weights.unweighted = True
    one = Results(on_vectors(write(tmp_path / "one", rows), eval_config, tmp_path / "of one"))
    several = Results(
        on_vectors(write(tmp_path / "six", rows, [10, 2000, 5000, 5001]), eval_config, tmp_path / "of six")
    )
    assert one.value("total_queries") == 500
    assert one.value("total_documents") == ROWS
    assert differences(one, several, tolerance=1e-12) == []


def test_no_examples_are_written_as_tfma_does(tmp_path: Path) -> None:
    eval_config = binary(
        metrics=["ExampleCount", ("AUC", {}, {"threshold": {"value_threshold": {"lower_bound": 0.5}}})]
    )
    files = write(tmp_path / "examples", [])
    expected = Results(by_tfma(files, eval_config, tmp_path / "tfma"))
    found = Results(on_vectors(files, eval_config, tmp_path / "vectors"))
    assert expected.metrics == found.metrics == {}
    assert expected.validation == found.validation
    assert found.validation is not None and not found.validation.validation_ok


SCHEMA = text_format.Parse(
    """
    feature { name: "label" type: INT presence { min_fraction: 1 } shape { dim { size: 1 } } }
    feature { name: "pred" type: FLOAT }
    feature { name: "kind" type: BYTES }
    feature { name: "tags" type: BYTES }
    """,
    schema_pb2.Schema(),
)


@pytest.mark.parametrize("schema", [None, SCHEMA], ids=["no schema", "schema"])
def test_sliced_features_may_be_missing_or_have_several_values(
    schema: schema_pb2.Schema | None, tmp_path: Path
) -> None:
    rows = [
        example(
            label=number % 2, pred=number / 30, kind="k" if number % 3 else None, tags=["a", "b", "a"][: number % 4]
        )
        for number in range(30)
    ]
    slices: list[dict[str, Any]] = [{}, {"feature_keys": ["tags"]}, {"feature_keys": ["kind", "tags"]}]
    eval_config = config(
        model_specs=[MODEL], slicing_specs=slices, metrics_specs=[{"metrics": ["ExampleCount", "AUC"]}]
    )
    files = write(tmp_path / "examples", rows)
    expected = Results(by_tfma(files, eval_config, tmp_path / "tfma", schema=schema))
    found = Results(on_vectors(files, eval_config, tmp_path / "vectors", schema=schema))
    assert len(found.metrics) == 5
    assert differences(expected, found) == []


def test_weights_of_zero_leave_nothing_to_divide_by(tmp_path: Path) -> None:
    rows = [example(label=number % 2, pred=number / 10, weight=0.0) for number in range(10)]
    eval_config = binary(metrics=["ExampleCount", "AUC", "Precision", "MeanLabel", "BinaryCrossEntropy"])
    files = write(tmp_path / "examples", rows)
    expected = Results(by_tfma(files, eval_config, tmp_path / "tfma"))
    found = Results(on_vectors(files, eval_config, tmp_path / "vectors"))
    assert found.value("example_count") == 0
    assert math.isnan(found.value("mean_label"))
    assert differences(expected, found) == []


def test_small_slices_get_an_error_where_tfma_gives_one(tmp_path: Path) -> None:
    rows = [example(label=number % 2, pred=number / 10, kind="few" if number < 3 else "many") for number in range(10)]
    eval_config = binary({"min_slice_size": 5}, ["ExampleCount", "AUC"])
    files = write(tmp_path / "examples", rows)
    expected = Results(by_tfma(files, eval_config, tmp_path / "tfma"))
    found = Results(on_vectors(files, eval_config, tmp_path / "vectors"))
    assert expected.metrics.keys() == found.metrics.keys()
    few, many = (("kind", "b'few'"),), (("kind", "b'many'"),)
    assert expected.metrics[few].keys() == found.metrics[few].keys() == {"__ERROR__"}
    assert expected.value("auc", many) == pytest.approx(found.value("auc", many))
    assert expected.value("auc") == pytest.approx(found.value("auc"))


class _OfFeatures(tf.Module):
    """A model whose signature takes features by name, not serialized examples."""

    @tf.function(
        input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x"), tf.TensorSpec([None, 1], tf.float32, name="y")]
    )
    def serve(self, x: tf.Tensor, y: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": tf.sigmoid(x + y), "other": x}


def test_a_model_may_take_features(tmp_path: Path) -> None:
    rows = [example(label=number % 2, x=number / 10, y=-1.0, kind=f"k{number % 3}") for number in range(50)]
    eval_config = config(
        model_specs=[{"label_key": "label", "signature_name": "serving_default"}],
        slicing_specs=SLICES,
        metrics_specs=[{"metrics": ["ExampleCount", "AUC", "MeanPrediction"]}],
    )
    model = _OfFeatures()
    tf.saved_model.save(model, str(tmp_path / "model"), signatures={"serving_default": model.serve})
    models = {"": tfma.default_eval_shared_model(str(tmp_path / "model"), eval_config=eval_config)}
    files = write(tmp_path / "examples", rows)
    expected = Results(by_tfma(files, eval_config, tmp_path / "tfma", models))
    found = Results(on_vectors(files, eval_config, tmp_path / "vectors", models))
    assert 0.2 < found.value("mean_prediction") < 0.9
    assert differences(expected, found) == []


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"label": 1, "pred": math.nan}, "predictions or labels that are not numbers"),
        ({"pred": 0.5}, "labels whose number differs between rows"),
        ({"label": 3, "pred": 0.5}, "labels outside 0 to 1"),
        ({"label": 1}, "predictions whose number differs between rows"),
    ],
)
def test_rows_tfma_would_refuse_are_told(row: dict[str, Any], reason: str, tmp_path: Path) -> None:
    rows = [example(label=number % 2, pred=number / 10, weight=1.0) for number in range(10)]
    files = write(tmp_path / "examples", [*rows, example(weight=1.0, **row)])
    assert on_vectors(files, binary(), tmp_path / "vectors") == reason
    assert {path.name for path in (tmp_path / "vectors").iterdir()} == {"reason.txt"}


INTERVALS = ["ExampleCount", "MeanLabel", "MeanPrediction", ("Precision", {"thresholds": [0.5]})]


@pytest.mark.parametrize("method", ["JACKKNIFE", "POISSON_BOOTSTRAP"])
def test_standard_errors_of_means_are_the_textbook_ones(method: str, rows: list[bytes], tmp_path: Path) -> None:
    options = {"compute_confidence_intervals": True, "confidence_intervals": {"method": method}}
    eval_config = binary(options, INTERVALS)
    eval_config.metrics_specs[0].example_weights.weighted = False
    eval_config.metrics_specs[0].example_weights.unweighted = True
    files = write(tmp_path / "examples", rows, [3000])
    found = Results(on_vectors(files, eval_config, tmp_path / "vectors"))
    ratios = []
    for values in found.metrics.values():
        by_name = {pair.key.name: pair for pair in values.values()}
        share = by_name["mean_label"].value.double_value.value
        expected = math.sqrt(share * (1 - share) / by_name["example_count"].value.double_value.value)
        interval = by_name["mean_label"].confidence_interval
        ratios.append(interval.standard_error.double_value.value / expected)
        assert interval.degrees_of_freedom.value == 19
        assert interval.lower_bound.double_value.value < share < interval.upper_bound.double_value.value
    # Of 20 samples a standard deviation is known to about a sixth; these are six slices.
    assert len(ratios) == 6
    assert 0.75 < np.mean(ratios) < 1.25


def test_intervals_do_not_depend_on_bundles_and_have_the_point_estimates_of_tfma(
    rows: list[bytes], tmp_path: Path
) -> None:
    options = {"compute_confidence_intervals": True, "confidence_intervals": {"method": "JACKKNIFE"}}
    eval_config = binary(options, INTERVALS)
    files = write(tmp_path / "examples", rows[:400], [100])
    expected = Results(by_tfma(files, eval_config, tmp_path / "tfma"))
    found = Results(on_vectors(files, eval_config, tmp_path / "vectors"))
    assert differences(expected, found) == []
    again = Results(on_vectors(files[::-1], eval_config, tmp_path / "again", options=FOUR_THREADS))
    for of, values in found.metrics.items():
        for key, pair in values.items():
            interval, other = pair.confidence_interval, again.metrics[of][key].confidence_interval
            assert interval.standard_error.double_value.value == pytest.approx(other.standard_error.double_value.value)
            has_interval = expected.metrics[of][key].HasField("confidence_interval")
            assert has_interval == pair.HasField("confidence_interval")
