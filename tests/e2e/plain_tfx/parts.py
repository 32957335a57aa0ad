# mypy: ignore-errors
"""Components as people write them for plain TFX, one of each way to write one."""

import os

import apache_beam as beam
from tfx import types
from tfx.dsl.component.experimental.annotations import (
    BeamComponentParameter,
    InputArtifact,
    OutputArtifact,
    OutputDict,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.base import (
    base_beam_component,
    base_beam_executor,
    base_component,
    base_executor,
    executor_spec,
)
from tfx.types import artifact_utils, component_spec
from tfx.types.standard_artifacts import Examples, Integer, Model, ModelBlessing, String

SCALE = 3


@component
def count_splits(examples: InputArtifact[Examples]) -> OutputDict(splits=int, names=str):
    """Returns two values, which become artifacts of their own."""
    names = sorted(artifact_utils.decode_split_names(examples.split_names))
    return {"splits": len(names), "names": ",".join(names)}


@component
def tell(splits: int, names: str, told: OutputArtifact[String], times: Parameter[int] = 1):
    """Takes values of artifacts as plain arguments, has a parameter, and writes an artifact."""
    told.value = f"{splits} splits: {names}\n" * times


class ScaleSpec(types.ComponentSpec):
    PARAMETERS = {  # noqa: RUF012
        "number": component_spec.ExecutionParameter(type=int),
        "run": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {}  # noqa: RUF012
    OUTPUTS = {"scaled": component_spec.ChannelParameter(type=Integer)}  # noqa: RUF012


class ScaleExecutor(base_executor.BaseExecutor):
    """Multiplies by a number that must be an int by the time it arrives here."""

    def Do(self, input_dict, output_dict, exec_properties):
        [scaled] = output_dict["scaled"]
        scaled.set_string_custom_property("run", exec_properties["run"])
        scaled.value = exec_properties["number"] * SCALE


class Scale(base_component.BaseComponent):
    """A component with a specification and an executor of its own."""

    SPEC_CLASS = ScaleSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(ScaleExecutor)

    def __init__(self, number, run):
        super().__init__(ScaleSpec(number=number, run=run, scaled=types.Channel(type=Integer)))


class LinesSpec(types.ComponentSpec):
    PARAMETERS = {"folder": component_spec.ExecutionParameter(type=str)}  # noqa: RUF012
    INPUTS = {}  # noqa: RUF012
    OUTPUTS = {"lines": component_spec.ChannelParameter(type=Integer)}  # noqa: RUF012


def as_text(number):
    """Beam's workers import this by its name."""
    return str(number)


class LinesExecutor(base_beam_executor.BaseBeamExecutor):
    """Counts lines with Beam."""

    def Do(self, input_dict, output_dict, exec_properties):
        [lines] = output_dict["lines"]
        with self._make_beam_pipeline() as pipeline:
            _ = (
                pipeline
                | beam.io.ReadFromText(os.path.join(exec_properties["folder"], "*.csv"))
                | beam.combiners.Count.Globally()
                | beam.Map(as_text)
                | beam.io.WriteToText(lines.uri, shard_name_template="", append_trailing_newlines=False)
            )


class Lines(base_beam_component.BaseBeamComponent):
    """A component whose executor runs on Beam."""

    SPEC_CLASS = LinesSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(LinesExecutor)

    def __init__(self, folder):
        super().__init__(LinesSpec(folder=folder, lines=types.Channel(type=Integer)))


@component(use_beam=True)
def add_with_beam(
    first: int,
    second: int,
    total: OutputArtifact[Integer],
    beam_pipeline: BeamComponentParameter[beam.Pipeline] = None,
):
    """A function that is handed a Beam pipeline."""
    with beam_pipeline as pipeline:
        _ = (
            pipeline
            | beam.Create([first, second])
            | beam.CombineGlobally(sum)
            | beam.Map(str)
            | beam.io.WriteToText(total.uri, shard_name_template="", append_trailing_newlines=False)
        )


@component
def make_model(model: OutputArtifact[Model]):
    """Stands for a trainer."""
    folder = os.path.join(model.uri, "Format-Serving")
    os.makedirs(folder)
    with open(os.path.join(folder, "weights"), "w") as stream:
        stream.write("0.5")


@component
def judge(model: InputArtifact[Model], blessing: OutputArtifact[ModelBlessing], blessed: Parameter[int]):
    """Stands for an evaluator."""
    blessing.set_int_custom_property("blessed", blessed)
    blessing.set_int_custom_property("current_model_id", model.id)
    os.makedirs(blessing.uri, exist_ok=True)
    with open(os.path.join(blessing.uri, "BLESSED" if blessed else "NOT_BLESSED"), "w"):
        pass


@component
def locate(model: InputArtifact[Model]) -> OutputDict(uri=str):
    """Needs a model."""
    return {"uri": model.uri}


@component
def compare(baseline: InputArtifact[Model] = None) -> OutputDict(baseline_uri=str):
    """Takes a model where there is one."""
    return {"baseline_uri": baseline.uri if baseline else "none"}


@component
def start(number: Parameter[int]) -> OutputDict(made=int):
    """Needs nothing."""
    return {"made": number}


@component
def add_one(number: int) -> OutputDict(made=int):
    """Needs a number, which must not be too large."""
    if number >= 1000:
        raise ValueError(f"{number} is too large")
    return {"made": number + 1}
