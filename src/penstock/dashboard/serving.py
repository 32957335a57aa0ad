"""How a pushed model is served, and a request to try it with: what to type, nothing is called."""

from __future__ import annotations

import base64
import json
import shlex
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

_REST_PORT, _GRPC_PORT = 8501, 8500
_DEFAULT_SIGNATURE = "serving_default"
_EXAMPLES = ("examples", "inputs", "input", "serialized_examples")


@dataclass(frozen=True)
class Trial:
    """How to serve a model and ask it something.

    Attributes:
        serve: the command that serves it with TensorFlow Serving.
        curl: the command that asks it; None where no request can be made up.
        signature: the signature that is asked.
        fields: the raw features of the request.
    """

    serve: str
    curl: str | None
    signature: str | None
    fields: Mapping[str, Any]


def trial(base: str, signatures: Mapping[str, Any], values: Mapping[str, Any]) -> Trial:
    """Makes the commands up.

    Args:
        base: the folder that holds a model's versions.
        signatures: inputs and outputs of each signature, as the summary of a model has them.
        values: a value of each raw feature, as far as one is known.
    """
    name = PurePosixPath(base).name or "model"
    serve = (
        f"tensorflow_model_server --port={_GRPC_PORT} --rest_api_port={_REST_PORT} "
        f"--model_name={shlex.quote(name)} --model_base_path={shlex.quote(base)}"
    )
    signature = _raw_signature(signatures, values) or _example_signature(signatures)
    if signature is None or not values:
        return Trial(serve, None, None, {})
    inputs: Mapping[str, str] = signatures[signature]["inputs"]
    if _takes_examples(inputs):
        fields: Mapping[str, Any] = values
        [key] = inputs
        encoded = base64.b64encode(serialized_example(values)).decode()
        instance: Any = {key: {"b64": encoded}}
    else:
        fields = {key: _as(kind, values.get(key)) for key, kind in inputs.items()}
        instance = fields
    body = json.dumps({"signature_name": signature, "instances": [instance]}, ensure_ascii=False)
    curl = (
        f"curl -s -X POST http://localhost:{_REST_PORT}/v1/models/{name}:predict "
        f"-H 'Content-Type: application/json' -d {shlex.quote(body)}"
    )
    return Trial(serve, curl, signature, fields)


def typical_values(statistics: Mapping[str, Any]) -> dict[str, Any]:
    """A typical value of each feature in the summary of statistics: the median, or the most frequent text."""
    found: dict[str, Any] = {}
    for split in statistics.get("splits", {}).values():
        for feature in split["features"]:
            if feature.get("top"):
                found.setdefault(feature["name"], feature["top"][0][0])
            elif "median" in feature:
                is_whole = feature["type"] == "INT"
                found.setdefault(feature["name"], round(feature["median"]) if is_whole else feature["median"])
    return found


def serialized_example(values: Mapping[str, Any]) -> bytes:
    """A `tf.train.Example` of these values as protobuf; layout of `tensorflow/core/example/feature.proto`."""
    entries = b""
    for name, value in sorted(values.items()):
        items = value if isinstance(value, list) else [] if value is None else [value]
        entries += _field(1, _field(1, name.encode()) + _field(2, _feature(items)))
    return _field(1, entries)


def _feature(items: list[Any]) -> bytes:
    if not items:
        return b""
    if all(isinstance(item, int) for item in items):
        return _field(3, _field(1, b"".join(_varint(item & (1 << 64) - 1) for item in items)))
    if all(isinstance(item, int | float) for item in items):
        return _field(2, _field(1, struct.pack(f"<{len(items)}f", *items)))
    return _field(1, b"".join(_field(1, str(item).encode()) for item in items))


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _raw_signature(signatures: Mapping[str, Any], known: Iterable[str]) -> str | None:
    """The signature that takes most raw features by name; the default one where several take as many."""
    names = set(known)
    fitting = [
        (len(names.intersection(signature["inputs"])), name == _DEFAULT_SIGNATURE, name)
        for name, signature in signatures.items()
        if not _takes_examples(signature["inputs"]) and names.intersection(signature["inputs"])
    ]
    return max(fitting)[2] if fitting else None


def _example_signature(signatures: Mapping[str, Any]) -> str | None:
    for name in (_DEFAULT_SIGNATURE, *signatures):
        if name in signatures and _takes_examples(signatures[name]["inputs"]):
            return name
    return None


def _takes_examples(inputs: Mapping[str, str]) -> bool:
    return len(inputs) == 1 and all(kind == "string" and key in _EXAMPLES for key, kind in inputs.items())


def _as(kind: str, value: Any) -> Any:
    """A value in JSON as a tensor of this type wants it; where none is known, one that says so."""
    if isinstance(value, list):
        value = value[0] if value else None
    if kind == "string":
        return "" if value is None else str(value)
    number = 0.0 if value is None or isinstance(value, str) else float(value)
    return int(number) if kind.startswith(("int", "uint")) else number
