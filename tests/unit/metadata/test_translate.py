"""The translation of named parameters for psycopg."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.metadata.postgres import translate


@pytest.mark.parametrize(
    ("sql", "translated"),
    [
        ("SELECT :a, :b_2", "SELECT %(a)s, %(b_2)s"),
        ("SELECT ':a', \":b\", :c", "SELECT ':a', \":b\", %(c)s"),
        ("SELECT 'it''s :a' || :b", "SELECT 'it''s :a' || %(b)s"),
        ("SELECT x::text, :a::int", "SELECT x::text, %(a)s::int"),
        ("SELECT 5 % 2, '100 %' -- :a %\n, :b", "SELECT 5 %% 2, '100 %%' -- :a %%\n, %(b)s"),
        ("SELECT /* :a */ :b", "SELECT /* :a */ %(b)s"),
        ("SELECT a[1:2], '12:30'", "SELECT a[1:2], '12:30'"),
    ],
)
def test_parameters_are_found_only_where_they_are_ones(sql: str, translated: str) -> None:
    assert translate(sql) == translated


@given(st.lists(st.one_of(st.text(alphabet="ab:%x' \n", max_size=8), st.just(":p")), max_size=6))
def test_nothing_inside_a_string_changes_but_the_percent_sign(parts: list[str]) -> None:
    text = "".join(parts).replace("'", "''")
    assert translate(f"'{text}'") == "'" + text.replace("%", "%%") + "'"


@given(st.text(alphabet="abc :%'\"-/*\n", max_size=40))
def test_what_psycopg_makes_of_it_without_parameters_is_what_was_written(sql: str) -> None:
    translated = translate(sql)
    assert re.sub(r"%\((\w+)\)s", r":\1", translated).replace("%%", "%") == sql
