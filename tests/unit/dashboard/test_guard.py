"""Who is answered: host names, tokens, roles, forms of other sites; and what every answer carries."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from penstock.dashboard.app import create_app
from penstock.dashboard.settings import Settings, check, trusted_proxy
from penstock.errors import UsageError
from tests.unit.dashboard.conftest import BAD, CANARY, GOOD, Store, csrf

TOKEN, VIEWER_TOKEN = "operator-token-0123456789", "viewer-token-0123456789"
ADMIN_TOKEN = "admin-token-0123456789"


def guarded(store: Store) -> TestClient:
    settings = Settings(store.location, token=TOKEN, viewer_token=VIEWER_TOKEN, admin_token=ADMIN_TOKEN)
    return TestClient(create_app(settings), base_url="http://localhost")


def test_every_page_carries_the_security_headers(client: TestClient) -> None:
    for path in ("/runs", f"/runs/{GOOD}", "/nothing", "/static/style.css", "/api/openapi.json"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"


def test_other_host_names_are_not_answered(client: TestClient) -> None:
    answer = client.get("/runs", headers={"host": "evil.example"})
    assert answer.status_code == 421
    assert "--allow-host" in answer.text


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "somewhere.example"])
def test_beyond_this_machine_a_token_is_demanded(store: Store, host: str) -> None:
    settings = Settings(store.location, host=host)
    with pytest.raises(UsageError, match="PENSTOCK_DASHBOARD_TOKEN"):
        check(settings)
    check(replace(settings, token=TOKEN))
    with pytest.raises(UsageError, match="16 or more"):
        check(replace(settings, token="short"))
    with pytest.raises(UsageError, match="are the same"):
        check(replace(settings, token=TOKEN, admin_token=TOKEN))
    check(replace(settings, proxy=trusted_proxy("X-Forwarded-User", [], ["*=viewer"])))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "localhost", "::1"])
def test_this_machine_needs_none(store: Store, host: str) -> None:
    check(Settings(store.location, host=host))


def test_nothing_is_shown_before_one_signs_in(store: Store) -> None:
    client = guarded(store)
    answer = client.get("/runs?state=failed", follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=%2Fruns%3Fstate%3Dfailed"
    for path in ("/sign-in", "/sign-in/nothing", "/static/nothing"):
        assert str(store.location.folder) not in client.get(path).text
    assert client.get("/api/v1/runs").status_code == 401
    assert client.get("/api/v1/runs", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/api/v1/runs", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_signing_in_opens_a_session_and_goes_on_where_one_was(store: Store) -> None:
    client = guarded(store)
    assert client.post("/sign-in", data={"token": "wrong", "next": "/runs"}).status_code == 401
    answer = client.post("/sign-in", data={"token": TOKEN, "next": "/runs?state=failed"}, follow_redirects=False)
    assert answer.headers["location"] == "/runs?state=failed"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert BAD in client.get("/runs").text
    client.cookies.set("penstock_session", client.cookies["penstock_session"].replace("operator", "viewer"))


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:1", ""])
def test_signing_in_leads_to_no_other_site(store: Store, target: str) -> None:
    answer = guarded(store).post("/sign-in", data={"token": TOKEN, "next": target}, follow_redirects=False)
    assert answer.headers["location"] == "/"


def test_a_forged_session_is_none(store: Store) -> None:
    client = guarded(store)
    client.post("/sign-in", data={"token": VIEWER_TOKEN})
    session = client.cookies["penstock_session"]
    forged = TestClient(client.app, base_url="http://localhost", follow_redirects=False)
    forged.cookies.set("penstock_session", session.replace(".viewer.", ".operator."))
    assert ".operator." in session.replace(".viewer.", ".operator.")
    assert forged.get("/runs").status_code == 303


def test_a_viewer_sees_everything_and_changes_nothing(store: Store) -> None:
    client = guarded(store)
    client.post("/sign-in", data={"token": VIEWER_TOKEN})
    page = client.get(f"/runs/{BAD}")
    assert page.status_code == 200
    assert "/resume" not in page.text
    assert client.post(f"/runs/{BAD}/resume", data={"csrf": csrf(page.text)}).status_code == 403
    assert client.post("/sign-out", data={"csrf": csrf(page.text)}, follow_redirects=False).status_code == 303


@pytest.mark.parametrize(
    ("token", "role"), [(VIEWER_TOKEN, "viewer"), (TOKEN, "operator"), (ADMIN_TOKEN, "admin")], ids=lambda text: text
)
def test_each_token_gives_its_role(store: Store, token: str, role: str) -> None:
    client = guarded(store)
    client.post("/sign-in", data={"token": token})
    page = client.get(f"/runs/{BAD}").text
    assert f">{role}<" in page.replace(" ", "")
    assert ("/resume" in page) == (role != "viewer")


def test_a_form_of_another_site_is_refused(client: TestClient) -> None:
    token = csrf(client.get(f"/runs/{BAD}").text)
    path = f"/runs/{BAD}/cancel"
    assert client.post(path).status_code == 403
    assert client.post(path, data={"csrf": "0" * 64}).status_code == 403
    assert client.post(path, data={"csrf": token}, headers={"origin": "https://evil.example"}).status_code == 403
    assert client.post(path, data={"csrf": token}, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert client.post(path, data={"csrf": token}, headers={"origin": "null"}).status_code == 403
    # Our own form is heard; what it asks cannot be done.
    answer = client.post(path, data={"csrf": token}, headers={"origin": "http://localhost"})
    assert answer.status_code == 409
    assert "has ended already" in answer.text


def test_the_token_of_another_session_does_not_do(client: TestClient) -> None:
    token = csrf(client.get(f"/runs/{BAD}").text)
    client.cookies.clear()
    client.get("/runs")
    assert client.post(f"/runs/{BAD}/cancel", data={"csrf": token}).status_code == 403


def test_a_secret_parameter_shows_nowhere(client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = (f"/runs/{GOOD}", f"/compare?a={GOOD}&b={BAD}", f"/api/v1/runs/{GOOD}", "/runs", "/api/v1/runs")
    for path in paths:
        answer = client.get(path)
        assert answer.status_code == 200
        assert CANARY not in answer.text, path
    assert "api_token" in client.get(f"/runs/{GOOD}").text


def test_a_secret_of_the_environment_is_taken_out_of_logs(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_PASSWORD", "line 17 of trainer")
    client = TestClient(create_app(Settings(store.location)), base_url="http://localhost")
    for path in ("?tab=log", "?tab=log&text=line", "/log.txt"):
        text = client.get(f"/runs/{GOOD}/nodes/trainer{path}").text
        assert "line 16 of trainer" in text
        assert "line 17 of trainer" not in text


def test_the_process_loads_no_heavy_library(store: Store) -> None:
    program = f"""
import sys
from pathlib import Path
from starlette.testclient import TestClient
from penstock.dashboard.app import create_app
from penstock.dashboard.settings import Settings
from penstock.metadata.location import StoreLocation
app = create_app(Settings(StoreLocation(Path({str(store.location.folder)!r}))))
with TestClient(app, base_url="http://localhost") as c:
    for path in ("/runs", "/runs/{GOOD}", "/runs/{GOOD}/nodes/trainer", "/artifacts",
                 "/artifacts/{store.artifacts["evaluation"]}/slices", "/artifacts/{store.artifacts["model"]}/lineage"):
        assert c.get(path).status_code == 200, path
    page = c.get("/runs/{BAD}").text
    c.post("/runs/{BAD}/resume", data={{"csrf": page.split('name="csrf" value="')[1][:64]}})
heavy = {{"tensorflow", "tfx", "apache_beam", "ml_metadata", "pandas", "numpy", "pyarrow", "plotly"}}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], env=os.environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
