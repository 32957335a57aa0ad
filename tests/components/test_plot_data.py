"""What is kept of TFMA's plots."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from tensorflow_model_analysis.proto import metrics_for_slice_pb2

from penstock.summaries import plot_data
from penstock.summaries.plot_data import Plot


def plot(data: dict[str, Any]) -> metrics_for_slice_pb2.PlotData:
    return json_format.ParseDict(data, metrics_for_slice_pb2.PlotData())


def test_plots_are_made_small_without_losing_a_count() -> None:
    # Fields that are 0 are left out by protobuf's JSON.
    buckets_and_matrices = {
        "calibrationHistogramBuckets": {
            "buckets": [
                {"lowerThresholdInclusive": "-Infinity", "numWeightedExamples": 0.0},
                {"upperThresholdExclusive": 0.5, "numWeightedExamples": 3.0, "totalWeightedLabel": 1.0,
                 "totalWeightedRefinedPrediction": 0.75},
            ]
        },
        "confusionMatrixAtThresholds": {
            "matrices": [{"falsePositives": 4.0, "truePositives": 2.0}, {"threshold": 0.5, "trueNegatives": 4.0}]
        },
    }  # fmt: skip
    classes = {"multiClassConfusionMatrixAtThresholds": {"matrices": [
        {"threshold": 0.5, "entries": [{"numWeightedExamples": 5.0}, {"actualClassId": 1, "predictedClassId": -1,
         "numWeightedExamples": 2.5}]}]}}  # fmt: skip
    bucket = {"lowerThresholdInclusive": -1.0, "numWeightedExamples": 2.0}
    other = {"calibrationHistogramBuckets": {"buckets": [bucket]}}
    found = plot_data.views(
        [
            Plot("", "", "residual_plot", plot(other)),
            Plot("", "", "mine", plot(other)),
            Plot("", "", "", plot(buckets_and_matrices)),
            Plot("head", "", "multi_class_confusion_matrix_plot", plot(classes)),
            Plot("", "classId:1", "", plot(buckets_and_matrices)),
        ]
    )
    assert found.pop("calibration/classId:1") == found["calibration"]
    assert found.pop("confusion/classId:1") == found["confusion"]
    assert found == {
        "residuals": [[-1.0, 0.0, 2, 0, 0.0]],
        "calibration": [[0.0, 0.5, 3, 1, 0.75]],
        "confusion": {"thresholds": [0, 0.5], "tp": [2, 0], "fp": [4, 0], "tn": [0, 4], "fn": [0, 0]},
        "head/classes": {"0.5": [[0, 0, 5], [1, None, 2.5]]},
    }
