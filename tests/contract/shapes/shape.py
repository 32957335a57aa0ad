"""What a shape is, and how it is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.contract.backend import Backend, Outcome, Project

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


def all_of(state: str, names: str) -> dict[str, str]:
    """Returns the same state for nodes whose names are separated by spaces."""
    return dict.fromkeys(names.split(), state)


def run_shape(shape: Shape, backend: Backend, project: Project) -> None:
    """Runs a shape's rounds on a project's store, one after the other, and compares each with what it must come to."""
    outcomes: list[Outcome] = []
    for expected in shape.rounds:
        if expected.nodes is not None:
            project.declare(shape.name, expected.nodes)
        if expected.prepare is not None:
            expected.prepare(project, outcomes)
        outcomes.append(backend.run(project, shape.source, expected.options))
        _assert_fulfils(outcomes[-1], expected)
        if expected.check is not None:
            expected.check(project, outcomes)


def _assert_fulfils(outcome: Outcome, expected: Round) -> None:
    """Compares how a run ended with what was to be."""
    nodes = outcome.nodes
    assert {name: node["state"] for name, node in nodes.items()} == dict(expected.states), outcome.said
    assert (outcome.status, outcome.state) == ((0, "succeeded") if expected.succeeds else (1, "failed"))
    assert "Traceback" not in outcome.said
    assert {name: nodes[name]["attempt"] for name in expected.attempts} == dict(expected.attempts)
    for name, text in expected.errors.items():
        assert text in nodes[name]["error"]
    assert {output: outcome.value(output) for output in expected.values} == dict(expected.values)
    for output, origins in expected.origins.items():
        assert outcome.origins(output) == origins
