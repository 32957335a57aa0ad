"""What runs before what, and beside what."""

from __future__ import annotations

from itertools import pairwise

from tests.contract.backend import Outcome, Project
from tests.contract.shapes.shape import Round, Shape, all_of

ONE = "one: {component: 'steps:number', value: 1}\n"

CHAIN = (
    ONE
    + """
two: {component: 'steps:add', a: '${nodes.one.made}', b: '${nodes.one.made}'}
three: {component: 'steps:add', a: '${nodes.two.made}'}
"""
)

DIAMOND = (
    ONE
    + """
left: {component: 'steps:add', a: '${nodes.one.made}'}
right: {component: 'steps:add', a: '${nodes.one.made}', b: '${nodes.one.made}'}
both: {component: 'steps:add', a: '${nodes.left.made}', b: '${nodes.right.made}'}
"""
)

FAN_IN = """
w: {component: 'steps:number', value: 1}
x: {component: 'steps:number', value: 2}
y: {component: 'steps:number', value: 4}
z: {component: 'steps:number', value: 8}
all:
  component: steps:add_each
  a: ${nodes.w.made}
  b: ${nodes.x.made}
  c: ${nodes.y.made}
  d: ${nodes.z.made}
"""

_LEAVES = [f"leaf{number}" for number in range(50)]

FAN_OUT = ONE + "".join(f"{leaf}: {{component: 'steps:add', a: '${{nodes.one.made}}'}}\n" for leaf in _LEAVES)

TWO_OUTPUTS = """
seven: {component: 'steps:number', value: 7}
three: {component: 'steps:number', value: 3}
parts: {component: 'steps:divide', dividend: '${nodes.seven.made}', divisor: '${nodes.three.made}'}
quotient: {component: 'steps:add', a: '${nodes.parts.quotient}'}
rest: {component: 'steps:add', a: '${nodes.parts.rest}'}
"""

AFTER = """
read: {component: 'steps:exists', path: FOLDER/made, after: [write]}
write: {component: 'steps:touch', path: FOLDER/made}
"""

SIDE_BY_SIDE = """
one: {component: 'steps:meet', mine: FOLDER/one, other: FOLDER/two}
two: {component: 'steps:meet', mine: FOLDER/two, other: FOLDER/one}
"""

HUNGRY = "".join(
    f"{name}: {{component: 'steps:alone', marker: FOLDER/marker, resources: {{cpu: 1000}}}}\n"
    for name in ("one", "two", "three")
)


def _one_after_the_other(_: Project, rounds: list[Outcome]) -> None:
    times = sorted((node["started_at"], node["finished_at"]) for node in rounds[-1].nodes.values())
    for (_, ended), (began, _) in pairwise(times):
        assert began >= ended


CHAIN_VALUES = {"one.made": "1", "two.made": "2", "three.made": "2"}

SHAPES = (
    Shape(
        "chain",
        (
            Round(
                all_of("succeeded", "one two three"),
                values=CHAIN_VALUES,
                origins={"three.made": {"one", "two", "three"}, "one.made": {"one"}},
                nodes=CHAIN,
            ),
        ),
    ),
    Shape(
        "diamond",
        (
            Round(
                all_of("succeeded", "one left right both"),
                values={"both.made": "3"},
                origins={"both.made": {"one", "left", "right", "both"}, "left.made": {"one", "left"}},
                nodes=DIAMOND,
            ),
        ),
    ),
    Shape(
        "fan-out",
        (
            Round(
                all_of("succeeded", " ".join(["one", *_LEAVES])),
                values={f"{leaf}.made": "1" for leaf in _LEAVES},
                origins={"leaf7.made": {"one", "leaf7"}},
                nodes=FAN_OUT,
            ),
        ),
    ),
    Shape(
        "fan-in",
        (
            Round(
                all_of("succeeded", "w x y z all"),
                values={"all.made": "15"},
                origins={"all.made": {"w", "x", "y", "z", "all"}},
                nodes=FAN_IN,
            ),
        ),
    ),
    Shape(
        "list-input",
        (
            Round(
                all_of("succeeded", "table1 table2 table4 total"),
                values={"total.rows": "7"},
                origins={"total.rows": {"table1", "table2", "table4", "total"}},
            ),
        ),
        source="flows.py:list_input",
    ),
    Shape(
        "two-outputs",
        (
            Round(
                all_of("succeeded", "seven three parts quotient rest"),
                values={"quotient.made": "2", "rest.made": "1"},
                origins={"rest.made": {"seven", "three", "parts", "rest"}},
                nodes=TWO_OUTPUTS,
            ),
        ),
    ),
    Shape(
        "after-only",
        (
            Round(
                all_of("succeeded", "read write"),
                values={"read.there": "1"},
                origins={"read.there": {"read"}},
                nodes=AFTER,
            ),
        ),
    ),
    Shape(
        "condition-true",
        (
            Round(
                all_of("succeeded", "one inside beyond beside"),
                values={"beyond.made": "11"},
                origins={"beyond.made": {"one", "inside", "beyond"}},
                options=("-p", "value=11"),
            ),
        ),
        source="flows.py:condition",
    ),
    Shape(
        "condition-false",
        (
            Round(
                {**all_of("succeeded", "one beside"), **all_of("skipped", "inside beyond")},
                values={"beside.made": "10"},
                origins={"beside.made": {"one", "beside"}},
                options=("-p", "value=10"),
            ),
        ),
        source="flows.py:condition",
    ),
    Shape(
        "sub-pipeline",
        (
            Round(
                all_of("succeeded", "one sub_begin inner sub_end last"),
                values={"last.made": "2"},
                origins={"last.made": {"one", "inner", "last"}},
            ),
        ),
        source="flows.py:sub_pipeline",
    ),
    Shape("side-by-side", (Round(all_of("succeeded", "one two"), options=("--jobs", "2"), nodes=SIDE_BY_SIDE),)),
    Shape(
        "resources",
        (
            Round(
                all_of("succeeded", "one two three"),
                options=("--jobs", "3"),
                nodes=HUNGRY,
                check=_one_after_the_other,
            ),
        ),
    ),
)
