"""What a run takes over from the runs before it."""

from __future__ import annotations

from tests.contract.backend import Outcome, Project
from tests.contract.shapes.flow import CHAIN, CHAIN_VALUES
from tests.contract.shapes.shape import Check, Round, Shape, all_of

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


def _lent_by(number: int) -> Check:
    def check(_: Project, rounds: list[Outcome]) -> None:
        lender, borrower = rounds[number].outputs(), rounds[-1].outputs()
        assert [a["artifact_id"] for a in borrower["two.made"]] == [a["artifact_id"] for a in lender["two.made"]]

    return check


SHAPES = (
    Shape(
        "latest-artifact",
        (
            Round(
                {"found": "failed", **all_of("upstream_failed", "made seen")},
                succeeds=False,
                errors={"found": "finds no Integer"},
                nodes=_latest(1),
            ),
            Round({"made": "succeeded"}, nodes="made: {component: 'steps:number', value: 1}"),
            Round(
                all_of("succeeded", "made found seen"),
                values={"seen.made": "1"},
                origins={"seen.made": {"made", "seen"}},
                nodes=_latest(2),
            ),
            Round(all_of("succeeded", "made found seen"), values={"seen.made": "2"}, nodes=_latest(3)),
        ),
    ),
    Shape(
        "latest-blessed",
        (
            Round(
                all_of("succeeded", "found weighed made judged"),
                values={"weighed.weight": "none"},
                options=("-p", "weight=1", "-p", "blessed=1"),
            ),
            Round(
                all_of("succeeded", "found weighed made judged"),
                values={"weighed.weight": "1"},
                origins={"weighed.weight": {"made", "weighed"}},
                options=("-p", "weight=2", "-p", "blessed=0"),
            ),
            Round(
                {**all_of("succeeded", "found made judged"), "weighed": "cached"},
                values={"weighed.weight": "1"},
                options=("-p", "weight=3", "-p", "blessed=1"),
            ),
        ),
        source="flows.py:blessed_model",
    ),
    Shape(
        "partial",
        (
            Round(all_of("succeeded", "one two three"), options=("--run-id", "first"), nodes=CHAIN),
            Round(
                {**all_of("succeeded", "one two"), "three": "cached"},
                values=CHAIN_VALUES,
                options=("--to", "two", "--no-cache"),
            ),
            Round(
                {**all_of("cached", "one two"), "three": "succeeded"},
                values=CHAIN_VALUES,
                origins={"three.made": {"one", "two", "three"}},
                options=("--from", "three", "--no-cache"),
                check=_lent_by(1),
            ),
            Round(
                {**all_of("cached", "one two"), "three": "succeeded"},
                options=("--from", "three", "--no-cache", "--base", "first"),
                check=_lent_by(0),
            ),
        ),
    ),
)
