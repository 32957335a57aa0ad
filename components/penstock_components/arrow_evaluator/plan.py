"""Whether an evaluation can be computed on vectors, and from which accumulations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
    min_label_position,
    multi_class_confusion_matrix_metrics,
    multi_label_confusion_matrix_plot,
    ndcg,
    prediction_difference_metrics,
    query_statistics,
    squared_pearson_correlation,
    tf_metric_wrapper,
    tjur_discrimination,
)
from tensorflow_model_analysis.proto import config_pb2

from penstock_components.arrow_evaluator import binary, classes, means, moments, queries, residuals, two_models
from penstock_components.arrow_evaluator.accumulation import Accumulation, Metrics
from penstock_components.arrow_evaluator.coverage import NotCovered
from penstock_components.arrow_evaluator.queries import QueryAccumulation
from penstock_components.residuals import ResidualCombiner

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
    ResidualCombiner: residuals.ResidualHistogram,
    squared_pearson_correlation._SquaredPearsonCorrelationCombiner: moments.SquaredPearsonCorrelation,
    tjur_discrimination._TjurDiscriminationCombiner: moments.TjurDiscrimination,
    exact_match._ExactMatchCombiner: moments.ExactMatch,
    flip_metrics._BooleanFlipCountsCombiner: two_models.BooleanFlipCounts,
    prediction_difference_metrics._SymmetricPredictionDifferenceCombiner: two_models.SymmetricPredictionDifference,
}

_QUERY_ACCUMULATIONS: dict[type, Callable[[Any], QueryAccumulation]] = {
    example_count._ExampleCountCombiner: queries.QueryCount,
    query_statistics._QueryStatisticsCombiner: queries.QueryStatistics,
    ndcg._NDCGCombiner: queries.NormalizedDiscountedCumulativeGain,
    min_label_position._MinLabelPositionCombiner: queries.MinLabelPosition,
}


@dataclass(frozen=True)
class Group:
    """Metrics that are computed together: those of the examples (`query_key` empty), or those of queries.

    `accumulations` (each an Accumulation, or a QueryAccumulation) give TFMA's intermediate results, `derived` and
    `ci_derived` what follows from them, in this order. `features` are what the metrics look at besides labels,
    predictions and weights.
    """

    query_key: str
    accumulations: Sequence[Any]
    derived: Sequence[Callable[[Metrics], Metrics]]
    ci_derived: Sequence[Callable[[Metrics], Metrics]]
    features: frozenset[str]


@dataclass(frozen=True)
class Plan:
    """How the metrics of one evaluation are computed."""

    eval_config: config_pb2.EvalConfig
    groups: Sequence[Group]


def plan(eval_config: config_pb2.EvalConfig) -> Plan:
    """Returns the plan for an evaluation whose defaults are filled in; raises NotCovered if TFMA must do it."""
    if any(spec.HasField("padding_options") for spec in eval_config.model_specs):
        raise NotCovered("padding of labels and predictions (padding_options)")
    if any("@" in name for spec in eval_config.model_specs for name in spec.preprocessing_function_names):
        raise NotCovered("TFMA's own preprocessing functions")
    by_query_key: dict[str, list[config_pb2.MetricsSpec]] = {}
    for spec in eval_config.metrics_specs:
        by_query_key.setdefault(spec.query_key, []).append(spec)
    return Plan(eval_config, [_group(key, specs, eval_config) for key, specs in by_query_key.items()])


def _group(query_key: str, specs: list[config_pb2.MetricsSpec], eval_config: config_pb2.EvalConfig) -> Group:
    computations = evaluator._filter_and_separate_computations(
        metric_specs.to_computations(specs, eval_config=eval_config)
    )
    if computations.cross_slice_computations:
        raise NotCovered("metrics that compare slices")
    several_models = len(eval_config.model_specs) > 1
    if query_key and several_models:
        raise NotCovered("metrics of queries for several models")
    make: Callable[..., Any] = _query_accumulation if query_key else _accumulation
    combiners = [one.combiner for one in computations.non_derived_computations]
    return Group(
        query_key=query_key,
        accumulations=[make(one, eval_config) for one in computations.non_derived_computations],
        derived=[binary.fast_result(computation.result) for computation in computations.derived_computations],
        ci_derived=[computation.result for computation in computations.ci_derived_computations],
        features=frozenset(_named_features(combiners)) | ({query_key} - {""}),
    )


def _named_features(combiners: Sequence[Any]) -> Iterator[str]:
    for combiner in combiners:
        for attribute in ("_gain_key", "_label_key"):
            if name := getattr(combiner, attribute, None):
                yield name


def _accumulation(computation: metric_types.MetricComputation, eval_config: config_pb2.EvalConfig) -> Accumulation:
    combiner = computation.combiner
    make = _ACCUMULATIONS.get(type(combiner))
    if make is None:
        raise NotCovered(f"the metric {_names(computation)}")
    if computation.preprocessors and not isinstance(combiner, example_count._ExampleCountCombiner):
        raise NotCovered(f"the preprocessing of the metric {_names(computation)}")
    if getattr(combiner, "_eval_config", None) not in (None, eval_config):
        raise NotCovered(f"the metric {_names(computation)}, which looks predictions up in its own way")
    return make(combiner)


def _query_accumulation(
    computation: metric_types.MetricComputation, eval_config: config_pb2.EvalConfig
) -> QueryAccumulation:
    make = _QUERY_ACCUMULATIONS.get(type(computation.combiner))
    if make is None:
        raise NotCovered(f"the metric {_names(computation)} of queries")
    return make(computation.combiner)


def _names(computation: metric_types.MetricComputation) -> str:
    names = {key.name.lstrip("_").partition(":")[0] for key in computation.keys or ()}
    return ", ".join(sorted(names)) or type(computation.combiner).__name__
