"""Writes `penstock/spec/catalog.json` from the installed TFX and Penstock's own components.

The catalog is what lets a declaration be checked without loading TFX: each standard component with its inputs,
parameters and outputs, and each protobuf message those parameters take. Run

    python -m penstock.compiler.catalog_export           # rewrite the file
    python -m penstock.compiler.catalog_export --check   # exit status 1 if the file is out of date
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import sys
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

CATALOG_FILE = Path(__file__).resolve().parent.parent / "spec" / "catalog.json"

COMPONENTS = {
    "ArrowEvaluator": "penstock_components.arrow_evaluator.component:ArrowEvaluator",
    "ArrowExampleGen": "penstock_components.ingestion.component:ArrowExampleGen",
    "BulkInferrer": "tfx.components.bulk_inferrer.component:BulkInferrer",
    "CsvExampleGen": "tfx.components.example_gen.csv_example_gen.component:CsvExampleGen",
    "DistributionValidator": "tfx.components.distribution_validator.component:DistributionValidator",
    "Evaluator": "tfx.components.evaluator.component:Evaluator",
    "ExampleDiff": "tfx.components.example_diff.component:ExampleDiff",
    "ExampleValidator": "tfx.components.example_validator.component:ExampleValidator",
    "FileBasedExampleGen": "tfx.components.example_gen.component:FileBasedExampleGen",
    "ImportExampleGen": "tfx.components.example_gen.import_example_gen.component:ImportExampleGen",
    "ImportSchemaGen": "tfx.components.schema_gen.import_schema_gen.component:ImportSchemaGen",
    "InfraValidator": "tfx.components.infra_validator.component:InfraValidator",
    "ManualApproval": "penstock_components.approval:ManualApproval",
    "Pusher": "tfx.components.pusher.component:Pusher",
    "SchemaGen": "tfx.components.schema_gen.component:SchemaGen",
    "SqlExampleGen": "penstock_components.ingestion.sql_component:SqlExampleGen",
    "StatisticsGen": "tfx.components.statistics_gen.component:StatisticsGen",
    "Trainer": "tfx.components.trainer.component:Trainer",
    "Transform": "tfx.components.transform.component:Transform",
    "Tuner": "tfx.components.tuner.component:Tuner",
}

SYSTEM_NODES = {
    "Importer": "tfx.dsl.components.common.importer:Importer",
    "Resolver": "tfx.dsl.components.common.resolver:Resolver",
}

STRATEGIES = {
    "LatestArtifactStrategy": "tfx.dsl.input_resolution.strategies.latest_artifact_strategy:LatestArtifactStrategy",
    "LatestBlessedModelStrategy": (
        "tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy:LatestBlessedModelStrategy"
    ),
    "SpanRangeStrategy": "tfx.dsl.input_resolution.strategies.span_range_strategy:SpanRangeStrategy",
}

# Input parameters whose name differs from the key in the component's specification.
SPEC_KEYS = {
    ("ExampleDiff", "examples_test"): "examples",
    ("ExampleDiff", "examples_base"): "baseline_examples",
    ("Trainer", "transformed_examples"): "examples",
}

# Inputs whose executors read every artifact they get; all others take exactly one.
SEVERAL = {
    ("ArrowEvaluator", "examples"),
    ("BulkInferrer", "examples"),
    ("Evaluator", "examples"),
    ("Trainer", "examples"),
    ("Trainer", "transformed_examples"),
    ("Transform", "examples"),
    ("Tuner", "examples"),
}

# What the constructors accept as optional but cannot do without.
REQUIRED = {
    ("ArrowExampleGen", "input_base"),
    ("CsvExampleGen", "input_base"),
    ("FileBasedExampleGen", "input_base"),
    ("ImportExampleGen", "input_base"),
    ("FileBasedExampleGen", "custom_executor_spec"),
    ("BulkInferrer", "model"),
    ("Resolver", "strategy_class"),
}

# Checks the constructors make on several arguments together.
RULES: dict[str, list[dict[str, Any]]] = {
    "Trainer": [
        {"exactly_one": ["module_file", "run_fn"]},
        {"exactly_one": ["examples", "transformed_examples"]},
        {"if": "transformed_examples", "needs": "transform_graph"},
    ],
    "Transform": [
        {"exactly_one": ["module_file", "preprocessing_fn"]},
        {"at_most_one": ["module_file", "stats_options_updater_fn"]},
    ],
    "SqlExampleGen": [{"exactly_one": ["query", "input_config"]}],
    "Tuner": [{"exactly_one": ["module_file", "tuner_fn"]}],
    "ArrowEvaluator": [{"at_most_one": ["eval_config", "feature_slicing_spec"]}],
    "Evaluator": [{"at_most_one": ["eval_config", "feature_slicing_spec"]}],
    "Pusher": [
        {"at_least_one": ["model", "infra_blessing"]},
        {"at_least_one": ["push_destination", "custom_executor_spec"]},
    ],
}

# Outputs that exist only while a parameter is set (true) or is not (false).
OUTPUT_NEEDS = {
    ("BulkInferrer", "inference_result"): {"output_example_spec": False},
    ("BulkInferrer", "output_examples"): {"output_example_spec": True},
    ("Transform", "post_transform_anomalies"): {"disable_statistics": False},
    ("Transform", "post_transform_schema"): {"disable_statistics": False},
    ("Transform", "post_transform_stats"): {"disable_statistics": False},
    ("Transform", "pre_transform_schema"): {"disable_statistics": False},
    ("Transform", "pre_transform_stats"): {"disable_statistics": False},
    ("Transform", "transformed_examples"): {"materialize": True},
    ("Transform", "updated_analyzer_cache"): {"disable_analyzer_cache": False},
}

# Parameters that hold what their Python type does not tell.
KINDS = {
    "input_base": "path",
    "schema_file": "path",
    "source_uri": "path",
    "module_file": "file",
    "module_path": "str",
    "preprocessing_fn": "function",
    "run_fn": "function",
    "tuner_fn": "function",
    "stats_options_updater_fn": "function",
    "custom_executor_spec": "executor",
    "artifact_type": "artifact_type",
    "strategy_class": "strategy",
    "config": "dict",
}

# The function a module file must hold.
MODULE_FUNCTIONS = {"Trainer": "run_fn", "Transform": "preprocessing_fn", "Tuner": "tuner_fn"}

# Parameters that are numbers to Python and enums in meaning.
ENUMS = {
    "output_data_format": "tfx.proto.example_gen_pb2:PayloadFormat",
    "payload_format": "tfx.proto.example_gen_pb2:PayloadFormat",
    "output_file_format": "tfx.proto.example_gen_pb2:FileFormat",
}

# Message fields that hold JSON in a string, and ones that name a place in the file system.
JSON_FIELDS = {"tensorflow_model_analysis.MetricConfig.config"}
PATH_FIELDS = {"tfx.components.pusher.PushDestination.Filesystem.base_directory"}

# TFX's own classes that are made from keyword arguments, with those arguments that YAML can hold.
STATS_OPTIONS = "tensorflow_data_validation:StatsOptions"
NOT_IN_YAML = {
    "generators",
    "slice_functions",
    "experimental_slice_functions",
    "per_feature_stats_config",
    "per_feature_weight_override",
}

FIELD_KINDS = {
    FieldDescriptor.TYPE_DOUBLE: "float",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_STRING: "str",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_MESSAGE: "message",
    FieldDescriptor.TYPE_ENUM: "enum",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_SINT32: "int32",
    FieldDescriptor.TYPE_SFIXED32: "int32",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_FIXED32: "uint32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_SINT64: "int64",
    FieldDescriptor.TYPE_SFIXED64: "int64",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_FIXED64: "uint64",
}


class Messages:
    """Collects every message and enum reachable from those asked for."""

    def __init__(self) -> None:
        self.messages: dict[str, dict[str, Any]] = {}
        self.enums: dict[str, dict[str, Any]] = {}

    def add_message(self, descriptor: Descriptor) -> str:
        """Adds a message and all it refers to; returns its full name."""
        name = descriptor.full_name
        if name in self.messages:
            return name
        entry: dict[str, Any] = {"fields": {}}
        self.messages[name] = entry
        if not name.startswith("google.protobuf."):
            made_by = message_factory.GetMessageClass(descriptor)
            entry["python"] = f"{made_by.__module__}:{made_by.__qualname__}"
            for field in descriptor.fields:
                entry["fields"][field.name] = self._field(field)
        return name

    def add_enum(self, descriptor: EnumDescriptor) -> str:
        """Adds an enum; returns its full name."""
        self.enums[descriptor.full_name] = {value.name: value.number for value in descriptor.values}
        return descriptor.full_name

    def _field(self, field: FieldDescriptor) -> dict[str, Any]:
        entry: dict[str, Any] = {"kind": FIELD_KINDS[field.type]}
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            key, value = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
            entry = self._field(value)
            entry["map_key"] = FIELD_KINDS[key.type]
            return entry
        if field.message_type is not None:
            entry["type"] = self.add_message(field.message_type)
        if field.enum_type is not None:
            entry["type"] = self.add_enum(field.enum_type)
        if field.is_repeated:
            entry["repeated"] = True
        # proto3's `optional` makes a oneof of one field, which excludes nothing.
        if field.containing_oneof is not None and len(field.containing_oneof.fields) > 1:
            entry["oneof"] = field.containing_oneof.name
        if field.full_name in JSON_FIELDS:
            entry["json"] = True
        if field.full_name in PATH_FIELDS:
            entry["path"] = True
        return entry


def _alternatives(annotation: Any) -> list[Any]:
    """Returns the members of a union, without None, runtime parameters and placeholders."""
    from tfx.dsl.placeholder.placeholder_base import Placeholder
    from tfx.orchestration.data_types import RuntimeParameter

    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    members = typing.get_args(annotation) if is_union else (annotation,)
    return [member for member in members if member not in (type(None), RuntimeParameter, Placeholder)]


def _simple_kind(annotation: Any) -> str:
    origin = typing.get_origin(annotation) or annotation
    for python_type, kind in ((bool, "bool"), (int, "int"), (float, "float"), (str, "str")):
        if origin is python_type:
            return kind
    return {list: "list", dict: "dict"}.get(origin, "any")


def _parameter(name: str, annotation: Any, default: Any, messages: Messages) -> dict[str, Any]:
    entry: dict[str, Any] = {"required": default is inspect.Parameter.empty}
    kind = _alternatives(annotation)[0]
    if name in ENUMS:
        module, attribute = ENUMS[name].split(":")
        descriptor = getattr(importlib.import_module(module), attribute).DESCRIPTOR
        entry |= {"kind": "enum", "type": messages.add_enum(descriptor)}
        default = descriptor.values_by_number[default].name
    elif isinstance(message := getattr(kind, "DESCRIPTOR", None), Descriptor):
        entry |= {"kind": "message", "type": messages.add_message(message)}
    elif name in KINDS:
        entry["kind"] = KINDS[name]
    elif name == "stats_options":
        entry |= {"kind": "object", "type": STATS_OPTIONS}
    else:
        entry["kind"] = _simple_kind(kind)
        items = typing.get_args(kind)
        if entry["kind"] == "list" and _simple_kind(items[0]) != "any":
            entry["items"] = _simple_kind(items[0])
    if default not in (inspect.Parameter.empty, None):
        entry["default"] = default
    return entry


def _arguments(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    return {
        name: (parameter.annotation, parameter.default)
        for name, parameter in inspect.signature(function, eval_str=True).parameters.items()
        if name != "self" and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }


def _load(class_path: str) -> Any:
    module, attribute = class_path.split(":")
    return getattr(importlib.import_module(module), attribute)


def _component(name: str, class_path: str, messages: Messages) -> dict[str, Any]:
    from tfx.types.channel import BaseChannel

    component = _load(class_path)
    entry: dict[str, Any] = {"class": class_path, "inputs": {}, "parameters": {}, "outputs": {}}
    for argument, (annotation, default) in _arguments(component.__init__).items():
        if _alternatives(annotation) == [BaseChannel]:
            key = SPEC_KEYS.get((name, argument), argument)
            entry["inputs"][argument] = {
                "type": component.SPEC_CLASS.INPUTS[key].type.TYPE_NAME,
                "required": default is inspect.Parameter.empty,
            }
            if (name, argument) in SEVERAL:
                entry["inputs"][argument]["several"] = True
        else:
            entry["parameters"][argument] = _parameter(argument, annotation, default, messages)
        if (name, argument) in REQUIRED:
            (entry["inputs"] | entry["parameters"])[argument]["required"] = True
    for key, channel in getattr(getattr(component, "SPEC_CLASS", None), "OUTPUTS", {}).items():
        entry["outputs"][key] = {"type": channel.type.TYPE_NAME}
        if (name, key) in OUTPUT_NEEDS:
            entry["outputs"][key]["needs"] = OUTPUT_NEEDS[name, key]
    if name in RULES:
        entry["rules"] = RULES[name]
    if name in MODULE_FUNCTIONS:
        entry["module_function"] = MODULE_FUNCTIONS[name]
    return entry


def _strategy(class_path: str, messages: Messages) -> dict[str, Any]:
    strategy = _load(class_path)
    entry: dict[str, Any] = {"class": class_path, "parameters": {}}
    if strategy.__init__ is object.__init__:
        return entry
    for name, (annotation, default) in _arguments(strategy.__init__).items():
        if name == "range_config":  # annotated Any, because TFX imports the message late
            annotation = _load("tfx.proto.range_config_pb2:RangeConfig")
        entry["parameters"][name] = _parameter(name, annotation, default, messages)
    return entry


def _artifact_types() -> dict[str, str]:
    from tfx.types import standard_artifacts
    from tfx.types.artifact import Artifact

    found = {}
    for name, artifact in vars(standard_artifacts).items():
        is_artifact = isinstance(artifact, type) and issubclass(artifact, Artifact)
        if is_artifact and artifact.TYPE_NAME and artifact.__module__ == standard_artifacts.__name__:
            found[artifact.TYPE_NAME] = f"{standard_artifacts.__name__}:{name}"
    return found


def _stats_options(messages: Messages) -> dict[str, Any]:
    options = _load(STATS_OPTIONS)
    parameters = {}
    for name, (annotation, default) in _arguments(options.__init__).items():
        if name not in NOT_IN_YAML:
            parameters[name] = _parameter(name, annotation, default, messages)
    return {"parameters": parameters}


def build() -> dict[str, Any]:
    """Introspects the installed TFX and returns the catalog as plain data."""
    messages = Messages()
    components = {name: _component(name, path, messages) for name, path in (COMPONENTS | SYSTEM_NODES).items()}
    strategies = {name: _strategy(path, messages) for name, path in STRATEGIES.items()}
    objects = {STATS_OPTIONS: _stats_options(messages)}
    return {
        "artifact_types": _artifact_types(),
        "components": components,
        "enums": messages.enums,
        "messages": messages.messages,
        "objects": objects,
        "strategies": strategies,
    }


def render(catalog: dict[str, Any]) -> str:
    """Returns the catalog as the text of the file: sorted, one entry a line where short."""
    return json.dumps(catalog, indent=1, sort_keys=True) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Writes or checks the file; returns the exit status."""
    parser = argparse.ArgumentParser(description="Write the component catalog from the installed TFX.")
    parser.add_argument("--check", action="store_true", help="only tell whether the file is current")
    check = parser.parse_args(arguments).check
    text = render(build())
    current = CATALOG_FILE.is_file() and CATALOG_FILE.read_text() == text
    if check:
        if not current:
            print(f"{CATALOG_FILE} is out of date: python -m penstock.compiler.catalog_export", file=sys.stderr)
        return 0 if current else 1
    if not current:
        CATALOG_FILE.write_text(text)
    print(f"{CATALOG_FILE}: {'unchanged' if current else 'written'}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
