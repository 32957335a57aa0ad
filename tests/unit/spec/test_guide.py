"""The examples of docs/declaration.md are right, and its table of components is the catalog's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from penstock import spec
from penstock.spec import catalog

GUIDE = Path(__file__).parents[3] / "docs" / "declaration.md"
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
PARTS = """
from tfx.dsl.component.experimental.decorators import component

@component
def count_rows(examples: InputArtifact[standard_artifacts.Examples], limit: Parameter[int]): ...
"""


def component_rows() -> list[str]:
    """Returns the rows of the guide's table, one a component."""
    rows = []
    for name, component in sorted(catalog.load().components.items()):
        if name in ("Importer", "Resolver"):
            continue
        inputs = [key if entry.required else f"({key})" for key, entry in component.inputs.items()]
        columns = [sorted(inputs, key=lambda key: key.startswith("(")), sorted(component.parameters), component.outputs]
        cells = [", ".join(f"`{key}`" if key[0] != "(" else f"(`{key[1:-1]}`)" for key in column) for column in columns]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return rows


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example(text: str, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("def run_fn(fn_args): ...\n")
    (tmp_path / "parts.py").write_text(PARTS)
    whole = text if text.startswith("penstock") else f"penstock: 1\nname: example\n{text}"
    if "nodes:" not in whole:
        whole += "nodes: {e: {component: CsvExampleGen, input_base: x}}\n"
    (tmp_path / "pipeline.yaml").write_text(whole)
    declaration = spec.load(tmp_path)
    assert declaration.nodes
    if "DB_PASSWORD" in text:
        cluster = spec.load(tmp_path, environment="cluster", environ={"DB_PASSWORD": "x"}).environment
        assert cluster.metadata == "postgresql://penstock:x@db/penstock"
        assert str(declaration.place("trainer", "train_args")).endswith("pipeline.yaml:28:17")


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 9


def test_table_of_components_is_current() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    table = text.partition("<!-- components -->\n")[2].partition("<!-- end of components -->")[0]
    assert table.splitlines() == component_rows()
