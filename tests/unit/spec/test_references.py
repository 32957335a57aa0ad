"""The `${…}` grammar."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.spec import references
from penstock.spec.references import Reference, ReferenceSyntaxError


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("plain", ["plain"]),
        ("", []),
        ("$5 and {x}", ["$5 and {x}"]),
        ("${parameters.data}", [Reference("parameters", ("data",), "${parameters.data}")]),
        ("${ project }/x", [Reference("project", (), "${ project }"), "/x"]),
        ("a${env.X}b", ["a", Reference("env", ("X",), "${env.X}"), "b"]),
        ("$${parameters.x}", ["${parameters.x}"]),
        ("$$${project}", ["$${project}"]),
        ("${nodes.a-b.out}", [Reference("nodes", ("a-b", "out"), "${nodes.a-b.out}")]),
        ("${pipeline.name}", [Reference("pipeline", ("name",), "${pipeline.name}")]),
    ],
)
def test_parts(text: str, parts: list[str | Reference]) -> None:
    assert references.parse(text) == parts


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("a ${parameters.x", "${parameters.x"),
        ("${}", "${}"),
        ("${parameters}", "${parameters}"),
        ("${nodes.a}", "${nodes.a}"),
        ("${nodes.a.b.c}", "${nodes.a.b.c}"),
        ("${pipeline.id}", "${pipeline.id}"),
        ("ok ${project} not ${HOME}", "${HOME}"),
    ],
)
def test_what_is_no_reference(text: str, piece: str) -> None:
    with pytest.raises(ReferenceSyntaxError) as caught:
        references.parse(text)
    assert caught.value.text == piece


@given(st.text(alphabet=st.sampled_from("${}.parmetsnvo de"), max_size=40))
def test_any_text_is_split_or_refused(text: str) -> None:
    try:
        parts = references.parse(text)
    except ReferenceSyntaxError as error:
        assert error.text in text
    else:
        assert all(parts)


@given(st.text(alphabet=st.sampled_from("${}ab."), max_size=30).filter(lambda text: "$${" not in text))
def test_escaped_text_comes_back_literally(text: str) -> None:
    assert "".join(str(part) for part in references.parse(references.escape(text))) == text
