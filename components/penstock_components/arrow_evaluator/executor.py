"""Runs an evaluation on vectors, or as TFX's Evaluator where it is not covered."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_model_analysis as tfma
from absl import logging
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as tfx_executor
from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, json_utils, path_utils, proto_utils

from penstock_components.arrow_evaluator.coverage import NotCovered
from penstock_components.arrow_evaluator.pipeline import Evaluation, evaluate
from penstock_components.arrow_evaluator.plan import plan

# The evaluation artifact's property that says how it was computed: this value, or "TFMA: " and why.
EVALUATED_WITH = "evaluated_with"
VECTORS = "vectors"

# In the output folder while the executor has not read it.
_REASON_FILE = "not_covered.txt"

Artifacts = Mapping[str, list[types.Artifact]]


class Executor(tfx_executor.Executor):
    """The executor of ArrowEvaluator. Artifacts and properties are those of TFX's Evaluator."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Evaluates; see TFX's executor for the arguments."""
        evaluation_artifact = artifact_utils.get_single_instance(output_dict[standard_component_specs.EVALUATION_KEY])
        try:
            evaluation = _evaluation(input_dict, exec_properties)
            files = _files(input_dict, exec_properties)
            self._run(evaluation, files, evaluation_artifact.uri)
        except NotCovered as reason:
            logging.warning("Evaluating with TFMA, because vectors do not cover %s.", reason)
            evaluation_artifact.set_string_custom_property(EVALUATED_WITH, f"TFMA: {reason}")
            super().Do(input_dict, output_dict, exec_properties)
            return
        evaluation_artifact.set_string_custom_property(EVALUATED_WITH, VECTORS)
        logging.info("Evaluation complete, on vectors. Results written to %s.", evaluation_artifact.uri)
        if _has_thresholds(evaluation.eval_config):
            _bless(input_dict, output_dict, exec_properties, evaluation_artifact.uri)
        else:
            logging.info("No threshold configured, will not validate model.")

    def _run(self, evaluation: Evaluation, files: list[str], output: str) -> None:
        reason_file = os.path.join(output, _REASON_FILE)
        with self._make_beam_pipeline() as pipeline:
            evaluate(pipeline, files, evaluation, output, reason_file)
        if tf.io.gfile.exists(reason_file):
            with tf.io.gfile.GFile(reason_file) as file:
                reason = file.read()
            tf.io.gfile.remove(reason_file)
            raise NotCovered(reason)


def _evaluation(input_dict: Artifacts, exec_properties: Mapping[str, Any]) -> Evaluation:
    """Reads what is to be evaluated; raises NotCovered where the plan, the models or the examples are TFMA's to do."""
    if not exec_properties.get(standard_component_specs.EVAL_CONFIG_KEY):
        raise NotCovered("an evaluation without eval_config")
    for key in (standard_component_specs.MODULE_FILE_KEY, standard_component_specs.MODULE_PATH_KEY):
        if exec_properties.get(key):
            raise NotCovered(f"user code ({key})")
    for key in (standard_component_specs.MODEL_KEY, standard_component_specs.BASELINE_MODEL_KEY):
        if len(input_dict.get(key) or ()) > 1:
            raise NotCovered(f"{len(input_dict[key])} artifacts as {key}")
    eval_config = tfma.EvalConfig()
    proto_utils.json_to_proto(exec_properties[standard_component_specs.EVAL_CONFIG_KEY], eval_config)
    has_baseline = bool(input_dict.get(standard_component_specs.BASELINE_MODEL_KEY))
    eval_config = tfma.utils.update_eval_config_with_defaults(eval_config, has_baseline=has_baseline, rubber_stamp=True)
    tfma.utils.verify_eval_config(eval_config)
    if eval_config.options.disabled_outputs.values:
        raise NotCovered("disabled outputs")
    if len(eval_config.model_specs) > 2:
        raise NotCovered(f"{len(eval_config.model_specs)} models")
    models = _models(input_dict, eval_config)
    schema = _schema(input_dict)
    plan(eval_config)
    return Evaluation(eval_config, models, schema)


def _models(input_dict: Artifacts, eval_config: config_pb2.EvalConfig) -> dict[str, tfma.types.EvalSharedModel]:
    models: dict[str, tfma.types.EvalSharedModel] = {}
    for spec in eval_config.model_specs:
        if standard_component_specs.MODEL_KEY not in input_dict:
            if not (spec.prediction_key or spec.prediction_keys):
                raise NotCovered("an evaluation without model and without prediction_key")
            continue
        key = standard_component_specs.BASELINE_MODEL_KEY if spec.is_baseline else standard_component_specs.MODEL_KEY
        artifact = artifact_utils.get_single_instance(input_dict[key])
        path = path_utils.serving_model_path(artifact.uri, path_utils.is_old_model_artifact(artifact))
        name = spec.name if len(eval_config.model_specs) > 1 else ""
        model = tfma.default_eval_shared_model(path, model_name=spec.name, eval_config=eval_config)
        _check_model_type(model, eval_config)
        models[name] = model._replace(model_name=name)
    return models


def _check_model_type(model: tfma.types.EvalSharedModel, eval_config: config_pb2.EvalConfig) -> None:
    options = eval_config.options
    default_metrics = not options.HasField("include_default_metrics") or options.include_default_metrics.value
    if model.model_type == tfma.TF_KERAS and default_metrics:
        raise NotCovered("metrics compiled into a Keras model")
    if model.model_type not in (tfma.TF_GENERIC, tfma.TF_KERAS):
        raise NotCovered(f"a model of type {model.model_type}")


def _schema(input_dict: Artifacts) -> schema_pb2.Schema | None:
    if standard_component_specs.SCHEMA_KEY not in input_dict:
        return None
    uri = artifact_utils.get_single_uri(input_dict[standard_component_specs.SCHEMA_KEY])
    schema = io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(uri))
    if schema.sparse_feature or schema.tensor_representation_group:
        raise NotCovered("a schema with sparse features or with tensor representations of its own")
    return schema


def _files(input_dict: Artifacts, exec_properties: Mapping[str, Any]) -> list[str]:
    """Returns the files of the splits to evaluate."""
    examples = input_dict[standard_component_specs.EXAMPLES_KEY]
    for artifact in examples:
        payload = examples_utils.get_payload_format(artifact)
        if payload != example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE:
            raise NotCovered(f"examples as {example_gen_pb2.PayloadFormat.Name(payload)}")
    splits = json_utils.loads(exec_properties.get(standard_component_specs.EXAMPLE_SPLITS_KEY) or "null") or ["eval"]
    folders = [uri for split in splits for uri in artifact_utils.get_split_uris(examples, split)]
    return [path for folder in folders for path in sorted(tf.io.gfile.glob(io_utils.all_files_pattern(folder)))]


def _has_thresholds(eval_config: config_pb2.EvalConfig) -> bool:
    return bool(tfma.metrics.metric_thresholds_from_metrics_specs(eval_config.metrics_specs, eval_config=eval_config))


def _bless(input_dict: Artifacts, output_dict: Artifacts, exec_properties: Mapping[str, Any], evaluation: str) -> None:
    """Writes the blessing as TFX's executor does: its files, and what it was given for."""
    blessing = artifact_utils.get_single_instance(output_dict[standard_component_specs.BLESSING_KEY])
    model = artifact_utils.get_single_instance(input_dict[standard_component_specs.MODEL_KEY])
    blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, model.uri)
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, model.id)
    if input_dict.get(standard_component_specs.BASELINE_MODEL_KEY):
        baseline = input_dict[standard_component_specs.BASELINE_MODEL_KEY][0]
        blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY, baseline.uri)
        blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY, baseline.id)
    if "current_component_id" in exec_properties:
        blessing.set_string_custom_property("component_id", exec_properties["current_component_id"])
    blessed = tfma.load_validation_result(evaluation).validation_ok
    name = constants.BLESSED_FILE_NAME if blessed else constants.NOT_BLESSED_FILE_NAME
    io_utils.write_string_file(os.path.join(blessing.uri, name), "")
    value = constants.BLESSED_VALUE if blessed else constants.NOT_BLESSED_VALUE
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, value)
    logging.info("Blessing result %s written to %s.", blessed, blessing.uri)
