"""`penstock new` as people call it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[3] / "src"


def new(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "penstock", "new", *arguments]
    environ = {**os.environ, "PYTHONPATH": str(SOURCE)}
    return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=60)


def test_the_list_names_every_template(tmp_path: Path) -> None:
    listing = json.loads(new("--list", "--json", cwd=tmp_path).stdout)
    assert [entry["name"] for entry in listing] == ["chicago_taxi", "penguin"]
    lines = new("--list", cwd=tmp_path).stdout.splitlines()
    assert lines == [f"{entry['name']:<12}  {entry['description']}" for entry in listing]


@pytest.mark.parametrize("template", ["chicago_taxi", "penguin"])
def test_a_new_project_carries_its_own_name_and_valid_python(template: str, tmp_path: Path) -> None:
    result = new("my-own-9", "--template", template, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"Created my-own-9 from the template {template}.\n"
    assert "cd my-own-9" in result.stderr
    folder = tmp_path / "my-own-9"
    assert {"README.md", ".gitignore", "pyproject.toml", "pipeline.yaml", "my_own_9", "tests"} == set(
        os.listdir(folder)
    )
    assert re.search(r"^name: my-own-9$", (folder / "pipeline.yaml").read_text(), flags=re.MULTILINE)
    for file in folder.rglob("*"):
        if not file.is_file():
            continue
        text = file.read_text()
        assert not re.search(
            rf"^(import|from) {template}\b|\b{template}\.[a-z_]+\.[a-z_]+", text, flags=re.MULTILINE
        ), file
        assert "{{" not in text, file
        if file.suffix == ".py":
            compile(text, file, "exec")


def test_json_says_what_was_made(tmp_path: Path) -> None:
    (tmp_path / "projects").mkdir()
    result = new("birds", "-t", "penguin", "--into", "projects", "--json", cwd=tmp_path)
    assert json.loads(result.stdout) == {
        "folder": "projects/birds",
        "name": "birds",
        "package": "birds",
        "template": "penguin",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "penstock new NAME --template"),
        (["cab"], "Templates: chicago_taxi, penguin"),
        (["cab", "--template", "pengiun"], "Did you mean 'penguin'?"),
        (["json", "--template", "penguin"], "Choose another, such as 'my-json'"),
        (["cab", "--template", "penguin", "--into", "nowhere"], "There is no folder nowhere"),
    ],
)
def test_a_wrong_call_ends_with_status_2_and_creates_nothing(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    result = new(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []
