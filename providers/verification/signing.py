"""Proofs as a provider would make them: for contract tests, simulators and ``send_webhook``."""

from __future__ import annotations

import base64
import time

import jwt

from providers.verification.checking import digest, encoded
from providers.verification.parts import assemble
from providers.verification.schemes import (
    BasicScheme,
    Header,
    HmacScheme,
    JwtScheme,
    Place,
    Scheme,
    SharedTokenScheme,
    UnsignedScheme,
)
from providers.verification.secret_forms import key_of

_TOKEN_SECONDS = 180


class CannotSign(ValueError):
    """Only the provider can make this proof: its key is private, or it stands inside the body."""


def sign(
    scheme: Scheme, *, body: bytes, secret: bytes, timestamp: int | None = None, identifier: str = ""
) -> dict[str, str]:
    """Headers a provider using ``scheme`` would send with ``body``.

    ``timestamp`` is in epoch seconds, now if not given; ``identifier`` is the delivery id where it is signed.
    Raises ``CannotSign``.
    """
    now = int(time.time()) if timestamp is None else timestamp
    if isinstance(scheme, HmacScheme):
        return _hmac_headers(scheme, body, secret, now, identifier)
    if isinstance(scheme, SharedTokenScheme):
        return dict([_entry(scheme.token, secret.decode())])
    if isinstance(scheme, BasicScheme):
        return {"authorization": f"Basic {base64.b64encode(secret).decode()}"}
    if isinstance(scheme, JwtScheme):
        token = jwt.encode({"iat": now, "exp": now + _TOKEN_SECONDS}, secret, algorithm="HS256")
        return dict([_entry(scheme.token, token)])
    if isinstance(scheme, UnsignedScheme):
        return {}
    raise CannotSign("Only the provider holds the key that makes this proof.")


def _hmac_headers(scheme: HmacScheme, body: bytes, secret: bytes, now: int, identifier: str) -> dict[str, str]:
    stamp = _stamp(scheme, now)
    signed = assemble(scheme.template, body, stamp, identifier)
    value = encoded(scheme.encoding, digest(scheme, key_of(scheme.secret_form, secret), signed)).decode()
    headers: dict[str, str] = {}
    parts = ((scheme.timestamp, stamp), (scheme.id, identifier), (scheme.signature, value))
    for place, text in parts:
        if place is None:
            continue
        name, entry = _entry(place, text)
        separator = place.separator if isinstance(place, Header) else ""
        headers[name] = f"{headers[name]}{separator}{entry}" if name in headers else entry
    return headers


def _stamp(scheme: HmacScheme, now: int) -> str:
    match scheme.timestamp_unit:
        case "milliseconds":
            return str(now * 1000)
        case "iso8601":
            return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        case _:
            return str(now)


def _entry(place: Place, text: str) -> tuple[str, str]:
    if not isinstance(place, Header):
        raise CannotSign("The proof stands inside the body.")
    return place.name, f"{place.prefix}{text}"
