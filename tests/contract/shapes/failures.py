"""Nodes that fail, for a time or for good."""

from __future__ import annotations

from pathlib import Path

from tests.contract.backend import Outcome, Project
from tests.contract.shapes.flow import ONE
from tests.contract.shapes.shape import Round, Shape, all_of

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
    **all_of("succeeded", "one apart beside"),
    "faulty": "failed",
    **all_of("upstream_failed", "last beyond"),
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

_MENDED = FAILING.replace("most: 0", "most: 1")

SHAPES = (
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
                {**all_of("cached", "one apart beside"), **all_of("succeeded", "faulty last beyond")},
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
                all_of("succeeded", "flaky read"),
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
    Shape(
        "resume",
        (
            Round(_FAILED, succeeds=False, nodes=FAILING),
            Round(
                all_of("succeeded", "one faulty last beyond apart beside"),
                values={"beyond.made": "1"},
                origins={"beyond.made": {"one", "faulty", "last", "beyond"}},
                options=("--resume", "latest"),
                attempts={"faulty": 2, "one": 1},
                prepare=_mend,
            ),
        ),
    ),
)
