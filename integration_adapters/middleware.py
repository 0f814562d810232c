"""What every request gets: an identity in the logs, a count, and a policy for the browser."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from io import BytesIO
from typing import IO, Any, NamedTuple

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DataError
from django.http import HttpRequest, HttpResponse
from prometheus_client import Histogram

from integration_adapters.errors import HTML_PATHS, bad_request
from integration_adapters.metrics import REQUEST_SECONDS

log = structlog.get_logger(__name__)
_own = logging.getLogger(__name__)

Handler = Callable[[HttpRequest], HttpResponse]

_CORRELATION_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
# W3C Trace Context, section 3.2: version, trace id, parent id, flags.
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})", re.ASCII)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PROBES = frozenset({"health", "ready", "metrics"})
# Thousands a second: a line each would cost more than taking the webhook in. Refusals are logged by the road.
_DOOR = "v1/integrations/webhooks/"
API_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


class Identity(NamedTuple):
    """Who a request is in logs and traces: as the sender says, or made here."""

    correlation_id: str
    trace_id: str
    flags: str

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> Identity:
        """From a WSGI environment; from now on it stands in every log line of this thread."""
        # ``request.headers`` would turn all of them, for two.
        given = _TRACEPARENT.fullmatch(meta.get("HTTP_TRACEPARENT", ""))
        trace_id, flags = given.groups() if given else (secrets.token_hex(16), "00")
        correlation_id = meta.get("HTTP_X_CORRELATION_ID", "")
        if not _CORRELATION_ID.fullmatch(correlation_id):
            correlation_id = trace_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(correlation_id=correlation_id, trace_id=trace_id)
        return cls(correlation_id, trace_id, flags)

    @property
    def headers(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """What the answer carries of it."""
        return (
            ("X-Correlation-ID", self.correlation_id),
            ("traceparent", f"00-{self.trace_id}-{secrets.token_hex(8)}-{self.flags}"),
        )


class CorrelationMiddleware:
    """``X-Correlation-ID`` and ``traceparent`` in and out; a measurement and a log line of each request."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        identity = Identity.of(request.META)
        response = self.get_response(request)
        for name, value in identity.headers:
            response[name] = value
        # The route, never the path: the path of a webhook holds its token.
        match = request.resolver_match
        tell(request.method, match.route if match else "unmatched", response.status_code, time.perf_counter() - started)
        return response


class ContentSecurityPolicyMiddleware:
    """``Content-Security-Policy``: nothing for the API; only what they need for the admin and the API pages."""

    _PAGES = (
        "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
        "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    )
    # The admin theme's Alpine evaluates expressions written in attributes, and Django's own pages carry
    # inline scripts; both are served from here only.
    _ADMIN = f"{_PAGES}; script-src 'self' 'unsafe-inline' 'unsafe-eval'"
    _DOCS = f"{_PAGES}; script-src 'self'"

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.setdefault("Content-Security-Policy", self._policy(request.path))
        return response

    def _policy(self, path: str) -> str:
        if path.startswith("/admin"):
            return self._ADMIN
        return self._DOCS if path in ("/docs", "/redoc") else API_POLICY


class ChunkedBodyMiddleware:
    """Gives a chunked body the length Django asks for: without one it takes the body for empty.

    A byte above the limit is enough for the parser to refuse it. The providers' door reads for itself.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        chunked = "chunked" in request.headers.get("Transfer-Encoding", "").lower()
        if chunked and not request.path.startswith(f"/{_DOOR}"):
            body = _read(request.META["wsgi.input"], settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
            request.META["CONTENT_LENGTH"] = str(len(body))
            request._stream = BytesIO(body)
        return self.get_response(request)


class UnusableValueMiddleware:
    """A value in an address or a selection that no column can hold is the sender's fault also in the admin."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not request.path.startswith(HTML_PATHS) or not isinstance(exception, DataError | ValidationError):
            return None
        log.warning("console.unusable_value", error=type(exception).__name__)
        return bad_request(request, exception)


def _read(stream: IO[bytes], limit: int) -> bytes:
    parts: list[bytes] = []
    while limit > 0 and (part := stream.read(limit)):
        parts.append(part)
        limit -= len(part)
    return b"".join(parts)


def tell(method: str | None, route: str, status: int, seconds: float) -> None:
    """Measure one answered request and log it."""
    if method not in _METHODS:
        method = "OTHER"
    _seconds(method, route, status).observe(seconds)
    quiet = route in _PROBES or (route.startswith(_DOOR) and status < 400)
    level = logging.DEBUG if quiet else logging.INFO
    if not _own.isEnabledFor(level):
        return
    log.log(
        level,
        "request.finished",
        method=method,
        route=route,
        status=status,
        duration_ms=round(seconds * 1000, 1),
    )


@lru_cache(maxsize=1024)
def _seconds(method: str, route: str, status: int) -> Histogram:
    # Finding it anew takes longer than observing.
    return REQUEST_SECONDS.labels(method=method, route=route, status=str(status))
