"""The digest of the user's code: what changes it and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.engine import user_code

MODEL = '''\
"""A model."""
from shop.features import NAMES
from . import helpers


def run_fn(arguments):
    """Trains."""
    return helpers.train(NAMES, arguments)
'''
FILES = {
    "shop/__init__.py": "",
    "shop/model.py": MODEL,
    "shop/features.py": "NAMES = ['a', 'b']\n",
    "shop/helpers.py": "import json\nfrom shop import deep\n\ndef train(names, arguments):\n    return deep.depth\n",
    "shop/deep.py": "depth = 3\n",
    "shop/unused.py": "x = 1\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def digests(project: Path) -> dict[str, dict[str, str]]:
    return user_code.digests(["shop.model.run_fn"], [project])


def test_covers_what_the_entry_point_imports_and_nothing_else(project: Path) -> None:
    assert set(digests(project)) == {
        "shop/__init__.py",
        "shop/model.py",
        "shop/features.py",
        "shop/helpers.py",
        "shop/deep.py",
    }


@pytest.mark.parametrize("name", ["shop/model.py", "shop/features.py", "shop/helpers.py", "shop/deep.py"])
def test_a_statement_more_anywhere_in_it_changes_it(project: Path, name: str) -> None:
    before = digests(project)
    (project / name).write_text(FILES[name] + "\nadded = 1\n")
    after = digests(project)
    assert {key for key in before if before[key] != after[key]} == {name}


def test_tells_functions_apart(project: Path) -> None:
    before = digests(project)["shop/helpers.py"]
    (project / "shop/helpers.py").write_text(FILES["shop/helpers.py"].replace("deep.depth", "deep.depth + 1"))
    after = digests(project)["shop/helpers.py"]
    assert {name for name in after if before[name] != after[name]} == {"train"}


@pytest.mark.parametrize(
    "text",
    [
        "# a comment\n" + MODEL,
        MODEL.replace('"""Trains."""', '"""Trains a model on everything."""'),
        MODEL.replace('"""A model."""\n', ""),
        MODEL.replace(
            "helpers.train(NAMES, arguments)", "helpers.train(\n        NAMES,  # names\n        arguments,\n    )"
        ),
        MODEL.replace("\n\n\n", "\n\n\n\n\n"),
    ],
    ids=["comment", "docstring", "no docstring", "formatting", "blank lines"],
)
def test_comments_docstrings_and_formatting_keep_it(project: Path, text: str) -> None:
    before = digests(project)
    (project / "shop/model.py").write_text(text)
    assert digests(project) == before


def test_a_module_that_is_not_imported_keeps_it(project: Path) -> None:
    before = digests(project)
    (project / "shop/unused.py").write_text("x = 2\n")
    assert digests(project) == before


def test_a_string_that_is_no_docstring_counts(project: Path) -> None:
    before = digests(project)
    (project / "shop/features.py").write_text("NAMES = ['a', 'c']\n")
    assert digests(project) != before


def test_modules_that_import_each_other_are_no_trouble(project: Path) -> None:
    (project / "shop/deep.py").write_text("from shop import model\ndepth = 3\n")
    assert "shop/model.py" in digests(project)


def test_a_file_with_a_syntax_error_is_digested_as_text(project: Path) -> None:
    (project / "shop/deep.py").write_text("depth = = 3\n")
    broken = digests(project)
    (project / "shop/deep.py").write_text("depth = = 4\n")
    assert digests(project) != broken


def test_names_outside_the_project_are_left_to_package_versions(project: Path) -> None:
    assert user_code.digests(["tensorflow.keras.Model", "nowhere.at.all"], [project]) == {}


def test_a_module_file_is_an_entry_point(project: Path) -> None:
    path = str(project / "shop/features.py")
    assert user_code.entry_points({"module_file": path, "text": "No. It is prose."}, ["shop.model.Executor"]) == [
        "shop.model.Executor",
        path,
    ]
    assert set(user_code.digests([path], [project])) == {"shop/features.py"}


@given(
    comment=st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=30), blank=st.integers(0, 5)
)
def test_any_comment_and_any_blank_lines_keep_a_tree(
    tmp_path_factory: pytest.TempPathFactory, comment: str, blank: int
) -> None:
    folder = tmp_path_factory.mktemp("code")
    path = folder / "one.py"
    path.write_text("x = 1\ny = 2\n")
    before = user_code.digests([str(path)], [folder])
    path.write_text("x = 1" + "\n" * (blank + 1) + f"# {comment}\n" + "y = 2\n", encoding="utf-8")
    assert user_code.digests([str(path)], [folder]) == before


@given(value=st.integers(), other=st.integers())
def test_any_other_value_changes_a_tree(tmp_path_factory: pytest.TempPathFactory, value: int, other: int) -> None:
    folder = tmp_path_factory.mktemp("code")
    path = folder / "one.py"
    path.write_text(f"x = {value}\n")
    before = user_code.digests([str(path)], [folder])
    path.write_text(f"x = {other}\n")
    assert (user_code.digests([str(path)], [folder]) == before) == (value == other)


def test_names_what_reached_files_import(project: Path) -> None:
    names = user_code.imported_names(["shop.model.run_fn"], [project])
    assert {"json", "shop.features", "shop.helpers", "shop.deep"} <= names
    assert "shop.unused" not in names
