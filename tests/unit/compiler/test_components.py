"""What a declaration's nodes become: parameters that the declaration leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock import spec
from penstock.compiler import components

NODES = """\
penstock: 1
name: asked
nodes:
  examples: {component: CsvExampleGen, input_base: .}
  statistics: {component: StatisticsGen, examples: "${nodes.examples.examples}"}
  schema: {component: SchemaGen, statistics: "${nodes.statistics.statistics}"}
  transform:
    component: Transform
    examples: ${nodes.examples.examples}
    schema: ${nodes.schema.schema}
    preprocessing_fn: chicago_taxi.features.preprocessing_fn
"""
TAKES_STATISTICS = """\
  after: {component: SchemaGen, statistics: "${nodes.transform.post_transform_stats}"}
"""
TAKES_EXAMPLES = """\
  after: {component: StatisticsGen, examples: "${nodes.transform.transformed_examples}"}
"""


@pytest.mark.parametrize(
    ("more", "made"),
    [
        ("", False),
        (TAKES_EXAMPLES, False),
        (TAKES_STATISTICS, True),
        ("    disable_statistics: false\n", True),
        ("    disable_statistics: true\n", False),
    ],
    ids=["nobody", "another output", "another node", "asked for", "declined"],
)
def test_transform_makes_statistics_where_somebody_asks_for_them(tmp_path: Path, more: str, made: bool) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text(NODES + more)
    transform = components.build(spec.load(file))["transform"]
    assert bool(transform.exec_properties["disable_statistics"]) is not made
    assert ("post_transform_stats" in transform.outputs) is made
