"""`FILE.py:CALLABLE`: a Python function that returns a `tfx.dsl` pipeline, as people write it for plain TFX."""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tfx.orchestration import pipeline as tfx_pipeline

from penstock.errors import UsageError
from penstock.sources import split_python_source


def load_pipeline(source: str, parameters: Mapping[str, str]) -> tfx_pipeline.Pipeline:
    """Imports the file, calls the callable, and returns its pipeline.

    Parameters become keyword arguments; text is turned into the type of the callable's annotation or default.

    Raises:
        UsageError: no such file or callable, a parameter it does not take, or something else than a pipeline returned.
    """
    file, name = split_python_source(source)
    function = _load_callable(file, name)
    arguments = _arguments(function, parameters, source)
    pipeline = function(**arguments)
    if not isinstance(pipeline, tfx_pipeline.Pipeline):
        raise UsageError(f"{source}: returned a {type(pipeline).__name__}; it must return a tfx.dsl.Pipeline")
    return pipeline


def _load_callable(file: Path, name: str) -> Callable[..., Any]:
    if not file.is_file():
        raise UsageError(f"{file}: no such file")
    folder = str(file.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module_spec = importlib.util.spec_from_file_location(file.stem, file)
    if module_spec is None or module_spec.loader is None:
        raise UsageError(f"{file}: not a Python file")
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[file.stem] = module
    module_spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        own = [key for key, value in vars(module).items() if inspect.isfunction(value)]
        near = difflib.get_close_matches(name, own, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(own) or 'none'}."
        raise UsageError(f"{file}: has no function {name!r}; {hint}")
    return function


def _arguments(function: Callable[..., Any], parameters: Mapping[str, str], source: str) -> dict[str, Any]:
    known = inspect.signature(function).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    arguments = {}
    for name, text in parameters.items():
        if name not in known and not takes_any:
            raise UsageError(f"{source}: takes no parameter {name!r}; allowed: {', '.join(known) or 'none'}")
        arguments[name] = _converted(text, known.get(name), f"{source}: -p {name}={text}")
    missing = [
        name
        for name, parameter in known.items()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and name not in arguments
    ]
    if missing:
        raise UsageError(f"{source}: needs {', '.join(missing)}; give each as -p name=value")
    return arguments


def _converted(text: str, parameter: inspect.Parameter | None, place: str) -> Any:
    if parameter is None:
        return text
    is_annotated = isinstance(parameter.annotation, type) and parameter.annotation is not parameter.empty
    wanted = parameter.annotation if is_annotated else type(parameter.default)
    if parameter.annotation in ("int", "float", "bool", "str"):
        wanted = {"int": int, "float": float, "bool": bool, "str": str}[parameter.annotation]
    if wanted is bool:
        if text.lower() not in ("true", "false"):
            raise UsageError(f"{place}: wants true or false")
        return text.lower() == "true"
    if wanted in (int, float):
        try:
            return wanted(text)
        except ValueError:
            raise UsageError(f"{place}: wants a number of type {wanted.__name__}") from None
    return text
