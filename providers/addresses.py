"""Which addresses are public, and an adapter that connects to no others.

A name is looked up once a request: the address that was vetted is the one that is connected to (requests-hardened), so
a name that leads elsewhere a moment later leads nowhere. What that library lets through of the registries of special
addresses (RFC 6890, RFC 4291) is closed here.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

import requests
from requests_hardened.ip_filter import InvalidIPAddress, filter_host
from requests_hardened.ip_filter_adapter import IPFilterAdapter

# The only block of which global unicast addresses are given out (RFC 4291, section 2.4, and IANA's registry).
_GLOBAL_UNICAST = IPv6Network("2000::/3")
# Addresses that stand for ones of version 4 (RFC 3056, RFC 4380), for documentation, benchmarks and identifiers.
_NOT_HOSTS = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether it is one of a host on the public internet, and none that stands for another address."""
    if address.is_multicast or address.is_reserved or not address.is_global:
        return False
    if isinstance(address, IPv4Address):
        return True
    return address in _GLOBAL_UNICAST and not any(address in network for network in _NOT_HOSTS)


def public_address(host: str, port: int) -> str:
    """The public address to connect to for this host; one of version 6 is in brackets.

    Raises ``InvalidIPAddress`` if it leads to another one, and a ``requests.RequestException`` if it leads nowhere.
    """
    return _vetted(filter_host(host, port, allow_loopback=False))


class PublicOnlyAdapter(IPFilterAdapter):  # type: ignore[misc]
    """Pins each connection to a public address, or raises ``InvalidIPAddress``."""

    def build_connection_pool_key_attributes(
        self,
        request: requests.PreparedRequest,
        verify: bool | str,
        cert: str | tuple[str, str] | None = None,
    ) -> Any:
        where, how = super().build_connection_pool_key_attributes(request, verify, cert)
        _vetted(where["host"])
        return where, how


def _vetted(pinned: str) -> str:
    address = ip_address(pinned.strip("[]"))
    if not is_public(address):
        raise InvalidIPAddress(address)
    return pinned
