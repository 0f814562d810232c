"""The way to a provider, looked at by itself: where its name leads, and what its certificate says.

Addresses are vetted by the same rule as for calls (``providers.client``): none that is refused is connected to.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import requests
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from requests_hardened.ip_filter import InvalidIPAddress

from providers.addresses import public_address
from providers.errors import Misconfigured, Unreachable
from providers.outbound import OutboundPolicy, origin_of


@dataclass(frozen=True, slots=True)
class Reached:
    """A host that may be called. ``trusted``: the operator's list names it, so it may be private and plain http."""

    scheme: str
    host: str
    port: int
    address: str
    trusted: bool


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a server showed, after it was checked against the public authorities and the host's name."""

    protocol: str
    issuer: str
    expires_at: datetime


def resolve(url: str, policy: OutboundPolicy) -> Reached:
    """Where the URL's host leads. Looking up a name cannot be interrupted.

    Raises ``Misconfigured`` for an address that may not be called, ``Unreachable`` for a name that leads nowhere.
    """
    origin = origin_of(url)
    if origin is None:
        raise Misconfigured("The base URL is not a usable address.")
    scheme, host, port = origin
    trusted = policy.admits(url)
    if scheme != "https" and not trusted:
        raise Misconfigured("The base URL must be https.")
    try:
        if trusted:
            address = str(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0])
        else:
            address = public_address(host, port).strip("[]")
    except InvalidIPAddress:
        raise Misconfigured("The base URL leads to a private address, which is not allowed.") from None
    except (OSError, requests.RequestException, UnicodeError):
        raise Unreachable(f"The name {host[:200]} leads to no address.") from None
    return Reached(scheme, host, port, address, trusted)


def shake_hands(reached: Reached, seconds: float) -> Certificate:
    """Open a TLS connection and close it again, within ``seconds`` each for connecting and for the handshake.

    Raises ``Misconfigured`` for a certificate that cannot be trusted, ``Unreachable`` where there is no TLS.
    """
    try:
        with (
            socket.create_connection((reached.address, reached.port), timeout=seconds) as plain,
            _trust().wrap_socket(plain, server_hostname=reached.host) as shaken,
        ):
            return _certificate(shaken.getpeercert() or {}, shaken.version() or "")
    except ssl.SSLCertVerificationError as error:
        raise Misconfigured(f"The certificate of {reached.host[:200]} is not valid: {error.verify_message}") from None
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"There is no TLS connection to {reached.host[:200]} ({type(error).__name__}).") from None


@cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)


def _certificate(told: Mapping[str, Any], protocol: str) -> Certificate:
    names = {name: value for part in told.get("issuer", ()) for name, value in part}
    issuer = names.get("organizationName") or names.get("commonName") or "unnamed"
    expires_at = datetime.fromtimestamp(ssl.cert_time_to_seconds(told["notAfter"]), tz=UTC)
    return Certificate(protocol, str(issuer), expires_at)
