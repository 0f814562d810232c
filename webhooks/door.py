"""The providers' door: the one public endpoint, kept apart from the API because nothing of it applies here.

No session, no bearer token, no parsed body: the raw stream under the provider's own cap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, cast

import orjson
import structlog
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.core.handlers.wsgi import LimitedStream
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, QueryDict
from django.views.decorators.csrf import csrf_exempt

from connections.errors import error_body
from webhooks.intake import (
    BROKEN_OFF,
    ENCODED,
    TOO_MANY_PARAMETERS,
    UNKNOWN_BODY_LIMIT_BYTES,
    refuse,
    take_in,
    too_large,
)
from webhooks.lookup import find_door
from webhooks.results import WebhookResult

log = structlog.get_logger(__name__)

_CHUNK_BYTES = 64 * 1024
# A sender that is cut off in mid-body never reads our answer, so a bounded rest is read and thrown away.
_DISCARD_LIMIT_BYTES = 32 * 1024 * 1024


class Readable(Protocol):
    """A request's body."""

    def read(self, size: int, /) -> bytes: ...


class Answer(NamedTuple):
    """What goes back to the sender; ``headers`` besides type and length."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@csrf_exempt
def receive(request: HttpRequest, provider_id: str, connection_token: str) -> HttpResponse:
    """POST /v1/integrations/webhooks/{provider_id}/{connection_token}, where it comes by Django's own way."""
    answer = take(request.META, provider_id, connection_token)
    response = HttpResponse(answer.body, content_type=answer.content_type, status=answer.status)
    for name, value in answer.headers:
        response[name] = value
    return response


def take(meta: Mapping[str, Any], provider_id: str, connection_token: str) -> Answer:
    """One request, as the web server gives it (PEP 3333), to its answer."""
    if meta["REQUEST_METHOD"] != "POST":
        return _error(405, "METHOD_NOT_ALLOWED", "Only POST is served here.", ("Allow", "POST"))
    try:
        door = find_door(provider_id, connection_token)
    except (DatabaseError, InterfaceError) as error:
        log.error("webhook.fault", error=type(error).__name__)
        return _error(503, "TEMPORARILY_UNAVAILABLE", "Temporarily unavailable.")
    headers = _headers(meta)
    if meta.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        return _answer(refuse(door, ENCODED, headers))
    try:
        query = _query(meta.get("QUERY_STRING", ""))
    except (SuspiciousOperation, BadRequest):
        return _answer(refuse(door, TOO_MANY_PARAMETERS, headers))
    length = _length(meta)
    body = _read(_stream(meta, length), door.body_limit_bytes if door else UNKNOWN_BODY_LIMIT_BYTES)
    if door is not None and body is None:
        return _answer(refuse(door, too_large(door), headers))
    # What the sender or the way here broke off is not what was signed; not every scheme signs the body.
    if body is not None and length is not None and len(body) < length:
        return _answer(refuse(door, BROKEN_OFF, headers))
    return _answer(take_in(door, body or b"", headers, query))


def _headers(meta: Mapping[str, Any]) -> dict[str, str]:
    """Headers with lower-case names."""
    headers = {name[5:].replace("_", "-").lower(): value for name, value in meta.items() if name.startswith("HTTP_")}
    for name, key in (("content-type", "CONTENT_TYPE"), ("content-length", "CONTENT_LENGTH")):
        if key in meta:
            headers[name] = meta[key]
    return headers


def _query(text: str) -> dict[str, str]:
    """Parameters that occur once: one given twice means nothing certain."""
    if not text:
        return {}
    # The server hands over bytes as Latin-1 (PEP 3333).
    lists = QueryDict(text.encode("latin-1", "replace")).lists()
    return {name: str(values[0]) for name, values in lists if len(values) == 1}


def _length(meta: Mapping[str, Any]) -> int | None:
    """What the sender says the body has; ``None`` for a chunked one, which ends by itself."""
    if "chunked" in meta.get("HTTP_TRANSFER_ENCODING", "").lower():
        return None
    length = meta.get("CONTENT_LENGTH") or "0"
    return int(length) if length.isascii() and length.isdigit() else 0


def _stream(meta: Mapping[str, Any], length: int | None) -> Readable:
    stream: Any = meta["wsgi.input"]
    # Any but a chunked one may not be read further than it goes.
    return cast("Readable", stream) if length is None else LimitedStream(stream, length)


def _read(stream: Readable, limit: int) -> bytes | None:
    """The body, or ``None`` if it is larger than ``limit`` bytes; memory stays bounded whatever is sent."""
    parts: list[bytes] = []
    size = 0
    while chunk := stream.read(_CHUNK_BYTES):
        size += len(chunk)
        if size <= limit:
            parts.append(chunk)
        elif size > limit + _DISCARD_LIMIT_BYTES:
            break
        else:
            parts.clear()
    return b"".join(parts) if size <= limit else None


def _answer(result: WebhookResult) -> Answer:
    if result.reply is not None:
        # A reply may repeat what the request said; no browser may take it for a page.
        nosniff = (("X-Content-Type-Options", "nosniff"),)
        return Answer(result.status, result.reply.body, result.reply.content_type, nosniff)
    if result.success:
        return Answer(result.status, orjson.dumps({"status": result.outcome, "events": result.events}))
    wait = result.retry_after_seconds
    later = () if wait is None else (("Retry-After", str(wait)),)
    return _error(result.status, result.code, result.error or "", *later)


def _error(status: int, code: str, message: str, *headers: tuple[str, str]) -> Answer:
    return Answer(status, orjson.dumps(error_body(code, message)), headers=headers)
