"""Projects made from templates: names, contents, and all or nothing."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.errors import PenstockError, UsageError
from penstock.templates import create_project, package_name, rename, templates


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with the template `night_train`, shaped like the project's own."""
    files = {
        "templates/common/README.md": "# {{ name }}\n\n{{ description }}: see `{{ package }}/`.\n",
        "templates/common/gitignore": ".penstock/\n",
        "templates/night_train/template.yaml": (
            "description: Sleeping cars\nsource: pipelines/night_train\npackage: night_train\n"
        ),
        "pipelines/night_train/pipeline.yaml": "penstock: 1\nname: night-train\nrun_fn: night_train.model.run_fn\n",
        "pipelines/night_train/__init__.py": "",
        "pipelines/night_train/model.py": "from night_train import features\n",
        "pipelines/night_train/notes.txt": "not part of a project\n",
        "pipelines/night_train/tests/test_model.py": "import night_train.model\n",
        "pipelines/night_train/tests/data/rows.csv": "a,b\n1,2\n",
        "pipelines/night_train/__pycache__/model.cpython-311.pyc": "old",
        "pipelines/night_train/tests/__pycache__/test_model.pyc": "old",
        "pipelines/night_train/.penstock/penstock.db": "the runs of somebody else",
    }
    folder = tmp_path / "penstock"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    folder = tmp_path / "projects"
    folder.mkdir()
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_a_project_has_the_pipeline_under_its_new_name_and_nothing_else(root: Path, parent: Path) -> None:
    project = create_project("sleeper-2", "night_train", parent, root)
    assert (project.folder, project.package) == (parent / "sleeper-2", "sleeper_2")
    assert contents(project.folder) == {
        "README.md": "# sleeper-2\n\nSleeping cars: see `sleeper_2/`.\n",
        ".gitignore": ".penstock/\n",
        "pipeline.yaml": "penstock: 1\nname: sleeper-2\nrun_fn: sleeper_2.model.run_fn\n",
        "sleeper_2/__init__.py": "",
        "sleeper_2/model.py": "from sleeper_2 import features\n",
        "tests/test_model.py": "import sleeper_2.model\n",
        "tests/data/rows.csv": "a,b\n1,2\n",
    }
    assert [entry.name for entry in parent.iterdir()] == ["sleeper-2"]


def test_a_project_is_as_open_as_any_new_folder(root: Path, parent: Path) -> None:
    (parent / "plain").mkdir()
    project = create_project("sleeper", "night_train", parent, root)
    assert stat.S_IMODE(project.folder.stat().st_mode) == stat.S_IMODE((parent / "plain").stat().st_mode)


def test_an_empty_folder_may_stand_there_already(root: Path, parent: Path) -> None:
    (parent / "sleeper").mkdir()
    assert (create_project("sleeper", "night_train", parent, root).folder / "pipeline.yaml").is_file()


def test_a_hyphen_in_the_templates_name_is_as_good_as_an_underscore(root: Path, parent: Path) -> None:
    assert create_project("sleeper", "night-train", parent, root).template == "night_train"


def test_what_stands_there_is_kept(root: Path, parent: Path) -> None:
    (parent / "sleeper").mkdir()
    (parent / "sleeper" / "diary.txt").write_text("mine")
    (parent / "couchette").write_text("also mine")
    for name in ("sleeper", "couchette"):
        with pytest.raises(UsageError, match="exists"):
            create_project(name, "night_train", parent, root)
    assert contents(parent) == {"sleeper/diary.txt": "mine", "couchette": "also mine"}


def test_an_unknown_template_gets_the_nearest(root: Path, parent: Path) -> None:
    with pytest.raises(
        UsageError, match=r"no template 'nigth_train'. Templates: night_train. Did you mean 'night_train'\?"
    ):
        create_project("sleeper", "nigth_train", parent, root)
    assert list(parent.iterdir()) == []


def test_a_missing_parent_is_named(root: Path, parent: Path) -> None:
    with pytest.raises(UsageError, match=f"no folder {parent / 'elsewhere'}"):
        create_project("sleeper", "night_train", parent / "elsewhere", root)


@contextmanager
def small_files() -> Iterator[None]:
    """No file can grow beyond 30 bytes, as on a disk that is full; the report of this test is such a file, too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_nothing_is_left_when_writing_fails(root: Path, parent: Path) -> None:
    message = r"Cannot write .*sleeper: .*Nothing was created"
    with pytest.raises(PenstockError, match=message), small_files():
        create_project("sleeper", "night_train", parent, root)
    assert os.listdir(parent) == []


@pytest.mark.parametrize(("name", "package"), [("a", "a"), ("my-taxi-2", "my_taxi_2"), ("x" * 63, "x" * 63)])
def test_a_good_name_becomes_a_package(name: str, package: str) -> None:
    assert package_name(name) == package


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", "2fast", "My-Taxi", "my_taxi", "a b", "../a", "a/b", "x" * 64, "a\n", "ä"]
)
def test_a_name_out_of_pattern_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a project's name: a name has lower-case letters"):
        package_name(name)


@pytest.mark.parametrize(("name", "near"), [("My-Taxi", "my-taxi"), ("my_taxi", "my-taxi"), ("2fast", "fast")])
def test_a_name_out_of_pattern_gets_the_nearest_good_one(name: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"Did you mean '{near}'"):
        package_name(name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("class", "reserved word"),
        ("tests", "tests stand in a folder"),
        ("test", "Python's own module"),
        ("json", "Python's own module"),
        ("tensorflow", "installed package"),
        ("apache-beam", "installed package"),
        ("google", "installed package"),
        ("penstock", "installed package"),
    ],
)
def test_a_name_that_would_hide_a_module_is_refused(name: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        package_name(name)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("name: chicago-taxi", "name: my-cab"),
        ("from chicago_taxi import features", "from my_cab import features"),
        ("run_fn: chicago_taxi.model.run_fn", "run_fn: my_cab.model.run_fn"),
        ("The chicago_taxi pipeline, chicago-taxi.", "The my_cab pipeline, my-cab."),
        ("package://tfx/examples/chicago_taxi_pipeline/data", "package://tfx/examples/chicago_taxi_pipeline/data"),
        ("old-chicago-taxi chicago-taxi-2", "old-chicago-taxi chicago-taxi-2"),
    ],
)
def test_a_compound_word_is_replaced_wherever_it_stands_alone(before: str, after: str) -> None:
    assert rename(before.encode(), "chicago_taxi", "my-cab", "my_cab").decode() == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("penstock: 1\nname: penguin\n", "penstock: 1\nname: my-birds\n"),
        ("name: penguin  # the pipeline", "name: my-birds  # the pipeline"),
        ("  - {name: penguin}", "  - {name: penguin}"),
        ("from penguin import features", "from my_birds import features"),
        ("from penguin.features import X", "from my_birds.features import X"),
        ("import penguin", "import my_birds"),
        ("run_fn: penguin.model.run_fn", "run_fn: my_birds.model.run_fn"),
        ('folder / "penguin"', 'folder / "my_birds"'),
        ("see penguin/model.py", "see my_birds/model.py"),
        ("The species of a penguin. Each penguin has one.", "The species of a penguin. Each penguin has one."),
        ("package://palmerpenguins/data", "package://palmerpenguins/data"),
        ("import penguins", "import penguins"),
        ("my.penguin.x", "my.penguin.x"),
    ],
)
def test_a_plain_word_is_replaced_only_where_it_is_a_name(before: str, after: str) -> None:
    assert rename(before.encode(), "penguin", "my-birds", "my_birds").decode() == after


def test_what_is_no_text_is_copied_as_it_is() -> None:
    content = b"\xff\xfe night_train \x00"
    assert rename(content, "night_train", "a", "a") == content


def test_every_template_of_the_project_is_complete() -> None:
    found = templates()
    assert set(found) == {"chicago_taxi", "penguin"}
    for template in found.values():
        assert template.description
        assert (template.source / "pipeline.yaml").is_file()
        assert (template.source / "__init__.py").is_file()
        assert list((template.source / "tests").glob("test_*.py"))
