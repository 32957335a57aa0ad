"""What all operations of the REST API share: their routers, the ids in their paths, and JSON without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel
from starlette.responses import JSONResponse

from penstock.cli.runs import run_document
from penstock.dashboard import app
from penstock.dashboard.redaction import Redactor, shown_values
from penstock.errors import UsageError
from penstock.metadata.runs import Run

_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The request asks for something there cannot be; `detail` says what is allowed."},
    401: {"description": "A token is needed: `Authorization: Bearer TOKEN`."},
    403: {"description": "A viewer may not do this, or the request comes from another site."},
    404: {"description": "There is no such thing in the store."},
    421: {"description": "The dashboard does not answer to that host name."},
    503: {"description": "The store does not answer."},
}
RunId = Annotated[str, Path(description="A run's id, or `latest`.", max_length=100)]
ArtifactId = Annotated[int, Path(description="An artifact's id.", ge=1, lt=2**53)]


class Problem(BaseModel):
    """What went wrong."""

    detail: str


def make_router(tag: str) -> APIRouter:
    """A router of operations that the OpenAPI document groups under a tag, with the errors that each can answer."""
    responses: dict[int | str, dict[str, Any]] = {code: {**text, "model": Problem} for code, text in _ERRORS.items()}
    return APIRouter(prefix="/api/v1", tags=[tag], responses=responses)


def json_only(request: Request) -> None:
    """Refuses what a form of another site could send: browsers ask before they send JSON across sites."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise UsageError("Send JSON: Content-Type: application/json.")


def answer(request: Request, document: Any, status: int = 200) -> JSONResponse:
    """Answers with a document, without the secrets it holds."""
    return JSONResponse(_redacted(document, app.context_of(request).redact), status_code=status)


def shown_run(run: Run) -> dict[str, Any]:
    """A run as the API tells of it: what its secret parameters are is not said."""
    return {**run_document(run), "parameters": shown_values(run.parameters)}


def _redacted(value: Any, redact: Redactor) -> Any:
    """A document with the secrets taken out of its texts."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(str(key)): _redacted(entry, redact) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(entry, redact) for entry in value]
    return value
