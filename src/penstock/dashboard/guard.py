"""Who may ask for what: host names, sessions, roles, cross-site requests; and the headers of every answer."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.dashboard.roles import ADMIN, OPERATOR, ROLES, VIEWER, includes
from penstock.dashboard.settings import Settings

SESSION_COOKIE = "penstock_session"
FORM_FIELD = "csrf"
SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"
_FREE_PATHS = ("/static/", SIGN_IN, "/health")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# Forms and JSON of people are small; what is larger is refused before it is read.
_LARGEST_BODY = 1 << 20
# Whom a proxy names needs a session for forms to be tied to; it says nothing of who they are.
_NAMED_BY_PROXY = "proxied"
_BASE_POLICY = (
    "default-src 'none'; script-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'; style-src 'self'"
)
# The plotting library makes a style sheet while it runs, and images of what is to be saved.
_PLOT_POLICY = f"{_BASE_POLICY} 'unsafe-inline'".replace("img-src 'self' data:", "img-src 'self' data: blob:")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class RefusedError(Exception):
    """Indicates a request that may not be answered whoever asks; its text says why."""


@dataclass(frozen=True)
class Visitor:
    """Who asks.

    Attributes:
        role: one of `penstock.dashboard.roles`.
        session: the session's cookie; None for a program that sends its token with each request.
        user: the name a proxy knows them by.
    """

    role: str
    session: str | None
    user: str | None = None

    @property
    def may_change(self) -> bool:
        """Whether they may start and stop runs."""
        return includes(self.role, OPERATOR)

    @property
    def may_administer(self) -> bool:
        """Whether they may see rows of the data."""
        return includes(self.role, ADMIN)


@dataclass
class Guard:
    """Checks requests against the settings. Sessions outlive the process where there is a token to sign them with."""

    settings: Settings
    _key: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        tokens = "\n".join(f"{role} {token}" for role, token in sorted(self.settings.tokens.items()))
        seed = tokens.encode() or secrets.token_bytes(32)
        self._key = hashlib.sha256(b"penstock dashboard session\n" + seed).digest()

    def role_of_token(self, token: str) -> str | None:
        """The role a token gives, or None."""
        for role, known in self.settings.tokens.items():
            if hmac.compare_digest(token.encode(), known.encode()):
                return role
        return None

    def new_session(self, role: str) -> str:
        """The value of a session cookie."""
        body = f"{secrets.token_urlsafe(18)}.{role}"
        return f"{body}.{self._sign('session', body)}"

    def form_token(self, session: str | None) -> str:
        """What a form must send back to show that one of our pages made it."""
        return self._sign("form", session or "")

    def fits_form(self, session: str | None, token: str) -> bool:
        """Whether a form's token is that of a session."""
        return session is not None and hmac.compare_digest(token.encode(), self.form_token(session).encode())

    def visitor(self, headers: Headers, address: str | None) -> Visitor | None:
        """Who asks, by the proxy's header, `Authorization: Bearer` or cookie; None where one must sign in first.

        Args:
            headers: the request's.
            address: where the connection comes from.

        Raises:
            RefusedError: the header comes from elsewhere than the proxy, or names nobody who may look.
        """
        session = _cookie(headers.get("cookie", ""))
        proxied = self._proxied(headers, address, session)
        if proxied is not None:
            return proxied
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            role = self.role_of_token(token.strip())
            return None if role is None else Visitor(role, None)
        role = self._role_of_session(session)
        if role in ROLES:
            return Visitor(role, session)
        return None if self.settings.is_guarded else Visitor(ADMIN, None)

    def _proxied(self, headers: Headers, address: str | None, session: str | None) -> Visitor | None:
        """Whom the proxy names, or None where it names nobody."""
        proxy = self.settings.proxy
        given = [] if proxy is None else headers.getlist(proxy.header)
        if proxy is None or not given:
            return None
        if not proxy.is_from(address):
            raise RefusedError(f"Only the proxy may send {proxy.header}; this request does not come from it.")
        user = given[0].strip()
        if len(given) > 1 or not user:
            raise RefusedError(f"The proxy must name one user in {proxy.header}.")
        role = proxy.role_of(user)
        if role is None:
            raise RefusedError("You are signed in, and have no role here; ask who runs this dashboard for one.")
        own = session if self._role_of_session(session) == _NAMED_BY_PROXY else None
        return Visitor(role, own, user)

    def is_for_us(self, headers: Mapping[str, str]) -> bool:
        """Whether the Host header names this dashboard; another name would be a page that rebinds its own."""
        host = headers.get("host", "")
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        return name is not None and name.lower() in {known.strip("[]") for known in self.settings.host_names()}

    def is_same_site(self, headers: Mapping[str, str]) -> bool:
        """Whether a changing request comes from our own pages or from no page at all."""
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return False
        origin = headers.get("origin")
        return origin is None or urlsplit(origin).netloc == headers.get("host")

    def _role_of_session(self, session: str | None) -> str | None:
        body, _, signature = (session or "").rpartition(".")
        if not body or not hmac.compare_digest(signature.encode(), self._sign("session", body).encode()):
            return None
        return body.rpartition(".")[2]

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}\n{text}".encode(), hashlib.sha256).hexdigest()


class GuardMiddleware:
    """Turns requests away that may not be answered, and puts the security headers on every answer."""

    def __init__(self, app: ASGIApp, guard: Guard):
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal, cookie = self._judge(scope, headers)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    answer[name] = value
                answer["Content-Security-Policy"] = (
                    _PLOT_POLICY if answer.get("X-Penstock-Plots") == "yes" else _BASE_POLICY
                )
                if "cache-control" not in answer:
                    answer["Cache-Control"] = "no-store"
                if cookie is not None:
                    answer.append("Set-Cookie", cookie)
            await send(message)

        await (refusal or self._app)(scope, receive, send_with_headers)

    def _judge(self, scope: Scope, headers: Headers) -> tuple[Response | None, str | None]:
        """A refusal or None, and the cookie to set or None. Leaves the visitor in the request's state."""
        path: str = scope["path"]
        is_api = path.startswith("/api/")
        if not self._guard.is_for_us(headers):
            known = ", ".join(sorted(self._guard.settings.host_names()))
            return PlainTextResponse(
                f"This dashboard does not answer to that host name. It answers to: {known}. "
                "Add a name with --allow-host.\n",
                status_code=421,
            ), None
        try:
            visitor = self._guard.visitor(headers, scope["client"][0] if scope.get("client") else None)
        except RefusedError as error:
            return _refuse(str(error), is_api), None
        is_free = path.startswith(_FREE_PATHS)
        if visitor is None and not is_free:
            if is_api or scope["method"] not in _SAFE_METHODS:
                return JSONResponse(
                    {"detail": "Sign in first, or send a token: Authorization: Bearer TOKEN."},
                    status_code=401,
                    headers={"WWW-Authenticate": "Bearer"},
                ), None
            if not self._guard.settings.tokens:
                return _refuse("The proxy in front of this dashboard names nobody; come through it.", False, 401), None
            query = scope["query_string"].decode("latin-1")
            target = quote(path + (f"?{query}" if query else ""), safe="")
            return RedirectResponse(f"{SIGN_IN}?next={target}", status_code=303), None
        if scope["method"] not in _SAFE_METHODS:
            too_much = _too_much(headers)
            if too_much is not None:
                return too_much, None
            if not self._guard.is_same_site(headers):
                return _refuse("The request comes from another site.", is_api), None
            if visitor is not None and not visitor.may_change and not is_free and path != SIGN_OUT:
                return _refuse("A viewer may look and not change anything; sign in as operator.", is_api), None
        cookie = None
        if visitor is not None and visitor.session is None and (visitor.user or "authorization" not in headers):
            # Nobody signs in here, and yet forms need something to be tied to.
            session = self._guard.new_session(visitor.role if visitor.user is None else _NAMED_BY_PROXY)
            visitor = replace(visitor, session=session)
            cookie = session_cookie(session)
        scope.setdefault("state", {})["visitor"] = visitor
        return None, cookie


def session_cookie(value: str, seconds: int | None = None) -> str:
    """The Set-Cookie header of a session; `seconds` 0 ends it."""
    age = "" if seconds is None else f"; Max-Age={seconds}"
    return f"{SESSION_COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict{age}"


def visitor_of(request: Any) -> Visitor:
    """Who sent a request that passed the guard."""
    visitor: Visitor | None = request.scope.get("state", {}).get("visitor")
    return visitor or Visitor(VIEWER, None)


def _too_much(headers: Headers) -> Response | None:
    """A refusal of a body that is too large, or does not say how large it is."""
    length = headers.get("content-length", "")
    if "transfer-encoding" in headers and not length:
        return JSONResponse({"detail": "Say how long the request is: Content-Length."}, status_code=411)
    if length and (not length.isascii() or not length.isdigit() or int(length[:20]) > _LARGEST_BODY):
        return JSONResponse({"detail": f"A request may have {_LARGEST_BODY} bytes at most."}, status_code=413)
    return None


def _refuse(reason: str, is_api: bool, status: int = 403) -> Response:
    if is_api:
        return JSONResponse({"detail": reason}, status_code=status)
    return PlainTextResponse(f"Refused: {reason}\n", status_code=status)


def _cookie(header: str) -> str | None:
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(header)
    except Exception:  # http.cookies raises several kinds for what is no cookie
        return None
    found = jar.get(SESSION_COOKIE)
    return None if found is None else found.value
