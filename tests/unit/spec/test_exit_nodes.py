"""Nodes that run when the run has ended stand apart from the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock import spec
from penstock.errors import DeclarationError

NODES = """\
penstock: 1
name: ending
nodes:
  one: {component: Importer, source_uri: here, artifact_type: Schema}
  two: {component: Importer, source_uri: there, artifact_type: Schema}
  notify: {component: Importer, source_uri: said, artifact_type: Schema}
"""


def mistakes(folder: Path, text: str) -> list[str]:
    """What is wrong with a declaration, a line each."""
    (folder / "pipeline.yaml").write_text(text)
    try:
        spec.load(folder)
    except DeclarationError as error:
        return [f"{problem.line}: {problem.message}" for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (NODES + "always: [{node: notfy}]\n", "7: There is no node 'notfy'."),
        (
            NODES + "always: [{node: notify}]\non_failure: [{node: notify}]\n",
            "7: 'notify' is an exit handler already, under on_failure.",
        ),
        (NODES + "always: [{node: notify, timeout: 5s}]\n", "7: "),
        (NODES + "always: [{node: notify, command: [true]}]\n", "7: "),
        (
            NODES.replace("said,", "said, after: [two],") + "always: [{node: notify}]\n",
            "6: 'notify' runs when the run has ended, whatever became of 'two'; it cannot need it.",
        ),
        (
            NODES.replace("there,", "there, after: [notify],") + "always: [{node: notify}]\n",
            "5: 'two' cannot need 'notify', which runs when the run has ended.",
        ),
        (
            NODES + "always: [{node: notify}, {node: one}, {node: two}]\n",
            "3: Every node is an exit handler; the run itself would be empty.",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, mistake: str, tmp_path: Path) -> None:
    [found] = mistakes(tmp_path, text)
    assert found.startswith(mistake)


def test_one_that_stands_apart_is_right(tmp_path: Path) -> None:
    assert mistakes(tmp_path, NODES + "always: [{node: notify}]\non_failure: [{webhook: 'http://host/x'}]\n") == []
