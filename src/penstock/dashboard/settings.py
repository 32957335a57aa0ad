"""What a dashboard is started with."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.errors import UsageError
from penstock.metadata.location import StoreLocation

TOKEN_VARIABLE = "PENSTOCK_DASHBOARD_TOKEN"
VIEWER_TOKEN_VARIABLE = "PENSTOCK_DASHBOARD_VIEWER_TOKEN"
_LEAST_TOKEN_LENGTH = 16


@dataclass(frozen=True)
class Settings:
    """How a dashboard is reached and by whom.

    Attributes:
        location: the store it shows.
        host: the address it listens on.
        port: the port it listens on; 0 lets the system choose one.
        token: who knows it may see and do everything; None lets everybody who reaches the port.
        viewer_token: who knows it may look and change nothing.
        allowed_hosts: host names it answers to besides its own address; against DNS rebinding.
    """

    location: StoreLocation
    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    viewer_token: str | None = None
    allowed_hosts: Sequence[str] = ()

    @property
    def is_guarded(self) -> bool:
        """Whether one must sign in."""
        return self.token is not None or self.viewer_token is not None

    def host_names(self) -> frozenset[str]:
        """The host names a request may be addressed to, in lower case and without a port."""
        names = {self.host, *self.allowed_hosts}
        if is_loopback(self.host):
            names |= {"localhost", "127.0.0.1", "[::1]", "::1"}
        return frozenset(name.lower() for name in names)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check(settings: Settings) -> None:
    """Refuses to open the dashboard to others without a token.

    Raises:
        UsageError: the address is no loopback address and no token is set, or a token is too short to be one.
    """
    for variable, token in ((TOKEN_VARIABLE, settings.token), (VIEWER_TOKEN_VARIABLE, settings.viewer_token)):
        if token is not None and len(token) < _LEAST_TOKEN_LENGTH:
            raise UsageError(
                f"{variable} has {len(token)} characters; it needs {_LEAST_TOKEN_LENGTH} or more. "
                "Make one: python3 -c 'import secrets; print(secrets.token_urlsafe())'"
            )
    if settings.token is not None and settings.token == settings.viewer_token:
        raise UsageError(f"{TOKEN_VARIABLE} and {VIEWER_TOKEN_VARIABLE} are the same; viewers would be operators.")
    if not is_loopback(settings.host) and not settings.is_guarded:
        raise UsageError(
            f"--host {settings.host} lets other machines in, and starting runs is running code here. Set a token in "
            f"{TOKEN_VARIABLE}, or leave --host out to listen on this machine only.\n"
            f"  export {TOKEN_VARIABLE}=$(python3 -c 'import secrets; print(secrets.token_urlsafe())')"
        )
