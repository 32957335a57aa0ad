"""Keeps secrets out of what is shown: values of parameters and variables whose names say that they are secret."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Mapping
from html import escape
from json import dumps
from typing import Any

from penstock.metadata.location import StoreLocation
from penstock.secrets import is_secret

HIDDEN = "•••"
# Shorter values would take innocent words out of pages.
_LEAST_LENGTH = 8


def shown(name: str, value: Any) -> Any:
    """A named value as people may see it; numbers are no secrets, as a limit of tokens is none."""
    return HIDDEN if isinstance(value, str) and value and is_secret(name) else value


def shown_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Named values as people may see them."""
    return {name: shown(name, value) for name, value in values.items()}


class Redactor:
    """Takes secrets out of texts. May be shared by threads."""

    def __init__(self, secrets: Iterable[str]):
        self._known: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None
        self._lock = threading.Lock()
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Adds secrets; those too short to tell from innocent words are left out."""
        new = {secret for secret in secrets if len(secret) >= _LEAST_LENGTH} - self._known
        if not new:
            return
        with self._lock:
            self._known |= new
            forms = {form for known in self._known for form in (known, escape(known), dumps(known)[1:-1])}
            alternatives = sorted((re.escape(form) for form in forms), key=len, reverse=True)
            self._pattern = re.compile("|".join(alternatives))

    def __call__(self, text: str) -> str:
        """The text with each secret replaced."""
        return text if self._pattern is None else self._pattern.sub(HIDDEN, text)

    def binary(self, data: bytes) -> bytes:
        """The bytes with each secret replaced by as many asterisks: the lengths written around it still hold."""
        for secret in sorted(self._known, key=len, reverse=True):
            data = data.replace(secret.encode(), b"*" * len(secret.encode()))
        return data


def make(environ: Mapping[str, str] | None = None, location: StoreLocation | None = None) -> Redactor:
    """A redactor of the secrets that this process's environment and the store's address hold."""
    environ = os.environ if environ is None else environ
    secrets = [value for name, value in environ.items() if is_secret(name)]
    if location is not None and location.postgres is not None:
        secrets.append(location.postgres.password)
    return Redactor(secrets)
