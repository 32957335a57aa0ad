"""`penstock dashboard`."""

from __future__ import annotations

import os

import click

from penstock.cli.output import say
from penstock.errors import PenstockError
from penstock.metadata.location import resolve


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; others need a token.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: the system chooses.")
@click.option("--allow-host", "allowed_hosts", metavar="NAME", multiple=True, help="Answer to this name; repeatable.")
@click.option("--store", metavar="STORE", help="Metadata store: a folder or a postgresql:// URL.")
def dashboard(host: str, port: int, allowed_hosts: tuple[str, ...], store: str | None) -> None:
    """Serve the web pages: runs, artifacts, lineage, sliced metrics.

    Beyond this machine a token is demanded, from the variable PENSTOCK_DASHBOARD_TOKEN;
    PENSTOCK_DASHBOARD_VIEWER_TOKEN lets people look and change nothing.
    """
    try:
        from penstock.dashboard.server import serve
        from penstock.dashboard.settings import TOKEN_VARIABLE, VIEWER_TOKEN_VARIABLE, Settings
    except ModuleNotFoundError as error:
        raise PenstockError(
            f"The dashboard needs the package {error.name!r}, which is not installed. "
            "Install its extra: pip install 'penstock[dashboard]'"
        ) from error
    settings = Settings(
        location=resolve(store),
        host=host,
        port=port,
        token=os.environ.get(TOKEN_VARIABLE) or None,
        viewer_token=os.environ.get(VIEWER_TOKEN_VARIABLE) or None,
        allowed_hosts=allowed_hosts,
    )
    serve(settings, say)
