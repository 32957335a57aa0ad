"""The application: pages, the REST API, static files, and what happens on errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response

from penstock import __version__
from penstock.dashboard import redaction, rendering
from penstock.dashboard.connections import Connections
from penstock.dashboard.declarations import Declarations
from penstock.dashboard.events import Broadcasts
from penstock.dashboard.guard import Guard, GuardMiddleware
from penstock.dashboard.launches import Launches
from penstock.dashboard.logs import OutsideError
from penstock.dashboard.settings import Settings
from penstock.errors import ArtifactNotFoundError, DeclarationError, PenstockError, RunNotFoundError, UsageError
from penstock.metadata.key_metrics import KeyMetrics
from penstock.metadata.series import Evaluations

_LOG = logging.getLogger("penstock.dashboard")
_ASSET_SECONDS = 3600


@dataclass(frozen=True)
class Context:
    """What every page needs."""

    settings: Settings
    connections: Connections
    pages: rendering.Pages
    redact: redaction.Redactor
    broadcasts: Broadcasts
    launches: Launches
    guard: Guard
    evaluations: Evaluations
    key_metrics: KeyMetrics
    declarations: Declarations


class NotFoundError(PenstockError):
    """Indicates that an address names nothing that is there."""


def create_app(settings: Settings) -> FastAPI:
    """Makes the dashboard of a store."""
    from penstock.dashboard.api import OPERATIONS
    from penstock.dashboard.pages import PAGES

    guard = Guard(settings)
    redact = redaction.make(location=settings.location)
    connections = Connections(settings.location, redact)
    broadcasts = Broadcasts()
    context = Context(
        settings=settings,
        connections=connections,
        pages=rendering.make(guard, redact, settings.location.display),
        redact=redact,
        broadcasts=broadcasts,
        launches=Launches(settings.location),
        guard=guard,
        evaluations=Evaluations(),
        key_metrics=KeyMetrics(),
        declarations=Declarations(settings.folders()),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # What many runs hold that must not be shown is learnt before somebody waits for it.
        with suppress(PenstockError):
            await asyncio.to_thread(connections.learn)
        yield
        broadcasts.close()
        connections.close()

    app = FastAPI(
        title="Penstock",
        version=__version__,
        description="Runs, artifacts, lineage and sliced metrics of a metadata store.",
        openapi_url="/api/openapi.json",
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.context = context
    for router in PAGES:
        app.include_router(router, include_in_schema=False)
    for router in OPERATIONS:
        app.include_router(router)
    app.add_api_route("/static/{name}", _static, include_in_schema=False)
    app.add_api_route("/health", _health, include_in_schema=False)
    app.add_exception_handler(PenstockError, _on_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_bad_request)
    app.add_exception_handler(Exception, _on_bug)
    app.add_middleware(GuardMiddleware, guard=guard)
    return app


def context_of(request: Request) -> Context:
    """The application's context."""
    context: Context = request.app.state.context
    return context


def _health() -> PlainTextResponse:
    return PlainTextResponse("ok\n")


def _static(name: str) -> Response:
    """One of our own assets, or the plotting library from its package; never another file."""
    headers = {"Cache-Control": f"private, max-age={_ASSET_SECONDS}"}
    if name == "plotly.min.js":
        with resources.as_file(resources.files("plotly") / "package_data" / name) as path:
            return FileResponse(path, media_type="text/javascript", headers=headers)
    if name not in {path.name for path in rendering.STATIC.iterdir()}:
        raise NotFoundError(f"There is no asset {name!r}.")
    return FileResponse(rendering.STATIC / name, headers=headers)


def _status(error: Exception) -> int:
    if isinstance(error, NotFoundError | RunNotFoundError | ArtifactNotFoundError | OutsideError):
        return 404
    return 400 if isinstance(error, UsageError | DeclarationError) else 503


async def _on_error(request: Request, error: Exception) -> Response:
    return _answer(request, _status(error), str(error))


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = error.detail
    if error.status_code == 404:
        text = "There is no such page."
    return _answer(request, error.status_code, text, dict(error.headers or {}))


async def _on_bad_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # A path whose part is no number names nothing; anything else asks wrongly.
    in_path = any(problem["loc"][0] == "path" for problem in error.errors())
    text = "; ".join(f"{'.'.join(map(str, problem['loc'][1:]))}: {problem['msg']}" for problem in error.errors())
    return _answer(request, 404 if in_path else 400, text)


async def _on_bug(request: Request, error: Exception) -> Response:
    _LOG.error("%s %s", request.method, request.url.path, exc_info=error)
    return _answer(request, 500, f"Something unforeseen happened ({type(error).__name__}). The dashboard's log has it.")


def _answer(request: Request, status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    context = context_of(request)
    if request.url.path.startswith("/api/"):
        return JSONResponse({"detail": context.redact(text)}, status_code=status, headers=headers)
    titles = {400: "That cannot be asked", 404: "Not found", 405: "Not possible", 500: "An error", 503: "No answer"}
    values: dict[str, Any] = {"title": titles.get(status, "An error"), "status": status, "text": text}
    page = context.pages.page(request, "error.html", values, status=status)
    page.headers.update(headers or {})
    return page
