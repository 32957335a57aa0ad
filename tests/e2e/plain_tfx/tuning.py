# mypy: ignore-errors
"""A module file with a `tuner_fn`, as TFX's Tuner takes it."""

import keras
import keras_tuner
import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner.component import TunerFnResult


def _model(hyperparameters):
    units = hyperparameters.Choice("units", [2, 4])
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(units), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    return model


def _batches(patterns):
    files = [name for pattern in patterns for name in tf.io.gfile.glob(pattern)]
    features = {name: tf.io.FixedLenFeature([1], tf.int64) for name in ("x", "y")}

    def numbers(record):
        parsed = tf.io.parse_single_example(record, features)
        return tf.cast(parsed["x"], tf.float32) / 20.0, tf.cast(parsed["y"], tf.float32) / 40.0

    return tf.data.TFRecordDataset(files, compression_type="GZIP").map(numbers).repeat().batch(4)


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    tuner = keras_tuner.RandomSearch(
        _model, objective="val_loss", max_trials=2, directory=fn_args.working_dir, project_name="search"
    )
    return TunerFnResult(
        tuner=tuner,
        fit_kwargs={
            "x": _batches(fn_args.train_files),
            "validation_data": _batches(fn_args.eval_files),
            "steps_per_epoch": fn_args.train_steps,
            "validation_steps": fn_args.eval_steps,
        },
    )
