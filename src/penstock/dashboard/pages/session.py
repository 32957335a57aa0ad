"""Signing in and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from penstock.dashboard import app
from penstock.dashboard.guard import SIGN_IN, SIGN_OUT, session_cookie, visitor_of
from penstock.dashboard.pages.forms import check_form

_SESSION_SECONDS = 30 * 86400

router = APIRouter()


@router.get(SIGN_IN)
def sign_in_page(request: Request, next: str = "/") -> Response:
    """The form that asks for a token."""
    context = app.context_of(request)
    return context.pages.page(request, "sign_in.html", {"title": "Sign in", "next": _local(next), "wrong": False})


@router.post(SIGN_IN)
def sign_in(request: Request, token: Annotated[str, Form()] = "", next: Annotated[str, Form()] = "/") -> Response:
    """Opens a session for who knows a token."""
    context = app.context_of(request)
    role = context.guard.role_of_token(token.strip())
    if role is None:
        values = {"title": "Sign in", "next": _local(next), "wrong": True}
        return context.pages.page(request, "sign_in.html", values, status=401)
    answer = RedirectResponse(_local(next), status_code=303)
    answer.headers.append("Set-Cookie", session_cookie(context.guard.new_session(role), _SESSION_SECONDS))
    return answer


@router.post(SIGN_OUT)
def sign_out(request: Request, csrf: Annotated[str, Form()] = "") -> Response:
    """Ends a session."""
    check_form(app.context_of(request).guard, visitor_of(request), csrf)
    answer = RedirectResponse(SIGN_IN, status_code=303)
    answer.headers.append("Set-Cookie", session_cookie("", 0))
    return answer


def _local(target: str) -> str:
    """The target if it is a path of this dashboard, or else its first page."""
    plain = target.startswith("/") and not target.startswith(("//", "/\\"))
    return target if plain and not any(character in target for character in "\r\n\t\\") else "/"
