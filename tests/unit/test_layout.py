"""The project's own files agree with one another, and carry nothing of the machine they were made on."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import penstock
from penstock import doctor

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")

# One letter of each in brackets, so that this file does not match itself.
HOSTS = r"py[p]i\.org|python[h]osted\.|registry\.[n]pmjs|deb\.[d]ebian|mav[e]n\.org|repo1?\.[m]aven|crat[e]s\.io"
MACHINE_PATHS = r"(?<![\w.~}-])/(?:[w]ork/|[r]oot/|tmp/[b]oot|tmp/[b]rief)"


def tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def locked() -> dict[str, list[Requirement]]:
    requirements: dict[str, list[Requirement]] = {}
    for line in re.findall(r"^[A-Za-z0-9].*?(?= \\$)", LOCK, flags=re.MULTILINE):
        requirement = Requirement(line)
        requirements.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return requirements


def version_of(requirement: Requirement) -> str:
    (specifier,) = requirement.specifier
    assert specifier.operator == "=="
    return specifier.version


def test_no_tracked_file_names_a_registry_or_a_path_of_a_machine() -> None:
    pattern = re.compile(f"{HOSTS}|{MACHINE_PATHS}".encode())
    found = [
        f"{file.relative_to(ROOT)}: {match.group().decode()}"
        for file in tracked_files()
        for match in pattern.finditer(file.read_bytes())
    ]
    assert found == []


def test_the_lock_has_exact_releases_with_hashes_and_no_addresses() -> None:
    assert "://" not in LOCK
    assert not re.search(r"^-", LOCK, flags=re.MULTILINE)
    entries = re.split(r"^(?=[A-Za-z0-9])", LOCK, flags=re.MULTILINE)[1:]
    assert len(entries) > 200
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry or "==" not in entry] == []


@pytest.mark.parametrize("extra", [None, "dashboard", "dev"])
def test_the_lock_fits_what_the_project_asks_for(extra: str | None) -> None:
    wanted = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    lock = locked()
    for requirement in map(Requirement, wanted):
        releases = lock.get(canonicalize_name(requirement.name), [])
        assert releases, f"{requirement.name} is not in requirements.lock; run make lock"
        for release in releases:
            assert requirement.specifier.contains(version_of(release), prereleases=True), (
                f"{release} is not {requirement}"
            )


def test_doctor_accepts_every_release_in_the_lock() -> None:
    lock = locked()
    for name, alternatives in (doctor.PACKAGES | doctor.OPTIONAL_PACKAGES).items():
        for release in lock[name]:
            check = doctor.check_package(name, version_of(release), alternatives, doctor.Status.FAIL)
            assert check.status is doctor.Status.OK, check


def test_doctor_and_the_project_state_the_same_ranges() -> None:
    declared = {requirement.name: requirement.specifier for requirement in map(Requirement, PROJECT["dependencies"])}
    for name, alternatives in (doctor.PACKAGES | doctor.OPTIONAL_PACKAGES).items():
        if name in declared and len(alternatives) == 1:
            assert declared[name] == SpecifierSet(alternatives[0]), name


def test_only_the_dashboard_uses_what_the_commands_are_made_of() -> None:
    source = ROOT / "src" / "penstock"
    imports = re.compile(r"^\s*(from penstock\.cli\b|from penstock import cli\b|import penstock\.cli\b)", re.MULTILINE)
    users = {path.relative_to(source).parts[0] for path in source.rglob("*.py") if imports.search(path.read_text())}
    assert users <= {"__main__.py", "cli", "dashboard"}


def test_the_change_log_knows_this_version() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(penstock.__version__)}\b", changes, flags=re.MULTILINE)
