"""Pages of the dashboard as documents of their own, for another page to hold: a notebook's output, a file.

They are rendered by the same routes and templates, asked within this process, and need nothing from elsewhere: style,
scripts and the plotting library stand in them.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import re
import secrets
import threading
from collections.abc import Mapping
from importlib import resources
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape

from penstock.dashboard.app import create_app
from penstock.dashboard.rendering import STATIC, url
from penstock.dashboard.settings import Settings
from penstock.errors import UsageError
from penstock.metadata.location import StoreLocation

# Nothing may be fetched, and scripts are those that stand in the document.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
_STYLE = re.compile(r'<link rel="stylesheet" href="/static/([\w.]+)[^"]*">')
_SCRIPT = re.compile(r'<script src="/static/([\w.]+)[^"]*" defer></script>\n?')
_FORM = re.compile(r'<form\b(?![^>]*id="choose").*?</form>', re.DOTALL)
_SELECT = re.compile(r"<select\b.*?</select>", re.DOTALL)
_OPTION = re.compile(r"<option\b([^>]*)>(.*?)</option>", re.DOTALL)
_CONTROL = re.compile(r"<button\b.*?</button>|<input\b[^>]*>", re.DOTALL)
_LINK = re.compile(r'(<a\b[^>]*?) href="[/?][^"]*"')
_LOCAL = re.compile(r'(<a\b[^>]*? href=")(/[^"]*")')
_ERROR = re.compile(r"<main.*?<p>(.*?)</p>", re.DOTALL)


class Renderer:
    """Renders pages of a store as a viewer sees them. Needs no running dashboard."""

    def __init__(self, location: StoreLocation):
        token = secrets.token_urlsafe()
        self._app = create_app(Settings(location, viewer_token=token))
        self._headers = [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {token}".encode())]

    def page(self, path: str, **query: Any) -> str:
        """The page at a path, without what leads to other pages.

        Raises:
            UsageError: there is none, or the query asks for what there cannot be; the message says what can be.
        """
        address = url(path, **query)
        status, body = _in_thread(self._ask(address))
        text = body.decode()
        if status != 200:
            found = _ERROR.search(text)
            raise UsageError(Markup(found[1]).striptags() if found else f"{address} was answered with {status}.")
        return text

    def close(self) -> None:
        """Closes the connections to the store."""
        self._app.state.context.connections.close()

    async def _ask(self, address: str) -> tuple[int, bytes]:
        path, _, query = address.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": self._headers,
            "client": ("127.0.0.1", 0),
            "server": ("127.0.0.1", 80),
            "state": {"embedded": True},
        }
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def document(page: str, *, dashboard: str | None = None, fragments: Mapping[str, Any] | None = None) -> str:
    """A page as a document that needs nothing from elsewhere.

    Args:
        page: the page.
        dashboard: the address of a running dashboard, for links to lead to; without it they lead nowhere.
        fragments: what the page's choices can show, see `static/embedded.js`.
    """
    scripts = _SCRIPT.findall(page)
    page = _SCRIPT.sub("", page)
    page = _STYLE.sub(lambda found: f"<style>{(STATIC / found[1]).read_text()}</style>", page)
    page = _FORM.sub(_told, page)
    if dashboard is None:
        page = _LINK.sub(r"\1", page)
    else:
        page = _LOCAL.sub(lambda found: f'{found[1]}{escape(dashboard.rstrip("/"))}{found[2]} target="_blank"', page)
    parts = []
    if fragments is not None:
        parts.append(_data("fragments", json.dumps(fragments)))
    if "data-plot=" in page or fragments is not None:
        library = (resources.files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
        parts.append(_data("plotly", library))
    for name in [*scripts, "embedded.js"]:
        parts.append(f"<script>{(STATIC / name).read_text()}</script>")
    head = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    page = page.replace('<meta charset="utf-8">', f'<meta charset="utf-8">\n{head}', 1)
    return page.replace("</body>", "\n".join(parts) + "\n</body>", 1)


def without_links(html: str) -> str:
    """A part of a page in which no link leads anywhere and forms say what is chosen."""
    return _LINK.sub(r"\1", _FORM.sub(_told, html))


def frame(page: str, height: int) -> str:
    """A document as an element of another page; its scripts reach nothing of that page."""
    return (
        f'<iframe sandbox="allow-scripts allow-downloads allow-popups" srcdoc="{escape(page)}" '
        f'title="Penstock" style="width: 100%; height: {height}px; border: 0"></iframe>'
    )


def _told(form: re.Match[str]) -> str:
    """What a form says, for a page that has no server to ask; nothing of one that would change something."""
    opening, _, content = form[0].removesuffix("</form>").partition(">")
    if "post" in opening:
        return ""

    def chosen(select: re.Match[str]) -> str:
        options = _OPTION.findall(select[0])
        text = next(
            (text for attributes, text in options if "selected" in attributes), options[0][1] if options else ""
        )
        return f"<strong>{text}</strong>"

    return f'<div class="filters">{_CONTROL.sub("", _SELECT.sub(chosen, content))}</div>'


def _data(name: str, text: str) -> str:
    """A text as base64 of its gzip, which browsers can undo and which says nothing to a parser of HTML."""
    packed = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
    return f'<script type="application/octet-stream" id="{name}">{packed}</script>'


def _in_thread(coroutine: Any) -> Any:
    """The result of a coroutine; where a loop runs already, as in a notebook, no other one may run in its thread."""
    result: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            result.append(asyncio.run(coroutine))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return result[0]
