"""ArrowEvaluator in the place of TFX's Evaluator: its specification, its artifacts, and what it hands over."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tfx import types
from tfx.components.evaluator.component import Evaluator
from tfx.components.evaluator.executor import Executor as TfxExecutor
from tfx.types import artifact_utils, channel_utils, standard_artifacts

from penstock.summaries import evaluation
from penstock_components.arrow_evaluator import ArrowEvaluator
from penstock_components.arrow_evaluator.executor import EVALUATED_WITH, Executor
from tests.components.evaluator_helpers import IN_MEMORY, Results, differences, example, write

ABOVE = {"value_threshold": {"lower_bound": 0.6}}
NOT_MUCH_WORSE = {"change_threshold": {"direction": "HIGHER_IS_BETTER", "absolute": -0.01}}


class _Model(tf.Module):
    """Predicts a feature's value, with some noise of the example's own."""

    def __init__(self, noise: float) -> None:
        super().__init__()
        self._noise = noise

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(self, examples: tf.Tensor) -> tf.Tensor:
        features = {name: tf.io.FixedLenFeature([1], tf.float32) for name in ("x", "noise")}
        parsed = tf.io.parse_example(examples, features)
        return tf.clip_by_value(parsed["x"] + self._noise * parsed["noise"], 0.0, 1.0)


Inputs = dict[str, list[types.Artifact]]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Examples, a model and a better one, as TFX's components leave them."""
    folder = tmp_path_factory.mktemp("inputs")
    generator = np.random.default_rng(3)
    rows = []
    for number in range(400):
        label = int(generator.random() < 0.4)
        x, noise = float(generator.normal(0.35 + 0.3 * label, 0.15)), float(generator.normal(0, 0.3))
        rows.append(example(label=label, x=x, noise=noise, kind=f"k{number % 4}"))
    write(folder / "examples" / "Split-eval", rows)
    examples = standard_artifacts.Examples()
    examples.uri = str(folder / "examples")
    examples.split_names = artifact_utils.encode_split_names(["train", "eval"])
    models = {}
    for name, noise in (("model", 1.0), ("baseline_model", 0.0)):
        model = _Model(noise)
        path = str(folder / name / "Format-Serving")
        tf.saved_model.save(model, path, signatures={"serving_default": model.serve})
        models[name] = standard_artifacts.Model()
        models[name].uri = str(folder / name)
    return {"examples": [examples], **{name: [model] for name, model in models.items()}}


def eval_config(*metrics: Mapping[str, Any]) -> str:
    """Returns the property of an evaluation of these metrics, over all and by kind."""
    config = json_format.ParseDict(
        {
            "model_specs": [{"label_key": "label", "signature_name": "serving_default"}],
            "slicing_specs": [{}, {"feature_keys": ["kind"]}],
            "metrics_specs": [{"metrics": [{"class_name": "ExampleCount"}, *metrics]}],
        },
        tfma.EvalConfig(),
    )
    return json_format.MessageToJson(config, preserving_proto_field_name=True)


def run(
    executor: type, inputs: Inputs, properties: dict[str, Any], folder: Path
) -> tuple[types.Artifact, types.Artifact]:
    """Runs an executor; returns the evaluation and the blessing."""
    outputs = {"evaluation": standard_artifacts.ModelEvaluation(), "blessing": standard_artifacts.ModelBlessing()}
    for name, artifact in outputs.items():
        artifact.uri = str(folder / name)
        os.makedirs(artifact.uri)
    context = Executor.Context(beam_pipeline_args=IN_MEMORY, tmp_dir=str(folder / "tmp"), unique_id="1")
    executor(context).Do(inputs, {name: [artifact] for name, artifact in outputs.items()}, properties)
    return outputs["evaluation"], outputs["blessing"]


def properties_of(artifact: types.Artifact) -> dict[str, Any]:
    found = {}
    for name, value in artifact.mlmd_artifact.custom_properties.items():
        found[name] = getattr(value, value.WhichOneof("value"))
    return found


@pytest.mark.parametrize("with_baseline", [False, True])
@pytest.mark.parametrize(("bound", "blessed"), [(ABOVE, True), ({"value_threshold": {"lower_bound": 0.99}}, False)])
def test_results_and_blessing_are_those_of_tfx(
    with_baseline: bool, bound: dict[str, Any], blessed: bool, inputs: Inputs, tmp_path: Path
) -> None:
    chosen = inputs if with_baseline else {name: inputs[name] for name in ("examples", "model")}
    auc = {"class_name": "AUC", "threshold": {**bound, **NOT_MUCH_WORSE}}
    exec_properties = {"eval_config": eval_config(auc), "current_component_id": "evaluator", "example_splits": "null"}
    expected = run(TfxExecutor, chosen, exec_properties, tmp_path / "tfx")
    found = run(Executor, chosen, exec_properties, tmp_path / "ours")
    assert properties_of(found[0]) == {EVALUATED_WITH: "vectors"}
    assert properties_of(found[1]) == properties_of(expected[1])
    assert os.listdir(found[1].uri) == os.listdir(expected[1].uri)
    # The baseline is the better model by far, so the change is too large whenever there is one.
    assert os.listdir(found[1].uri) == ["BLESSED" if blessed and not with_baseline else "NOT_BLESSED"]
    assert differences(Results(expected[0].uri), Results(found[0].uri)) == []
    assert evaluation.view(found[0].uri) == evaluation.view(expected[0].uri)
    result = tfma.load_eval_result(found[0].uri, model_name="candidate" if with_baseline else None)
    assert len(result.slicing_metrics) == 5


def test_without_thresholds_nothing_is_blessed(inputs: Inputs, tmp_path: Path) -> None:
    _, blessing = run(Executor, inputs, {"eval_config": eval_config()}, tmp_path)
    assert os.listdir(blessing.uri) == []


LOSS = {"class_name": "BinaryCrossentropy", "module": "tf_keras.src.losses", "config": '{"name": "loss"}'}


@pytest.mark.parametrize(("metric", "reason"), [(LOSS, "a Keras loss as a metric")])
def test_what_is_not_covered_is_evaluated_by_tfx_and_named(
    metric: dict[str, Any], reason: str, inputs: Inputs, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    only_model = {name: inputs[name] for name in ("examples", "model")}
    result, _ = run(Executor, only_model, {"eval_config": eval_config(metric)}, tmp_path)
    assert properties_of(result) == {EVALUATED_WITH: f"TFMA: {reason}"}
    assert f"Evaluating with TFMA, because vectors do not cover {reason}." in caplog.text
    assert Results(result.uri).value("example_count") == 400


def test_data_that_is_not_covered_is_evaluated_by_tfx(inputs: Inputs, tmp_path: Path) -> None:
    """Labels of 2 are refused by TFMA too, so that its error is what the user sees."""
    rows = [example(label=2, x=0.5, noise=0.0, kind="k")]
    write(tmp_path / "examples" / "Split-eval", rows)
    examples = standard_artifacts.Examples()
    examples.uri = str(tmp_path / "examples")
    examples.split_names = artifact_utils.encode_split_names(["eval"])
    chosen = {"examples": [examples], "model": inputs["model"]}
    with pytest.raises(RuntimeError, match="add_input failed"):
        run(Executor, chosen, {"eval_config": eval_config({"class_name": "AUC"})}, tmp_path / "out")


def test_the_component_is_an_evaluator_with_another_executor() -> None:
    channels = {
        "examples": channel_utils.as_channel([standard_artifacts.Examples()]),
        "model": channel_utils.as_channel([standard_artifacts.Model()]),
    }
    arguments: dict[str, Any] = {"eval_config": tfma.EvalConfig(), "example_splits": ["eval"], **channels}
    ours, theirs = ArrowEvaluator(**arguments), Evaluator(**arguments)
    assert ours.exec_properties == theirs.exec_properties
    assert ours.inputs.keys() == theirs.inputs.keys()
    assert {name: channel.type for name, channel in ours.outputs.items()} == {
        name: channel.type for name, channel in theirs.outputs.items()
    }
    assert ours.executor_spec.executor_class is Executor
    assert json.loads(ours.exec_properties["example_splits"]) == ["eval"]
