"""Reads a declaration: file, parameters, environment, nodes, in this order."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from penstock.errors import DeclarationError, Problem
from penstock.project import find_root
from penstock.spec import catalog as catalog_module
from penstock.spec import exit_nodes, paths, spans, yaml_source
from penstock.spec import parameters as parameters_module
from penstock.spec.arguments import ArgumentChecker
from penstock.spec.messages import resolve_path
from penstock.spec.model import (
    ENVIRONMENT_NAME_PATTERN,
    NAME_PATTERN,
    PARAMETER_NAME_PATTERN,
    POLICY_NAMES,
    Declaration,
    Environment,
    EnvironmentSpec,
    ParameterSpec,
    RunPolicy,
    StrictModel,
)
from penstock.spec.nodes import NodeChecker
from penstock.spec.own_components import ComponentReader
from penstock.spec.problems import Problems, describe
from penstock.spec.substitution import UNKNOWN, Scope, Substitution
from penstock.spec.usercode import UserCode
from penstock.spec.validation import validate
from penstock.spec.yaml_source import ValuePath

FILE_NAME = "pipeline.yaml"
VERSION = 1
_BEAM_ARGS = "beam_args"


class _Top(StrictModel):
    penstock: int
    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None
    nodes: Annotated[dict[str, Any], Field(min_length=1)]
    environments: dict[str, Any] | None = None
    timeout: Any = None
    concurrency: Any = None
    on_success: Any = None
    on_failure: Any = None
    always: Any = None


def find_file(path: Path) -> Path:
    """Returns the absolute path of the declaration that `path` means: a file, or a folder with `pipeline.yaml`.

    Raises:
        DeclarationError: there is none.
    """
    file = path / FILE_NAME if path.is_dir() else path
    if not file.is_file():
        if path.is_dir():
            message = f"The folder holds no {FILE_NAME}; give the folder of a pipeline, or the file itself."
            raise DeclarationError([Problem(message, path)])
        raise DeclarationError([Problem("There is no such file.", path)])
    return file.resolve()


@dataclass(frozen=True)
class Outline:
    """What can be said of a declaration before its parameters have values."""

    name: str
    description: str
    parameters: Mapping[str, ParameterSpec]


def read_outline(path: str | os.PathLike[str]) -> Outline:
    """Reads a declaration's name and parameters, whatever may be wrong with its nodes.

    Raises:
        DeclarationError: the file is no declaration, or its name or a parameter is declared wrongly.
    """
    file = find_file(Path(path))
    source = yaml_source.read(file)
    problems = Problems(source)
    if not isinstance(source.data, dict):
        problems.at_value((), "A declaration is a mapping that begins with 'penstock: 1'.", found=describe(source.data))
        raise DeclarationError(problems.sorted())
    name = _name(source.data, problems)
    if "penstock" not in source.data or not name:
        problems.at_value((), "A declaration is a mapping that begins with 'penstock: 1' and has a name.")
    parameters = _parameter_specs(_mapping(source.data, "parameters"), problems)
    if problems.found:
        raise DeclarationError(problems.sorted())
    description = source.data.get("description")
    return Outline(name, description if isinstance(description, str) else "", parameters)


def load(
    path: str | os.PathLike[str],
    *,
    parameters: Mapping[str, str] | None = None,
    environment: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Declaration:
    """Reads and checks a declaration, without running or importing any of the user's code.

    Args:
        path: a folder with `pipeline.yaml`, or a YAML file.
        parameters: values by parameter name, as text, as given by `-p name=value`.
        environment: the name of the environment; None takes `local`, else the only one, else a built-in local one.
        environ: the environment variables `${env.NAME}` refers to.

    Raises:
        DeclarationError: something is wrong with it; every mistake that can be told is in `problems`.
    """
    file = find_file(Path(path))
    source = yaml_source.read(file)
    problems = Problems(source)
    if not isinstance(source.data, dict):
        problems.at_value((), "A declaration is a mapping that begins with 'penstock: 1'.", found=describe(source.data))
        raise DeclarationError(problems.sorted())
    top = validate(_Top, source.data, (), problems, "A declaration")
    name = _name(source.data, problems)
    project = find_root(file.parent)
    scope = Scope(name, project, environ)
    specs = _parameter_specs(_mapping(source.data, "parameters"), problems)
    values = parameters_module.resolve(
        specs,
        parameters or {},
        Substitution(scope, problems),
        problems,
        folder=file.parent,
        known=_mapping(source.data, "parameters"),
    )
    substitution = Substitution(Scope(name, project, environ, values), problems)
    environments = _mapping(source.data, "environments")
    chosen = _environment(environments, environment, substitution, problems, file.parent)
    marking = substitution.marking_secrets()
    given = {key: marking.replace(source.data[key], (key,)) for key in POLICY_NAMES if key in source.data}
    policy = validate(RunPolicy, given, (), problems, "A declaration")
    catalog = catalog_module.load()
    code = UserCode(paths.import_roots(file))
    checker = ArgumentChecker(catalog, code, problems, file.parent)
    nodes = NodeChecker(catalog, ComponentReader(code, catalog), checker, marking, problems)
    checked_nodes = nodes.check(_mapping(source.data, "nodes"))
    spans.report(checked_nodes.values(), problems)
    if policy is not None:
        exit_nodes.report(policy, checked_nodes, _mapping(source.data, "nodes"), problems)
    if name in _mapping(source.data, "nodes"):  # TFX counts the pipeline among its nodes
        problems.at_key(("nodes", name), f"A node cannot be named like its pipeline, {name!r}.")
    if problems.found or top is None or chosen is None or policy is None:
        raise DeclarationError(problems.sorted())
    return Declaration(
        file=file,
        project=project,
        import_roots=paths.import_roots(file),
        name=name,
        description=top.description,
        parameters=specs,
        parameter_values=values,
        nodes=checked_nodes,
        environment=chosen,
        environments=tuple(environments),
        policy=policy,
        source=source,
    )


def _mapping(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _name(data: Mapping[str, Any], problems: Problems) -> str:
    name = data.get("name")
    if isinstance(name, str) and not re.fullmatch(NAME_PATTERN, name):
        message = "name wants at most 63 lower-case letters, digits and '-', with a letter or digit first."
        problems.at_value(("name",), message, found=describe(name))
    version = data.get("penstock")
    if isinstance(version, int) and version != VERSION:
        message = f"penstock is the version of the language; this Penstock reads version {VERSION}."
        problems.at_value(("penstock",), message, found=describe(version), allowed=[str(VERSION)])
    return name if isinstance(name, str) else ""


def _parameter_specs(declared: Mapping[str, Any], problems: Problems) -> dict[str, ParameterSpec]:
    specs = {}
    for name, value in declared.items():
        path = ("parameters", name)
        if not re.fullmatch(PARAMETER_NAME_PATTERN, name):
            message = "A parameter's name begins with a letter and has at most 63 letters, digits and '_'."
            problems.at_key(path, message, found=repr(name))
        spec = validate(ParameterSpec, value, path, problems, "A parameter")
        if spec is not None:
            specs[name] = spec
    return specs


def _environment(
    declared: Mapping[str, Any], wanted: str | None, substitution: Substitution, problems: Problems, folder: Path
) -> Environment | None:
    if wanted is None:
        wanted = "local" if "local" in declared or len(declared) != 1 else next(iter(declared))
    elif wanted not in declared and not (wanted == "local" and not declared):
        place = problems.source.key_place(("environments",)) if declared else None
        message = f"There is no environment {wanted!r}."
        problems.at(place, message, allowed=list(declared) or ["local"], name=wanted)
    chosen = None
    for name, value in declared.items():
        path = ("environments", name)
        if not re.fullmatch(ENVIRONMENT_NAME_PATTERN, name):
            message = "An environment's name begins with a letter and has letters, digits, '_' and '-'."
            problems.at_key(path, message, found=repr(name))
        # Only the chosen one's references are followed: the variables of another need not be set.
        replaced = _replaced(value, path, substitution) if name == wanted else value
        spec = validate(EnvironmentSpec, replaced, path, problems, "An environment", references=name != wanted)
        if name == wanted and spec is not None:
            chosen = _named(name, spec, folder, problems)
    return chosen if wanted in declared else Environment(name="local")


def _replaced(value: Any, path: ValuePath, substitution: Substitution) -> Any:
    """An environment's values; its `beam_args` go into the compiled pipeline, which no secret does."""
    if not isinstance(value, dict):
        return substitution.replace(value, path)
    return {
        key: substitution.marking_secrets(key == _BEAM_ARGS).replace(item, (*path, key)) for key, item in value.items()
    }


def _named(name: str, spec: EnvironmentSpec, folder: Path, problems: Problems) -> Environment | None:
    fields = {key: getattr(spec, key) for key in spec.model_fields_set}
    for key in ("pipeline_root", "metadata"):
        if fields.get(key) is not None:
            fields[key] = resolve_path(fields[key], ("environments", name, key), folder, problems)
    if any(value is UNKNOWN for value in fields.values()):
        return None
    return Environment(name=name, **fields)
