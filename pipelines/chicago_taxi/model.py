"""The wide-and-deep model and its training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

# Keras 3 by its own name: which Keras `tf.keras` is depends on what was imported first.
import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from chicago_taxi import features
from chicago_taxi.inputs import SEED, batches, training_batches
from chicago_taxi.serving import ServingModel

LOG_EVERY = 50
"""Batches from one point of the training curves to the next."""
DEFAULTS = {"batch_size": 64, "learning_rate": 0.001, "hidden_units": [64, 32], "embedding_size": 4}
"""What Trainer's `custom_config` may set."""


def category_sizes(transform: tft.TFTransformOutput) -> dict[str, int]:
    """Returns each transformed feature that holds ids, with the number of ids it can hold."""
    sizes = {
        features.id_name(column): transform.vocabulary_size_by_name(column) + 1 for column in features.VOCABULARIES
    }
    sizes |= {features.bucket_name(column): features.BUCKETS + 1 for column in features.BUCKETED}
    sizes |= {features.id_name(column): size + 1 for column, size in features.CATEGORIES.items()}
    return sizes | {features.CROSS_ID: features.CROSS_BUCKETS}


def build_model(sizes: Mapping[str, int], settings: Mapping[str, Any], steps_per_execution: int = 1) -> keras.Model:
    """Returns the untrained model: transformed features of shape [batch] to the probability of a big tip, [batch].

    The wide part is linear in every id. The deep part sees the z-scores and an embedding of every id.

    Args:
        sizes: each feature that holds ids, with the number of ids it can hold.
        settings: see `DEFAULTS`.
        steps_per_execution: how many batches TensorFlow trains on before it returns to Python.
    """
    numbers = {
        name: keras.Input((), name=name, dtype="float32") for name in map(features.z_score_name, features.Z_SCORED)
    }
    ids = {name: keras.Input((), name=name, dtype="int64") for name in sizes}

    # One table holds what is learned of every id, each feature's after that of the one before.
    total = sum(sizes.values())
    first = np.cumsum([0, *sizes.values()])[:-1]
    positions = keras.ops.stack(list(ids.values()), axis=1) + first
    wide = keras.ops.sum(keras.layers.Embedding(total, 1)(positions), axis=1)
    embedded = keras.layers.Flatten()(keras.layers.Embedding(total, settings["embedding_size"])(positions))
    deep = keras.layers.concatenate([keras.ops.stack(list(numbers.values()), axis=1), embedded])
    for units in settings["hidden_units"]:
        deep = keras.layers.Dense(units, activation="relu")(deep)
    logit = keras.layers.add([wide, keras.layers.Dense(1)(deep)])
    probability = keras.layers.Reshape(())(keras.layers.Activation("sigmoid")(logit))

    model = keras.Model(numbers | ids, probability)
    model.compile(
        optimizer=keras.optimizers.Adam(settings["learning_rate"]),
        loss="binary_crossentropy",
        metrics=["binary_accuracy", keras.metrics.AUC(name="auc")],
        steps_per_execution=steps_per_execution,
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

    # Keras would train on more batches than asked for if they did not come out even.
    steps_at_once = math.gcd(fn_args.train_steps, LOG_EVERY)
    model = build_model(category_sizes(transform), settings, steps_at_once)
    model.fit(
        train,
        shuffle=False,  # the data set shuffles
        steps_per_epoch=fn_args.train_steps,
        validation_data=evaluation,
        # It counts what TensorFlow trains on at once, not batches.
        callbacks=[keras.callbacks.TensorBoard(fn_args.model_run_dir, update_freq=LOG_EVERY // steps_at_once)],
        verbose=2,
    )
    serving = ServingModel(model, transform)
    tf.saved_model.save(serving, fn_args.serving_model_dir, signatures=serving.signatures())
