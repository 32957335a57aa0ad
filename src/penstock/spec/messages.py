"""Checks plain values against protobuf messages of the catalog."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from penstock.spec import paths, values
from penstock.spec.catalog import Catalog, Field
from penstock.spec.model import OutputReference
from penstock.spec.problems import Problems, describe
from penstock.spec.substitution import UNKNOWN
from penstock.spec.yaml_source import ValuePath

# Well-known types that are written as the plain value they wrap.
WRAPPED = {
    "google.protobuf.BoolValue": "bool",
    "google.protobuf.BytesValue": "bytes",
    "google.protobuf.DoubleValue": "float",
    "google.protobuf.FloatValue": "float",
    "google.protobuf.Int32Value": "int32",
    "google.protobuf.Int64Value": "int64",
    "google.protobuf.StringValue": "str",
    "google.protobuf.UInt32Value": "uint32",
    "google.protobuf.UInt64Value": "uint64",
}


class MessageChecker:
    """Checks values at any depth; what it returns is what `google.protobuf.json_format.ParseDict` takes."""

    def __init__(self, catalog: Catalog, problems: Problems, folder: Path):
        self.catalog = catalog
        self.problems = problems
        self.folder = folder

    def message(self, type_name: str, value: Any, path: ValuePath) -> Any:
        """Checks the value at `path` against a message by its full name."""
        if value is UNKNOWN:
            return value
        if type_name in WRAPPED:
            return self._plain(WRAPPED[type_name], value, path)
        if type_name.startswith("google.protobuf."):
            return value
        short = type_name.rpartition(".")[2]
        if not isinstance(value, dict):
            self.problems.at_value(path, f"{_last_name(path)} wants a mapping ({short}).", found=describe(value))
            return UNKNOWN
        fields = self.catalog.messages[type_name].fields
        result = {}
        groups: dict[str, str] = {}
        for name, item in value.items():
            place = (*path, name)
            field = fields.get(name)
            if field is None:
                message = f"{short} has no field {name!r}."
                self.problems.at_key(place, message, allowed=sorted(fields), name=name)
                continue
            if field.oneof is not None and item is not None:
                first = groups.setdefault(field.oneof, name)
                if first != name:
                    self.problems.at_key(place, f"{short} takes either {first!r} or {name!r}, not both.", found=name)
                    continue
            if item is not None:
                result[name] = self._field(name, field, item, place)
        return result

    def _field(self, name: str, field: Field, value: Any, path: ValuePath) -> Any:
        if value is UNKNOWN:
            return value
        if field.map_key is not None:
            if not isinstance(value, dict):
                self.problems.at_value(path, f"{name} wants a mapping.", found=describe(value))
                return UNKNOWN
            for key in value:
                self._map_key(name, field.map_key, key, (*path, key))
            return {key: self._single(field, item, (*path, key)) for key, item in value.items()}
        if field.repeated:
            if not isinstance(value, list):
                self.problems.at_value(path, f"{name} wants a list.", found=describe(value))
                return UNKNOWN
            return [self._single(field, item, (*path, index)) for index, item in enumerate(value)]
        return self._single(field, value, path)

    def _map_key(self, name: str, kind: str, key: str, path: ValuePath) -> None:
        readers: dict[str, Callable[[str], object]] = {"str": str, "bool": {"true": 1, "false": 0}.__getitem__}
        try:
            readers.get(kind, int)(key)
        except (ValueError, KeyError):
            wanted = "true and false" if kind == "bool" else "whole numbers"
            self.problems.at_key(path, f"{name} wants {wanted} as keys.", found=key)

    def _single(self, field: Field, value: Any, path: ValuePath) -> Any:
        if value is UNKNOWN:
            return value
        if field.kind == "message":
            assert field.type is not None
            return self.message(field.type, value, path)
        if field.kind == "enum":
            assert field.type is not None
            return self.enum(field.type, value, path)
        if field.json and isinstance(value, dict):
            return self._json_text(value, path)
        if field.json and isinstance(value, str):
            return self._checked_json(value, path)
        checked = self._plain(field.kind, value, path)
        if field.path and isinstance(checked, str):
            return resolve_path(checked, path, self.folder, self.problems)
        return checked

    def enum(self, type_name: str, value: Any, path: ValuePath) -> Any:
        """Checks the name of an enum's value at `path`; returns the name."""
        if value is UNKNOWN:
            return value
        names = self.catalog.enums[type_name]
        if not isinstance(value, str) or value not in names:
            name = value if isinstance(value, str) else None
            found = None if name is not None else describe(value)
            message = f"{_last_name(path)} wants one of a {type_name.rpartition('.')[2]}'s names."
            self.problems.at_value(path, message, allowed=names, name=name, found=found)
            return UNKNOWN
        return value

    def _plain(self, kind: str, value: Any, path: ValuePath) -> Any:
        if isinstance(value, OutputReference):
            message = f"{_last_name(path)} is part of a parameter and cannot take an output of a node."
            self.problems.at_value(path, message, found=str(value))
            return UNKNOWN
        try:
            checked = values.check(kind, value)
        except values.WrongKind as error:
            self.problems.at_value(path, f"{_last_name(path)} {error}.", found=error.found)
            return UNKNOWN
        return base64.b64encode(checked.encode()).decode() if kind == "bytes" else checked

    def _json_text(self, value: dict[str, Any], path: ValuePath) -> Any:
        if not self.plain_data(value, path):
            return UNKNOWN
        return json.dumps(value, sort_keys=True)

    def _checked_json(self, value: str, path: ValuePath) -> Any:
        # TFMA reads the text between the braces too, so both forms stand in pipelines.
        text = value.strip()
        if not text:
            return value
        try:
            json.loads(text if text.startswith("{") else "{" + text + "}")
        except (ValueError, RecursionError):
            message = f"{_last_name(path)} wants a mapping, or the same as JSON text."
            self.problems.at_value(path, message, found=describe(value))
            return UNKNOWN
        return value

    def plain_data(self, value: Any, path: ValuePath) -> bool:
        """Reports output references inside free data; returns whether the data is whole."""
        if isinstance(value, OutputReference):
            message = f"{_last_name(path)} is part of a parameter and cannot take an output of a node."
            self.problems.at_value(path, message, found=str(value))
            return False
        if isinstance(value, dict):
            results = [self.plain_data(item, (*path, key)) for key, item in value.items()]
            return all(results)
        if isinstance(value, list):
            results = [self.plain_data(item, (*path, index)) for index, item in enumerate(value)]
            return all(results)
        return value is not UNKNOWN


def resolve_path(text: str, path: ValuePath, folder: Path, problems: Problems) -> Any:
    """Returns the absolute form of a path that stands at `path`, UNKNOWN if it has none."""
    try:
        return paths.resolve(text, folder)
    except ValueError as error:
        problems.at_value(path, f"{_last_name(path)} wants a path, but {error}.", found=describe(text))
        return UNKNOWN


def _last_name(path: ValuePath) -> str:
    """Returns the innermost key of a path, with its index where the value is a list's item."""
    indexes = ""
    for step in reversed(path):
        if isinstance(step, str):
            return step + indexes
        indexes = f"[{step}]" + indexes
    return indexes
