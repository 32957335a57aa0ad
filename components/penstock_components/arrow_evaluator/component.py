"""The component."""

from __future__ import annotations

from tfx.components.evaluator.component import Evaluator
from tfx.dsl.components.base import executor_spec

from penstock_components.arrow_evaluator.executor import Executor


class ArrowEvaluator(Evaluator):
    """TFX's Evaluator with metrics computed on vectors: its inputs, parameters, outputs and results unchanged.

    An evaluation that is not covered runs as TFX's own; the artifact's property `evaluated_with` and the log say so.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
