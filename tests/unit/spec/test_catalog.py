"""The checked-in catalog and JSON Schema are what their generators write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from penstock.spec import catalog, json_schema

# Builds each message of a rich declaration with the real protobuf classes, in a process that may load TFX.
PARSE_ALL = """
import importlib, json, sys
from penstock.compiler import catalog_export
status = catalog_export.main(["--check"])
from google.protobuf import json_format
from penstock.spec import catalog
known = catalog.load()
for name, value in json.load(sys.stdin):
    module, _, path = known.messages[name].python.partition(":")
    message = importlib.import_module(module)
    for part in path.split("."):
        message = getattr(message, part)
    json_format.ParseDict(value, message())
sys.exit(status)
"""


def _example(name: str, depth: int = 0) -> dict[str, Any]:
    """Returns a value for every field of a message, one of each oneof, three levels deep."""
    known = catalog.load()
    groups: set[str] = set()
    value: dict[str, Any] = {}
    for key, field in known.messages[name].fields.items():
        if field.oneof is not None:
            if field.oneof in groups:
                continue
            groups.add(field.oneof)
        item: Any = {"float": 0.5, "bool": True, "str": "{}", "bytes": "eA=="}.get(field.kind, 1)
        if field.kind == "enum":
            item = next(iter(known.enums[str(field.type)]))
        elif field.kind == "message":
            if depth > 3:
                continue
            wrapped = {"DoubleValue": 0.5, "Int32Value": 1, "BoolValue": True}
            short = str(field.type).removeprefix("google.protobuf.")
            item = {} if short == "Any" else wrapped.get(short) or _example(str(field.type), depth + 1)
        if field.map_key is not None:
            item = {"1" if field.map_key != "str" else "k": item}
        elif field.repeated:
            item = [item]
        value[key] = item
    return value


def test_catalog_is_current_and_its_messages_are_real() -> None:
    known = catalog.load()
    examples = [(name, _example(name)) for name, message in known.messages.items() if message.python]
    assert len(examples) > 100
    done = subprocess.run(
        [sys.executable, "-c", PARSE_ALL],
        input=json.dumps(examples),
        text=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_json_schema_is_current() -> None:
    assert json_schema.main(["--check"]) == 0


def test_every_reference_of_the_schema_resolves() -> None:
    schema = json_schema.build()
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                found.append(value["$ref"])
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(schema)
    assert found
    assert {reference.removeprefix("#/$defs/") for reference in found} <= schema["$defs"].keys()


def test_rules_and_needs_name_real_arguments() -> None:
    for component in catalog.load().components.values():
        known = {*component.inputs, *component.parameters}
        for rule in component.rules:
            named = [rule["if"], rule["needs"]] if "if" in rule else next(iter(rule.values()))
            assert set(named) <= known, component.name
        for output in component.outputs.values():
            assert set(output.needs) <= set(component.parameters), component.name
