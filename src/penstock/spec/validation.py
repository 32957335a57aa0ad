"""Turns what pydantic finds into problems with places."""

from __future__ import annotations

import re
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from penstock.spec.problems import Problems, describe
from penstock.spec.substitution import UNKNOWN
from penstock.spec.yaml_source import ValuePath

Model = TypeVar("Model", bound=BaseModel)

_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
    "finite_number": "a finite number",
    "too_short": "at least one entry",
}


def validate(
    model: type[Model], value: Any, path: ValuePath, problems: Problems, what: str, *, references: bool = False
) -> Model | None:
    """Returns the value at `path` as a model; None if it does not fit, with a problem for each reason.

    Args:
        model: the model to make.
        value: plain data.
        path: where the value stands.
        problems: takes what is wrong.
        what: how the value is called in a message, like "a parameter".
        references: whether the value may still hold references, which fit everywhere.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            found = item["input"]
            is_reference = references and isinstance(found, str) and "${" in found
            if found is not UNKNOWN and not is_reference:
                _report(model, item, path, problems, what)
        return None


def _report(model: type[BaseModel], item: Any, path: ValuePath, problems: Problems, what: str) -> None:
    place = (*path, *(step for step in item["loc"]))
    kind, found, context = item["type"], item["input"], item.get("ctx", {})
    name = next((step for step in reversed(place) if isinstance(step, str)), what)
    if kind == "extra_forbidden":
        allowed = _keys(model, item["loc"][:-1])
        owner = what if len(item["loc"]) == 1 else f"{item['loc'][-2]!r}"
        problems.at_key(place, f"{owner} has no key {name!r}.", allowed=allowed, name=str(item["loc"][-1]))
    elif kind == "missing":
        problems.at_key(place[:-1], f"{what} needs the key {name!r}.")
    elif kind in ("literal_error", "enum"):
        allowed = re.findall(r"'([^']*)'", context["expected"]) or [context["expected"]]
        text = found if isinstance(found, str) else None
        details: dict[str, Any] = {"name": text} if text is not None else {"found": describe(found)}
        problems.at_value(place, f"{name} has choices.", allowed=allowed, **details)
    elif kind == "greater_than_equal":
        problems.at_value(place, f"{name} wants at least {context['ge']:g}.", found=describe(found))
    elif kind == "less_than_equal":
        problems.at_value(place, f"{name} wants at most {context['le']:g}.", found=describe(found))
    elif kind == "greater_than":
        problems.at_value(place, f"{name} wants more than {context['gt']:g}.", found=describe(found))
    elif kind == "value_error":
        problems.at_value(place, f"{name} {context['error']}.", found=describe(found))
    elif kind in _WANTED:
        problems.at_value(place, f"{name} wants {_WANTED[kind]}.", found=describe(found))
    else:
        problems.at_value(place, f"{name}: {item['msg']}.", found=describe(found))


def _keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Returns the keys a model, or the model inside it at `location`, takes."""
    for step in location:
        for name, field in model.model_fields.items():
            if step == (field.alias or name):
                model = _inner(field.annotation) or model
                break
    return [field.alias or name for name, field in model.model_fields.items()]


def _inner(annotation: Any) -> type[BaseModel] | None:
    """Returns the model that an annotation is, or has as an option, an item or a value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _inner(part)) is not None), None)
