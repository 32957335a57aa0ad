"""A batch's labels, predictions and example weights, prepared for metrics.

`Batch.pairs` and `Batch.rows` are the vector forms of TFMA's `metric_util.to_label_prediction_example_weight` with and
without `flatten`: the same look-ups, sub-keys, class weights and fractional labels, for all rows at once. What that
function would refuse, and shapes it treats one row at a time, are not covered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.api import types
from tensorflow_model_analysis.metrics import metric_types, metric_util
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.utils import model_util

from penstock_components.arrow_evaluator.coverage import NotCovered
from penstock_components.arrow_evaluator.slicing import row_values

# Where predictions with several entries are looked up if the model's specification names none; TFMA's order.
_PREDICTION_KEYS = ("scores", "outputs", "predictions", "logistic", "probabilities", "logits")
# Entries by which TFMA maps labels given as text to class ids.
_VOCABULARY_KEYS = ("all_classes", "classes")


@dataclass(frozen=True)
class Inputs:
    """Which labels, predictions and weights a metric is computed from, and how they are prepared."""

    model_name: str = ""
    output_name: str = ""
    sub_key: metric_types.SubKey | None = None
    aggregated: bool = False
    class_weights: tuple[tuple[int, float], ...] = ()
    example_weighted: bool = False
    fractional_labels: bool = False


@dataclass(frozen=True)
class Pairs:
    """Label, prediction and weight of each row and class, one-dimensional; `rows` is the row of each."""

    rows: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Rows:
    """Labels `[rows, L]`, predictions `[rows, K]` and weights `[rows, W]`."""

    labels: np.ndarray
    predictions: np.ndarray
    weights: np.ndarray


@dataclass
class Batch:
    """What one batch holds for metrics.

    Args:
        size: Number of rows.
        eval_config: The evaluation.
        labels, weights: Features by model and output name where there are several, as TFMA's extractors make them.
        predictions: Likewise, by output name or prediction key below the model's name.
        features, transformed: Raw features, and a single model's preprocessed ones.
    """

    size: int
    eval_config: config_pb2.EvalConfig
    labels: Any
    predictions: Any
    weights: Any
    features: Mapping[str, Any] = field(default_factory=dict)
    transformed: Mapping[str, Any] = field(default_factory=dict)
    _pairs: dict[Inputs, Pairs] = field(default_factory=dict)
    _rows: dict[Inputs, Rows] = field(default_factory=dict)

    def pairs(self, inputs: Inputs) -> Pairs:
        """Returns the flattened values; a row has one entry a class, two with fractional labels."""
        if inputs not in self._pairs:
            self._pairs[inputs] = _flatten(self._prepare(inputs), inputs)
        return self._pairs[inputs]

    def rows(self, inputs: Inputs) -> Rows:
        """Returns the values with one row of each array for each row of the batch."""
        if inputs not in self._rows:
            if inputs.class_weights:
                raise NotCovered("class weights with a metric that has no micro average")
            self._rows[inputs] = self._prepare(inputs)
        return self._rows[inputs]

    def row_weights(self, inputs: Inputs) -> np.ndarray:
        """Returns each row's example weight as float64; that of several equal ones if a row has several."""
        weights: np.ndarray = self._weights(inputs).astype(np.float64)
        if weights.shape[1] > 1 and not np.allclose(weights, weights[:, :1]):
            raise NotCovered("several different example weights in a row")
        return weights[:, 0]

    def total_weights(self, inputs: Inputs) -> np.ndarray:
        """Returns the sum of each row's example weights as float64."""
        return self._weights(inputs).astype(np.float64).sum(axis=1)

    def feature(self, name: str) -> np.ndarray:
        """Returns a feature with one number a row as float64, a preprocessed one before a raw one."""
        value = self.transformed.get(name, self.features.get(name))
        if value is None:
            raise NotCovered(f"examples without the feature {name!r}")
        values = _array(f"feature {name!r}", value, self.size)
        if values.shape[1] != 1:
            raise NotCovered(f"{values.shape[1]} values of the feature {name!r} in a row")
        return values[:, 0].astype(np.float64)

    def _weights(self, inputs: Inputs) -> np.ndarray:
        value = self.weights if inputs.example_weighted else None
        for name in (inputs.model_name, inputs.output_name):
            value = _optionally(value, name)
        if value is None:
            return np.ones((self.size, 1), np.float32)
        return _array("example weights", value, self.size)

    def _prepare(self, inputs: Inputs) -> Rows:
        spec = _model_spec(self.eval_config, inputs.model_name)
        labels = self.labels
        for name in (spec.label_key, inputs.model_name, inputs.output_name):
            labels = _optionally(labels, name)
        predictions = self.predictions
        for name in (inputs.model_name, inputs.output_name):
            if name:
                if not isinstance(predictions, Mapping) or name not in predictions:
                    raise NotCovered(f"predictions without an entry {name!r}")
                predictions = predictions[name]
        predictions = _array("predictions", _predictions(predictions, spec.prediction_key), self.size)
        if labels is None:
            raise NotCovered("examples without labels")
        labels = _array("labels", labels, self.size)
        labels, predictions = _sub_key(labels, predictions, inputs)
        return Rows(labels, predictions, self._weights(inputs))


def of_features(
    size: int,
    eval_config: config_pb2.EvalConfig,
    features: Mapping[str, Any],
    transformed: Mapping[str, Any],
    predictions: Any,
) -> Batch:
    """Returns the batch whose labels and weights (and predictions, if None) are features.

    `transformed` holds the preprocessing outputs by model name, or by feature for a single model.
    """
    extracts = {constants.FEATURES_KEY: features, constants.TRANSFORMED_FEATURES_KEY: transformed}
    specs = list(eval_config.model_specs)

    def lookup(one: str, several: str, missing: bool) -> Any:
        return model_util.get_feature_values_for_model_spec_field(specs, one, several, extracts, missing)

    if predictions is None:
        predictions = lookup("prediction_key", "prediction_keys", False)
    return Batch(
        size=size,
        eval_config=eval_config,
        labels=lookup("label_key", "label_keys", True),
        predictions=predictions,
        weights=lookup("example_weight_key", "example_weight_keys", False),
        features=features,
        transformed=transformed,
    )


def _model_spec(eval_config: config_pb2.EvalConfig, model_name: str) -> config_pb2.ModelSpec:
    for spec in eval_config.model_specs:
        if (spec.name if len(eval_config.model_specs) > 1 else "") == model_name:
            return spec
    return config_pb2.ModelSpec()


def _optionally(value: Any, name: str) -> Any:
    return value[name] if name and isinstance(value, Mapping) and name in value else value


def _predictions(predictions: Any, prediction_key: str) -> Any:
    if not isinstance(predictions, Mapping):
        return predictions
    if any(key in predictions for key in _VOCABULARY_KEYS):
        raise NotCovered("predictions that bring a vocabulary of labels")
    for key in (prediction_key,) if prediction_key else _PREDICTION_KEYS:
        if key in predictions:
            return predictions[key]
    raise NotCovered(f"predictions with the entries {', '.join(sorted(predictions))} and none of them named")


def _array(what: str, value: Any, size: int) -> np.ndarray:
    """Returns numbers of shape `[size, n]`; every row has the same n."""
    if isinstance(value, types.VarLenTensorValue):
        rows, flat = row_values(what, value)
        counts = np.bincount(rows, minlength=size)
        if len(np.unique(counts)) != 1 or not counts[0]:
            raise NotCovered(f"{what} whose number differs between rows")
        value = flat.reshape(size, -1)
    if not isinstance(value, np.ndarray):
        raise NotCovered(f"{what} of type {type(value).__name__}")
    if value.dtype.kind not in "fiub":
        raise NotCovered(f"{what} of type {value.dtype}")
    if value.ndim > 2 or not value.size:
        raise NotCovered(f"{what} of shape {list(value.shape)}")
    return value.reshape(size, -1)


def _sub_key(labels: np.ndarray, predictions: np.ndarray, inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
    key = inputs.sub_key
    if key is None:
        return labels, predictions
    classes = predictions.shape[1]
    if key.k is not None or key.top_k is not None:
        k = key.k if key.k is not None else key.top_k
        if classes < k:
            raise NotCovered(f"top {k} of {classes} predictions")
        places = np.argsort(-predictions, axis=1, kind="stable")[:, :k]
        if key.k is not None:
            places = places[:, k - 1 :]
        elif not inputs.aggregated:
            kept = np.full(predictions.shape, -np.inf)
            np.put_along_axis(kept, places, np.take_along_axis(predictions, places, 1), 1)
            return labels, kept
        else:
            places = np.sort(places, axis=1)
        labels = np.take_along_axis(one_hot(labels, predictions), places, 1)
        return labels, np.take_along_axis(predictions, places, 1)
    if key.class_id is None:
        return labels, predictions
    if not 0 <= key.class_id < classes:
        raise NotCovered(f"class {key.class_id} of {classes} predictions")
    if labels.shape[1] == classes:
        labels = labels[:, key.class_id : key.class_id + 1]
    elif labels.shape[1] == 1:
        labels = (labels == key.class_id).astype(np.int64)
    else:
        raise NotCovered(f"{labels.shape[1]} labels for {classes} predictions")
    return labels, predictions[:, key.class_id : key.class_id + 1]


def one_hot(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Returns labels of the predictions' shape: class ids `[rows, 1]` become ones, other labels are such already."""
    if labels.shape == predictions.shape:
        return labels
    if labels.shape[1] != 1:
        raise NotCovered(f"{labels.shape[1]} labels for {predictions.shape[1]} predictions")
    try:
        return metric_util.one_hot(labels, predictions)
    except ValueError:
        raise NotCovered(f"class ids outside 0 to {predictions.shape[1] - 1}") from None


def _flatten(rows: Rows, inputs: Inputs) -> Pairs:
    labels, predictions = rows.labels, rows.predictions
    if labels.shape != predictions.shape:
        labels = one_hot(labels, predictions)
    size, classes = predictions.shape
    weights: np.ndarray = rows.weights.astype(np.float64)
    if weights.shape[1] == 1:
        weights = np.repeat(weights, classes, axis=1)
    elif weights.shape[1] != classes:
        raise NotCovered(f"{weights.shape[1]} example weights for {classes} predictions")
    if inputs.class_weights:
        of_class = dict(inputs.class_weights)
        weights = weights * [of_class.get(index, 0.0) for index in range(classes)]
    row: np.ndarray = np.repeat(np.arange(size), classes)
    flat = Pairs(row, labels.ravel(), predictions.ravel(), weights.ravel())
    return _split_fractions(flat) if inputs.fractional_labels else flat


def _split_fractions(pairs: Pairs) -> Pairs:
    """Splits each pair into a negative one with weight w (1 - label) and a positive one with w label."""
    labels = pairs.labels
    if not np.all((labels >= -1e-7) & (labels <= 1.0 + 1e-7)):
        raise NotCovered("labels outside 0 to 1")
    weights = np.stack([pairs.weights * (1 - labels), pairs.weights * labels], axis=1).ravel()
    kept = np.flatnonzero(weights != 0)
    both = np.repeat(np.arange(len(labels)), 2)[kept]
    return Pairs(
        pairs.rows[both],
        np.tile(np.array([0, 1], labels.dtype), len(labels))[kept],
        pairs.predictions[both],
        weights[kept],
    )
