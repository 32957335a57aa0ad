"""Addresses of Kubeflow Pipelines, as people have them."""

from __future__ import annotations

import pytest

from penstock.backends.kubeflow import endpoint
from penstock.backends.kubeflow.endpoint import Endpoint
from penstock.errors import UsageError


@pytest.mark.parametrize(
    ("written", "address", "namespace"),
    [
        ("http://localhost:8080", "http://localhost:8080", None),
        ("http://localhost:8080/", "http://localhost:8080", None),
        ("http://localhost:8080/#/pipelines", "http://localhost:8080", None),
        ("http://localhost:8080/#/runs/details/0c1d?x=1", "http://localhost:8080", None),
        ("http://localhost:8888/apis/v2beta1", "http://localhost:8888", None),
        ("kfp.example.org", "https://kfp.example.org", None),
        ("  https://kf.example.org/pipeline/#/experiments ", "https://kf.example.org/pipeline", None),
        ("https://kf.example.org/_/pipeline/?ns=team-a#/runs", "https://kf.example.org/pipeline", "team-a"),
        ("https://kf.example.org/_/pipeline#/runs?ns=team-b", "https://kf.example.org/pipeline", "team-b"),
        ("https://[::1]:8443/kfp", "https://[::1]:8443/kfp", None),
    ],
)
def test_what_the_browser_shows_is_an_endpoint(written: str, address: str, namespace: str | None) -> None:
    assert endpoint.parse(written) == Endpoint(address, namespace)


@pytest.mark.parametrize("written", ["", "   ", "ftp://host", "http://", "http://host:port", "http://host:99999", "/a"])
def test_what_is_no_address_is_refused(written: str) -> None:
    with pytest.raises(UsageError, match="no address of Kubeflow Pipelines"):
        endpoint.parse(written)


def test_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match="PENSTOCK_KFP_TOKEN") as raised:
        endpoint.parse("https://ada:hunter2@kfp.example.org")
    assert "hunter2" not in str(raised.value)


def test_a_runs_page() -> None:
    assert Endpoint("http://h/pipeline").run_page("a/b") == "http://h/pipeline/#/runs/details/a%2Fb"
