"""The values of a pipeline's parameters: from `-p name=value`, else the declared default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from penstock.errors import DeclarationError, UsageError
from penstock.spec import paths, values, yaml_source
from penstock.spec.model import ParameterSpec
from penstock.spec.problems import Problems, describe
from penstock.spec.substitution import UNKNOWN, Substitution
from penstock.spec.yaml_source import Place


def split_parameters(given: Sequence[str]) -> dict[str, str]:
    """Returns `name=value` texts as a dictionary; the last of one name counts.

    Raises:
        UsageError: one has no '='.
    """
    values = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise UsageError(f"-p {text}: a parameter is given as -p NAME=VALUE.")
        values[name] = value
    return values


def resolve(
    specs: Mapping[str, ParameterSpec],
    given: Mapping[str, str],
    substitution: Substitution,
    problems: Problems,
    *,
    folder: Path,
    known: Mapping[str, Any],
) -> dict[str, Any]:
    """Returns the value of each parameter, UNKNOWN where none could be told.

    Args:
        specs: the parameters that are declared well.
        given: values by name, as text, from the command line.
        substitution: replaces the references in defaults.
        problems: takes what is wrong.
        folder: what relative default paths are relative to; given ones are relative to the current folder.
        known: every declared parameter, also those declared wrongly.
    """
    found: dict[str, Any] = dict.fromkeys(known, UNKNOWN)
    for name, spec in specs.items():
        if name in given:
            found[name] = _given(name, spec, given[name], problems)
        elif spec.required:
            message = f"The parameter {name!r} has no default and needs a value: -p {name}=VALUE."
            problems.at_key(("parameters", name), message)
        else:
            found[name] = _default(name, spec, substitution, problems, folder)
    for name, text in given.items():
        if name not in known:
            problems.at(None, f"-p {name}={text}: there is no parameter {name!r}.", allowed=known, name=name)
    return found


def _default(name: str, spec: ParameterSpec, substitution: Substitution, problems: Problems, folder: Path) -> Any:
    path = ("parameters", name, "default")
    value = substitution.replace(spec.default, path)
    if value is UNKNOWN or value is None:
        return value
    return _checked(name, spec, value, problems, problems.source.place(path), f"The parameter {name!r}", folder)


def _given(name: str, spec: ParameterSpec, text: str, problems: Problems) -> Any:
    value: Any = text
    where = f"-p {name}={text}: the parameter"
    if spec.type in ("int", "float", "bool", "list", "dict"):
        try:
            value = yaml_source.parse(text, Path(f"-p {name}")).data
        except (DeclarationError, yaml.YAMLError):
            value = text
    return _checked(name, spec, value, problems, None, where, Path.cwd())


def _checked(
    name: str, spec: ParameterSpec, value: Any, problems: Problems, place: Place | None, where: str, folder: Path
) -> Any:
    try:
        value = values.check(spec.type, value)
        if spec.type == "path":
            value = paths.resolve(value, folder)
    except values.WrongKind as error:
        problems.at(place, f"{where} {error}.", found=error.found)
        return UNKNOWN
    except ValueError as error:
        problems.at(place, f"{where} wants a path, but {error}.", found=describe(value))
        return UNKNOWN
    if spec.choices is not None and value not in spec.choices:
        text = str(value)
        problems.at(place, f"{where} has choices.", allowed=[str(item) for item in spec.choices], name=text)
        return UNKNOWN
    if spec.min is not None and isinstance(value, int | float) and value < spec.min:
        problems.at(place, f"{where} wants at least {spec.min:g}.", found=describe(value))
        return UNKNOWN
    if spec.max is not None and isinstance(value, int | float) and value > spec.max:
        problems.at(place, f"{where} wants at most {spec.max:g}.", found=describe(value))
        return UNKNOWN
    return value
