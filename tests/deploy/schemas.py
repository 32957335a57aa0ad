"""Kubernetes' own description of its objects, as JSON schemas that refuse what they do not know."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs

from tests.deploy.chart import Manifest


class Schemas:
    """The objects of one version of Kubernetes, from the OpenAPI file of its release."""

    def __init__(self, file: Path):
        self.version = file.stem.removeprefix("kubernetes-")
        self._definitions = {
            name: _strict(definition) for name, definition in json.loads(file.read_text())["definitions"].items()
        }
        self._names = {
            (f"{each['group']}/" * bool(each["group"]) + each["version"], each["kind"]): name
            for name, definition in self._definitions.items()
            for each in definition.get("x-kubernetes-group-version-kind", ())
        }
        self._validators: dict[str, Any] = {}

    def problems(self, manifest: Manifest) -> list[str]:
        """What is wrong with a manifest: unknown keys and kinds, missing ones, wrong types."""
        kind = (manifest["apiVersion"], manifest["kind"])
        name = self._names.get(kind)
        if name is None:
            return [f"there is no {kind[1]} of {kind[0]}"]
        if name not in self._validators:
            schema = {"$ref": f"#/definitions/{name}", "definitions": self._definitions}
            self._validators[name] = jsonschema_rs.Draft7Validator(schema)
        return [
            f"{'.'.join(map(str, error.instance_path))}: {error.message}"
            for error in self._validators[name].iter_errors(manifest)
        ]


def _strict(definition: Mapping[str, Any]) -> dict[str, Any]:
    """A definition that takes its own keys alone, and both kinds of values where OpenAPI's `format` says so."""
    schema = {key: value for key, value in definition.items() if key not in ("format", "description")}
    if definition.get("format") == "int-or-string":
        schema["type"] = ["integer", "string"]
    if "properties" in definition:
        schema["properties"] = {name: _strict(entry) for name, entry in definition["properties"].items()}
        schema["additionalProperties"] = False
    elif isinstance(definition.get("additionalProperties"), Mapping):
        schema["additionalProperties"] = _strict(definition["additionalProperties"])
    if isinstance(definition.get("items"), Mapping):
        schema["items"] = _strict(definition["items"])
    return schema
