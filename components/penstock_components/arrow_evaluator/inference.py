"""Runs a model's signatures on batches of serialized examples, choosing them as TFMA does.

The rules are those of TFMA's `model_util.ModelSignaturesDoFn`: a signature takes named features where its inputs are
all there, and the serialized examples otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.utils import model_util

from penstock_components.arrow_evaluator.coverage import NotCovered

# What TFMA looks for in a model whose specification names no preprocessing functions.
_DEFAULT_PREPROCESSING = ("transformed_features", "transformed_labels")

Outputs = dict[str, np.ndarray]


class Signatures:
    """The calls one model needs: its preprocessing functions and its predictions.

    Args:
        model: The loaded model.
        spec: What the evaluation says of it.
    """

    def __init__(self, model: Any, spec: config_pb2.ModelSpec) -> None:
        if spec.preprocessing_function_names:
            found = [_Call(model, name, required=True) for name in spec.preprocessing_function_names]
        else:
            found = [_Call(model, name, required=False) for name in _DEFAULT_PREPROCESSING]
        self._preprocessing = [call for call in found if call.exists]
        self._prediction = _Call(model, spec.signature_name, required=True)

    @property
    def features(self) -> set[str]:
        """Names of the raw features that a call may take."""
        return set().union(*(call.inputs for call in (*self._preprocessing, self._prediction)))

    def transformed(self, examples: np.ndarray, features: Mapping[str, Any]) -> Outputs:
        """Returns the preprocessing functions' outputs by name."""
        outputs: Outputs = {}
        for call in self._preprocessing:
            outputs.update(call(examples, features))
        return outputs

    def predictions(self, examples: np.ndarray, features: Mapping[str, Any]) -> Outputs | np.ndarray:
        """Returns the predictions: by name where there are several outputs, the array where there is one."""
        outputs = self._prediction(examples, features)
        return outputs if len(outputs) != 1 else next(iter(outputs.values()))


class _Call:
    """One signature of a model."""

    def __init__(self, model: Any, name: str, required: bool) -> None:
        self._specs: Mapping[str, Any] = model_util.get_input_specs(model, name, required) or {}
        if not name and not self._specs:
            name = model_util.get_default_signature_name_from_model(model)
        self._function = model_util.get_callable(model, name, required)
        self._name = name
        self._by_keyword = hasattr(self._function, "structured_input_signature")

    @property
    def exists(self) -> bool:
        return self._function is not None

    @property
    def inputs(self) -> set[str]:
        """Names of raw features that may be its inputs."""
        suffix = model_util.KERAS_INPUT_SUFFIX
        return set(self._specs) | {name.removesuffix(suffix) for name in self._specs}

    def __call__(self, examples: np.ndarray, features: Mapping[str, Any]) -> Outputs:
        inputs = model_util.get_inputs(features, self._specs) if self._specs else None
        try:
            if inputs:
                outputs = self._function(**inputs) if self._by_keyword else self._function(inputs)
            else:
                tensor = tf.constant(examples, dtype=tf.string)
                # By position, TensorFlow writes the whole batch into the text of an error that it then drops.
                if self._by_keyword and len(self._specs) == 1:
                    outputs = self._function(**{next(iter(self._specs)): tensor})
                else:
                    outputs = self._function(tensor)
        except (TypeError, ValueError, tf.errors.OpError) as error:
            raise NotCovered(f"signature {self._name!r} failed on a batch of {len(examples)}: {error}") from error
        return _dense(self._name, outputs, len(examples))


def _dense(name: str, outputs: Any, rows: int) -> Outputs:
    if not isinstance(outputs, Mapping):
        outputs = {name: outputs}
    result: Outputs = {}
    for key, value in outputs.items():
        if isinstance(value, tf.SparseTensor):
            value = tf.sparse.to_dense(value)
        elif isinstance(value, tf.RaggedTensor):
            value = value.to_tensor()
        array = np.asarray(value)
        if not array.shape or array.shape[0] != rows:
            raise NotCovered(f"output {key!r} of signature {name!r} has no row for each example")
        result[key] = array
    return result
