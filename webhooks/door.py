"""The providers' door: the one public endpoint, kept apart from the API because nothing of it applies here.

No session, no bearer token, no parsed body: the raw stream under the provider's own cap.
"""

from __future__ import annotations

from typing import IO

import structlog
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from connections.errors import error_response
from webhooks.intake import UNKNOWN_BODY_LIMIT_BYTES, refuse_unread, take_in
from webhooks.lookup import find_door
from webhooks.results import WebhookResult

log = structlog.get_logger(__name__)

_CHUNK_BYTES = 64 * 1024
# A sender that is cut off in mid-body never reads our answer, so a bounded rest is read and thrown away.
_DISCARD_LIMIT_BYTES = 32 * 1024 * 1024


@csrf_exempt
def receive(request: HttpRequest, provider_id: str, connection_token: str) -> HttpResponse:
    """POST /v1/integrations/webhooks/{provider_id}/{connection_token}."""
    if request.method != "POST":
        response = error_response(405, "METHOD_NOT_ALLOWED", "Only POST is served here.")
        response["Allow"] = "POST"
        return response
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        return error_response(415, "UNSUPPORTED_ENCODING", "The body must not be encoded.")
    try:
        door = find_door(provider_id, connection_token)
    except (DatabaseError, InterfaceError) as error:
        log.error("webhook.fault", error=type(error).__name__)
        return error_response(503, "TEMPORARILY_UNAVAILABLE", "Temporarily unavailable.")
    limit = door.body_limit_bytes if door else UNKNOWN_BODY_LIMIT_BYTES
    body = _read(_stream(request), limit)
    headers = {name.lower(): value for name, value in request.headers.items()}
    if door is not None and body is None:
        return _answer(refuse_unread(door, headers))
    return _answer(take_in(door, body or b"", headers, _query(request)))


def _query(request: HttpRequest) -> dict[str, str]:
    """Parameters that occur once: one given twice means nothing certain."""
    if not request.META.get("QUERY_STRING"):
        return {}
    return {name: values[0] for name, values in request.GET.lists() if len(values) == 1}


def _stream(request: HttpRequest) -> IO[bytes]:
    # Django takes a missing Content-Length for an empty body; a chunked body has none.
    if "chunked" in request.headers.get("Transfer-Encoding", "").lower():
        stream: IO[bytes] = request.META["wsgi.input"]
        return stream
    return request  # type: ignore[return-value]


def _read(stream: IO[bytes], limit: int) -> bytes | None:
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


def _answer(result: WebhookResult) -> HttpResponse:
    if result.reply is not None:
        response = HttpResponse(result.reply.body, content_type=result.reply.content_type, status=result.status)
        # A reply may repeat what the request said; no browser may take it for a page.
        response["X-Content-Type-Options"] = "nosniff"
        return response
    if result.success:
        return JsonResponse({"status": result.outcome, "events": result.events}, status=result.status)
    response = error_response(result.status, result.code, result.error or "")
    if result.retry_after_seconds is not None:
        response["Retry-After"] = str(result.retry_after_seconds)
    return response
