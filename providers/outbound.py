"""Which addresses outside the public internet may be called: ``OUTBOUND_ALLOWED``."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from urllib3.util import parse_url

DEFAULT_PORTS = {"http": 80, "https": 443}


def origin_of(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and effective port (RFC 6454), or ``None`` if the URL has none that could be called.

    Nor has one that names a user, and one of which not everybody reads the same host: what is decided about it here has
    to hold for what is connected to.
    """
    try:
        parts, connects = urlsplit(url), parse_url(url)
        usual = DEFAULT_PORTS[parts.scheme]
        same = (parts.scheme, parts.port) == (connects.scheme, connects.port)
    except (ValueError, KeyError):
        return None
    host, connected = (parts.hostname or "").lower(), (connects.host or "").strip("[]").lower()
    if not host or not same or parts.username is not None or (host.isascii() and host != connected):
        return None
    return parts.scheme, connected, parts.port or usual


@dataclass(frozen=True, slots=True)
class OutboundPolicy:
    """An allow-list of ``host``, ``host:port`` and CIDR entries; CIDR matches literal addresses only."""

    hosts: frozenset[str]
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

    @classmethod
    def parse(cls, entries: Iterable[str]) -> OutboundPolicy:
        """Raises ``ValueError`` for an entry that is neither a host nor a network."""
        hosts, networks = set(), []
        for entry in (e.strip().lower().replace("[", "").replace("]", "") for e in entries if e.strip()):
            if "/" in entry:
                networks.append(ipaddress.ip_network(entry))
            elif any(c.isspace() or c in "@?#" for c in entry):
                raise ValueError(f"{entry!r} is not a host, host:port or network")
            else:
                hosts.add(entry)
        return cls(frozenset(hosts), tuple(networks))

    def admits(self, url: str) -> bool:
        """Whether the URL's host is on the list (and so may be private, and plain http)."""
        origin = origin_of(url)
        if origin is None:
            return False
        _, host, port = origin
        if host in self.hosts or f"{host}:{port}" in self.hosts:
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self.networks)
