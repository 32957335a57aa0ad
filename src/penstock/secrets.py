"""Keeps secrets out of what is written down: compiled pipelines, executions in the store, packages for a cluster.

What a variable or parameter whose name says so refers to, is not put into a node's arguments when a declaration is
loaded. A mark stands there instead, and is replaced in the message to the worker that runs the node.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

from penstock.errors import UsageError

_SECRET_NAME = re.compile(
    r"(^|[_.\-])(api[_-]?key|access[_-]?key|private[_-]?key|secret|secrets|token|password|passwd|pwd|credentials?)($|[_.\-])"
    r"|(secret|token|password|apikey)$",
    re.IGNORECASE,
)
# The shell's working folders.
_FOLDERS = ("PWD", "OLDPWD")
_MARK = re.compile(r"\$\{secret\.(env|parameters)\.([A-Za-z_][A-Za-z0-9_-]*)(?:#[0-9a-f]+)?\}")
_OPENING = "${secret."
# Tells that a parameter changed, in all but one of 16 million cases, and nearly nothing of what it is.
_DIGITS = 6

_Message = TypeVar("_Message")


@lru_cache(4096)
def is_secret(name: str) -> bool:
    """Whether a parameter or variable of this name holds a secret."""
    return name not in _FOLDERS and _SECRET_NAME.search(name) is not None


def mark(scope: str, name: str, value: str) -> str:
    """What stands for a secret.

    A node is another one for the cache when a parameter has another value, and the same one when a variable has: those
    are what machines sign in with, and are changed regularly.

    Args:
        scope: `env` or `parameters`.
        name: the variable's or parameter's name.
        value: the secret.
    """
    digest = f"#{hashlib.sha256(f'{name}={value}'.encode()).hexdigest()[:_DIGITS]}" if scope == "parameters" else ""
    return f"{_OPENING}{scope}.{name}{digest}}}"


class Secrets:
    """The secrets that marks stand for.

    Args:
        environ: environment variables.
        parameters: the values of a run's parameters.
    """

    def __init__(self, environ: Mapping[str, str], parameters: Mapping[str, Any]):
        self._values: Mapping[str, Mapping[str, Any]] = {"env": environ, "parameters": parameters}

    def reveal(self, text: str) -> str:
        """Returns a text with the secrets in place of their marks; JSON stays JSON.

        Raises:
            UsageError: there is no such variable or parameter here.
        """
        if _OPENING not in text:
            return text
        if text.lstrip()[:1] in ("{", "["):
            try:
                return json.dumps(self._inside(json.loads(text)))
            except ValueError:
                pass
        return _MARK.sub(lambda found: self._value(found[1], found[2]), text)

    def reveal_message(self, message: _Message) -> _Message:
        """Returns a protobuf message with the secrets in place of their marks in all of its texts.

        The message itself is returned where there is none, else a copy.
        """
        if _OPENING.encode() not in message.SerializeToString():  # type: ignore[attr-defined]  # generated classes
            return message
        copy = type(message)()
        copy.CopyFrom(message)  # type: ignore[attr-defined]
        self._fill(copy)
        return copy

    def _inside(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._inside(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._inside(item) for item in value]
        return self.reveal(value) if isinstance(value, str) else value

    def _fill(self, message: Any) -> None:
        for field, value in message.ListFields():
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                for key, entry in list(value.items()):
                    if isinstance(entry, str):
                        value[key] = self.reveal(entry)
                    elif hasattr(entry, "ListFields"):
                        self._fill(entry)
            elif field.message_type is not None:
                for inner in (value,) if hasattr(value, "ListFields") else value:
                    self._fill(inner)
            elif field.type == field.TYPE_STRING:
                if isinstance(value, str):
                    setattr(message, field.name, self.reveal(value))
                else:
                    value[:] = [self.reveal(text) for text in value]

    def _value(self, scope: str, name: str) -> str:
        found = self._values[scope].get(name)
        if not isinstance(found, str):
            what = "environment variable" if scope == "env" else "parameter"
            raise UsageError(f"The {what} {name}, which this run's declaration refers to, is not set here; set it.")
        return found
