"""`penstock dashboard`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from penstock.cli.output import say
from penstock.errors import PenstockError
from penstock.metadata.location import resolve
from penstock.project import find_root


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; others need a token.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: the system chooses.")
@click.option("--allow-host", "allowed_hosts", metavar="NAME", multiple=True, help="Answer to this name; repeatable.")
@click.option("--trust-proxy-header", "header", metavar="HEADER", help="In which a proxy tells who is signed in.")
@click.option(
    "--proxy-address",
    "proxy_addresses",
    metavar="ADDRESS",
    multiple=True,
    help="Address or network of that proxy; repeatable.  [default: this machine]",
)
@click.option(
    "--role",
    "roles",
    metavar="USER=ROLE",
    multiple=True,
    help="viewer, operator or admin; *=ROLE for all others whom the proxy names; repeatable.",
)
@click.option("--show-rows", is_flag=True, help="Let admins see rows of examples, where runs kept some.")
@click.option("--store", metavar="STORE", help="Metadata store: a folder or a postgresql:// URL.")
def dashboard(
    host: str,
    port: int,
    allowed_hosts: tuple[str, ...],
    header: str | None,
    proxy_addresses: tuple[str, ...],
    roles: tuple[str, ...],
    show_rows: bool,
    store: str | None,
) -> None:
    """Serve the web pages: runs, artifacts, lineage, sliced metrics.

    Beyond this machine it must know who people are: by a token that they sign in with, or by a proxy.
    PENSTOCK_DASHBOARD_TOKEN is the token of operators, PENSTOCK_DASHBOARD_VIEWER_TOKEN of those
    who look and change nothing, PENSTOCK_DASHBOARD_ADMIN_TOKEN of those who may do everything.
    """
    try:
        from penstock.dashboard import settings as of
        from penstock.dashboard.server import serve
    except ModuleNotFoundError as error:
        raise PenstockError(
            f"The dashboard needs the package {error.name!r}, which is not installed. "
            "Install its extra: pip install 'penstock[dashboard]'"
        ) from error
    settings = of.Settings(
        location=resolve(store),
        host=host,
        port=port,
        token=os.environ.get(of.TOKEN_VARIABLE) or None,
        viewer_token=os.environ.get(of.VIEWER_TOKEN_VARIABLE) or None,
        admin_token=os.environ.get(of.ADMIN_TOKEN_VARIABLE) or None,
        proxy=of.trusted_proxy(header, proxy_addresses, roles),
        allowed_hosts=allowed_hosts,
        project=find_root(Path.cwd()),
        shows_rows=show_rows,
    )
    serve(settings, say)
