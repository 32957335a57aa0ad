"""The network and its training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Keras 3 by its own name: which Keras `tf.keras` is depends on what was imported first.
import keras
import tensorflow as tf
import tensorflow_transform as tft

from penguin import features
from penguin.inputs import SEED, batches, training_batches
from penguin.serving import ServingModel

DEFAULTS = {"batch_size": 32, "learning_rate": 0.01, "hidden_units": [16]}
"""What Trainer's `custom_config` may set."""


def category_sizes(transform: tft.TFTransformOutput) -> dict[str, int]:
    """Returns each transformed feature that holds ids, with the number of ids it can hold."""
    return {features.id_name(column): transform.vocabulary_size_by_name(column) + 1 for column in features.VOCABULARIES}


def build_model(sizes: Mapping[str, int], settings: Mapping[str, Any]) -> keras.Model:
    """Returns the untrained model: transformed features of shape [batch] to species probabilities, [batch, species]."""
    numbers = {
        name: keras.Input((), name=name, dtype="float32") for name in map(features.z_score_name, features.Z_SCORED)
    }
    ids = {name: keras.Input((), name=name, dtype="int64") for name in sizes}

    hidden = keras.layers.concatenate(
        [keras.layers.Reshape((1,))(value) for value in numbers.values()]
        + [keras.layers.Embedding(sizes[name], sizes[name])(value) for name, value in ids.items()]
    )
    for units in settings["hidden_units"]:
        hidden = keras.layers.Dense(units, activation="relu")(hidden)
    probabilities = keras.layers.Dense(len(features.SPECIES_NAMES), activation="softmax")(hidden)

    model = keras.Model(numbers | ids, probabilities)
    model.compile(
        optimizer=keras.optimizers.Adam(settings["learning_rate"]),
        loss="sparse_categorical_crossentropy",
        metrics=["sparse_categorical_accuracy"],
    )
    return model


def run_fn(fn_args: Any) -> None:
    """Trains the model and writes it with its signatures: what Trainer calls.

    Args:
        fn_args: TFX's `FnArgs`.
    """
    settings = DEFAULTS | (fn_args.custom_config or {})
    keras.utils.set_random_seed(SEED)
    transform = tft.TFTransformOutput(fn_args.transform_output)
    train = training_batches(fn_args.train_files, transform, settings["batch_size"])
    evaluation = batches(fn_args.eval_files, transform, settings["batch_size"], limit=fn_args.eval_steps)

    model = build_model(category_sizes(transform), settings)
    model.fit(
        train,
        shuffle=False,  # the data set shuffles
        steps_per_epoch=fn_args.train_steps,
        validation_data=evaluation,
        callbacks=[keras.callbacks.TensorBoard(fn_args.model_run_dir, update_freq=50)],
        verbose=2,
    )
    serving = ServingModel(model, transform)
    tf.saved_model.save(serving, fn_args.serving_model_dir, signatures=serving.signatures())
