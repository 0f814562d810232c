"""Reading the parts of a proof out of an untrusted request, and putting the signed bytes together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from providers.document import Document, moment_of, parse_json
from providers.verification.outcome import SignatureRejected
from providers.verification.schemes import Ed25519Scheme, Field, Header, HmacScheme, Place, TimeUnit

MAX_HEADER_LENGTH = 4096
MAX_ITEMS = 1000
MAX_ENTRIES = 16
MAX_ID_LENGTH = 255
# Eleven digits of seconds reach the year 5138; more would leave the range of datetime.
_SECONDS = re.compile(r"[0-9]{1,11}", re.ASCII)
_MILLISECONDS = re.compile(r"[0-9]{1,14}", re.ASCII)
_PART = re.compile(r"\{(body|timestamp|id)\}")
_EVERY_ITEM = re.compile(r"/\*(?=/|$)")
# Optional white space around the entries of a list (RFC 9110, section 5.6.1).
_BLANKS = " \t"


class Request:
    """Headers (lower-case names) and raw body of one request; the body is parsed only where a scheme asks."""

    __slots__ = ("_document", "body", "headers")

    def __init__(self, headers: Mapping[str, str], body: bytes) -> None:
        self.headers = headers
        self.body = body
        # Not parsed yet; ``None`` is a value JSON has.
        self._document: Any = self

    def entries(self, place: Place) -> list[str]:
        """What stands at ``place``, without prefixes; empty where nothing does.

        Raises ``SignatureRejected`` (``signature_malformed``) for a header that is too long, has too many
        entries, or none with the prefix.
        """
        if isinstance(place, Field):
            return self._fields(place)
        value = self.headers.get(place.name, "")
        if not value:
            return []
        if len(value) > MAX_HEADER_LENGTH:
            raise SignatureRejected("signature_malformed")
        return _split(place, value)

    def _fields(self, place: Field) -> list[str]:
        if self._document is self:
            try:
                self._document = parse_json(self.body)
            except ValueError:
                self._document = None
        # A value that is no text must not drop out: among values that must all match, it is a mismatch.
        return [_text(value) for value in _walk(self._document, _EVERY_ITEM.split(place.pointer))]


def _split(place: Header, value: str) -> list[str]:
    entries = value.split(place.separator) if place.separator else [value]
    if len(entries) > MAX_ENTRIES:
        raise SignatureRejected("signature_malformed")
    if place.separator:
        entries = [entry.strip(_BLANKS) for entry in entries]
    found = [entry[len(place.prefix) :] for entry in entries if entry.startswith(place.prefix)]
    if not found:
        raise SignatureRejected("signature_malformed")
    return found


def _walk(value: Any, legs: list[str]) -> list[Any]:
    """The values at a pointer that was cut at its ``*`` steps; ``None`` where nothing stands."""
    found = Document(value).at(legs[0])
    if len(legs) == 1:
        return [found]
    items = found if isinstance(found, list) and found else [None]
    if len(items) > MAX_ITEMS:
        # Nobody has proven anything yet, and looking at each item takes time.
        raise SignatureRejected("signature_malformed")
    return [end for item in items for end in _walk(item, legs[1:])]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def message(scheme: HmacScheme | Ed25519Scheme, request: Request) -> tuple[bytes, datetime | None]:
    """The signed bytes of a request, and its signed clock where its age is to be judged.

    Raises ``SignatureRejected``: ``timestamp_missing``, ``timestamp_malformed``, ``id_missing`` or
    ``id_malformed``.
    """
    timestamp = _single(request, scheme.timestamp, "timestamp")
    identifier = _single(request, scheme.id, "id")
    moment = _moment(timestamp, scheme.timestamp_unit) if scheme.timestamp else None
    return assemble(scheme.template, request.body, timestamp, identifier), moment if scheme.signs_clock else None


def assemble(template: str, body: bytes, timestamp: str, identifier: str) -> bytes:
    """``template`` with its parts filled in, as bytes."""
    if template == "{body}":
        return body
    values = {"body": body, "timestamp": _bytes(timestamp), "id": _bytes(identifier)}
    return b"".join(values[name] if name else literal for literal, name in _pieces(template))


@lru_cache(maxsize=64)
def _pieces(template: str) -> tuple[tuple[bytes, str], ...]:
    """The template as literals and names: ``(b"v0:", "")``, ``(b"", "timestamp")`` …"""
    parts = _PART.split(template)
    return tuple((b"", part) if n % 2 else (part.encode(), "") for n, part in enumerate(parts) if part)


def _single(request: Request, place: Place | None, what: str) -> str:
    if place is None:
        return ""
    try:
        found = request.entries(place)
    except SignatureRejected:
        raise SignatureRejected(f"{what}_malformed") from None
    if not found or not found[0]:
        raise SignatureRejected(f"{what}_missing")
    if len(found) > 1 or len(found[0]) > MAX_ID_LENGTH:
        raise SignatureRejected(f"{what}_malformed")
    return found[0]


def _moment(text: str, unit: TimeUnit) -> datetime:
    moment = None
    if unit == "seconds" and _SECONDS.fullmatch(text):
        moment = datetime.fromtimestamp(int(text), tz=UTC)
    elif unit == "milliseconds" and _MILLISECONDS.fullmatch(text):
        moment = datetime.fromtimestamp(int(text) / 1000, tz=UTC)
    elif unit == "iso8601":
        moment = moment_of(text)
    if moment is None:
        raise SignatureRejected("timestamp_malformed")
    return moment


def _bytes(text: str) -> bytes:
    # Signed ids and times are ASCII; anything else only has to become some bytes, and is a mismatch.
    return text.encode("utf-8", "surrogatepass")
