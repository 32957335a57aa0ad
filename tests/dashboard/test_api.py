"""The REST API keeps what its OpenAPI document promises, whatever is asked."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, assume, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from penstock.dashboard.app import create_app
from penstock.dashboard.settings import Settings
from penstock.metadata.location import StoreLocation
from tests.dashboard.conftest import RealStore


@pytest.fixture(scope="module")
def api(real: RealStore, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The API of a copy of the store: nothing that is asked of it reaches the other tests."""
    folder: Path = tmp_path_factory.mktemp("api") / "store"
    shutil.copytree(real.folder, folder, ignore=shutil.ignore_patterns("pipelines", "compiled"))
    return schemathesis.openapi.from_asgi("/api/openapi.json", application(folder))


def application(folder: Path) -> FastAPI:
    return create_app(Settings(StoreLocation(folder), allowed_hosts=["testserver"]))


def operations() -> list[tuple[str, str]]:
    paths = application(Path("nowhere")).openapi()["paths"]
    return [(path, method) for path, methods in paths.items() for method in methods]


@pytest.mark.parametrize(("path", "method"), [pytest.param(*pair, id=" ".join(pair[::-1])) for pair in operations()])
def test_no_request_meets_an_unforeseen_answer(api: Any, path: str, method: str) -> None:
    @given(case=api[path][method].as_strategy())
    @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
    def ask(case: Any) -> None:
        # Taking up or starting a run that is in the store starts a process; the tests of live pages do that.
        assume(not path.endswith(("/resume", "/rerun")) or case.path_parameters.get("run_id") != "latest")
        # Which values a filter can have is for the store to say, and no schema knows it.
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    ask()
