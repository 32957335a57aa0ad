"""Replaces `${…}` in the values of a declaration."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from penstock import secrets
from penstock.spec import references
from penstock.spec.model import EachArtifact, OutputReference
from penstock.spec.problems import Problems, describe
from penstock.spec.yaml_source import Place, ValuePath


class Unknown:
    """Stands for a value that could not be told, about which a problem is already reported."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()


@dataclass(frozen=True)
class Scope:
    """What references can refer to; a parameter without a usable value is UNKNOWN.

    `each` holds the item a node runs for, by the item's name. Where `marks_secrets`, the values of secrets stay out,
    see `penstock.secrets`.
    """

    pipeline_name: str
    project: Path
    environ: Mapping[str, str]
    parameters: Mapping[str, Any] | None = None
    each: Mapping[str, Any] | None = None
    marks_secrets: bool = False


class Substitution:
    """Replaces references, reporting those that refer to nothing."""

    def __init__(self, scope: Scope, problems: Problems):
        self.scope = scope
        self.problems = problems

    def for_item(self, each: Mapping[str, Any]) -> Substitution:
        """Returns a substitution that also knows the item a node runs for."""
        return Substitution(dataclasses.replace(self.scope, each=each), self.problems)

    def marking_secrets(self, marks_secrets: bool = True) -> Substitution:
        """Returns a substitution that keeps the values of secrets out, or one that does not."""
        return Substitution(dataclasses.replace(self.scope, marks_secrets=marks_secrets), self.problems)

    def replace(self, value: Any, path: ValuePath) -> Any:
        """Returns `value`, which stands at `path`, with every reference replaced, at any depth.

        A reference to a node becomes an `OutputReference`, one that fails `UNKNOWN`.
        """
        if isinstance(value, dict):
            return {key: self.replace(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.replace(item, (*path, index)) for index, item in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            return self._text(value, path)
        return value

    def _text(self, text: str, path: ValuePath) -> Any:
        try:
            parts = references.parse(text)
        except references.ReferenceSyntaxError as error:
            place = self.problems.source.part_place(path, error.text)
            self.problems.at(place, f"{error}.", found=error.text, allowed=references.SCOPES.values())
            return UNKNOWN
        values = [part if isinstance(part, str) else self._value(part, path) for part in parts]
        if len(parts) == 1:
            return values[0]
        for part, value in zip(parts, values, strict=True):
            if isinstance(value, dict | list | OutputReference | EachArtifact):
                assert isinstance(part, references.Reference)
                what = "an output of a node" if isinstance(value, OutputReference | EachArtifact) else describe(value)
                place = self.problems.source.part_place(path, part.text)
                self.problems.at(place, f"{part.text} is {what} and cannot be part of a text; let it stand alone.")
                return UNKNOWN
        if any(value is UNKNOWN for value in values):
            return UNKNOWN
        return "".join(_as_text(value) for value in values)

    def _value(self, reference: references.Reference, path: ValuePath) -> Any:
        if reference.scope == "nodes":
            return OutputReference(*reference.names)
        if reference.scope == "pipeline":
            return self.scope.pipeline_name
        if reference.scope == "project":
            return str(self.scope.project)
        name = reference.names[0]
        place = self.problems.source.part_place(path, reference.text)
        if reference.scope == "env":
            if name in self.scope.environ:
                return self._marked(reference.scope, name, self.scope.environ[name])
            self.problems.at(place, f"The environment variable {name} is not set; set it before calling penstock.")
            return UNKNOWN
        if reference.scope == "each":
            return self._each(reference, place)
        if self.scope.parameters is None:
            self.problems.at(place, "A parameter cannot refer to another one.", found=reference.text)
            return UNKNOWN
        if name not in self.scope.parameters:
            self.problems.at(place, f"There is no parameter {name!r}.", allowed=self.scope.parameters, name=name)
            return UNKNOWN
        return self._marked(reference.scope, name, self.scope.parameters[name])

    def _marked(self, scope: str, name: str, value: Any) -> Any:
        if self.scope.marks_secrets and isinstance(value, str) and value and secrets.is_secret(name):
            return secrets.mark(scope, name, value)
        return value

    def _each(self, reference: references.Reference, place: Place) -> Any:
        if self.scope.each is None:
            message = "${each.NAME} is the item that a node with for_each runs for; this node has none."
            self.problems.at(place, message, found=reference.text)
            return UNKNOWN
        value: Any = self.scope.each
        for name in reference.names:
            if not isinstance(value, dict) or name not in value:
                allowed = value if isinstance(value, dict) else ()
                self.problems.at(place, f"{reference.text} does not exist: no {name!r}.", allowed=allowed, name=name)
                return UNKNOWN
            value = value[name]
        return value


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
