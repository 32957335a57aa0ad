"""YAML text to values with places."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.errors import DeclarationError
from penstock.spec import yaml_source

FILE = Path("pipeline.yaml")


def problem(text: str) -> tuple[int, int, str]:
    with pytest.raises(DeclarationError) as caught:
        yaml_source.parse(text, FILE)
    first = caught.value.problems[0]
    return first.line, first.column, first.message


def test_every_value_and_key_has_its_place() -> None:
    source = yaml_source.parse("a: 1\nb:\n  - x\n  - {c: [2, 3]}\n", FILE)
    assert source.data == {"a": 1, "b": ["x", {"c": [2, 3]}]}
    place = source.place(("b", 1, "c", 1))
    assert (place.line, place.column) == (4, 13)
    place = source.key_place(("b", 1, "c"))
    assert (place.line, place.column) == (4, 6)
    assert str(source.key_place(("a",))) == "pipeline.yaml:1:1"


def test_place_of_a_missing_value_is_that_of_what_should_hold_it() -> None:
    source = yaml_source.parse("a:\n  b: {c: 1}\n", FILE)
    assert (source.place(("a", "b", "missing")).line, source.place(("a", "b", "missing")).column) == (2, 6)
    assert (source.key_place(("a", "b", "missing")).line, source.key_place(("a", "b", "missing")).column) == (2, 3)
    assert source.key_place(("nothing", "at", "all")).line == 1


def test_scalars_follow_yaml_1_2() -> None:
    text = "[yes, on, 1e-3, 010, 0o10, 0x1F, 2024-01-01, 1:30, ~, True, '1', .5, 1_000, .inf, null]"
    assert yaml_source.parse(text, FILE).data == [
        "yes",
        "on",
        0.001,
        10,
        8,
        31,
        "2024-01-01",
        "1:30",
        None,
        True,
        "1",
        0.5,
        "1_000",
        float("inf"),
        None,
    ]


def test_aliases_and_merge_keys_work_and_explicit_keys_win() -> None:
    source = yaml_source.parse("base: &b {x: 1, y: 2}\nmore:\n  <<: *b\n  y: 3\nsame: *b\n", FILE)
    assert source.data["more"] == {"x": 1, "y": 3}
    assert source.data["same"] == {"x": 1, "y": 2}
    assert source.key_place(("more", "x")).line == 1


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 0, 0, "The file is empty; a declaration begins with 'penstock: 1'."),
        ("# only a comment\n---\n", 0, 0, "The file is empty; a declaration begins with 'penstock: 1'."),
        ("a: 1\na: 2\n", 2, 1, "'a' stands here twice; the first is on line 1. Rename or remove one."),
        ("a: 1\n---\nb: 2\n", 2, 1, "The file holds several YAML documents; it must hold one. Remove the '---' line."),
        ("a: [1, 2\nb: 3\n", 2, 2, "This is not YAML: expected ',' or ']', but got ':'"),
        ("a:\n\tb: 1\n", 2, 1, "This is not YAML: found character '\\t' that cannot start any token"),
        (
            "a: {b: ${c.d}}\n",
            1,
            9,
            "This is not YAML: expected ',' or '}', but got '{', while parsing a flow mapping; in",
        ),
        ("a: *nobody\n", 1, 4, "The alias '*nobody' refers to no anchor before it."),
        ("a: &x [*x]\n", 1, 8, "The alias '*x' refers to a value that contains it."),
        ("a: !!python/object:os.system x\n", 1, 4, "YAML tags are not used here"),
        ("? [a, b]\n: 1\n", 1, 3, "A key must be a plain name"),
        ("a: \x07\n", 1, 4, "The file holds a character YAML does not allow: U+0007. Remove it."),
    ],
)
def test_what_is_refused(text: str, line: int, column: int, message: str) -> None:
    found_line, found_column, found = problem(text)
    assert (found_line, found_column) == (line, column)
    assert found.startswith(message)


def test_all_duplicate_keys_are_reported_at_once() -> None:
    with pytest.raises(DeclarationError) as caught:
        yaml_source.parse("a: 1\na: 2\nb: {c: 1, c: 2}\n", FILE)
    assert [item.line for item in caught.value.problems] == [2, 3]


def test_alias_bomb_is_refused_before_it_grows() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    _, _, message = problem("\n".join(levels))
    assert message == "The file holds more than 50,000 values once its aliases are expanded."


def test_deep_nesting_is_refused() -> None:
    assert problem("[" * 5000)[2] == "Values are nested deeper than 60 levels."


def test_a_file_that_is_too_large_or_not_text(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    large.write_bytes(b"a" * (yaml_source.MAX_BYTES + 1))
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"penstock: 1\nname: caf\xe9\n")
    with pytest.raises(DeclarationError, match="larger than 1,000,000 bytes"):
        yaml_source.read(large)
    with pytest.raises(DeclarationError, match=r"binary.yaml:2: The file is not UTF-8 text: byte 0xe9"):
        yaml_source.read(binary)


def test_byte_order_mark_is_not_part_of_the_first_key(tmp_path: Path) -> None:
    file = tmp_path / "bom.yaml"
    file.write_bytes(b"\xef\xbb\xbfpenstock: 1\n")
    assert yaml_source.read(file).data == {"penstock": 1}


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*<>|!?#%@'\"\\,. \n\t0~\x85\u2028\U0001f600\x00"), max_size=60))
@example("&a [*a]")
@example("- &a\n- *a")
@example("%YAML 9.9\n--- a")
@example("<<: *a")
@example("{<<: 3}")
@example("a: " + "9" * 6000)
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    try:
        source = yaml_source.parse(text, FILE)
    except DeclarationError as error:
        assert error.problems
        for item in error.problems:
            assert item.message
            assert item.line <= text.count("\n") + text.count("\x85") + text.count("\u2028") + 2
    else:
        assert source.place(()).line >= 1


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1, max_size=5), inner, max_size=4),
        max_leaves=12,
    ).filter(lambda value: value is not None)
)
def test_what_json_writes_is_read_back(value: object) -> None:
    import json

    text = json.dumps(value)
    assert yaml_source.parse(text, FILE).data == value
