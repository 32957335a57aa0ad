"""Whether an evaluation can be computed on vectors, and from which accumulations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tensorflow_model_analysis.evaluators import metrics_plots_and_validations_evaluator as evaluator
from tensorflow_model_analysis.metrics import (
    aggregation,
    binary_confusion_matrices,
    calibration,
    calibration_histogram,
    cross_entropy_metrics,
    exact_match,
    example_count,
    flip_metrics,
    mean_regression_error,
    metric_specs,
    metric_types,
    multi_class_confusion_matrix_metrics,
    multi_label_confusion_matrix_plot,
    prediction_difference_metrics,
    squared_pearson_correlation,
    tf_metric_wrapper,
    tjur_discrimination,
)
from tensorflow_model_analysis.proto import config_pb2

from penstock_components.arrow_evaluator import binary, classes, means, moments, two_models
from penstock_components.arrow_evaluator.accumulation import Accumulation, Metrics
from penstock_components.arrow_evaluator.coverage import NotCovered

_ACCUMULATIONS: dict[type, Callable[[Any], Accumulation]] = {
    example_count._ExampleCountCombiner: means.ExampleCount,
    calibration_histogram._CalibrationHistogramCombiner: binary.CalibrationHistogram,
    binary_confusion_matrices._BinaryConfusionMatrixCombiner: binary.BinaryConfusionMatrix,
    calibration._WeightedLabelsPredictionsExamplesCombiner: means.LabelsPredictionsExamples,
    mean_regression_error._MeanAbsoluteErrorCombiner: lambda combiner: means.MeanRegressionError(
        combiner, means.absolute_error
    ),
    mean_regression_error._MeanSquaredErrorCombiner: lambda combiner: means.MeanRegressionError(
        combiner, means.squared_error
    ),
    mean_regression_error._MeanAbsolutePercentageErrorCombiner: lambda combiner: means.MeanRegressionError(
        combiner, means.absolute_percentage_error
    ),
    mean_regression_error._MeanSquaredLogarithmicErrorCombiner: lambda combiner: means.MeanRegressionError(
        combiner, means.squared_logarithmic_error
    ),
    cross_entropy_metrics._BinaryCrossEntropyCombiner: lambda combiner: means.CrossEntropy(combiner, categorical=False),
    cross_entropy_metrics._CategoricalCrossEntropyCombiner: lambda combiner: means.CrossEntropy(
        combiner, categorical=True
    ),
    tf_metric_wrapper._CompilableMetricsCombiner: means.KerasMeans,
    multi_class_confusion_matrix_metrics._MultiClassConfusionMatrixCombiner: classes.MultiClassConfusionMatrix,
    multi_label_confusion_matrix_plot._MultiLabelConfusionMatrixPlotCombiner: classes.MultiLabelConfusionMatrix,
    aggregation._ClassWeightsFromLabelsCombiner: classes.ClassWeightsFromLabels,
    squared_pearson_correlation._SquaredPearsonCorrelationCombiner: moments.SquaredPearsonCorrelation,
    tjur_discrimination._TjurDiscriminationCombiner: moments.TjurDiscrimination,
    exact_match._ExactMatchCombiner: moments.ExactMatch,
    flip_metrics._BooleanFlipCountsCombiner: two_models.BooleanFlipCounts,
    prediction_difference_metrics._SymmetricPredictionDifferenceCombiner: two_models.SymmetricPredictionDifference,
}

# Combiners that ask for a part of the standard inputs only, by a preprocessor of TFMA's own.
_PREPROCESSED = (example_count._ExampleCountCombiner,)


@dataclass(frozen=True)
class Plan:
    """How the metrics of one evaluation are computed.

    `accumulations` give TFMA's intermediate results, `derived` and `ci_derived` what follows from them, in this order.
    """

    eval_config: config_pb2.EvalConfig
    accumulations: Sequence[Accumulation]
    derived: Sequence[Callable[[Metrics], Metrics]]
    ci_derived: Sequence[Callable[[Metrics], Metrics]]


def plan(eval_config: config_pb2.EvalConfig) -> Plan:
    """Returns the plan for an evaluation whose defaults are filled in; raises NotCovered if TFMA must do it."""
    if any(spec.query_key for spec in eval_config.metrics_specs):
        raise NotCovered("metrics of queries (query_key)")
    if any(spec.HasField("padding_options") for spec in eval_config.model_specs):
        raise NotCovered("padding of labels and predictions (padding_options)")
    computations = evaluator._filter_and_separate_computations(
        metric_specs.to_computations(list(eval_config.metrics_specs), eval_config=eval_config)
    )
    if computations.cross_slice_computations:
        raise NotCovered("metrics that compare slices")
    return Plan(
        eval_config=eval_config,
        accumulations=[_accumulation(one, eval_config) for one in computations.non_derived_computations],
        derived=[binary.fast_result(computation.result) for computation in computations.derived_computations],
        ci_derived=[computation.result for computation in computations.ci_derived_computations],
    )


def _accumulation(computation: metric_types.MetricComputation, eval_config: config_pb2.EvalConfig) -> Accumulation:
    combiner = computation.combiner
    names = ", ".join(sorted({key.name.lstrip("_").partition(":")[0] for key in computation.keys or ()}))
    make = _ACCUMULATIONS.get(type(combiner))
    if make is None:
        raise NotCovered(f"the metric {names or type(combiner).__name__}")
    if computation.preprocessors and not isinstance(combiner, _PREPROCESSED):
        raise NotCovered(f"the preprocessing of the metric {names}")
    if getattr(combiner, "_eval_config", None) not in (None, eval_config):
        raise NotCovered(f"the metric {names}, which looks predictions up in its own way")
    return make(combiner)
