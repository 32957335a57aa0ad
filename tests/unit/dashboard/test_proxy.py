"""A proxy in front says who people are: believed from its own address only, and in one role each."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from penstock.dashboard.app import create_app
from penstock.dashboard.settings import Settings, TrustedProxy, trusted_proxy
from penstock.errors import UsageError
from tests.unit.dashboard.conftest import BAD, Store, csrf

HEADER = "X-Forwarded-User"
PROXY, ELSEWHERE = ("10.0.0.7", 4711), ("10.0.1.7", 4711)
TOKEN = "operator-token-0123456789"


def proxy(*roles: str) -> TrustedProxy | None:
    return trusted_proxy(HEADER, ["10.0.0.0/24"], roles or ["ada=operator", "grace=admin", "*=viewer"])


def behind(store: Store, client: tuple[str, int] = PROXY, user: str | None = None, **settings: object) -> TestClient:
    """A browser whose connection comes from an address; the proxy there says that `user` is signed in."""
    app = create_app(Settings(store.location, **{"proxy": proxy(), **settings}))  # type: ignore[arg-type]
    headers = {} if user is None else {HEADER: user}
    return TestClient(app, base_url="http://localhost", client=client, headers=headers, follow_redirects=False)


@pytest.mark.parametrize(("user", "may_change"), [("ada", True), ("grace", True), ("somebody", False)])
def test_the_proxy_says_who_people_are_and_the_settings_what_they_may(
    store: Store, user: str, may_change: bool
) -> None:
    client = behind(store, user=user)
    page = client.get(f"/runs/{BAD}").text
    assert user in page and "Sign out" not in page
    assert ("/resume" in page) == may_change
    answer = client.post(f"/runs/{BAD}/cancel", data={"csrf": csrf(page)})
    # The run has ended, which is all that keeps an operator from cancelling it.
    assert answer.status_code == (409 if may_change else 403)


def test_the_header_is_believed_from_the_proxy_alone(store: Store) -> None:
    for address in (ELSEWHERE, ("127.0.0.1", 1), ("::1", 1), ("testclient", 1)):
        answer = behind(store, address, "grace").get("/runs")
        assert answer.status_code == 403, address
        assert BAD not in answer.text
    assert behind(store, ("::ffff:10.0.0.7", 1), "grace").get("/runs").status_code == 200
    # A token does not help what claims to be somebody.
    claim = {"authorization": f"Bearer {TOKEN}"}
    assert behind(store, ELSEWHERE, "grace", token=TOKEN).get("/api/v1/runs", headers=claim).status_code == 403


def test_the_address_is_that_of_the_connection_whatever_headers_say(store: Store) -> None:
    client = behind(store, ELSEWHERE, "grace")
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded"):
        assert client.get("/runs", headers={name: PROXY[0]}).status_code == 403


def test_who_is_not_named_is_not_let_in(store: Store) -> None:
    assert behind(store).get("/runs").status_code == 401
    assert behind(store).get("/api/v1/runs").status_code == 401
    assert behind(store, user=" ").get("/runs").status_code == 403
    several = [(HEADER, "somebody"), (HEADER, "grace")]
    assert behind(store).get("/runs", headers=several).status_code == 403
    strict = proxy("ada=operator")
    assert behind(store, user="somebody", proxy=strict).get("/runs").status_code == 403
    assert behind(store, user="ada", proxy=strict).get("/runs").status_code == 200


def test_a_session_made_behind_the_proxy_is_worth_nothing_without_it(store: Store) -> None:
    client = behind(store, user="grace", token=TOKEN)
    client.get("/runs")
    session = client.cookies["penstock_session"]
    outside = TestClient(client.app, base_url="http://localhost", client=ELSEWHERE, follow_redirects=False)
    outside.cookies.set("penstock_session", session)
    assert outside.get("/runs").headers["location"].startswith("/sign-in")


def test_the_form_of_one_session_does_not_do_for_another(store: Store) -> None:
    first, second = behind(store, user="ada"), behind(store, user="ada")
    token = csrf(first.get(f"/runs/{BAD}").text)
    second.get(f"/runs/{BAD}")
    assert second.post(f"/runs/{BAD}/cancel", data={"csrf": token}).status_code == 403


def test_tokens_go_on_beside_a_proxy(store: Store) -> None:
    client = behind(store, ELSEWHERE, token=TOKEN)
    assert client.get("/api/v1/runs", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.get("/runs").headers["location"].startswith("/sign-in")


@pytest.mark.parametrize(
    ("header", "addresses", "roles", "message"),
    [
        (None, ["10.0.0.7"], [], "belong to --trust-proxy-header"),
        (None, [], ["*=viewer"], "belong to --trust-proxy-header"),
        ("X-User: x", [], ["*=viewer"], "cannot be 'X-User: x'"),
        ("Cookie", [], ["*=viewer"], "cannot be 'Cookie'"),
        (HEADER, ["proxy.example"], ["*=viewer"], "address or a network"),
        (HEADER, [], [], "Nobody has a role"),
        (HEADER, [], ["ada"], "USER=ROLE"),
        (HEADER, [], ["ada=root"], "viewer, operator, admin"),
    ],
)
def test_a_wrong_proxy_is_told(header: str | None, addresses: list[str], roles: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        trusted_proxy(header, addresses, roles)
