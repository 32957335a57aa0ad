# mypy: ignore-errors
"""Components that put out the artifacts of a usual pipeline, without anything in them."""

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import (
    ExampleAnomalies,
    Examples,
    ExampleStatistics,
    Model,
    ModelBlessing,
    ModelEvaluation,
    PushedModel,
    Schema,
    TransformGraph,
)


@component
def ingest(data: Parameter[str], examples: OutputArtifact[Examples]):
    examples.split_names = '["train", "eval"]'


@component
def describe(examples: InputArtifact[Examples], statistics: OutputArtifact[ExampleStatistics]):
    statistics.split_names = '["train", "eval"]'


@component
def infer(statistics: InputArtifact[ExampleStatistics], schema: OutputArtifact[Schema]):
    pass


@component
def validate(
    statistics: InputArtifact[ExampleStatistics],
    schema: InputArtifact[Schema],
    anomalies: OutputArtifact[ExampleAnomalies],
):
    anomalies.split_names = '["train", "eval"]'


@component
def prepare(
    examples: InputArtifact[Examples],
    schema: InputArtifact[Schema],
    transform_graph: OutputArtifact[TransformGraph],
    transformed_examples: OutputArtifact[Examples],
):
    transformed_examples.split_names = '["train", "eval"]'


@component
def train(
    examples: InputArtifact[Examples],
    transform_graph: InputArtifact[TransformGraph],
    schema: InputArtifact[Schema],
    train_steps: Parameter[int],
    model: OutputArtifact[Model],
):
    pass


@component
def evaluate(
    examples: InputArtifact[Examples],
    model: InputArtifact[Model],
    schema: InputArtifact[Schema],
    evaluation: OutputArtifact[ModelEvaluation],
    blessing: OutputArtifact[ModelBlessing],
):
    blessing.set_int_custom_property("blessed", 1)


@component
def push(
    model: InputArtifact[Model], blessing: InputArtifact[ModelBlessing], pushed_model: OutputArtifact[PushedModel]
):
    pushed_model.set_int_custom_property("pushed", 1)
    pushed_model.set_string_custom_property("pushed_destination", "/srv/models/1")
