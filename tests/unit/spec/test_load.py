"""What a right declaration becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock import spec
from penstock.errors import DeclarationError
from penstock.spec import ChannelQuery, OutputReference
from tests.unit.spec.conftest import Write

WHOLE = """
parameters:
  data: {type: path, default: data}
  steps: {type: int, default: 10, min: 1}
  rate: {type: float, default: 1}
  names: {type: list, default: [a, b]}
  tag: {type: str, default: v1}
nodes:
  examples:
    component: CsvExampleGen
    input_base: ${parameters.data}
    output_config: {split_config: {splits: [{name: train, hash_buckets: 2}, {name: eval, hash_buckets: 1}]}}
  statistics: {component: StatisticsGen, examples: "${nodes.examples.examples}", stats_options: {num_top_values: 5}}
  schema: {component: SchemaGen, statistics: "${nodes.statistics.statistics}"}
  baseline:
    component: Resolver
    strategy_class: LatestBlessedModelStrategy
    model: {type: Model}
    model_blessing: {type: ModelBlessing}
  trainer:
    component: Trainer
    run_fn: code.run_fn
    examples: ["${nodes.examples.examples}"]
    schema: ${nodes.schema.schema}
    train_args: {num_steps: "${parameters.steps}", splits: "${parameters.names}"}
    custom_config: {rate: "${parameters.rate}", label: "run ${parameters.tag} of ${pipeline.name}", raw: "$${x}"}
    retries: 2
    backoff: 10s
    timeout: 1.5h
    cache: false
    resources: {cpu: 4, memory: 8Gi, gpu: 1}
    env: {THREADS: 4, WHO: "${env.WHO}"}
    after: [baseline]
    runner: prism
  evaluator:
    component: Evaluator
    examples: ${nodes.examples.examples}
    model: ${nodes.trainer.model}
    baseline_model: ${nodes.baseline.model}
    eval_config:
      metrics_specs:
        - metrics:
            - {class_name: AUC, config: {name: pr, curve: PR}}
            - class_name: BinaryAccuracy
              threshold: {value_threshold: {lower_bound: 0.5}, change_threshold: {direction: HIGHER_IS_BETTER}}
      options: {compute_confidence_intervals: true}
  pusher:
    component: Pusher
    model: ${nodes.trainer.model}
    push_destination: {filesystem: {base_directory: out}}
environments:
  local: {runner: direct, jobs: 2}
  cluster: {backend: kubeflow, runner: flink, metadata: "postgresql://u:${env.PASSWORD}@h/db", pipeline_root: s3://b/r}
"""


def test_a_whole_declaration(write: Write, tmp_path: Path) -> None:
    declaration = spec.load(write(WHOLE), environ={"WHO": "me"})
    assert declaration.name == "test"
    assert declaration.project == tmp_path
    assert declaration.import_roots == (tmp_path,)
    assert list(declaration.nodes) == [
        "examples",
        "statistics",
        "schema",
        "baseline",
        "trainer",
        "evaluator",
        "pusher",
    ]
    assert declaration.environments == ("local", "cluster")
    assert (declaration.environment.name, declaration.environment.runner, declaration.environment.jobs) == (
        "local",
        "direct",
        2,
    )
    assert declaration.parameter_values == {
        "data": str(tmp_path / "data"),
        "steps": 10,
        "rate": 1.0,
        "names": ["a", "b"],
        "tag": "v1",
    }
    assert declaration.nodes["baseline"].arguments == {
        "strategy_class": "LatestBlessedModelStrategy",
        "model": ChannelQuery("Model"),
        "model_blessing": ChannelQuery("ModelBlessing"),
    }
    trainer = declaration.nodes["trainer"]
    assert trainer.arguments == {
        "run_fn": "code.run_fn",
        "examples": (OutputReference("examples", "examples"),),
        "schema": OutputReference("schema", "schema"),
        "train_args": {"num_steps": 10, "splits": ["a", "b"]},
        "custom_config": {"rate": 1.0, "label": "run v1 of test", "raw": "${x}"},
    }
    assert trainer.references() == [OutputReference("examples", "examples"), OutputReference("schema", "schema")]
    options = trainer.options
    assert (options.retries, options.backoff_seconds, options.timeout_seconds) == (2, 10.0, 5400.0)
    assert (options.cache.enabled, options.after, options.runner) == (False, ["baseline"], "prism")
    assert options.env == {"THREADS": "4", "WHO": "me"}
    assert (options.resources.cpu, options.resources.memory, options.resources.gpu) == (4.0, "8Gi", 1)
    metrics = declaration.nodes["evaluator"].arguments["eval_config"]["metrics_specs"][0]["metrics"]
    assert metrics[0] == {"class_name": "AUC", "config": '{"curve": "PR", "name": "pr"}'}
    assert declaration.nodes["pusher"].arguments["push_destination"] == {
        "filesystem": {"base_directory": str(tmp_path / "out")}
    }


def test_places_of_nodes_and_values(write: Write) -> None:
    declaration = spec.load(write(WHOLE), environ={"WHO": "me"})
    lines = declaration.file.read_text().splitlines()
    place = declaration.place("trainer", "train_args", "num_steps")
    assert lines[place.line - 1][place.column - 1 :].startswith('"${parameters.steps}"')
    place = declaration.place("trainer")
    assert lines[place.line - 1][place.column - 1 :] == "trainer:"


def test_a_named_environment_sees_its_variables(write: Write) -> None:
    file = write(WHOLE)
    declaration = spec.load(file, environment="cluster", environ={"WHO": "me", "PASSWORD": "secret"})
    assert declaration.environment.metadata == "postgresql://u:secret@h/db"
    assert declaration.environment.pipeline_root == "s3://b/r"
    assert "secret" not in repr(declaration.environment)
    with pytest.raises(DeclarationError, match="The environment variable PASSWORD is not set"):
        spec.load(file, environment="cluster", environ={"WHO": "me"})


NODES = "nodes: {e: {component: CsvExampleGen, input_base: x}}\n"


@pytest.mark.parametrize(
    ("environments", "chosen", "backend"),
    [
        ("", "local", "local"),
        ("environments: {far: {backend: kubeflow}}\n", "far", "kubeflow"),
        ("environments: {far: {backend: kubeflow}, local: {runner: prism}}\n", "local", "local"),
        ("environments: {far: {backend: kubeflow}, near: {}}\n", "local", "local"),
    ],
)
def test_environment_when_none_is_named(write: Write, environments: str, chosen: str, backend: str) -> None:
    environment = spec.load(write(NODES + environments)).environment
    assert (environment.name, environment.backend) == (chosen, backend)


@pytest.mark.parametrize(
    ("declared", "given", "value"),
    [
        ("int", "12", 12),
        ("float", "1e-3", 0.001),
        ("float", "2", 2.0),
        ("bool", "true", True),
        ("str", "12", "12"),
        ("str", "", ""),
        ("list", "[1, b]", [1, "b"]),
        ("dict", "{a: 1}", {"a": 1}),
    ],
)
def test_given_values_are_read_by_type(write: Write, declared: str, given: str, value: object) -> None:
    file = write(f"parameters: {{p: {{type: {declared}}}}}\n{NODES}")
    assert spec.load(file, parameters={"p": given}).parameter_values == {"p": value}


def test_given_paths_are_relative_to_the_current_folder(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(f"parameters: {{p: {{type: path, default: a/../b}}}}\n{NODES}")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("HOME", "/home/someone")
    assert spec.load(file).parameter_values == {"p": str(tmp_path / "b")}
    assert spec.load(file, parameters={"p": "c"}).parameter_values == {"p": str(elsewhere / "c")}
    assert spec.load(file, parameters={"p": "~/c"}).parameter_values == {"p": "/home/someone/c"}
    assert spec.load(file, parameters={"p": "gs://b/c"}).parameter_values == {"p": "gs://b/c"}


def test_package_paths_are_found_without_importing(write: Write) -> None:
    import hypothesis

    file = write(f"parameters: {{p: {{type: path, default: 'package://hypothesis/strategies'}}}}\n{NODES}")
    expected = Path(hypothesis.__file__).parent / "strategies"
    assert spec.load(file).parameter_values == {"p": str(expected)}


def test_folder_with_package_file_and_project_root(tmp_path: Path) -> None:
    folder = tmp_path / "project" / "pipelines" / "taxi"
    folder.mkdir(parents=True)
    (tmp_path / "project" / "pyproject.toml").touch()
    (folder / "__init__.py").touch()
    (folder / "model.py").write_text("def run_fn(a): ...\n")
    (folder / "pipeline.yaml").write_text(
        "penstock: 1\nname: taxi\nnodes:\n"
        "  e: {component: ImportExampleGen, input_base: x}\n"
        "  t: {component: Trainer, run_fn: taxi.model.run_fn, examples: '${nodes.e.examples}'}\n"
    )
    declaration = spec.load(folder)
    assert declaration.project == tmp_path / "project"
    assert declaration.import_roots == (folder, folder.parent)


def test_importer_and_own_output_key(write: Write) -> None:
    file = write(
        """
        nodes:
          s: {component: Importer, source_uri: schemas, artifact_type: Schema, output_key: mine, properties: {a: 1}}
          e: {component: CsvExampleGen, input_base: x}
          st: {component: StatisticsGen, examples: "${nodes.e.examples}", schema: "${nodes.s.mine}"}
        """
    )
    declaration = spec.load(file)
    assert declaration.nodes["s"].arguments["source_uri"] == str(file.parent / "schemas")
    assert declaration.nodes["st"].arguments["schema"] == OutputReference("s", "mine")


def test_enums_are_numbers_and_bytes_are_base64(write: Write) -> None:
    file = write(
        """
        nodes:
          e: {component: ImportExampleGen, input_base: x, payload_format: FORMAT_PROTO}
          spans:
            component: Resolver
            strategy_class: SpanRangeStrategy
            config: {range_config: {rolling_range: {num_spans: 3}}}
            examples: "${nodes.e.examples}"
        """
    )
    nodes = spec.load(file).nodes
    assert nodes["e"].arguments["payload_format"] == 11
    assert nodes["spans"].arguments["config"] == {"range_config": {"rolling_range": {"num_spans": 3}}}
