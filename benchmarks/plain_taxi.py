# mypy: ignore-errors
"""The Chicago taxi pipeline as people write it for plain TFX, run by TFX's LocalDagRunner.

    python -m benchmarks.plain_taxi SETTINGS

SETTINGS is a JSON file with `home`, `data`, `train_steps`, `eval_steps` and `evaluations`: node id to `eval_config`.
The model's code and the parameters are those of pipelines/chicago_taxi. Writes the seconds of each node to
HOME/seconds.json.
"""

import json
import sys
import time
from pathlib import Path

from google.protobuf import json_format
from tfx import v1 as tfx
from tfx.orchestration.portable import launcher

BEAM = ["--direct_running_mode=in_memory", "--direct_num_workers=1"]


def pipeline(settings):
    home = Path(settings["home"])
    splits = [
        tfx.proto.SplitConfig.Split(name="train", hash_buckets=2),
        tfx.proto.SplitConfig.Split(name="eval", hash_buckets=1),
    ]
    examples = tfx.components.CsvExampleGen(
        input_base=settings["data"], output_config=tfx.proto.Output(split_config=tfx.proto.SplitConfig(splits=splits))
    ).with_id("examples")
    statistics = tfx.components.StatisticsGen(examples=examples.outputs["examples"]).with_id("statistics")
    schema = tfx.components.SchemaGen(statistics=statistics.outputs["statistics"], infer_feature_shape=False).with_id(
        "schema"
    )
    validator = tfx.components.ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
    ).with_id("example_validator")
    transform = tfx.components.Transform(
        examples=examples.outputs["examples"],
        schema=schema.outputs["schema"],
        preprocessing_fn="chicago_taxi.features.preprocessing_fn",
    ).with_id("transform")
    trainer = tfx.components.Trainer(
        run_fn="chicago_taxi.model.run_fn",
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema.outputs["schema"],
        train_args=tfx.proto.TrainArgs(num_steps=settings["train_steps"]),
        eval_args=tfx.proto.EvalArgs(num_steps=settings["eval_steps"]),
        custom_config={"batch_size": 64, "learning_rate": 0.001},
    ).with_id("trainer")
    baseline = tfx.dsl.Resolver(
        strategy_class=tfx.dsl.experimental.LatestBlessedModelStrategy,
        model=tfx.dsl.Channel(type=tfx.types.standard_artifacts.Model),
        model_blessing=tfx.dsl.Channel(type=tfx.types.standard_artifacts.ModelBlessing),
    ).with_id("baseline")
    evaluators = [
        tfx.components.Evaluator(
            examples=examples.outputs["examples"],
            example_splits=["eval"],
            schema=schema.outputs["schema"],
            model=trainer.outputs["model"],
            baseline_model=baseline.outputs["model"],
            eval_config=json_format.ParseDict(config, _eval_config()),
        ).with_id(name)
        for name, config in settings["evaluations"].items()
    ]
    pusher = tfx.components.Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluators[0].outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(base_directory=str(home / "pushed"))
        ),
    ).with_id("pusher")
    return tfx.dsl.Pipeline(
        pipeline_name="chicago-taxi",
        pipeline_root=str(home / "root"),
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(str(home / "mlmd.db")),
        components=[examples, statistics, schema, validator, transform, trainer, baseline, *evaluators, pusher],
        enable_cache=True,
        beam_pipeline_args=BEAM,
    )


def main():
    settings = json.loads(Path(sys.argv[1]).read_text())
    seconds = {}
    launch = launcher.Launcher.launch

    def timed(self):
        began = time.perf_counter()
        try:
            return launch(self)
        finally:
            seconds[self._pipeline_node.node_info.id] = time.perf_counter() - began

    launcher.Launcher.launch = timed
    tfx.orchestration.LocalDagRunner().run(pipeline(settings))
    Path(settings["home"], "seconds.json").write_text(json.dumps(seconds))


def _eval_config():
    import tensorflow_model_analysis as tfma

    return tfma.EvalConfig()


if __name__ == "__main__":
    from penstock.engine import tfdv_shim

    tfdv_shim.install()
    main()
