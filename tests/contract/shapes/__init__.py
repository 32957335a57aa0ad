"""Small pipelines, and what each must come to on any backend: states, values, lineage, attempts."""

from tests.contract.shapes import cache, earlier_runs, failures, flow, values
from tests.contract.shapes.shape import Round, Shape, run_shape

SHAPES = (*flow.SHAPES, *values.SHAPES, *failures.SHAPES, *cache.SHAPES, *earlier_runs.SHAPES)

__all__ = ["SHAPES", "Round", "Shape", "run_shape"]
