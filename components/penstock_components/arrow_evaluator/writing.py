"""Writes an evaluation's result files, by the names and in the formats of TFMA's own writers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType

import tensorflow as tf
from tensorflow_model_analysis.api import types
from tensorflow_model_analysis.proto import config_pb2, validation_result_pb2
from tensorflow_model_analysis.utils import model_util
from tensorflow_model_analysis.writers import eval_config_writer
from tensorflow_model_analysis.writers import metrics_plots_and_validations_writer as writer

from penstock_components.arrow_evaluator.results import SliceResult, with_thresholds_only

_SHARD = "{}-00000-of-00001.tfrecord"


class ResultFiles:
    """The files of one evaluation, complete when the context ends.

    Args:
        folder: Where they are written; made if missing.
        eval_config: The evaluation's configuration with its defaults.
        models: The models by name, which the configuration file names the places of.
    """

    def __init__(
        self, folder: str, eval_config: config_pb2.EvalConfig, models: Mapping[str, types.EvalSharedModel]
    ) -> None:
        self._folder = folder
        self._eval_config = eval_config
        self._models = models
        shared = model_util.verify_and_update_eval_shared_models(list(models.values()))
        self._validations = writer.CombineValidations(
            with_thresholds_only(eval_config), rubber_stamp=model_util.has_rubber_stamp(shared)
        )
        self._validation = self._validations.create_accumulator()
        self._gave_up = False

    def __enter__(self) -> ResultFiles:
        tf.io.gfile.makedirs(self._folder)
        self._metrics = tf.io.TFRecordWriter(self._path(_SHARD.format("metrics")))
        self._plots = tf.io.TFRecordWriter(self._path(_SHARD.format("plots")))
        return self

    def add(self, result: SliceResult) -> None:
        """Adds one slice's results."""
        self._metrics.write(result.metrics)
        self._plots.write(result.plots)
        validation = validation_result_pb2.ValidationResult.FromString(result.validation)
        self._validation = self._validations.add_input(self._validation, validation)

    def give_up(self, path: str, reason: str) -> None:
        """Writes to `path` why there are no results; the others' files are removed."""
        self._gave_up = True
        with tf.io.gfile.GFile(path, "w") as file:
            file.write(reason)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._metrics.close()
        self._plots.close()
        if kind is not None or self._gave_up:
            for name in ("metrics", "plots"):
                tf.io.gfile.remove(self._path(_SHARD.format(name)))
            return
        with tf.io.TFRecordWriter(self._path("validations.tfrecord")) as file:
            file.write(self._validations.extract_output(self._validation).SerializeToString())
        locations = {name: model.model_path or "<unknown>" for name, model in self._models.items()}
        text = eval_config_writer._serialize_eval_run(
            self._eval_config, "<user provided PCollection>", "<unknown>", locations or {"": "<unknown>"}
        )
        with tf.io.gfile.GFile(self._path(eval_config_writer.EVAL_CONFIG_FILE + ".json"), "w") as file:
            file.write(text + "\n")

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)
