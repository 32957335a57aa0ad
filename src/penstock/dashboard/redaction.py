"""Keeps secrets out of what is shown: values of parameters and variables whose names say that they are secret."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from html import escape
from json import dumps
from typing import Any

from penstock.metadata.location import StoreLocation

HIDDEN = "•••"
_SECRET_NAME = re.compile(
    r"(^|[_.\-])(api_?key|access_?key|private_?key|secret|secrets|token|password|passwd|pwd|credentials?)($|[_.\-])"
    r"|(secret|token|password|apikey)$",
    re.IGNORECASE,
)
# Shorter values would take innocent words out of pages.
_LEAST_LENGTH = 8


def is_secret(name: str) -> bool:
    """Whether a parameter or variable of this name holds a secret."""
    return _SECRET_NAME.search(name) is not None


def shown(name: str, value: Any) -> Any:
    """A named value as people may see it."""
    return HIDDEN if value not in (None, "") and is_secret(name) else value


def shown_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Named values as people may see them."""
    return {name: shown(name, value) for name, value in values.items()}


class Redactor:
    """Takes secrets out of texts."""

    def __init__(self, secrets: Iterable[str]):
        known = {secret for secret in secrets if len(secret) >= _LEAST_LENGTH}
        forms = known | {escape(secret) for secret in known} | {dumps(secret)[1:-1] for secret in known}
        alternatives = sorted((re.escape(form) for form in forms), key=len, reverse=True)
        self._pattern = re.compile("|".join(alternatives)) if alternatives else None

    def __call__(self, text: str) -> str:
        """The text with each secret replaced."""
        return text if self._pattern is None else self._pattern.sub(HIDDEN, text)


def make(environ: Mapping[str, str] | None = None, location: StoreLocation | None = None) -> Redactor:
    """A redactor of the secrets that this process's environment and the store's address hold."""
    environ = os.environ if environ is None else environ
    secrets = [value for name, value in environ.items() if is_secret(name)]
    if location is not None and location.postgres is not None:
        secrets.append(location.postgres.password)
    return Redactor(secrets)
