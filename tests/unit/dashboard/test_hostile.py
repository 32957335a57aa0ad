"""Addresses made to reach what they must not: every page, with hostile paths, filters, sort orders and page tokens."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import plotly  # type: ignore[import-untyped]
import pytest
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

import penstock
from penstock.dashboard.api import OPERATIONS
from penstock.dashboard.app import create_app
from penstock.dashboard.pages import PAGES
from penstock.dashboard.settings import Settings
from tests.unit.dashboard.conftest import BAD, CANARY, GOOD, Store

LONG = "x" * 9000
PIECES = (
    *("..", "../", "..\\", "/", "\\", "/etc/passwd", "C:\\Windows", "\\\\host\\share", "\0", "#", ";", "~", "$HOME"),
    *("%2e%2e", "%2f", "%5c", "%00", "%252e%252e%252f", "%c0%ae%c0%af", "file:///etc/passwd", "file:"),
    *("∕", "／", "．．", "․․", "‥", "％２ｅ", "\u202e", "\r\nX: y", "outside.txt", LONG),
)
HOSTILE = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join).filter(lambda text: text != "~")
ENCODERS = st.sampled_from(
    [
        lambda text: quote(text, safe=""),
        lambda text: quote(quote(text, safe=""), safe=""),
        # As a browser sends it, which leaves slashes, dots and semicolons as they are.
        lambda text: quote(text, safe="/\\;:.%~$"),
    ]
)
QUERIES = (
    *("' OR '1'='1", "1; DROP TABLE penstock_runs", "1 UNION SELECT 1", "`id`", "\0", "[]", "-1", "٣"),
    *("../../etc/passwd", "<script>alert(1)</script>", "${jndi:ldap://x}", "{{7*7}}", LONG),
)
# What is a text to search for, or names a place to come back to, may be any.
FREE_TEXTS = {"text", "next"}


@pytest.fixture(scope="module")
def app(store: Store) -> Any:
    return create_app(Settings(store.location))


@pytest.fixture(scope="module")
def opened() -> Iterator[list[Path]]:
    """Which files the process opens."""
    found: list[Path] = []
    is_on = True

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if is_on and event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], str | bytes):
            name = arguments[0]
            found.append(Path(name.decode(errors="replace") if isinstance(name, bytes) else name))

    sys.addaudithook(note)
    yield found
    is_on = False


def ask(app: Any, path: str) -> tuple[int, str]:
    """What a path is answered with as it stands in a request, not as a client would mend it."""
    raw = path.encode("ascii")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": unquote_to_bytes(raw).decode("utf-8", "replace"), "raw_path": raw, "query_string": b"",
        "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1), "server": ("localhost", 80), "root_path": "",
    }  # fmt: skip
    sent: list[dict[str, Any]] = []
    coming = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not coming:
            await asyncio.sleep(3600)
        return coming.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent).decode(errors="replace")


def routes(app: Any) -> list[APIRoute]:
    """Every page and every operation of the API that is read, and what the application serves itself."""
    found = [*app.routes, *(route for router in (*PAGES, *OPERATIONS) for route in router.routes)]
    return [route for route in found if isinstance(route, APIRoute) and "GET" in (route.methods or ())]


def known(store: Store) -> dict[str, str]:
    """What is there, by the names that paths give it."""
    return {"run_id": GOOD, "node_id": "trainer", "artifact_id": str(store.artifacts["evaluation"])}


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(place=st.integers(0, 10_000), text=HOSTILE, encode=ENCODERS)
@example(place=0, text="../../outside.txt", encode=ENCODERS)
def test_no_hostile_path_leads_anywhere(
    app: Any, store: Store, opened: list[Path], place: int, text: str, encode: Any
) -> None:
    encode = encode if callable(encode) else quote
    places = [(route, name) for route in routes(app) for name in route.param_convertors]
    route, attacked = places[place % len(places)]
    path = route.path
    for name in route.param_convertors:
        path = path.replace(f"{{{name}}}", encode(text) if name == attacked else known(store).get(name, "x"))
    opened.clear()
    status, body = ask(app, path)
    assert status == 404, (path[:200], status)
    assert "not for readers" not in body and "root:" not in body
    roots = [store.location.folder, Path(penstock.__file__).parents[2], Path(plotly.__file__).parent, Path(sys.prefix)]
    resolved = [path.resolve() for path in opened if "\0" not in str(path)]
    outside = [path for path in resolved if not any(path.is_relative_to(root.resolve()) for root in roots)]
    assert [path for path in outside if not path.is_relative_to(sys.base_prefix)] == []


def query_parameters(route: APIRoute) -> list[str]:
    """What a route reads from the address, by itself or through what it depends on."""
    return [field.alias for field in get_flat_params(route.dependant) if field.alias not in route.param_convertors]


def asked(app: Any) -> list[tuple[str, str]]:
    """Each page with each thing its address may ask for."""
    return [
        (route.path, name)
        for route in routes(app)
        # Which choices the page of an artifact has depends on its kind; tests/dashboard has those of all kinds.
        if route.path != "/artifacts/{artifact_id}"
        for name in query_parameters(route)
        if name not in FREE_TEXTS
    ]


def test_no_hostile_filter_order_or_page_token_is_taken(app: Any, store: Store) -> None:
    places = asked(app)
    assert len(places) > 30
    with TestClient(app, base_url="http://localhost") as client:
        for path, name in places:
            # What a path calls `name` and can be asked for something is a pipeline.
            address = path.replace("{name}", "taxi")
            for key, value in known(store).items():
                address = address.replace(f"{{{key}}}", value)
            for text in QUERIES:
                answer = client.get(address, params={name: text}, follow_redirects=False)
                # A page that is not there is not there whatever it is asked for.
                is_missing = answer.status_code == 404 and client.get(address).status_code == 404
                assert answer.status_code == 400 or is_missing, (address, name, text[:40], answer.status_code)


def test_free_texts_are_only_searched_for(app: Any, store: Store) -> None:
    with TestClient(app, base_url="http://localhost") as client:
        for path in ("/runs", "/api/v1/runs", f"/runs/{GOOD}/nodes/trainer"):
            for text in QUERIES:
                answer = client.get(path, params={"text": text, "tab": "log"} if "nodes" in path else {"text": text})
                assert answer.status_code in (200, 400)
                assert "<script>alert" not in answer.text
    with TestClient(app, base_url="http://localhost") as client:
        assert GOOD in client.get("/runs").text


def test_too_large_a_body_is_refused_before_it_is_read(app: Any) -> None:
    with TestClient(app, base_url="http://localhost") as client:
        answer = client.post(f"/runs/{GOOD}/note", data={"description": "x" * (2 << 20)})
        assert answer.status_code == 413
        answer = client.post(f"/runs/{GOOD}/note", content=iter([b"x"]))
        assert answer.status_code == 411
        assert client.post(f"/runs/{GOOD}/note", headers={"content-length": "1e3"}).status_code == 413


def test_links_that_were_typed_as_ids_are_not_followed(app: Any, store: Store) -> None:
    """Numbers beyond those a database has, and numbers as only people write them."""
    with TestClient(app, base_url="http://localhost") as client:
        for text in ("0", "-1", "1e3", "٣", "9" * 30, str(2**63), "0x1"):
            for path in ("/artifacts/{}", "/artifacts/{}/slices", "/api/v1/artifacts/{}", "/artifacts/{}/lineage"):
                answer = client.get(path.format(quote(text)))
                assert answer.status_code == 404, (path, text)


def test_no_route_shows_a_secret(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one of the environment, which stands in a log, nor a parameter's."""
    monkeypatch.setenv("SERVICE_PASSWORD", "line 17 of trainer")
    app = create_app(Settings(store.location))
    seen = 0
    with TestClient(app, base_url="http://localhost") as client:
        for route in routes(app):
            address = route.path
            for name in route.param_convertors:
                address = address.replace(f"{{{name}}}", known(store).get(name, "style.css"))
            if address.endswith("/events"):
                continue
            for query in ("", "?tab=log", "?tab=cache", "?tab=properties", f"?a={GOOD}&b={BAD}", "?text=line"):
                answer = client.get(address + query)
                seen += answer.status_code == 200
                assert CANARY not in answer.text and "line 17 of trainer" not in answer.text, address + query
    assert seen > 40
