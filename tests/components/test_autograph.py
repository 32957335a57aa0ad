"""AutoGraph leaves TFT's own code alone, and goes on rewriting users' functions."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf
from tensorflow.python.autograph.core import config
from tensorflow.python.autograph.impl import conversion
from tensorflow_transform import output_wrapper
from tensorflow_transform.saved import saved_transform_io_v2

from penstock.engine import autograph


@pytest.fixture(autouse=True)
def rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "CONVERSION_RULES", config.CONVERSION_RULES)


def doubled_while_small(value: Any) -> Any:
    """Control flow on a tensor, which only a rewritten function can have in a graph."""
    while value < 100:
        value = value * 2
    return value


def test_tfts_code_is_left_alone() -> None:
    functions = (
        saved_transform_io_v2.SavedModelLoader.apply_transform_model,
        output_wrapper.TransformFeaturesLayer.call,
    )
    assert not any(conversion.is_allowlisted(function) for function in functions)
    autograph.leave_tft_out()
    assert all(conversion.is_allowlisted(function) for function in functions)


def test_users_functions_are_rewritten_as_ever() -> None:
    autograph.leave_tft_out()
    assert tf.function(doubled_while_small)(tf.constant(3)).numpy() == 192


def test_a_second_time_adds_nothing() -> None:
    autograph.leave_tft_out()
    rules = len(config.CONVERSION_RULES)
    autograph.leave_tft_out()
    assert len(config.CONVERSION_RULES) == rules
