"""Evaluations of each kind of model, made by TFMA and by the ArrowEvaluator of made-up predictions.

`main` prints, for each, the summary that a run would store and what TFMA's own result files hold. The dashboard's code
stands behind neither. This module imports TFDV: install `penstock.engine.tfdv_shim` before it is imported.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tensorflow_model_analysis.slicer import slicer_lib
from tensorflow_model_analysis.writers import metrics_plots_and_validations_writer as writer

from penstock.summaries import evaluation
from tests.components.evaluator_helpers import by_tfma, config, example, on_vectors, write

ROWS = 900
CLASSES = 3
CALIBRATION, CONFUSION = ("CalibrationPlot", {"num_buckets": 40}), ("ConfusionMatrixPlot", {"num_thresholds": 50})
RESIDUALS = (
    "ResidualPlot",
    {"left": -3.0, "right": 3.0, "num_buckets": 24},
    {"module": "penstock_components.residuals"},
)


def row(kind: str, number: int, generator: np.random.Generator) -> bytes:
    attributes = {"region": ["north", "south", "east"][number % 3], "size": number % 4}
    if kind == "binary":
        label = int(generator.random() < 0.4)
        # In the south it says yes too often.
        wrong = 0.25 * (attributes["region"] == "south")
        score = float(np.clip(generator.normal(0.3 + 0.35 * label + wrong, 0.2), 0, 1))
        return example(label=label, pred=score, **attributes)
    if kind == "classes":
        label = int(generator.integers(CLASSES))
        scores = generator.normal(size=CLASSES)
        scores[label] += 1.5
        return example(label=label, pred=[float(p) for p in np.exp(scores) / np.exp(scores).sum()], **attributes)
    value = float(generator.normal(10, 4))
    # Large values are said too low.
    return example(label=value, pred=10 + 0.8 * (value - 10) + float(generator.normal(0, 1)), **attributes)


METRICS: dict[str, list[dict[str, Any]]] = {
    "binary": [{"metrics": ["ExampleCount", "BinaryAccuracy", "AUC", "Precision", "Recall", CALIBRATION, CONFUSION]}],
    "classes": [
        {
            "metrics": [
                *("ExampleCount", "SparseCategoricalAccuracy"),
                ("MultiClassConfusionMatrixPlot", {"thresholds": [0.0, 0.5, 0.8]}),
            ]
        },
        {
            "binarize": {"class_ids": {"values": list(range(CLASSES))}},
            "metrics": ["AUC", "Precision", "Recall", CALIBRATION, CONFUSION],
        },
    ],
    "regression": [
        {
            "metrics": [
                *("ExampleCount", "MeanSquaredError", "MeanAbsoluteError", "MeanLabel", "MeanPrediction"),
                *(("CalibrationPlot", {"left": -5.0, "right": 25.0, "num_buckets": 30}), RESIDUALS),
            ]
        }
    ],
}


def make(kind: str, folder: Path) -> dict[str, Any]:
    """Evaluates and returns the summary and what the files hold."""
    generator = np.random.default_rng(11)
    files = write(folder / kind / "data", [row(kind, number, generator) for number in range(ROWS)])
    eval_config = config(
        model_specs=[{"label_key": "label", "prediction_key": "pred"}],
        slicing_specs=[{}, {"feature_keys": ["region"]}, {"feature_keys": ["region", "size"]}],
        metrics_specs=METRICS[kind],
    )
    # Regressions come from the vectors: what they cover of residuals is seen here, too.
    evaluate = on_vectors if kind == "regression" else by_tfma
    output = evaluate(files, eval_config, folder / kind / "evaluation")
    return {"summary": evaluation.view(output), "truth": truth(output)}


def truth(folder: str) -> dict[str, Any]:
    """What the files hold: metrics as [slice, output, sub-key, name, value]; plots as [slice, sub-key, name, data]."""
    result = tfma.load_eval_result(folder)
    metrics = [
        [features(key), output, sub_key, name, value["doubleValue"]]
        for key, outputs in result.slicing_metrics
        for output, sub_keys in outputs.items()
        for sub_key, values in sub_keys.items()
        for name, value in values.items()
        if "doubleValue" in value and math.isfinite(float(value["doubleValue"]))
    ]
    plots = [
        [
            features(slicer_lib.deserialize_slice_key(record.slice_key)),
            f"classId:{pair.key.sub_key.class_id.value}" if pair.key.HasField("sub_key") else "",
            pair.key.name,
            json_format.MessageToDict(pair.value),
        ]
        for record in writer.load_and_deserialize_plots(folder)
        for pair in record.plot_keys_and_values
    ]
    return {"metrics": metrics, "plots": plots}


def features(key: Any) -> dict[str, str]:
    return {str(name): str(value) for name, value in key}


def main(folder: str) -> None:
    print(json.dumps({kind: make(kind, Path(folder)) for kind in METRICS}))
