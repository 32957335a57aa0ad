"""Writes `pipeline.schema.json`, the JSON Schema of a declaration for editors.

    python -m penstock.spec.json_schema           # rewrite the file
    python -m penstock.spec.json_schema --check   # exit status 1 if the file is out of date

The schema is looser than the loader: it knows names and types, not references between nodes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from penstock.spec import catalog as catalog_module
from penstock.spec.catalog import Catalog, Component, Field, Parameter
from penstock.spec.cluster import Cluster
from penstock.spec.messages import WRAPPED
from penstock.spec.model import (
    EACH_NAME_PATTERN,
    ENVIRONMENT_NAME_PATTERN,
    NAME_PATTERN,
    NODE_ID_PATTERN,
    PARAMETER_NAME_PATTERN,
    Backend,
    ParameterType,
    Runner,
)

SCHEMA_FILE = Path(__file__).with_name("pipeline.schema.json")

Schema = dict[str, Any]

_REFERENCE: Schema = {"$ref": "#/$defs/reference"}
_OUTPUT: Schema = {"$ref": "#/$defs/output"}
_TYPES: dict[str, Schema] = {
    "int": {"type": "integer"},
    "int32": {"type": "integer"},
    "uint32": {"type": "integer", "minimum": 0},
    "int64": {"type": "integer"},
    "uint64": {"type": "integer", "minimum": 0},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "list": {"type": "array"},
    "dict": {"type": "object"},
    "any": {},
    "unknown": {},
}
_TEXT: Schema = {"type": "string"}
_TEXT_KINDS = {"str", "bytes", "path", "file", "function", "executor", "artifact_type", "strategy"}


def build() -> Schema:
    """Returns the schema, made from the catalog and the models."""
    catalog = catalog_module.load()
    definitions: Schema = {
        "reference": {"type": "string", "pattern": r"\$\{", "description": "A ${…} reference."},
        "output": {
            "type": "string",
            "pattern": r"^\$\{\s*(nodes|each)\.",
            "description": "An output of another node: ${nodes.NODE.OUTPUT}; or the artifact it runs for: ${each.NAME}",
        },
        "duration": _or_reference(
            {
                "anyOf": [
                    {"type": "number", "minimum": 0},
                    {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*[smhd]?\s*$"},
                ]
            }
        ),
        "environment_variables": {"type": "object", "additionalProperties": {"type": ["string", "number"]}},
        "resources": _closed(
            {
                "cpu": _or_reference({"type": "number", "exclusiveMinimum": 0}),
                "memory": {"type": ["string", "integer"], "description": "In Kubernetes notation, like 8Gi."},
                "gpu": _or_reference({"type": "integer", "minimum": 0}),
            }
        ),
        "parameter": _parameter_schema(),
        "environment": _environment_schema(),
        "node": _node_schema(catalog),
        **_cluster_schemas(),
    }
    for name, component in catalog.components.items():
        definitions[f"component.{name}"] = _component_schema(component)
    for name, message in catalog.messages.items():
        if name in WRAPPED:
            definitions[name] = _or_reference(_plain(WRAPPED[name]))
        elif name.startswith("google.protobuf."):
            definitions[name] = {}
        else:
            fields = {key: _field_schema(field) for key, field in message.fields.items()}
            definitions[name] = _or_reference(_closed(fields))
    for name, values in catalog.enums.items():
        definitions[name] = _or_reference({"enum": list(values)})
    for name, parameters in catalog.objects.items():
        definitions[name] = _or_reference(_closed(_parameter_schemas(parameters)))
    top = _closed(
        {
            "penstock": {"const": 1, "description": "Version of the language."},
            "name": {"type": "string", "pattern": f"^{NAME_PATTERN}$", "description": "The pipeline's name."},
            "description": {"type": "string", "description": "What the pipeline is for."},
            "parameters": _named(PARAMETER_NAME_PATTERN, {"$ref": "#/$defs/parameter"}),
            "nodes": _named(NODE_ID_PATTERN, {"$ref": "#/$defs/node"}) | {"minProperties": 1},
            "environments": _named(ENVIRONMENT_NAME_PATTERN, {"$ref": "#/$defs/environment"}),
            **_policy(),
        },
        required=["penstock", "name", "nodes"],
    )
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Penstock pipeline declaration"}
    return {**head, **top, "$defs": definitions}


def render() -> str:
    """Returns the text of the file."""
    return json.dumps(build(), indent=1) + "\n"


def _closed(properties: Schema, required: list[str] | None = None) -> Schema:
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": required} if required else {})


def _named(pattern: str, value: Schema) -> Schema:
    return {"type": ["object", "null"], "propertyNames": {"pattern": f"^{pattern}$"}, "additionalProperties": value}


def _or_reference(schema: Schema) -> Schema:
    return {"anyOf": [schema, _REFERENCE]} if schema else {}


def _plain(kind: str) -> Schema:
    return _TEXT if kind in _TEXT_KINDS else _TYPES[kind]


def _value(kind: str) -> Schema:
    """A value of a simple kind, or a reference where the kind is not text already."""
    return _plain(kind) if kind in _TEXT_KINDS else _or_reference(_plain(kind))


def _field_schema(field: Field) -> Schema:
    schema = {"$ref": f"#/$defs/{field.type}"} if field.type else _value(field.kind)
    if field.json:
        schema = {"type": ["object", "string"]}
    if field.map_key is not None:
        return _or_reference({"type": "object", "additionalProperties": schema})
    return _or_reference({"type": "array", "items": schema}) if field.repeated else schema


def _parameter_schemas(parameters: Mapping[str, Parameter]) -> Schema:
    found: Schema = {}
    for name, parameter in parameters.items():
        schema = {"$ref": f"#/$defs/{parameter.type}"} if parameter.type else _value(parameter.kind)
        if parameter.items is not None:
            schema = _or_reference({"type": "array", "items": _value(parameter.items)})
        found[name] = schema if parameter.default is None else {**schema, "default": parameter.default}
    return found


def _component_schema(component: Component) -> Schema:
    inputs = {
        name: {
            "anyOf": [_OUTPUT, {"type": "array", "items": _OUTPUT}] if entry.several else [_OUTPUT],
            "description": f"An output of type {entry.type}.",
        }
        for name, entry in component.inputs.items()
    }
    required = [name for name, entry in component.inputs.items() if entry.required]
    required += [name for name, parameter in component.parameters.items() if parameter.required]
    properties: Schema = {"component": True, **inputs, **_parameter_schemas(component.parameters), **_options()}
    schema = _closed(properties, required)
    if component.name == "Resolver":
        channel = _closed(
            {"type": _TEXT, "producer_component_id": _TEXT, "output_key": _TEXT},
            required=["type"],
        )
        schema["additionalProperties"] = {"anyOf": [_OUTPUT, {"type": "array", "items": _OUTPUT}, channel]}
    return schema


def _options() -> Schema:
    return {
        "retries": _or_reference({"type": "integer", "minimum": 0, "maximum": 100}),
        "backoff": {"$ref": "#/$defs/duration"},
        "timeout": {"$ref": "#/$defs/duration"},
        "cache": {
            "anyOf": [
                _value("bool"),
                _closed({"enabled": _value("bool"), "ttl": {"$ref": "#/$defs/duration"}}),
            ]
        },
        "resources": {"$ref": "#/$defs/resources"},
        "env": {"$ref": "#/$defs/environment_variables"},
        "after": {"type": "array", "items": _TEXT, "description": "Nodes that must end before this one starts."},
        "runner": _or_reference({"enum": list(get_args(Runner))}),
        "when": {"type": "string", "description": "What must hold: ${nodes.evaluator.blessing}.blessed == 1"},
        "for_each": {
            "anyOf": [
                {"type": "string", "description": "Another node that has for_each: once for each of its nodes."},
                {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": 1,
                    "propertyNames": {"pattern": f"^{EACH_NAME_PATTERN}$"},
                    "additionalProperties": _or_reference({"type": "array", "minItems": 1}),
                },
            ],
            "description": "A name and what to run for: {city: [a, b]}, or the artifacts of an output.",
        },
    }


def _policy() -> Schema:
    handler = _closed(
        {
            "command": {"type": "array", "items": _TEXT, "minItems": 1},
            "webhook": {"type": "string", "pattern": "^https?://"},
            "node": {"type": "string", "pattern": f"^{NODE_ID_PATTERN}$"},
            "timeout": {"$ref": "#/$defs/duration"},
        }
    )
    handlers = {"type": "array", "items": handler}
    concurrency = _closed(
        {"policy": {"enum": ["queue", "skip", "replace"]}, "limit": {"type": "integer", "minimum": 1}}, ["policy"]
    )
    return {
        "timeout": {"$ref": "#/$defs/duration"},
        "concurrency": concurrency,
        **dict.fromkeys(("on_success", "on_failure", "always"), handlers),
    }


def _node_schema(catalog: Catalog) -> Schema:
    component: Schema = {"anyOf": [{"enum": list(catalog.components)}, {"type": "string", "pattern": r"^[\w.]+:\w+$"}]}
    rules = [
        {
            "if": {"properties": {"component": {"const": name}}, "required": ["component"]},
            "then": {"$ref": f"#/$defs/component.{name}"},
        }
        for name in catalog.components
    ]
    properties = {"component": component, **_options()}
    return {"type": "object", "required": ["component"], "properties": properties, "allOf": rules}


def _parameter_schema() -> Schema:
    return _closed(
        {
            "type": {"enum": list(get_args(ParameterType))},
            "default": {"description": "The value if none is given; a parameter without one is required."},
            "help": _TEXT,
            "min": {"type": "number"},
            "max": {"type": "number"},
            "choices": {"type": "array", "minItems": 1},
        },
        required=["type"],
    )


def _environment_schema() -> Schema:
    return _closed(
        {
            "backend": _or_reference({"enum": list(get_args(Backend))}),
            "runner": _or_reference({"enum": list(get_args(Runner))}),
            "pipeline_root": {"type": "string", "description": "Folder or URL that artifacts are written under."},
            "metadata": {"type": "string", "description": "Metadata store: a folder or a postgresql:// URL."},
            "beam_args": {"type": "array", "items": _TEXT},
            "jobs": _or_reference({"type": "integer", "minimum": 1}),
            "env": {"$ref": "#/$defs/environment_variables"},
            "resources": {"$ref": "#/$defs/resources"},
            "kubeflow": {"$ref": "#/$defs/cluster"},
            "sample_rows": _or_reference({"type": "integer", "minimum": 0, "maximum": 100}),
        }
    )


def _cluster_schemas() -> dict[str, Schema]:
    schema = Cluster.model_json_schema(ref_template="#/$defs/cluster.{model}")
    inner = {f"cluster.{name}": entry for name, entry in schema.pop("$defs").items()}
    return {"cluster": schema, **inner}


def main(arguments: list[str] | None = None) -> int:
    """Writes or checks the file; returns the exit status."""
    parser = argparse.ArgumentParser(description="Write the JSON Schema of a declaration.")
    parser.add_argument("--check", action="store_true", help="only tell whether the file is current")
    text = render()
    current = SCHEMA_FILE.is_file() and SCHEMA_FILE.read_text(encoding="utf-8") == text
    if parser.parse_args(arguments).check:
        if not current:
            print(f"{SCHEMA_FILE} is out of date: python -m penstock.spec.json_schema", file=sys.stderr)
        return 0 if current else 1
    SCHEMA_FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
