"""Makes pages from templates."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from penstock import __version__
from penstock.dashboard import words
from penstock.dashboard.guard import FORM_FIELD, Guard, visitor_of
from penstock.dashboard.redaction import Redactor, shown
from penstock.secrets import is_secret

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"


@dataclass(frozen=True)
class Pages:
    """Renders templates with what all of them need."""

    guard: Guard
    redact: Redactor
    store: str
    environment: Environment

    def page(
        self, request: Request, template: str, values: Mapping[str, Any], *, status: int = 200, plots: bool = False
    ) -> HTMLResponse:
        """A whole page. `plots` tells that it loads the plotting library."""
        visitor = visitor_of(request)
        # Who has not signed in is not told where the store is.
        is_known = visitor.session is not None or not self.guard.settings.is_guarded
        text = self.text(
            template,
            {
                **values,
                "store": self.store if is_known else "",
                "path": request.url.path,
                "may_change": visitor.may_change,
                "may_administer": visitor.may_administer,
                "visitor": visitor,
                "embedded": is_embedded(request),
                "is_guarded": self.guard.settings.is_guarded,
                "csrf_field": FORM_FIELD,
                "csrf": self.guard.form_token(visitor.session) if visitor.session else "",
            },
        )
        headers = {"X-Penstock-Plots": "yes"} if plots else None
        return HTMLResponse(text, status_code=status, headers=headers)

    def text(self, template: str, values: Mapping[str, Any]) -> str:
        """A rendered template without secrets."""
        return self.redact(self.environment.get_template(template).render(values))


def make(guard: Guard, redact: Redactor, store: str) -> Pages:
    """Loads the templates."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        state=words.state,
        state_word=words.state_word,
        moment=words.moment,
        coming=words.coming,
        duration=words.duration,
        number=words.number,
        short=words.short,
        count=words.count,
        share=words.share,
        size=words.size,
        facts=words.facts,
        slice_name=words.slice_name,
        gate=words.gate,
        first_line=words.first_line,
        segment=segment,
        sparkline=words.sparkline,
    )
    environment.globals.update(
        asset=asset, version=__version__, url=url, shown=shown, is_secret=is_secret, marks=words.MARKS
    )
    return Pages(guard, redact, store, environment)


def is_embedded(request: Request) -> bool:
    """Whether a page is made for another one to hold it, see `embedding`; no request from outside can say so."""
    return bool(request.scope.get("state", {}).get("embedded"))


@cache
def asset(name: str) -> str:
    """The address of an asset; another one after it changed, so that browsers may keep it."""
    return f"/static/{name}?v={hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


def segment(text: object) -> str:
    """A text as one segment of a path."""
    return quote(str(text), safe="")


def url(path: str, **query: Any) -> str:
    """A path with a query; what is None or empty is left out, lists are repeated."""
    pairs = [
        (name.rstrip("_"), str(item))
        for name, value in query.items()
        for item in (value if isinstance(value, list | tuple) else [value])
        if item is not None and item != ""
    ]
    return f"{path}?{urlencode(pairs)}" if pairs else path
