"""ArrowEvaluator's values are TFMA's: every task, weighted and not, on slices with missing and several values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma

from tests.components.evaluator_helpers import (
    Results,
    by_tfma,
    config,
    differences,
    example,
    failures,
    on_vectors,
    write,
)

CLASSES = 4
MODEL = {"label_key": "label", "prediction_key": "pred"}
SLICES: list[dict[str, Any]] = [
    {},
    {"feature_keys": ["color"]},
    {"feature_keys": ["tags"]},
    {"feature_keys": ["color", "tags"]},
    {"feature_keys": ["size"], "feature_values": {"color": "red"}},
    {"feature_values": {"size": "1"}},
    {"feature_keys": ["color"], "feature_values": {"tags": "b"}},
    {"feature_keys": ["nobody has this"]},
]
FEW_SLICES = SLICES[:3]


def attributes(number: int, generator: np.random.Generator) -> dict[str, Any]:
    """Returns what rows are sliced and weighted by: a color or none, none to three tags, a size, weights from zero."""
    return {
        "color": ["red", "green", "blue"][number % 3] if number % 7 else None,
        "tags": [["a", "b"], ["b"], [], ["a", "c", "b"]][number % 4],
        "size": number % 3,
        "weight": float(generator.integers(0, 4)),
    }


def rows_of(make: Callable[[np.random.Generator], dict[str, Any]], count: int = 200) -> list[bytes]:
    """Returns rows with a task's labels and predictions, always the same."""
    generator = np.random.default_rng(7)
    return [example(**make(generator), **attributes(number, generator)) for number in range(count)]


def softmax(generator: np.random.Generator, label: int) -> list[float]:
    scores = generator.normal(size=CLASSES)
    scores[label] += 1.2
    exponentials = np.exp(scores)
    return [float(value) for value in exponentials / exponentials.sum()]


def binary_row(generator: np.random.Generator) -> dict[str, Any]:
    label = int(generator.random() < 0.4)
    prediction = float(np.clip(generator.normal(0.35 + 0.3 * label, 0.25), 0, 1))
    other = float(np.clip(prediction + generator.normal(0, 0.1), 0, 1))
    return {"label": label, "pred": prediction, "p1": prediction, "p2": other}


def class_row(generator: np.random.Generator) -> dict[str, Any]:
    label = int(generator.integers(CLASSES))
    return {"label": label, "pred": softmax(generator, label)}


def one_hot_row(generator: np.random.Generator) -> dict[str, Any]:
    label = int(generator.integers(CLASSES))
    return {"label": [float(label == index) for index in range(CLASSES)], "pred": softmax(generator, label)}


def labels_row(generator: np.random.Generator) -> dict[str, Any]:
    labels = [int(generator.random() < 0.4) for _ in range(CLASSES)]
    return {
        "label": labels,
        "pred": [float(np.clip(0.2 + 0.5 * one + generator.normal(0, 0.2), 0, 1)) for one in labels],
    }


def number_row(generator: np.random.Generator) -> dict[str, Any]:
    label = float(generator.normal(3, 2)) if generator.random() > 0.1 else 0.0
    return {"label": label, "pred": label + float(generator.normal(0, 0.5))}


def outputs_row(generator: np.random.Generator) -> dict[str, Any]:
    binary, several = binary_row(generator), class_row(generator)
    return {"la": binary["label"], "pa": binary["pred"], "lb": several["label"], "pb": several["pred"]}


def document_row(generator: np.random.Generator) -> dict[str, Any]:
    gain = float(generator.integers(0, 4))
    query = int(generator.integers(40))
    return {
        "query": f"query {query}",
        "gain": gain,
        "label": int(gain > 1),
        "pred": gain / 5 + float(generator.normal(0, 0.3)),
    }


CONFUSION = ["AUC", "Precision", "Recall", "F1Score", "BalancedAccuracy", "MeanLabel", "MeanPrediction", "Calibration"]
PLOTS = ["ConfusionMatrixPlot", "CalibrationPlot"]
BINARY = [
    *("ExampleCount", "WeightedExampleCount", *CONFUSION, *PLOTS),
    *(("AUC", {"curve": "PR", "name": "auc_pr"}), ("AUC", {"num_thresholds": 200, "name": "auc_200"})),
    ("AUC", {"summation_method": "minoring", "name": "auc_minoring"}),
    *(
        "AUCPrecisionRecall",
        "BinaryAccuracy",
        "Specificity",
        "NPV",
        "FPR",
        "FNR",
        "FallOut",
        "MissRate",
        "FalseOmissionRate",
    ),
    *("FalseDiscoveryRate", "TruePositives", "TrueNegatives", "FalsePositives", "FalseNegatives", "Prevalence"),
    *("MatthewsCorrelationCoefficient", "FowlkesMallowsIndex", "Informedness", "Markedness", "ThreatScore"),
    *("PositiveLikelihoodRatio", "NegativeLikelihoodRatio", "DiagnosticOddsRatio", "PredictedPositiveRate"),
    *("PrevalenceThreshold", "MaxRecall"),
    ("Precision", {"thresholds": [0.3, 0.7], "name": "precision_at_two"}),
    # The rates that fairness is judged by, at given thresholds.
    *((rate, {"thresholds": [0.3, 0.5, 0.7], "name": f"{rate}_at_three"}) for rate in ("FPR", "FNR", "TPR", "TNR")),
    *(("SensitivityAtSpecificity", {"specificity": 0.7}), ("SpecificityAtSensitivity", {"sensitivity": 0.7})),
    *(("PrecisionAtRecall", {"recall": 0.6}), ("RecallAtPrecision", {"precision": 0.6})),
    *(("RecallAtFalsePositiveRate", {"false_positive_rate": 0.3}), ("ThresholdAtRecall", {"recall": 0.6})),
    ("ConfusionMatrixAtThresholds", {"thresholds": [0.1, 0.5, 0.9]}),
    *("BinaryCrossEntropy", "BinaryCrossentropy", "MeanSquaredError", "MeanAbsoluteError", "Hinge"),
    *("CoefficientOfDiscrimination", "RelativeCoefficientOfDiscrimination", "SquaredPearsonCorrelation", "ExactMatch"),
]
REGRESSION = [
    *("ExampleCount", "MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError"),
    *("MeanSquaredLogarithmicError", "MeanLabel", "MeanPrediction", "Calibration", "LogCoshError"),
    *("RootMeanSquaredError", "SquaredPearsonCorrelation", ("CalibrationPlot", {"left": -2, "right": 8})),
    ("ResidualPlot", {"left": -1, "right": 1.5, "num_buckets": 25}, {"module": "penstock_components.residuals"}),
]


def every_class(name: str) -> dict[str, float]:
    return {"0": 1.0, "1": 1.0, "2": 1.0, "3": 2.0 if name == "heavy" else 1.0}


def classes_specs(weights: dict[str, bool]) -> list[dict[str, Any]]:
    """Returns every way of TFMA to make single numbers of several classes."""
    specs: list[dict[str, Any]] = [
        {
            "metrics": [
                *("ExampleCount", "SparseCategoricalAccuracy", "SparseCategoricalCrossentropy"),
                *("MultiClassConfusionMatrixPlot", ("SparseTopKCategoricalAccuracy", {"k": 2})),
                ("MultiClassConfusionMatrixAtThresholds", {"thresholds": [0.2, 0.5]}),
            ]
        },
        {
            "binarize": {
                "class_ids": {"values": [0, 2]},
                "k_list": {"values": [1, 2]},
                "top_k_list": {"values": [1, 2]},
            },
            "metrics": ["Precision", "Recall"],
        },
        {"binarize": {"class_ids": {"values": [1, 3]}}, "metrics": [*CONFUSION, *PLOTS]},
    ]
    aggregates = {
        "micro": {"micro_average": True},
        "micro_heavy": {"micro_average": True, "class_weights": every_class("heavy")},
        "macro_heavy": {"macro_average": True, "class_weights": every_class("heavy")},
        "weighted_macro": {"weighted_macro_average": True, "class_weights": every_class("equal")},
        "micro_top_2": {"micro_average": True, "top_k_list": {"values": [2]}},
        "macro_top_2": {"macro_average": True, "top_k_list": {"values": [2]}},
    }
    for name, aggregate in aggregates.items():
        metrics = [("Precision", {"name": f"precision_{name}"}), ("Recall", {"name": f"recall_{name}"})]
        if "top" not in name:
            metrics.append(("AUC", {"name": f"auc_{name}"}))
        specs.append({"aggregate": aggregate, "metrics": metrics})
    return [{**spec, "example_weights": weights} for spec in specs]


UNWEIGHTED, WEIGHTED = {"unweighted": True}, {"weighted": True}
WEIGHED_MODEL = {**MODEL, "example_weight_key": "weight"}


@dataclass(frozen=True)
class Task:
    """Rows and an evaluation of them; `metrics` are the names that tests of their own are made for."""

    rows: Callable[[np.random.Generator], dict[str, Any]]
    fields: dict[str, Any]
    metrics: list[str]
    with_models: bool = False


def task(
    row: Callable[[np.random.Generator], dict[str, Any]], specs: list[dict[str, Any]], metrics: str, **more: Any
) -> Task:
    fields = {"model_specs": [WEIGHED_MODEL], "slicing_specs": FEW_SLICES, "metrics_specs": specs, **more}
    return Task(row, fields, metrics.split())


OUTPUTS: list[dict[str, Any]] = [
    {"output_names": ["a"], "metrics": ["ExampleCount", "AUC", "BinaryAccuracy", "MeanLabel"]},
    {"output_names": ["b"], "binarize": {"class_ids": {"values": [0, 1]}}, "metrics": ["AUC", "Precision"]},
    {"output_names": ["b"], "metrics": ["SparseCategoricalAccuracy", "MultiClassConfusionMatrixPlot"]},
]
MORE_THAN = {
    "value_threshold": {"lower_bound": 0.7},
    "change_threshold": {"direction": "HIGHER_IS_BETTER", "absolute": 0.05},
}
FAILING = {
    "value_threshold": {"lower_bound": 0.99},
    "change_threshold": {"direction": "LOWER_IS_BETTER", "relative": 0.01},
}
BY_COLOR = [{"slicing_specs": [{"feature_keys": ["color"]}], "threshold": {"value_threshold": {"lower_bound": 0.65}}}]
BY_NOBODY = [{"slicing_specs": [{"feature_keys": ["nobody has this"]}], "threshold": FAILING}]
TWO_MODELS = [
    {
        "example_weights": WEIGHTED,
        "metrics": [
            *("ExampleCount", "MeanLabel", ("ConfusionMatrixAtThresholds", {"thresholds": [0.5]})),
            *(("AUC", {}, {"threshold": MORE_THAN}), ("Precision", {}, {"threshold": FAILING})),
            ("BinaryAccuracy", {}, {"per_slice_thresholds": BY_COLOR}),
            ("MeanPrediction", {}, {"per_slice_thresholds": BY_NOBODY}),
            *("SymmetricPredictionDifference", "BooleanFlipRates", "NegToPosFlipRate"),
        ],
    }
]
OF_A_MODEL = {
    "signature_name": "serving_default",
    "preprocessing_function_names": ["transform_features"],
    "label_key": "label_xf",
    "example_weight_key": "weight",
}
QUERIES: list[dict[str, Any]] = [
    {
        "query_key": "query",
        "example_weights": UNWEIGHTED,
        "metrics": [
            *(("NDCG", {"gain_key": "gain", "top_k_list": [1, 3, 10]}), "MinLabelPosition", "QueryStatistics"),
            ("ExampleCount", {"name": "query_count"}),
        ],
    },
    {"example_weights": UNWEIGHTED, "metrics": ["ExampleCount", "MeanLabel"]},
]

TASKS = {
    "binary": task(
        binary_row,
        [{"metrics": BINARY, "example_weights": UNWEIGHTED}],
        "auc auc_pr precision recall balanced_accuracy binary_accuracy FPR_at_three binary_crossentropy example_count",
        slicing_specs=SLICES,
    ),
    "binary, weighted": task(
        binary_row,
        [{"metrics": BINARY, "example_weights": WEIGHTED}],
        "auc auc_pr auc_200 precision_at_two FNR_at_three calibration mean_prediction weighted_example_count",
        slicing_specs=SLICES,
    ),
    "classes": task(
        class_row,
        classes_specs(UNWEIGHTED),
        "sparse_categorical_accuracy sparse_categorical_crossentropy precision recall auc precision_micro "
        "auc_macro_heavy",
    ),
    "classes, weighted": task(
        class_row,
        classes_specs(WEIGHTED),
        "sparse_categorical_accuracy precision auc auc_micro_heavy auc_weighted_macro recall_micro_top_2 "
        "recall_macro_top_2",
    ),
    "one-hot": task(
        one_hot_row,
        [
            {
                "example_weights": WEIGHTED,
                "metrics": [
                    *("CategoricalAccuracy", "CategoricalCrossentropy", "KLDivergence", "MeanSquaredError"),
                    *("MultiClassConfusionMatrixPlot", ("TopKCategoricalAccuracy", {"k": 2}), "BinaryCrossEntropy"),
                ],
            },
            {
                "example_weights": WEIGHTED,
                "binarize": {"top_k_list": {"values": [2]}},
                "metrics": ["Precision", "Recall"],
            },
        ],
        "categorical_accuracy categorical_crossentropy mean_squared_error precision",
    ),
    "several labels": task(
        labels_row,
        [
            {
                "example_weights": WEIGHTED,
                "metrics": [
                    *("ExampleCount", "BinaryAccuracy", "AUC", "ExactMatch", "MultiLabelConfusionMatrixPlot"),
                    ("MultiLabelConfusionMatrixPlot", {"num_thresholds": 4, "name": "four_thresholds"}),
                ],
            },
            {
                "example_weights": WEIGHTED,
                "aggregate": {"macro_average": True, "class_weights": every_class("heavy")},
                "metrics": [("AUC", {"name": "auc_macro"}), ("Precision", {"name": "precision_macro"})],
            },
        ],
        "auc binary_accuracy auc_macro precision_macro exact_match",
    ),
    "regression": task(
        number_row,
        [{"metrics": REGRESSION, "example_weights": UNWEIGHTED}],
        "mean_squared_error mean_absolute_percentage_error root_mean_squared_error squared_pearson_correlation",
        slicing_specs=SLICES,
    ),
    "regression, weighted": task(
        number_row,
        [{"metrics": REGRESSION, "example_weights": WEIGHTED}],
        "mean_squared_error mean_absolute_error mean_squared_logarithmic_error log_cosh_error calibration",
        slicing_specs=SLICES,
    ),
    "several outputs": task(
        outputs_row,
        [{**spec, "example_weights": WEIGHTED} for spec in OUTPUTS],
        "auc binary_accuracy precision sparse_categorical_accuracy",
        model_specs=[
            {
                "label_keys": {"a": "la", "b": "lb"},
                "prediction_keys": {"a": "pa", "b": "pb"},
                "example_weight_key": "weight",
            }
        ],
    ),
    "queries": task(
        document_row, QUERIES, "ndcg min_label_position total_queries max_documents query_count mean_label"
    ),
    "two models": Task(
        binary_row,
        {
            "model_specs": [
                {**OF_A_MODEL, "name": "candidate"},
                {**OF_A_MODEL, "name": "baseline", "is_baseline": True},
            ],
            "slicing_specs": [*FEW_SLICES, {"feature_keys": ["shape"]}, {"feature_keys": ["nobody has this"]}],
            "metrics_specs": TWO_MODELS,
        },
        [
            "auc",
            "precision",
            "binary_accuracy",
            "mean_prediction",
            "example_count",
            "flip_rate",
            "symmetric_prediction_difference",
        ],
        with_models=True,
    ),
}


class _Model(tf.Module):
    """Predicts what a feature says; its preprocessing renames the label and makes a feature to slice by."""

    def __init__(self, feature: str) -> None:
        super().__init__()
        self._feature = feature

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(examples, {self._feature: tf.io.FixedLenFeature([1], tf.float32)})
        return {"output_0": parsed[self._feature]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def transform(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        spec = {name: tf.io.FixedLenFeature([1], tf.int64) for name in ("label", "size")}
        parsed = tf.io.parse_example(examples, spec)
        shape = tf.where(parsed["size"] > 1, "large", "small")
        return {"label_xf": tf.cast(parsed["label"], tf.float32), "shape": shape}


def two_models(folder: Path, eval_config: tfma.EvalConfig) -> dict[str, tfma.types.EvalSharedModel]:
    models = {}
    for spec, feature in zip(eval_config.model_specs, ("p1", "p2"), strict=True):
        model, path = _Model(feature), str(folder / spec.name)
        signatures = {"serving_default": model.serve, "transform_features": model.transform}
        tf.saved_model.save(model, path, signatures=signatures)
        models[spec.name] = tfma.default_eval_shared_model(path, model_name=spec.name, eval_config=eval_config)
    return models


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Results, Results]]:
    """Evaluates a task both ways, once; returns TFMA's results and those on vectors."""
    done: dict[str, tuple[Results, Results]] = {}

    def results_of(name: str) -> tuple[Results, Results]:
        if name not in done:
            folder = tmp_path_factory.mktemp("task")
            chosen = TASKS[name]
            eval_config = config(**chosen.fields)
            files = write(folder / "examples", rows_of(chosen.rows))
            models = two_models(folder, eval_config) if chosen.with_models else None
            expected = by_tfma(files, eval_config, folder / "tfma", models)
            done[name] = Results(expected), Results(on_vectors(files, eval_config, folder / "vectors", models))
        return done[name]

    return results_of


@pytest.mark.parametrize("name", TASKS)
def test_all_metrics_and_plots_of_all_slices_equal(
    name: str, evaluated: Callable[[str], tuple[Results, Results]]
) -> None:
    expected, found = evaluated(name)
    assert len(expected.metrics) > 4
    assert differences(expected, found) == []


@pytest.mark.parametrize(
    ("name", "metric"), [(name, metric) for name, chosen in TASKS.items() for metric in chosen.metrics]
)
def test_metric_equals(name: str, metric: str, evaluated: Callable[[str], tuple[Results, Results]]) -> None:
    expected, found = evaluated(name)
    assert metric in expected.names()
    assert differences(expected, found, name=metric) == []


def test_thresholds_fail_in_the_same_slices(evaluated: Callable[[str], tuple[Results, Results]]) -> None:
    expected, found = evaluated("two models")
    assert sorted(failures(expected)) == sorted(failures(found)) != []
    assert expected.validation is not None and found.validation is not None
    assert expected.validation.missing_slices == found.validation.missing_slices != []
    assert not found.validation.validation_ok


def test_a_slice_of_one_class_has_the_auc_of_tfma(tmp_path: Path) -> None:
    rows = [example(label=int(number % 2), pred=number / 20, kind="both") for number in range(20)]
    rows += [example(label=1, pred=number / 20, kind="ones") for number in range(20)]
    eval_config = config(
        model_specs=[MODEL],
        slicing_specs=[{}, {"feature_keys": ["kind"]}],
        metrics_specs=[{"metrics": ["AUC", "Recall"]}],
    )
    files = write(tmp_path / "examples", rows)
    expected = Results(by_tfma(files, eval_config, tmp_path / "tfma"))
    found = Results(on_vectors(files, eval_config, tmp_path / "vectors"))
    assert differences(expected, found) == []
    assert found.value("auc", (("kind", "b'ones'"),)) == 0
