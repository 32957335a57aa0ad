"""AutoGraph kept away from TFT's code that loads and applies a transform graph.

AutoGraph rewrites each Python function that a traced one calls, so that control flow on tensors becomes part of the
graph. There is none in these modules, and they call no code of a user's; rewriting them takes 0.8 s of a Trainer whose
model has TFT's layer. TensorFlow does the same for Keras and other libraries of its own.
"""

from __future__ import annotations

_MODULES = ("tensorflow_transform.saved", "tensorflow_transform.output_wrapper")


def leave_tft_out() -> None:
    """Adds TFT's modules to those that AutoGraph does not rewrite. Idempotent."""
    from tensorflow.python.autograph.core import config

    left_alone = [rule for rule in config.CONVERSION_RULES if isinstance(rule, config.DoNotConvert)]
    added = [config.DoNotConvert(name) for name in _MODULES if not any(rule.matches(name) for rule in left_alone)]
    # The first rule that fits a module counts.
    config.CONVERSION_RULES = (*added, *config.CONVERSION_RULES)
