"""Where Kubeflow Pipelines answers: an address as people have it, also one copied out of the browser."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, quote, urlsplit

from penstock.errors import UsageError


@dataclass(frozen=True)
class Endpoint:
    """An installation of Kubeflow Pipelines.

    Attributes:
        address: what the API's paths (`/apis/v2beta1/…`) are appended to.
        namespace: the namespace that the browser's address named, if it did.
    """

    address: str
    namespace: str | None = None

    def run_page(self, run_id: str) -> str:
        """The address of a run's page."""
        return f"{self.address}/#/runs/details/{quote(run_id, safe='')}"


def parse(text: str) -> Endpoint:
    """Reads an address: `http://localhost:8080`, or what the browser shows on any page of the installation.

    Kubeflow's central dashboard shows its pages below `/_/pipeline`, where the API is below `/pipeline`; its `?ns=`
    names the namespace.

    Raises:
        UsageError: this is no address of a web server.
    """
    written = text.strip()
    if "://" not in written:
        written = f"https://{written}"
    parts = urlsplit(written)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
        raise UsageError(
            f"{text!r} is no address of Kubeflow Pipelines. Allowed: what the browser shows, as in"
            " https://kubeflow.example.org/pipeline or http://localhost:8080"
        )
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            "the address of Kubeflow Pipelines has a user or a password in it, which would end up in logs. Leave them"
            " out; a token is read from PENSTOCK_KFP_TOKEN"
        )
    path = parts.path.rstrip("/")
    for page, api in (("/_/pipeline", "/pipeline"), ("/apis/v2beta1", ""), ("/apis", "")):
        if path.endswith(page):
            path = path.removesuffix(page) + api
            break
    namespaces = parse_qs(parts.query).get("ns", []) or parse_qs(urlsplit(parts.fragment).query).get("ns", [])
    return Endpoint(f"{parts.scheme}://{parts.netloc}{path}", namespaces[0] if namespaces else None)
