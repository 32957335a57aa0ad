"""What a pushed penguin model says of each bird of each split. A program of its own: TensorFlow only.

Called with the model's folder and that of the examples; prints JSON: by split, lists with one entry for each bird.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import tensorflow as tf

NUMBERS = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
WORDS = ("island", "sex", "species")
NOT_MEASURED = "NA"


def bird(serialized: bytes) -> dict[str, str]:
    """The bird's columns as text; a missing one is empty."""
    found = dict.fromkeys((*NUMBERS, *WORDS), "")
    for name, feature in tf.train.Example.FromString(serialized).features.feature.items():
        kind = feature.WhichOneof("kind")
        if kind and name in found:
            [value] = getattr(feature, kind).value
            found[name] = value.decode() if isinstance(value, bytes) else str(value)
    return found


def number(text: str) -> float:
    return float("nan") if text in ("", NOT_MEASURED) else float(text)


def answers(model: Any, split: Path) -> dict[str, Any]:
    files = sorted(str(path) for path in split.iterdir())
    serialized = list(tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator())
    birds = [bird(content) for content in serialized]
    raw = {name: tf.constant([number(bird[name]) for bird in birds], tf.float32) for name in NUMBERS}
    raw |= {name: tf.constant([bird[name].replace(NOT_MEASURED, "") for bird in birds]) for name in ("island", "sex")}
    transformed = model.signatures["transform_features"](examples=tf.constant(serialized))
    return {
        "birds": birds,
        "offline": lists(model.signatures["serving_default"](examples=tf.constant(serialized))),
        "served": lists(model.signatures["raw"](**raw)),
        "features": {name: values.numpy().tolist() for name, values in transformed.items()},
    }


def lists(answer: dict[str, Any]) -> dict[str, Any]:
    return {
        "probabilities": answer["probabilities"].numpy().tolist(),
        "species": [name.decode() for name in answer["species"].numpy()],
    }


def main() -> None:
    model, examples = tf.saved_model.load(sys.argv[1]), Path(sys.argv[2])
    json.dump({split: answers(model, examples / f"Split-{split}") for split in ("train", "eval")}, sys.stdout)


if __name__ == "__main__":
    main()
