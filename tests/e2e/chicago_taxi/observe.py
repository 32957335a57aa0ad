"""What plain TensorFlow finds in a run's examples and models. A program of its own: it imports nothing of the project.

Called with a JSON file of folders: `examples` and `transformed` (each by split), `pushed`, `trained` and
`unmaterialized` (saved models), and `out`. Writes `arrays.npz` and `facts.json` there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

LABEL_COLUMNS = ("tips",)
SERVED_ROWS = 1_000
SINGLE_ROWS = 25
MISSING = {tf.string: "", tf.float32: float("nan"), tf.int64: -1}


def serialized_examples(folder: str) -> list[bytes]:
    files = sorted(str(path) for path in Path(folder).iterdir())
    return list(tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator())


def columns(serialized: list[bytes]) -> dict[str, np.ndarray]:
    """Column to one value for each example: text, or numbers in double precision; "" and NaN where there is none."""
    found: dict[str, list[Any]] = {}
    for row, content in enumerate(serialized):
        for name, feature in tf.train.Example.FromString(content).features.feature.items():
            kind = feature.WhichOneof("kind")
            values: list[Any] = list(getattr(feature, kind).value) if kind else []
            if len(values) == 1:
                value = values[0].decode() if kind == "bytes_list" else values[0]
                found.setdefault(name, [None] * len(serialized))[row] = value
            elif values:
                raise ValueError(f"example {row} has {len(values)} values of {name}")
    return {name: column(values) for name, values in found.items()}


def column(values: list[Any]) -> np.ndarray:
    if any(isinstance(value, str) for value in values):
        return np.array([value or "" for value in values])
    return np.array([np.nan if value is None else value for value in values], np.float64)


def without_label(serialized: bytes) -> bytes:
    example = tf.train.Example.FromString(serialized)
    for name in LABEL_COLUMNS:
        del example.features.feature[name]
    return example.SerializeToString()


def raw_tensors(signature: Any, raw: dict[str, np.ndarray], rows: slice) -> dict[str, tf.Tensor]:
    tensors = {}
    for name, spec in signature.structured_input_signature[1].items():
        values = raw[name][rows]
        if spec.dtype != tf.string:
            values = np.where(np.isnan(values), MISSING[spec.dtype], values)
        tensors[name] = tf.cast(tf.constant(values), spec.dtype)
    return tensors


def features(model: Any, serialized: list[bytes]) -> dict[str, np.ndarray]:
    found = model.signatures["transform_features"](examples=tf.constant(serialized))
    return {name: values.numpy() for name, values in found.items()}


def scores(model: Any, serialized: list[bytes]) -> np.ndarray:
    return model.signatures["serving_default"](examples=tf.constant(serialized))["probability"].numpy()


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text())
    arrays: dict[str, np.ndarray] = {}

    def keep(group: str, found: dict[str, np.ndarray]) -> None:
        arrays.update({f"{group}/{name}": values for name, values in found.items()})

    examples = {split: serialized_examples(folder) for split, folder in request["examples"].items()}
    raw = {split: columns(serialized) for split, serialized in examples.items()}
    for split in examples:
        keep(f"raw/{split}", raw[split])
        keep(f"transformed/{split}", columns(serialized_examples(request["transformed"][split])))

    pushed = tf.saved_model.load(request["pushed"])
    trained = tf.saved_model.load(request["trained"])
    unmaterialized = tf.saved_model.load(request["unmaterialized"])
    for split in examples:
        keep(f"pushed_features/{split}", features(pushed, examples[split]))
        keep(f"unmaterialized_features/{split}", features(unmaterialized, examples[split]))
    arrays["offline"] = scores(trained, examples["eval"])
    arrays["unmaterialized"] = scores(unmaterialized, examples["eval"])
    arrays["served_examples"] = scores(pushed, [without_label(content) for content in examples["eval"]])
    signature = pushed.signatures["raw"]
    answer = signature(**raw_tensors(signature, raw["eval"], slice(SERVED_ROWS)))
    arrays["served_raw"] = answer["probability"].numpy()
    singles = [signature(**raw_tensors(signature, raw["eval"], slice(n, n + 1))) for n in range(SINGLE_ROWS)]
    arrays["served_one_by_one"] = np.concatenate([single["probability"].numpy() for single in singles])

    facts = {
        "signatures": {
            name: {
                "inputs": {key: spec.dtype.name for key, spec in found.structured_input_signature[1].items()},
                "outputs": {key: spec.dtype.name for key, spec in found.structured_outputs.items()},
            }
            for name, found in pushed.signatures.items()
        },
        "variables": [
            shape
            for name, shape in tf.train.list_variables(f"{request['pushed']}/variables/variables")
            if name.endswith("VARIABLE_VALUE")
        ],
        "modules": sorted({name.split(".")[0] for name in sys.modules}),
    }
    out = Path(request["out"])
    np.savez(out / "arrays.npz", **arrays)  # type: ignore[arg-type]
    (out / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main()
