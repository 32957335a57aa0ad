"""What is known of TFX's standard components and of the messages their parameters take, from `catalog.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

CATALOG_FILE = Path(__file__).with_name("catalog.json")


@dataclass(frozen=True)
class Input:
    """An input of a component. `type` is an artifact type's name, None if unknown; `several`: takes a list."""

    type: str | None
    required: bool = False
    several: bool = False


@dataclass(frozen=True)
class Parameter:
    """A parameter of a component.

    Attributes:
        kind: int, float, bool, str, list, dict, any, message, enum, object, function, file, path, executor, strategy,
            artifact_type; `unknown` takes an output reference as well as a value.
        required: whether it must be given.
        type: the full name of the message, enum or object.
        items: the kind of a list's items, None if anything goes.
        default: the value when not given, where it is simple.
    """

    kind: str
    required: bool = False
    type: str | None = None
    items: str | None = None
    default: Any = None


@dataclass(frozen=True)
class Output:
    """An output of a component; `needs` are the parameters that must be set (true) or unset for it to exist."""

    type: str | None
    needs: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Component:
    """The interface of a component. An open side accepts names the catalog does not know."""

    name: str
    class_path: str
    inputs: Mapping[str, Input]
    parameters: Mapping[str, Parameter]
    outputs: Mapping[str, Output]
    rules: tuple[Mapping[str, Any], ...] = ()
    module_function: str | None = None
    open_arguments: bool = False
    open_outputs: bool = False


@dataclass(frozen=True)
class Field:
    """A field of a message; `map_key` is the kind of the key where it is a map, `json` a string that holds JSON."""

    kind: str
    type: str | None = None
    repeated: bool = False
    map_key: str | None = None
    oneof: str | None = None
    json: bool = False
    path: bool = False


@dataclass(frozen=True)
class Message:
    """A protobuf message; `python` is the `module:Class` that makes it, None for well-known types."""

    fields: Mapping[str, Field]
    python: str | None = None


@dataclass(frozen=True)
class Strategy:
    """A standard resolver strategy."""

    class_path: str
    parameters: Mapping[str, Parameter]


@dataclass(frozen=True)
class Catalog:
    """All that `catalog.json` holds; `artifact_types` maps a type's name to its `module:Class`."""

    components: Mapping[str, Component]
    messages: Mapping[str, Message]
    enums: Mapping[str, Mapping[str, int]]
    objects: Mapping[str, Mapping[str, Parameter]]
    strategies: Mapping[str, Strategy]
    artifact_types: Mapping[str, str]


@cache
def load() -> Catalog:
    """Reads the catalog, once a process."""
    data = json.loads(CATALOG_FILE.read_text(encoding="utf-8"))
    return Catalog(
        components={name: _component(name, entry) for name, entry in data["components"].items()},
        messages={
            name: Message({key: Field(**value) for key, value in entry["fields"].items()}, entry.get("python"))
            for name, entry in data["messages"].items()
        },
        enums=data["enums"],
        objects={name: _parameters(entry["parameters"]) for name, entry in data["objects"].items()},
        strategies={
            name: Strategy(entry["class"], _parameters(entry["parameters"]))
            for name, entry in data["strategies"].items()
        },
        artifact_types=data["artifact_types"],
    )


def _parameters(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Parameter]:
    return {name: Parameter(**entry) for name, entry in entries.items()}


def _component(name: str, entry: Mapping[str, Any]) -> Component:
    return Component(
        name=name,
        class_path=entry["class"],
        inputs={key: Input(**value) for key, value in entry["inputs"].items()},
        parameters=_parameters(entry["parameters"]),
        outputs={key: Output(**value) for key, value in entry["outputs"].items()},
        rules=tuple(entry.get("rules", ())),
        module_function=entry.get("module_function"),
    )
