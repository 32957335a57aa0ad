"""What is taken from the cache, and what is not."""

from __future__ import annotations

from pathlib import Path

from tests.contract.backend import Outcome, Project
from tests.contract.shapes.flow import CHAIN, CHAIN_VALUES
from tests.contract.shapes.shape import Check, Round, Shape, all_of


def _same_artifacts(_: Project, rounds: list[Outcome]) -> None:
    before, after = ({o: [a["artifact_id"] for a in found] for o, found in r.outputs().items()} for r in rounds[-2:])
    assert after == before, "what came from the cache is what was there, not a copy"


def _value_file(outcome: Outcome, output: str) -> Path:
    [artifact] = outcome.outputs()[output]
    return Path(artifact["uri"])


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


CHAIN_DONE = Round(all_of("succeeded", "one two three"), values=CHAIN_VALUES, nodes=CHAIN)

SHAPES = (
    Shape(
        "cache-hit",
        (
            CHAIN_DONE,
            Round(all_of("cached", "one two three"), values=CHAIN_VALUES, check=_same_artifacts),
            Round(all_of("succeeded", "one two three"), values=CHAIN_VALUES, options=("--no-cache",)),
        ),
    ),
    Shape(
        "cache-miss",
        (
            CHAIN_DONE,
            Round(
                all_of("succeeded", "one two three"),
                values={"three.made": "4"},
                nodes=CHAIN.replace("value: 1", "value: 2"),
                check=_misses_because("two", "no earlier execution has this key"),
            ),
        ),
    ),
    Shape(
        "cache-off",
        (
            Round(all_of("succeeded", "one two"), nodes=NO_CACHE),
            Round({"one": "succeeded", "two": "cached"}, values={"two.made": "1"}),
        ),
    ),
    Shape(
        "cache-expired",
        (
            Round(all_of("succeeded", "one two"), nodes=SHORT_CACHE),
            Round({"one": "succeeded", "two": "cached"}, check=_misses_because("one", "is older than the cache may")),
        ),
    ),
    Shape(
        "cache-payload-deleted",
        (
            CHAIN_DONE,
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
            CHAIN_DONE,
            Round(
                {"one": "cached", "two": "succeeded", "three": "cached"},
                values={"three.made": "2"},
                prepare=_damage_two,
                check=_misses_because("two", "has another content than was recorded"),
            ),
        ),
    ),
    Shape(
        "changed-parameter",
        (
            CHAIN_DONE,
            Round(
                {"one": "cached", "two": "cached", "three": "cached", "four": "succeeded"},
                values={"four.made": "3"},
                origins={"four.made": {"one", "two", "four"}},
                nodes=CHAIN + "four: {component: 'steps:add', a: '${nodes.two.made}', b: '${nodes.one.made}'}",
            ),
        ),
    ),
)
