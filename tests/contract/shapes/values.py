"""What nodes take and put out."""

from __future__ import annotations

from tests.contract.backend import Outcome, Project
from tests.contract.shapes.flow import ONE
from tests.contract.shapes.shape import Round, Shape, all_of

TYPES = """
of_each: {component: 'steps:of_each_type'}
told:
  component: steps:tell
  whole: ${nodes.of_each.whole}
  real: ${nodes.of_each.real}
  text: ${nodes.of_each.text}
  truth: ${nodes.of_each.truth}
  document: ${nodes.of_each.document}
"""

OPTIONAL = (
    ONE
    + """
present: {component: 'steps:add', a: '${nodes.one.made}', b: '${nodes.one.made}'}
absent: {component: 'steps:add', a: '${nodes.one.made}'}
"""
)

CUSTOM_TYPE = """
table: {component: 'steps:make_table', rows: 5}
read: {component: 'steps:read_table', table: '${nodes.table.table}'}
"""


def _table_is_typed(_: Project, rounds: list[Outcome]) -> None:
    [table] = rounds[-1].outputs()["table.table"]
    shown = rounds[-1].store.read("artifacts", "show", str(table["artifact_id"]))
    assert (table["type"], shown["properties"]["rows"]) == ("Table", 5)


IMPORTER = """
table: {component: Importer, source_uri: FOLDER/old, artifact_type: 'steps:Table', properties: {rows: 9}}
read: {component: 'steps:read_table', table: '${nodes.table.result}'}
"""


def _write_old_table(project: Project, _: list[Outcome]) -> None:
    (project.folder / "old").mkdir()
    (project.folder / "old" / "a.csv").write_text("x\n")


ENV = """
set: {component: 'steps:variable', name: COLOUR, env: {COLOUR: blue}}
unset: {component: 'steps:variable', name: COLOUR}
"""

SHAPES = (
    Shape(
        "value-types",
        (
            Round(
                all_of("succeeded", "of_each told"),
                values={"told.told": '[-7, 0.1, "\\u00e4\\n", true, {"a": [1, 2]}]'},
                origins={"told.told": {"of_each", "told"}},
                nodes=TYPES,
            ),
        ),
    ),
    Shape(
        "optional-input",
        (
            Round(
                all_of("succeeded", "one present absent"),
                values={"present.made": "2", "absent.made": "1"},
                origins={"absent.made": {"one", "absent"}},
                nodes=OPTIONAL,
            ),
        ),
    ),
    Shape(
        "custom-type",
        (
            Round(
                all_of("succeeded", "table read"),
                values={"read.rows": "5", "read.files": "rows.csv"},
                origins={"read.rows": {"table", "read"}},
                nodes=CUSTOM_TYPE,
                check=_table_is_typed,
            ),
        ),
    ),
    Shape(
        "importer",
        (
            Round(
                all_of("succeeded", "table read"),
                values={"read.rows": "9", "read.files": "a.csv"},
                origins={"read.rows": {"table", "read"}},
                nodes=IMPORTER,
                prepare=_write_old_table,
            ),
        ),
    ),
    Shape(
        "node-env",
        (
            Round(
                all_of("succeeded", "set unset"),
                values={"set.value": "blue", "unset.value": "unset"},
                origins={"set.value": {"set"}},
                nodes=ENV,
            ),
            Round(
                {"set": "succeeded", "unset": "cached"},
                values={"unset.value": "unset"},
                nodes=ENV.replace("blue", "red"),
            ),
        ),
    ),
)
