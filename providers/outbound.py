"""Which addresses outside the public internet may be called: ``OUTBOUND_ALLOWED``."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}


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
        try:
            parts = urlsplit(url)
            port = parts.port or DEFAULT_PORTS.get(parts.scheme)
        except ValueError:
            return False
        host = (parts.hostname or "").lower()
        if not host:
            return False
        if host in self.hosts or f"{host}:{port}" in self.hosts:
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self.networks)
