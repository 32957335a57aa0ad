"""An Evaluator that computes sliced metrics on vectors; what it does not cover it hands to TFX's own.

`ArrowEvaluator` is a drop-in replacement of TFX's Evaluator: the same inputs, parameters, outputs and result files.
"""

from penstock_components.arrow_evaluator.component import ArrowEvaluator

__all__ = ["ArrowEvaluator"]
