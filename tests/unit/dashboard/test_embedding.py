"""Pages that stand in other pages: whole by themselves, without secrets, and nothing leads out of them."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from penstock import notebook
from penstock.dashboard.embedding import Renderer, document, frame
from penstock.errors import UsageError
from tests.unit.dashboard.conftest import BAD, CANARY, GOOD, Store


def test_a_view_names_nothing_outside_of_itself(store: Store) -> None:
    view = notebook.show(store.artifacts["evaluation"], store=str(store.location.folder))
    assert "ModelEvaluation" in view.html
    assert not re.search(r'(href|src|action)="(/|http)', view.html)
    assert "<header>" not in view.html and "<footer>" not in view.html
    assert "default-src 'none'" in view.html
    linked = notebook.show(
        store.artifacts["evaluation"], store=str(store.location.folder), dashboard="http://localhost:1/"
    )
    assert 'href="http://localhost:1/artifacts/' in linked.html


def test_slices_come_with_what_can_be_chosen(store: Store) -> None:
    view = notebook.show_slices(store.artifacts["evaluation"], store=str(store.location.folder), least=50)
    assert 'value="50"' in view.html
    assert 'id="fragments"' in view.html
    element = view._repr_html_()
    assert element.startswith("<iframe sandbox=")
    # The document is one attribute; nothing of it ends the attribute early.
    assert element.count('"') == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Name an artifact"),
        ({"artifact": 1, "node": "trainer"}, "Name an artifact"),
        ({"artifact": 99999}, "There is no artifact 99999"),
        ({"artifact": "15"}, "is no artifact"),
        ({"artifact": True}, "is no artifact"),
        ({"run": GOOD}, "Name the node"),
        ({"run": GOOD, "node": "trainer", "output": "nothing"}, "put out model"),
        ({"run": "nobody", "node": "trainer"}, "nobody"),
    ],
)
def test_what_is_not_there_is_told(store: Store, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        notebook.show(**arguments, store=str(store.location.folder))


def test_choices_that_cannot_be_are_told_with_what_can(store: Store) -> None:
    with pytest.raises(UsageError, match=r"metric cannot be .*binary_accuracy"):
        notebook.show_slices(store.artifacts["evaluation"], store=str(store.location.folder), metric="<b>")
    with pytest.raises(UsageError, match="is no evaluation"):
        notebook.show_slices(store.artifacts["model"], store=str(store.location.folder))


def test_an_output_is_found_by_run_and_node(store: Store) -> None:
    by_name = notebook.show(run=GOOD, node="trainer", store=str(store.location.folder))
    assert f"Model {store.artifacts['model']}" in by_name.html


def test_an_object_with_an_id_is_an_artifact(store: Store) -> None:
    class Artifact:
        id = store.artifacts["model"]

    assert "Model" in notebook.show(Artifact(), store=str(store.location.folder)).html


def test_it_works_where_a_loop_runs_already(store: Store) -> None:
    async def in_a_cell() -> str:
        return notebook.show(store.artifacts["model"], store=str(store.location.folder)).html

    assert "Model" in asyncio.run(in_a_cell())


def test_a_view_has_no_secret_and_no_form(store: Store) -> None:
    renderer = Renderer(store.location)
    for path in (f"/runs/{GOOD}", f"/runs/{BAD}"):
        page = document(renderer.page(path))
        assert CANARY not in page
        assert "<form" not in page and "/resume" not in page
    renderer.close()


def test_a_frame_escapes_what_it_holds() -> None:
    assert frame('<p title="a">&amp;</p>', 10).count('srcdoc="&lt;p title=&#34;a&#34;&gt;&amp;amp;&lt;/p&gt;"') == 1
