"""Reads the interface of a user's own component from its source: `@component` functions and component classes."""

from __future__ import annotations

import ast
from typing import Any

from penstock.spec.catalog import Catalog, Component, Input, Output, Parameter
from penstock.spec.usercode import Module, UserCode, UserCodeError

_VALUE_ARTIFACTS = {"int": "Integer", "float": "Float", "str": "String", "bytes": "Bytes", "bool": "Boolean"}
_KINDS = {"int": "int", "float": "float", "str": "str", "bool": "bool", "list": "list", "dict": "dict"}
_TYPING_KINDS = {"List": "list", "Dict": "dict", "Sequence": "list", "Mapping": "dict", "Text": "str"}
# key -> (artifact type, whether optional)
_Channels = dict[str, tuple[str | None, bool]]

_CHANNELS = {"BaseChannel", "Channel", "OutputChannel"}


class ComponentReader:
    """Finds own components under the import roots."""

    def __init__(self, code: UserCode, catalog: Catalog):
        self.code = code
        self.catalog = catalog

    def read(self, class_path: str) -> Component:
        """Returns the interface of `package.module:Name`, open where its source does not tell.

        Raises:
            UserCodeError: there is no such module or name, or it cannot be a component.
        """
        module_name, _, name = class_path.partition(":")
        module, node = self.code.resolve(self.code.module(module_name), name)
        if isinstance(node, ast.FunctionDef):
            return self._function(class_path, module, node)
        if isinstance(node, ast.ClassDef):
            return self._class(class_path, module, node)
        if isinstance(node, ast.AsyncFunctionDef):
            raise UserCodeError(f"{name!r} is an async function, which cannot be a component")
        return Component(class_path, class_path, {}, {}, {}, open_arguments=True, open_outputs=True)

    def artifact_type(self, module: Module, annotation: ast.expr | None) -> str | None:
        """Returns the name of the artifact type that an expression means, None if the text does not tell."""
        name = _last(annotation)
        if name is None:
            return None
        if isinstance(annotation, ast.Name) and name in module.names:
            try:
                defined_in, node = self.code.resolve(module, name)
            except UserCodeError:
                return None
            if isinstance(node, ast.ClassDef) and name not in self.catalog.artifact_types:
                return self.artifact_type_name(module.name, name)
            if defined_in is module and not isinstance(node, ast.ImportFrom):
                return None
        return name if name in self.catalog.artifact_types else None

    def artifact_type_name(self, module_name: str, class_name: str) -> str | None:
        """Returns the TYPE_NAME of an own artifact class, None if the text does not tell."""
        try:
            _, node = self.code.resolve(self.code.module(module_name), class_name)
        except UserCodeError:
            return None
        value = _class_attribute(node, "TYPE_NAME") if isinstance(node, ast.ClassDef) else None
        return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None

    def _function(self, class_path: str, module: Module, node: ast.FunctionDef) -> Component:
        if not node.decorator_list:
            message = f"{node.name!r} ({module.file}:{node.lineno}) is a plain function; decorate it with @component"
            raise UserCodeError(message)
        if not any(_last(_called(decorator)) == "component" for decorator in node.decorator_list):
            return Component(class_path, class_path, {}, {}, {}, open_arguments=True, open_outputs=True)
        inputs: dict[str, Input] = {}
        parameters: dict[str, Parameter] = {}
        outputs: dict[str, Output] = {}
        for argument, default in _arguments(node):
            annotation = _unquoted(argument.annotation)
            wrapper = _last(annotation.value) if isinstance(annotation, ast.Subscript) else None
            inner = annotation.slice if isinstance(annotation, ast.Subscript) else None
            required = default is None
            if wrapper == "InputArtifact":
                several = isinstance(inner, ast.Subscript)
                item = inner.slice if isinstance(inner, ast.Subscript) else inner
                inputs[argument.arg] = Input(self.artifact_type(module, item), required, several)
            elif wrapper in ("OutputArtifact", "AsyncOutputArtifact"):
                outputs[argument.arg] = Output(self.artifact_type(module, inner))
            elif wrapper == "Parameter":
                parameters[argument.arg] = Parameter(_kind(inner), required, default=_literal(default))
            elif wrapper == "BeamComponentParameter":
                continue  # filled in by the executor
            else:
                value_type = _VALUE_ARTIFACTS.get(_last(_not_optional(annotation)) or "")
                inputs[argument.arg] = Input(value_type, required)
        returned, is_open = self._returned(module, node.returns)
        return Component(class_path, class_path, inputs, parameters, outputs | returned, open_outputs=is_open)

    def _returned(self, module: Module, annotation: ast.expr | None) -> tuple[dict[str, Output], bool]:
        """Returns the outputs a function's return annotation declares, and whether there may be others."""
        annotation = _unquoted(annotation)
        if annotation is None or (isinstance(annotation, ast.Constant) and annotation.value is None):
            return {}, False
        if isinstance(annotation, ast.Call) and _last(annotation.func) == "OutputDict":
            names = {keyword.arg: _unquoted(keyword.value) for keyword in annotation.keywords if keyword.arg}
            return {name: _value_output(value) for name, value in names.items()}, len(names) < len(annotation.keywords)
        if isinstance(annotation, ast.Name) and annotation.id in module.names:
            _, node = self.code.resolve(module, annotation.id)
            if isinstance(node, ast.ClassDef) and [_last(base) for base in node.bases] == ["TypedDict"]:
                return {
                    item.target.id: _value_output(_unquoted(item.annotation))
                    for item in node.body
                    if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
                }, False
        return {}, True

    def _class(self, class_path: str, module: Module, node: ast.ClassDef) -> Component:
        spec_inputs, spec_outputs = self._spec_class(module, node)
        outputs = {key: Output(type_name) for key, (type_name, _) in (spec_outputs or {}).items()}
        constructor = next(
            (item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"), None
        )
        open_outputs = spec_outputs is None
        if constructor is None:
            return Component(class_path, class_path, {}, {}, outputs, open_arguments=True, open_outputs=open_outputs)
        inputs: dict[str, Input] = {}
        parameters: dict[str, Parameter] = {}
        for argument, default in _arguments(constructor)[1:]:
            annotation = _not_optional(_unquoted(argument.annotation))
            name, required = argument.arg, default is None
            if _last(annotation) in _CHANNELS or name in (spec_inputs or {}):
                inputs[name] = Input((spec_inputs or {}).get(name, (None, True))[0], required, several=True)
            elif annotation is None:
                parameters[name] = Parameter("unknown", required)
            else:
                parameters[name] = Parameter(_kind(annotation), required, default=_literal(default))
        return Component(
            class_path,
            class_path,
            inputs,
            parameters,
            outputs,
            open_arguments=constructor.args.kwarg is not None,
            open_outputs=open_outputs,
        )

    def _spec_class(self, module: Module, node: ast.ClassDef) -> tuple[_Channels | None, _Channels | None]:
        """Returns inputs and outputs of the class's SPEC_CLASS as {key: (type, optional)}, None where not literal."""
        spec_name = _class_attribute(node, "SPEC_CLASS")
        if not isinstance(spec_name, ast.Name):
            return None, None
        try:
            spec_module, spec = self.code.resolve(module, spec_name.id)
        except UserCodeError:
            return None, None
        if not isinstance(spec, ast.ClassDef):
            return None, None
        return self._channels(spec_module, spec, "INPUTS"), self._channels(spec_module, spec, "OUTPUTS")

    def _channels(self, module: Module, spec: ast.ClassDef, attribute: str) -> _Channels | None:
        literal = _class_attribute(spec, attribute)
        if not isinstance(literal, ast.Dict):
            return None
        found = {}
        for key, value in zip(literal.keys, literal.values, strict=True):
            if not isinstance(key, ast.Constant) or not isinstance(key.value, str) or not isinstance(value, ast.Call):
                return None
            keywords = {keyword.arg: keyword.value for keyword in value.keywords}
            optional = keywords.get("optional")
            is_optional = isinstance(optional, ast.Constant) and bool(optional.value)
            found[key.value] = (self.artifact_type(module, keywords.get("type")), is_optional)
        return found


def _arguments(node: ast.FunctionDef) -> list[tuple[ast.arg, ast.expr | None]]:
    positional = [*node.args.posonlyargs, *node.args.args]
    missing: list[ast.expr | None] = [None] * (len(positional) - len(node.args.defaults))
    pairs = list(zip(positional, [*missing, *node.args.defaults], strict=True))
    return pairs + list(zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True))


def _called(node: ast.expr) -> ast.expr:
    return node.func if isinstance(node, ast.Call) else node


def _last(node: ast.expr | None) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _unquoted(node: ast.expr | None) -> ast.expr | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            return ast.parse(node.value, mode="eval").body
        except SyntaxError:
            return None
    return node


def _not_optional(node: ast.expr | None) -> ast.expr | None:
    """Returns X of `Optional[X]`, `X | None` and `Union[X, None]`; other annotations as they are."""
    if isinstance(node, ast.Subscript) and _last(node.value) == "Optional":
        return node.slice
    members: list[ast.expr] = []
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        members = [node.left, node.right]
    elif isinstance(node, ast.Subscript) and _last(node.value) == "Union" and isinstance(node.slice, ast.Tuple):
        members = node.slice.elts
    kept = [item for item in members if not (isinstance(item, ast.Constant) and item.value is None)]
    return kept[0] if len(kept) == 1 else node


def _kind(node: ast.expr | None) -> str:
    node = _not_optional(node)
    name = _last(node.value if isinstance(node, ast.Subscript) else node) or ""
    return _KINDS.get(name) or _TYPING_KINDS.get(name) or "any"


def _literal(node: ast.expr | None) -> Any:
    return node.value if isinstance(node, ast.Constant) else None


def _value_output(annotation: ast.expr | None) -> Output:
    return Output(_VALUE_ARTIFACTS.get(_last(_not_optional(annotation)) or "", "JsonValue"))


def _class_attribute(node: ast.ClassDef, name: str) -> ast.expr | None:
    for item in node.body:
        if isinstance(item, ast.Assign) and any(_last(target) == name for target in item.targets):
            return item.value
        if isinstance(item, ast.AnnAssign) and _last(item.target) == name:
            return item.value
    return None
