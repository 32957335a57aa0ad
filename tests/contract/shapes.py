"""Small pipelines, and what each must come to on any backend: states, values, lineage, attempts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.contract.backend import Outcome, Project

Check = Callable[[Project, list[Outcome]], None]


@dataclass(frozen=True)
class Round:
    """One run of a shape and what it must come to.

    Attributes:
        states: the state of each node.
        values: the value of each of these outputs, `NODE.OUTPUT`, as written.
        origins: the nodes that each of these outputs goes back to.
        options: of `penstock run`.
        succeeds: whether the run does.
        attempts: of these nodes, the number of the last attempt.
        errors: what these nodes' errors hold.
        nodes: declares these nodes before the run, in place of those before.
        prepare: what else happens before it, given the rounds so far.
        check: what else must hold after it, given the rounds so far, this one included.
    """

    states: Mapping[str, str]
    values: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, set[str]] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    succeeds: bool = True
    attempts: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    nodes: str | None = None
    prepare: Check | None = None
    check: Check | None = None


@dataclass(frozen=True)
class Shape:
    """A pipeline and one or more runs of it on one store.

    Attributes:
        name: what it is about, for the test's name; the pipeline's name as well.
        rounds: the runs.
        source: `FILE.py:CALLABLE` in the project; empty where the rounds declare nodes.
    """

    name: str
    rounds: tuple[Round, ...]
    source: str = ""


def _all(state: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), state)


def _same_artifacts(_: Project, rounds: list[Outcome]) -> None:
    before, after = ({o: [a["artifact_id"] for a in found] for o, found in r.outputs().items()} for r in rounds[-2:])
    assert after == before, "what came from the cache is what was there, not a copy"


def _value_file(outcome: Outcome, output: str) -> Path:
    [artifact] = outcome.outputs()[output]
    return Path(artifact["uri"])


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
all: {component: 'steps:add_each', a: '${nodes.w.made}', b: '${nodes.x.made}', c: '${nodes.y.made}', d: '${nodes.z.made}'}
"""  # noqa: E501 - one node a line

_LEAVES = [f"leaf{number}" for number in range(50)]
FAN_OUT = ONE + "".join(f"{leaf}: {{component: 'steps:add', a: '${{nodes.one.made}}'}}\n" for leaf in _LEAVES)

TWO_OUTPUTS = """
seven: {component: 'steps:number', value: 7}
three: {component: 'steps:number', value: 3}
parts: {component: 'steps:divide', dividend: '${nodes.seven.made}', divisor: '${nodes.three.made}'}
quotient: {component: 'steps:add', a: '${nodes.parts.quotient}'}
rest: {component: 'steps:add', a: '${nodes.parts.rest}'}
"""

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


AFTER = """
read: {component: 'steps:exists', path: FOLDER/made, after: [write]}
write: {component: 'steps:touch', path: FOLDER/made}
"""

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

FAILING = (
    ONE
    + """
faulty: {component: 'steps:check', a: '${nodes.one.made}', most: 0}
last: {component: 'steps:add', a: '${nodes.faulty.made}'}
beyond: {component: 'steps:add', a: '${nodes.last.made}'}
apart: {component: 'steps:number', value: 3}
beside: {component: 'steps:add', a: '${nodes.apart.made}', after: [one]}
"""
)


def _mend(project: Project, _: list[Outcome]) -> None:
    """Mends the code, not the declaration: a run is resumed as it was compiled."""
    module = project.folder / "steps.py"
    text = module.read_text()
    assert "if a > most:" in text
    module.write_text(text.replace("if a > most:", "if a > most + 1:"))


_FAILED = {
    **_all("succeeded", "one apart beside"),
    "faulty": "failed",
    **_all("upstream_failed", "last beyond"),
}

FLAKY = """
flaky: {component: 'steps:flaky', tries: FOLDER/tries, failures: 2, retries: 2, backoff: 0.4}
read: {component: 'steps:read_table', table: '${nodes.flaky.table}'}
"""


def _only_the_last_try_is_there(project: Project, rounds: list[Outcome]) -> None:
    outcome = rounds[-1]
    [table] = outcome.outputs()["flaky.table"]
    slots = list(Path(table["uri"]).parent.iterdir())
    assert [slot.name for slot in slots] == [Path(table["uri"]).name]
    attempts = sorted((project.store / "runs" / outcome.run_id / "flaky").glob("attempt-*/log.txt"))
    assert len(attempts) == 3
    assert "not this time" in attempts[1].read_text()
    first, second, third = map(float, (project.folder / "tries").read_text().split())
    assert second - first >= 0.4
    assert third - second >= 0.8, "the pause doubles"


HOPELESS = "hopeless: {component: 'steps:hopeless', tries: FOLDER/tries, retries: 5}\n"


def _tried_once(project: Project, _: list[Outcome]) -> None:
    assert len((project.folder / "tries").read_text().splitlines()) == 1


ENDLESS = """
endless: {component: 'steps:endless', pids: FOLDER/pids, tries: FOLDER/tries, timeout: 3, retries: 1}
last: {component: 'steps:add', a: '${nodes.endless.made}'}
"""


def _nothing_goes_on(project: Project, _: list[Outcome]) -> None:
    assert len((project.folder / "tries").read_text().splitlines()) == 2
    pids = (project.folder / "pids").read_text().split()
    assert len(pids) == 4
    assert [pid for pid in pids if _is_running(pid)] == []


def _is_running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


GREEDY = "greedy: {component: 'steps:greedy', megabytes: 600, resources: {memory: 300Mi}}\n"

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


LATEST = """
made: {component: 'steps:number', value: VALUE, after: [found]}
found:
  component: Resolver
  strategy_class: LatestArtifactStrategy
  made: {type: Integer, producer_component_id: made, output_key: made}
seen: {component: 'steps:add', a: '${nodes.found.made}'}
"""


def _latest(value: int) -> str:
    return LATEST.replace("VALUE", str(value))


NO_CACHE = """
one: {component: 'steps:number', value: 1, cache: false}
two: {component: 'steps:add', a: '${nodes.one.made}'}
"""
SHORT_CACHE = """
one: {component: 'steps:number', value: 1, cache: {ttl: 0.01}}
two: {component: 'steps:add', a: '${nodes.one.made}'}
"""


def _delete_two(_: Project, rounds: list[Outcome]) -> None:
    _value_file(rounds[-1], "two.made").unlink()


def _damage_two(_: Project, rounds: list[Outcome]) -> None:
    file = _value_file(rounds[-1], "two.made")
    assert file.read_text() == "2"
    file.write_text("3")


def _misses_because(node: str, reason: str) -> Check:
    def check(_: Project, rounds: list[Outcome]) -> None:
        explained = rounds[-1].store.read("cache", "explain", rounds[-1].run_id, node)
        assert explained["outcome"] == "miss"
        assert reason in explained["reason"]

    return check


def _lent_by(number: int) -> Check:
    def check(_: Project, rounds: list[Outcome]) -> None:
        lender, borrower = rounds[number].outputs(), rounds[-1].outputs()
        assert [a["artifact_id"] for a in borrower["two.made"]] == [a["artifact_id"] for a in lender["two.made"]]

    return check


_CHAIN_VALUES = {"one.made": "1", "two.made": "2", "three.made": "2"}
_CHAIN_DONE = Round(_all("succeeded", "one two three"), values=_CHAIN_VALUES, nodes=CHAIN)
_MENDED = FAILING.replace("most: 0", "most: 1")

SHAPES = (
    Shape(
        "chain",
        (
            Round(
                _all("succeeded", "one two three"),
                values=_CHAIN_VALUES,
                origins={"three.made": {"one", "two", "three"}, "one.made": {"one"}},
                nodes=CHAIN,
            ),
        ),
    ),
    Shape(
        "diamond",
        (
            Round(
                _all("succeeded", "one left right both"),
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
                _all("succeeded", " ".join(["one", *_LEAVES])),
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
                _all("succeeded", "w x y z all"),
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
                _all("succeeded", "table1 table2 table4 total"),
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
                _all("succeeded", "seven three parts quotient rest"),
                values={"quotient.made": "2", "rest.made": "1"},
                origins={"rest.made": {"seven", "three", "parts", "rest"}},
                nodes=TWO_OUTPUTS,
            ),
        ),
    ),
    Shape(
        "value-types",
        (
            Round(
                _all("succeeded", "of_each told"),
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
                _all("succeeded", "one present absent"),
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
                _all("succeeded", "table read"),
                values={"read.rows": "5", "read.files": "rows.csv"},
                origins={"read.rows": {"table", "read"}},
                nodes=CUSTOM_TYPE,
                check=_table_is_typed,
            ),
        ),
    ),
    Shape(
        "after-only",
        (
            Round(
                _all("succeeded", "read write"),
                values={"read.there": "1"},
                origins={"read.there": {"read"}},
                nodes=AFTER,
            ),
        ),
    ),
    Shape(
        "importer",
        (
            Round(
                _all("succeeded", "table read"),
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
                _all("succeeded", "set unset"),
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
    Shape(
        "condition-true",
        (
            Round(
                _all("succeeded", "one inside beyond beside"),
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
                {**_all("succeeded", "one beside"), **_all("skipped", "inside beyond")},
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
                _all("succeeded", "one sub_begin inner sub_end last"),
                values={"last.made": "2"},
                origins={"last.made": {"one", "inner", "last"}},
            ),
        ),
        source="flows.py:sub_pipeline",
    ),
    Shape(
        "failing-middle",
        (
            Round(
                _FAILED,
                values={"beside.made": "3"},
                origins={"beside.made": {"apart", "beside"}},
                succeeds=False,
                attempts={"faulty": 1, "last": 0},
                errors={"faulty": "ValueError: 1 is more than 0", "last": "needs faulty"},
                nodes=FAILING,
            ),
            Round(
                {**_all("cached", "one apart beside"), **_all("succeeded", "faulty last beyond")},
                values={"beyond.made": "1"},
                origins={"beyond.made": {"one", "faulty", "last", "beyond"}},
                nodes=_MENDED,
            ),
        ),
    ),
    Shape(
        "retries",
        (
            Round(
                _all("succeeded", "flaky read"),
                values={"read.files": "try-3.csv"},
                origins={"read.files": {"flaky", "read"}},
                attempts={"flaky": 3, "read": 1},
                nodes=FLAKY,
                check=_only_the_last_try_is_there,
            ),
        ),
    ),
    Shape(
        "do-not-retry",
        (
            Round(
                {"hopeless": "failed"},
                succeeds=False,
                attempts={"hopeless": 1},
                errors={"hopeless": "the input will never be right"},
                nodes=HOPELESS,
                check=_tried_once,
            ),
        ),
    ),
    Shape(
        "timeout",
        (
            Round(
                {"endless": "failed", "last": "upstream_failed"},
                succeeds=False,
                attempts={"endless": 2},
                errors={"endless": "timed out after 3 s\n(attempt 2 of 2)"},
                nodes=ENDLESS,
                check=_nothing_goes_on,
            ),
        ),
    ),
    Shape(
        "memory-limit",
        (
            Round(
                {"greedy": "failed"},
                succeeds=False,
                errors={"greedy": "its limit is 300 MiB"},
                nodes=GREEDY,
            ),
        ),
    ),
    Shape("side-by-side", (Round(_all("succeeded", "one two"), options=("--jobs", "2"), nodes=SIDE_BY_SIDE),)),
    Shape(
        "resources",
        (
            Round(
                _all("succeeded", "one two three"),
                options=("--jobs", "3"),
                nodes=HUNGRY,
                check=_one_after_the_other,
            ),
        ),
    ),
    Shape(
        "latest-artifact",
        (
            Round(
                {"found": "failed", **_all("upstream_failed", "made seen")},
                succeeds=False,
                errors={"found": "finds no Integer"},
                nodes=_latest(1),
            ),
            Round({"made": "succeeded"}, nodes="made: {component: 'steps:number', value: 1}"),
            Round(
                _all("succeeded", "made found seen"),
                values={"seen.made": "1"},
                origins={"seen.made": {"made", "seen"}},
                nodes=_latest(2),
            ),
            Round(_all("succeeded", "made found seen"), values={"seen.made": "2"}, nodes=_latest(3)),
        ),
    ),
    Shape(
        "latest-blessed",
        (
            Round(
                _all("succeeded", "found weighed made judged"),
                values={"weighed.weight": "none"},
                options=("-p", "weight=1", "-p", "blessed=1"),
            ),
            Round(
                _all("succeeded", "found weighed made judged"),
                values={"weighed.weight": "1"},
                origins={"weighed.weight": {"made", "weighed"}},
                options=("-p", "weight=2", "-p", "blessed=0"),
            ),
            Round(
                {**_all("succeeded", "found made judged"), "weighed": "cached"},
                values={"weighed.weight": "1"},
                options=("-p", "weight=3", "-p", "blessed=1"),
            ),
        ),
        source="flows.py:blessed_model",
    ),
    Shape(
        "cache-hit",
        (
            _CHAIN_DONE,
            Round(_all("cached", "one two three"), values=_CHAIN_VALUES, check=_same_artifacts),
            Round(_all("succeeded", "one two three"), values=_CHAIN_VALUES, options=("--no-cache",)),
        ),
    ),
    Shape(
        "cache-miss",
        (
            _CHAIN_DONE,
            Round(
                _all("succeeded", "one two three"),
                values={"three.made": "4"},
                nodes=CHAIN.replace("value: 1", "value: 2"),
                check=_misses_because("two", "no earlier execution has this key"),
            ),
        ),
    ),
    Shape(
        "cache-off",
        (
            Round(_all("succeeded", "one two"), nodes=NO_CACHE),
            Round({"one": "succeeded", "two": "cached"}, values={"two.made": "1"}),
        ),
    ),
    Shape(
        "cache-expired",
        (
            Round(_all("succeeded", "one two"), nodes=SHORT_CACHE),
            Round({"one": "succeeded", "two": "cached"}, check=_misses_because("one", "is older than the cache may")),
        ),
    ),
    Shape(
        "cache-payload-deleted",
        (
            _CHAIN_DONE,
            Round(
                {"one": "cached", "two": "succeeded", "three": "cached"},
                values={"three.made": "2"},
                prepare=_delete_two,
                check=_misses_because("two", "is gone"),
            ),
        ),
    ),
    Shape(
        "cache-payload-damaged",
        (
            _CHAIN_DONE,
            Round(
                {"one": "cached", "two": "succeeded", "three": "cached"},
                values={"three.made": "2"},
                prepare=_damage_two,
                check=_misses_because("two", "has another content than was recorded"),
            ),
        ),
    ),
    Shape(
        "partial",
        (
            Round(_all("succeeded", "one two three"), options=("--run-id", "first"), nodes=CHAIN),
            Round(
                {**_all("succeeded", "one two"), "three": "cached"},
                values=_CHAIN_VALUES,
                options=("--to", "two", "--no-cache"),
            ),
            Round(
                {**_all("cached", "one two"), "three": "succeeded"},
                values=_CHAIN_VALUES,
                origins={"three.made": {"one", "two", "three"}},
                options=("--from", "three", "--no-cache"),
                check=_lent_by(1),
            ),
            Round(
                {**_all("cached", "one two"), "three": "succeeded"},
                options=("--from", "three", "--no-cache", "--base", "first"),
                check=_lent_by(0),
            ),
        ),
    ),
    Shape(
        "resume",
        (
            Round(_FAILED, succeeds=False, nodes=FAILING),
            Round(
                _all("succeeded", "one faulty last beyond apart beside"),
                values={"beyond.made": "1"},
                origins={"beyond.made": {"one", "faulty", "last", "beyond"}},
                options=("--resume", "latest"),
                attempts={"faulty": 2, "one": 1},
                prepare=_mend,
            ),
        ),
    ),
    Shape(
        "changed-parameter",
        (
            _CHAIN_DONE,
            Round(
                {"one": "cached", "two": "cached", "three": "cached", "four": "succeeded"},
                values={"four.made": "3"},
                origins={"four.made": {"one", "two", "four"}},
                nodes=CHAIN + "four: {component: 'steps:add', a: '${nodes.two.made}', b: '${nodes.one.made}'}",
            ),
        ),
    ),
)
