"""Serves the dashboard until it is asked to stop."""

from __future__ import annotations

import gc
import signal
import socket
from collections.abc import Callable

import uvicorn

from penstock.dashboard.app import Context, create_app
from penstock.dashboard.settings import Settings, check
from penstock.errors import PenstockError

_LAST_SECONDS = 5
_QUEUED = 256
_ALLOCATIONS_PER_COLLECTION = 20_000


class _Server(uvicorn.Server):
    """Ends the streams of live pages first: they would never end by themselves."""

    def __init__(self, config: uvicorn.Config, context: Context):
        super().__init__(config)
        self._context = context

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._context.broadcasts.close()
        await super().shutdown(sockets)


def serve(settings: Settings, say: Callable[[str], None]) -> None:
    """Listens and answers until SIGINT or SIGTERM; open requests get some seconds to end.

    Args:
        settings: where to listen, for whom, and on which store.
        say: gets the line that tells where the dashboard is.

    Raises:
        UsageError: the dashboard would be open to others without a token.
        PenstockError: the address cannot be listened on.
    """
    check(settings)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # By its protocol asyncio knows that answers in two parts must not wait for the first to be acknowledged: 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host.strip("[]"), settings.port))
        # Who reads where the dashboard is may ask at once.
        listening.listen(_QUEUED)
    except OSError as error:
        listening.close()
        raise PenstockError(
            f"The dashboard cannot listen on {settings.host}:{settings.port} ({error.strerror}). "
            "Choose another port with --port; --port 0 lets the system choose."
        ) from error
    port = listening.getsockname()[1]
    shown = f"[{settings.host.strip('[]')}]" if ":" in settings.host else settings.host
    app = create_app(settings)
    say(f"Dashboard of {settings.location.display}: http://{shown}:{port}/  (Ctrl-C stops it)")
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        # Whether a request comes from the proxy is told by its connection, which no header may change.
        proxy_headers=False,
        timeout_graceful_shutdown=_LAST_SECONDS,
        lifespan="on",
    )
    # What is loaded by now stays; looking through it for garbage would delay some answers by a tenth of a second.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS_PER_COLLECTION, 20, 20)
    # uvicorn ends well on SIGTERM and then sends it once more to whom it was meant for; that is us.
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        _Server(config, app.state.context).run(sockets=[listening])
    finally:
        signal.signal(signal.SIGTERM, before)
