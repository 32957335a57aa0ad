"""Checks the value of one parameter of a component against its kind in the catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from penstock.spec import paths, values
from penstock.spec.catalog import Catalog, Parameter
from penstock.spec.messages import MessageChecker, resolve_path
from penstock.spec.model import OutputReference
from penstock.spec.problems import Problems, describe
from penstock.spec.substitution import UNKNOWN
from penstock.spec.usercode import UserCode, UserCodeError
from penstock.spec.yaml_source import ValuePath


class ArgumentChecker:
    """Checks parameters of every kind; a value that does not fit becomes UNKNOWN and a problem."""

    def __init__(self, catalog: Catalog, code: UserCode, problems: Problems, folder: Path):
        self.catalog = catalog
        self.code = code
        self.problems = problems
        self.folder = folder
        self.messages = MessageChecker(catalog, problems, folder)

    def parameter(self, parameter: Parameter, value: Any, path: ValuePath, function: str | None = None) -> Any:
        """Returns the value at `path` as the compiler takes it (see `Node.arguments`).

        Args:
            parameter: what is wanted.
            value: what is there, with references replaced.
            path: where; its last step is the parameter's name.
            function: the function a module file must hold.
        """
        if value is UNKNOWN:
            return value
        name = path[-1]
        if parameter.kind == "unknown" and _is_output(value):
            return tuple(value) if isinstance(value, list) else value
        if isinstance(value, OutputReference):
            message = f"{name!r} is a parameter, not an input; it cannot take an output of a node."
            self.problems.at_value(path, message, found=str(value))
            return UNKNOWN
        if value is None and not parameter.required:
            return None
        match parameter.kind:
            case "message":
                return self.messages.message(parameter.type or "", value, path)
            case "enum":
                known = self.messages.enum(parameter.type or "", value, path)
                return known if known is UNKNOWN else self.catalog.enums[parameter.type or ""][known]
            case "object":
                return self.keywords(self.catalog.objects[parameter.type or ""], value, path)
            case "list":
                return self._list(parameter, value, path)
            case "function":
                return self._function(value, path)
            case "executor":
                return self.class_path(value, path)
            case "artifact_type":
                return self.artifact_type(value, path)
            case "file":
                return self._file(value, path, function)
            case "path":
                text = self._plain("path", value, path)
                return resolve_path(text, path, self.folder, self.problems) if isinstance(text, str) else text
            case kind:
                return self._plain(kind, value, path)

    def keywords(self, parameters: Any, value: Any, path: ValuePath) -> Any:
        """Checks a mapping that becomes keyword arguments."""
        if not isinstance(value, dict):
            self.problems.at_value(path, f"{path[-1]} wants a mapping.", found=describe(value))
            return UNKNOWN
        result = {}
        for key, item in value.items():
            if key in parameters:
                result[key] = self.parameter(parameters[key], item, (*path, key))
            else:
                message = f"{path[-1]} has no {key!r}."
                self.problems.at_key((*path, key), message, allowed=sorted(parameters), name=key)
        for key, parameter in parameters.items():
            if parameter.required and key not in value:
                self.problems.at_key(path, f"{path[-1]} needs {key!r}.")
        return result

    def artifact_type(self, value: Any, path: ValuePath) -> Any:
        """Checks a standard artifact type's name, or `package.module:Class` of an own one."""
        if isinstance(value, str) and value in self.catalog.artifact_types:
            return value
        if isinstance(value, str) and (":" in value or "." in value):
            return self.class_path(value, path)
        message = f"{path[-1]} wants an artifact type, or package.module:Class of an own one."
        details: dict[str, Any] = {"name": value} if isinstance(value, str) else {"found": describe(value)}
        self.problems.at_value(path, message, allowed=self.catalog.artifact_types, **details)
        return UNKNOWN

    def class_path(self, value: Any, path: ValuePath) -> Any:
        """Checks `package.module:Class` or `package.module.Class`; returns the first form."""
        text = self._plain("str", value, path)
        if not isinstance(text, str):
            return text
        module_name, _, name = text.rpartition(":" if ":" in text else ".")
        if not module_name or not name.isidentifier():
            self.problems.at_value(path, f"{path[-1]} wants package.module:Class.", found=describe(text))
            return UNKNOWN
        try:
            self.code.member(self.code.module(module_name), name)
        except UserCodeError as error:
            self.user_code(error, path)
            return UNKNOWN
        return f"{module_name}:{name}"

    def user_code(self, error: UserCodeError, path: ValuePath) -> None:
        """Reports a name in user code that cannot be found."""
        self.problems.at_value(path, f"{path[-1]}: {error}.", allowed=error.allowed, name=error.name)

    def _function(self, value: Any, path: ValuePath) -> Any:
        text = self._plain("str", value, path)
        if not isinstance(text, str):
            return text
        try:
            self.code.function(text.replace(":", "."))
        except UserCodeError as error:
            self.user_code(error, path)
            return UNKNOWN
        return text.replace(":", ".")

    def _file(self, value: Any, path: ValuePath, function: str | None) -> Any:
        text = self._plain("path", value, path)
        resolved = resolve_path(text, path, self.folder, self.problems) if isinstance(text, str) else text
        if not isinstance(resolved, str) or paths.is_remote(resolved):
            return resolved
        file = Path(resolved)
        if not file.is_file():
            self.problems.at_value(path, f"{path[-1]}: there is no file {file}.", found=describe(text))
            return UNKNOWN
        try:
            module = self.code.file(file)
            if function is not None:
                self.code.member(module, function)
        except UserCodeError as error:
            self.user_code(error, path)
            return UNKNOWN
        return resolved

    def _list(self, parameter: Parameter, value: Any, path: ValuePath) -> Any:
        items = self._plain("list", value, path)
        if parameter.items is None or not isinstance(items, list):
            return items
        return [self._plain(parameter.items, item, (*path, index)) for index, item in enumerate(items)]

    def _plain(self, kind: str, value: Any, path: ValuePath) -> Any:
        try:
            checked = values.check(kind, value)
        except values.WrongKind as error:
            name = next(step for step in reversed(path) if isinstance(step, str))
            self.problems.at_value(path, f"{name} {error}.", found=error.found)
            return UNKNOWN
        return checked if self.messages.plain_data(checked, path) else UNKNOWN


def _is_output(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, OutputReference) for item in value)
    return isinstance(value, OutputReference)
