"""What all forms share: where they come from, and fields for a pipeline's parameters."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request

from penstock.dashboard import app
from penstock.dashboard.declarations import default_text
from penstock.dashboard.guard import FORM_FIELD, Guard, Visitor, visitor_of
from penstock.errors import DeclarationError, PenstockError
from penstock.secrets import is_secret
from penstock.spec import ParameterSpec

PREFIX = "p."
# How problems begin that concern a parameter: as it was given, or as it is declared.
_NAMED = re.compile(r"-p (\w+)=|The parameter '(\w+)'")


async def read_form(request: Request) -> FormData:
    """The form a request sends, if one of our pages made it."""
    form = await request.form(max_files=0, max_fields=500)
    check_form(app.context_of(request).guard, visitor_of(request), str(form.get(FORM_FIELD) or ""))
    return form


def check_form(guard: Guard, visitor: Visitor, token: str) -> None:
    """Refuses a form that none of our pages made, with 403."""
    if not guard.fits_form(visitor.session, token):
        raise HTTPException(
            403,
            "The form is not from this dashboard, or from before it was restarted. Go back, reload the page, retry.",
        )


@dataclass(frozen=True)
class ParameterField:
    """A field of a form that sets a pipeline's parameter.

    Attributes:
        name: the parameter.
        type: its type in the declaration; empty where only a value is recorded.
        value: what stands in the field.
        help: what the parameter is for.
        default: its default as text; None where it has none.
        choices: the values it can have, as text; empty for any.
        bounds: in words, as `at least 1`.
        error: what was wrong with what was typed.
    """

    name: str
    type: str = ""
    value: str = ""
    help: str = ""
    default: str | None = None
    choices: Sequence[str] = ()
    bounds: str = ""
    error: str = ""

    @property
    def is_required(self) -> bool:
        """Whether something must be typed."""
        return bool(self.type) and self.default is None


def fields_of(
    declared: Mapping[str, ParameterSpec], values: Mapping[str, str], errors: Mapping[str, str] | None = None
) -> list[ParameterField]:
    """The fields of declared parameters; where no value is given the default stands in it."""
    return [
        ParameterField(
            name=name,
            type=parameter.type,
            value=values.get(name, default_text(parameter)),
            help=parameter.help or "",
            default=None if parameter.required else default_text(parameter),
            choices=_choices(parameter),
            bounds=", ".join(
                f"{word} {bound:g}"
                for word, bound in (("at least", parameter.min), ("at most", parameter.max))
                if bound is not None
            ),
            error=(errors or {}).get(name, ""),
        )
        for name, parameter in declared.items()
    ]


def recorded_fields(values: Mapping[str, str], errors: Mapping[str, str] | None = None) -> list[ParameterField]:
    """The fields of parameters of which nothing but values is known."""
    return [ParameterField(name, value=value, error=(errors or {}).get(name, "")) for name, value in values.items()]


def typed(form: FormData, before: Mapping[str, str]) -> dict[str, str]:
    """The parameters of a form that differ from what stood in it.

    A secret is not shown in a form; left empty it stays what it was.
    """
    found = {key.removeprefix(PREFIX): str(value) for key, value in form.items() if key.startswith(PREFIX)}
    return {
        name: value for name, value in found.items() if value != before.get(name, "") and (value or not is_secret(name))
    }


def field_errors(error: PenstockError) -> dict[str, str]:
    """What was wrong with which parameter, as far as problems tell by their words."""
    found: dict[str, str] = {}
    for problem in error.problems if isinstance(error, DeclarationError) else ():
        match = _NAMED.match(problem.message)
        if match:
            lines = str(problem).splitlines()
            found[match[1] or match[2]] = " ".join([problem.message, *(line.strip() for line in lines[1:])])
    return found


def _choices(parameter: ParameterSpec) -> list[str]:
    if parameter.choices is not None:
        return [value if isinstance(value, str) else json.dumps(value) for value in parameter.choices]
    return ["true", "false"] if parameter.type == "bool" else []
