"""What a dashboard is started with."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.dashboard.roles import ADMIN, OPERATOR, ROLES, VIEWER
from penstock.errors import UsageError
from penstock.metadata.location import StoreLocation
from penstock.project import STORE_FOLDER

TOKEN_VARIABLE = "PENSTOCK_DASHBOARD_TOKEN"
VIEWER_TOKEN_VARIABLE = "PENSTOCK_DASHBOARD_VIEWER_TOKEN"
ADMIN_TOKEN_VARIABLE = "PENSTOCK_DASHBOARD_ADMIN_TOKEN"
ANYBODY = "*"
_LEAST_TOKEN_LENGTH = 16
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# What browsers and proxies send of themselves says nothing of who sends it.
_NO_IDENTITY = ("authorization", "cookie", "host", "origin", "referer", "user-agent", "x-forwarded-for")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class TrustedProxy:
    """A proxy that signs people in and tells in a header who they are.

    Attributes:
        header: the header's name in lower case.
        addresses: where the proxy's connections come from; the header is believed from nowhere else.
        roles: role by the name the header gives; `ANYBODY` stands for all who are not named.
    """

    header: str
    addresses: Sequence[Network]
    roles: Mapping[str, str]

    def is_from(self, address: str | None) -> bool:
        """Whether a connection from this address is the proxy's."""
        try:
            found = ipaddress.ip_address((address or "").partition("%")[0])
        except ValueError:
            return False
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in self.addresses)

    def role_of(self, user: str) -> str | None:
        """The role of a user; None of one who is neither named nor covered by `ANYBODY`."""
        return self.roles.get(user, self.roles.get(ANYBODY))


@dataclass(frozen=True)
class Settings:
    """How a dashboard is reached and by whom.

    Attributes:
        location: the store it shows.
        host: the address it listens on.
        port: the port it listens on; 0 lets the system choose one.
        token: who knows it is an operator, see `penstock.dashboard.roles`.
        viewer_token: who knows it is a viewer.
        admin_token: who knows it is an admin.
        proxy: a proxy that says who people are. Without it and any token all who reach the port are admins.
        allowed_hosts: host names it answers to besides its own address; against DNS rebinding.
        project: the folder whose declarations are listed among the pipelines; None for that of the store alone.
        shows_rows: whether admins see the rows of examples that runs were told to keep; others never do.
    """

    location: StoreLocation
    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    viewer_token: str | None = None
    admin_token: str | None = None
    proxy: TrustedProxy | None = None
    allowed_hosts: Sequence[str] = ()
    project: Path | None = None
    shows_rows: bool = False

    @property
    def tokens(self) -> dict[str, str]:
        """The tokens that are set, by the role they give."""
        known = {VIEWER: self.viewer_token, OPERATOR: self.token, ADMIN: self.admin_token}
        return {role: token for role, token in known.items() if token is not None}

    @property
    def is_guarded(self) -> bool:
        """Whether one must be known."""
        return bool(self.tokens) or self.proxy is not None

    def folders(self) -> list[Path]:
        """The folders whose declarations are shown, runs or not."""
        found = [self.project] if self.project is not None else []
        if self.location.folder.name == STORE_FOLDER:
            found.append(self.location.folder.parent)
        return list(dict.fromkeys(found))

    def host_names(self) -> frozenset[str]:
        """The host names a request may be addressed to, in lower case and without a port."""
        names = {self.host, *self.allowed_hosts}
        if is_loopback(self.host):
            names |= {"localhost", "127.0.0.1", "[::1]", "::1"}
        return frozenset(name.lower() for name in names)


def trusted_proxy(header: str | None, addresses: Sequence[str], roles: Sequence[str]) -> TrustedProxy | None:
    """A proxy as the command line tells of it; None where it tells of none.

    Args:
        header: the header's name.
        addresses: addresses and networks of the proxy; this machine where none is given.
        roles: `USER=ROLE` each; `*` for all others.

    Raises:
        UsageError: one of them is not what it has to be, or says something without `header`.
    """
    if header is None:
        if addresses or roles:
            raise UsageError("--proxy-address and --role belong to --trust-proxy-header HEADER, which is missing.")
        return None
    if not _HEADER_NAME.fullmatch(header) or header.lower() in _NO_IDENTITY:
        raise UsageError(
            f"--trust-proxy-header cannot be {header!r}. Name the header in which the proxy tells who is signed in, "
            "such as X-Forwarded-User."
        )
    networks: list[Network] = []
    for address in addresses or ("127.0.0.0/8", "::1"):
        try:
            networks.append(ipaddress.ip_network(address, strict=False))
        except ValueError:
            raise UsageError(
                f"--proxy-address cannot be {address!r}. Give an address or a network, such as 10.0.0.7 or 10.0.0.0/24."
            ) from None
    by_user = {}
    for entry in roles:
        user, _, role = entry.rpartition("=")
        if not user or role not in ROLES:
            raise UsageError(f"--role cannot be {entry!r}. Give USER=ROLE; roles are {', '.join(ROLES)}.")
        by_user[user] = role
    if not by_user:
        raise UsageError(
            f"Nobody has a role: all whom the proxy names in {header} would be refused. Give --role USER=ROLE, "
            f"or --role '{ANYBODY}={VIEWER}' to let all of them look."
        )
    return TrustedProxy(header.lower(), tuple(networks), by_user)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check(settings: Settings) -> None:
    """Refuses to open the dashboard to others without a way to tell who they are.

    Raises:
        UsageError: the address is no loopback address and neither a token nor a proxy is set, a token is too short to
            be one, or two are the same.
    """
    variables = {VIEWER: VIEWER_TOKEN_VARIABLE, OPERATOR: TOKEN_VARIABLE, ADMIN: ADMIN_TOKEN_VARIABLE}
    role_of: dict[str, str] = {}
    for role, token in settings.tokens.items():
        if len(token) < _LEAST_TOKEN_LENGTH:
            raise UsageError(
                f"{variables[role]} has {len(token)} characters; it needs {_LEAST_TOKEN_LENGTH} or more. "
                "Make one: python3 -c 'import secrets; print(secrets.token_urlsafe())'"
            )
        if token in role_of:
            raise UsageError(
                f"{variables[role_of[token]]} and {variables[role]} are the same; who is the one would be the other."
            )
        role_of[token] = role
    if not is_loopback(settings.host) and not settings.is_guarded:
        raise UsageError(
            f"--host {settings.host} lets other machines in, and starting runs is running code here. Set a token in "
            f"{TOKEN_VARIABLE}, name a proxy that signs people in with --trust-proxy-header, or leave --host out to "
            "listen on this machine only.\n"
            f"  export {TOKEN_VARIABLE}=$(python3 -c 'import secrets; print(secrets.token_urlsafe())')"
        )
