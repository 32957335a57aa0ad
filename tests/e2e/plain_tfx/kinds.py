# mypy: ignore-errors
"""Pipelines as people write them for plain TFX; together they have a node of each kind. Nothing here knows Penstock."""

import os

import parts
from tfx import types
from tfx.components import CsvExampleGen, ImportExampleGen, InfraValidator, Pusher, StatisticsGen, Tuner
from tfx.dsl.component.experimental import container_component, placeholders
from tfx.dsl.components.common.importer import Importer
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.control_flow.for_each import ForEach
from tfx.dsl.experimental.conditionals.conditional import Cond
from tfx.dsl.input_resolution.strategies.latest_artifact_strategy import LatestArtifactStrategy
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.dsl.placeholder import placeholder as ph
from tfx.orchestration.pipeline import Pipeline, PipelineInputs
from tfx.proto import example_gen_pb2, infra_validator_pb2, pusher_pb2, trainer_pb2
from tfx.types.channel import union
from tfx.types.standard_artifacts import ExternalArtifact, Model, ModelBlessing, Schema


def every_component(data: str, schema: str, times: int = 1):
    """Importer, ExampleGen, resolver, functions, an own component with dynamic parameters, Beam in both forms."""
    examples = CsvExampleGen(input_base=data)
    imported = Importer(source_uri=schema, artifact_type=Schema).with_id("schema")
    latest = Resolver(strategy_class=LatestArtifactStrategy, examples=examples.outputs["examples"]).with_id("latest")
    statistics = StatisticsGen(examples=latest.outputs["examples"], schema=imported.outputs["result"])
    counted = parts.count_splits(examples=latest.outputs["examples"])
    told = parts.tell(splits=counted.outputs["splits"], names=counted.outputs["names"], times=times)
    scaled = parts.Scale(
        number=counted.outputs["splits"].future()[0].value, run=ph.execution_invocation().pipeline_run_id
    )
    lines = parts.Lines(folder=data)
    total = parts.add_with_beam(first=scaled.outputs["scaled"], second=lines.outputs["lines"])
    return Pipeline(
        pipeline_name="every-component",
        components=[examples, imported, latest, statistics, counted, told, scaled, lines, total],
        enable_cache=True,
    )


def beam_processes(data: str):
    """Beam in processes of its own, with the options that TFX's examples have."""
    return Pipeline(
        pipeline_name="beam-processes",
        components=[parts.Lines(folder=data)],
        beam_pipeline_args=["--direct_running_mode=multi_processing", "--direct_num_workers=1"],
    )


def import_examples(folder: str):
    """Reads records that another pipeline's ExampleGen wrote."""
    splits = [
        example_gen_pb2.Input.Split(name=name, pattern=f"Split-{name}/data_tfrecord-*") for name in ("train", "eval")
    ]
    examples = ImportExampleGen(input_base=folder, input_config=example_gen_pb2.Input(splits=splits))
    return Pipeline(pipeline_name="import", components=[examples, StatisticsGen(examples=examples.outputs["examples"])])


def latest_blessed(blessed: int):
    """Looks for the latest blessed model of earlier runs, then makes one."""
    found = Resolver(
        strategy_class=LatestBlessedModelStrategy,
        model=types.Channel(type=Model),
        model_blessing=types.Channel(type=ModelBlessing),
    ).with_id("baseline")
    compared = parts.compare(baseline=found.outputs["model"])
    made = parts.make_model()
    made.add_upstream_node(found)
    judged = parts.judge(model=made.outputs["model"], blessed=blessed)
    return Pipeline(pipeline_name="blessed", components=[found, compared, made, judged])


def conditions(blessed: int, push_to: str):
    """Goes on only with a blessed model."""
    made = parts.make_model()
    judged = parts.judge(model=made.outputs["model"], blessed=blessed)
    with Cond(judged.outputs["blessing"].future()[0].custom_property("blessed") == 1):
        located = parts.locate(model=made.outputs["model"])
        again = parts.judge(model=made.outputs["model"], blessed=1).with_id("again")
        pushed_before = Importer(source_uri=push_to, artifact_type=ExternalArtifact).with_id("pushed_before")
    one = parts.start(number=1)
    needs_value = parts.tell(splits=one.outputs["made"], names=located.outputs["uri"])
    # Its blessing is an optional input, and TFX's Pusher takes a missing one for consent.
    pusher = Pusher(
        model=made.outputs["model"],
        model_blessing=again.outputs["blessing"],
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=push_to)
        ),
    )
    only_later = parts.start(number=2).with_id("only_later")
    only_later.add_upstream_node(located)
    return Pipeline(
        pipeline_name="conditions",
        components=[made, judged, located, again, pushed_before, one, needs_value, pusher, only_later],
    )


def _inner(number, name):
    inputs = PipelineInputs({"number": number})
    added = parts.add_one(number=inputs.inputs["number"]).with_id(f"{name}_add")
    alone = parts.start(number=100).with_id(f"{name}_alone")
    nested = _innermost(added.outputs["made"], name)
    return Pipeline(
        pipeline_name=name,
        components=[added, alone, nested],
        inputs=inputs,
        outputs={"made": nested.outputs["made"], "alone": alone.outputs["made"]},
    )


def _innermost(number, name):
    inputs = PipelineInputs({"number": number})
    added = parts.add_one(number=inputs.inputs["number"]).with_id(f"{name}_nested_add")
    return Pipeline(
        pipeline_name=f"{name}-nested",
        components=[added],
        inputs=inputs,
        outputs={"made": added.outputs["made"]},
    )


def sub_pipelines(number: int = 1):
    """Two sub-pipelines in a row, each with another inside; the second only for small numbers."""
    first = parts.start(number=number)
    one = _inner(first.outputs["made"], "one")
    with Cond(one.outputs["made"].future()[0].value < 10):
        two = _inner(one.outputs["made"], "two")
    last = parts.add_one(number=two.outputs["made"]).with_id("last")
    beside = parts.add_one(number=one.outputs["alone"]).with_id("beside")
    return Pipeline(pipeline_name="outer", components=[first, one, two, last, beside])


def same_id_twice():
    """Plain TFX allows one id in two sub-pipelines."""
    first = parts.start(number=1)
    subs = []
    for name in ("one", "two"):
        inputs = PipelineInputs({"number": first.outputs["made"]})
        added = parts.add_one(number=inputs.inputs["number"])
        subs.append(Pipeline(pipeline_name=name, components=[added], inputs=inputs))
    return Pipeline(pipeline_name="twice", components=[first, *subs])


def for_each(folder: str, names: str):
    """A loop over as many models as there are names."""
    sources = [
        Importer(source_uri=os.path.join(folder, name), artifact_type=Model).with_id(name) for name in names.split(",")
    ]
    with ForEach(union([source.outputs["result"] for source in sources])) as model:
        located = parts.locate(model=model)
    return Pipeline(pipeline_name="loop", components=[*sources, located])


def container():
    """A step in a container image."""
    make = container_component.create_container_component(
        name="Shout",
        image="alpine",
        parameters={"text": str},
        command=["echo", placeholders.InputValuePlaceholder("text")],
    )
    return Pipeline(pipeline_name="container", components=[make(text="hello"), parts.start(number=1)])


def infra_validator(docker: str):
    """Loads the model in a model server, which runs in Docker."""
    made = parts.make_model()
    validator = InfraValidator(
        model=made.outputs["model"],
        serving_spec=infra_validator_pb2.ServingSpec(
            tensorflow_serving=infra_validator_pb2.TensorFlowServing(tags=["latest"]),
            local_docker=infra_validator_pb2.LocalDockerConfig(client_base_url=docker),
        ),
    )
    return Pipeline(pipeline_name="infra", components=[made, validator])


def tuner(data: str, module_file: str):
    """Searches hyperparameters."""
    examples = CsvExampleGen(input_base=data)
    search = Tuner(
        examples=examples.outputs["examples"],
        module_file=module_file,
        train_args=trainer_pb2.TrainArgs(num_steps=3),
        eval_args=trainer_pb2.EvalArgs(num_steps=1),
    )
    return Pipeline(pipeline_name="tuner", components=[examples, search])
