"""Problems a caller can do something about, and the one shape every error is told in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.http import JsonResponse

# Code of an error nobody gave a closer name.
CODES: dict[int, str] = {
    400: "INVALID_REQUEST",
    401: "UNAUTHENTICATED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    406: "NOT_ACCEPTABLE",
    409: "CONFLICT",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "UNPROCESSABLE",
    429: "RATE_LIMITED",
    500: "INTERNAL_ERROR",
    502: "PROVIDER_FAILED",
    503: "SERVICE_UNAVAILABLE",
}


class ServiceError(Exception):
    """A request that cannot be done, in words for its sender. ``details`` never hold a secret."""

    def __init__(self, code: str, message: str, details: Mapping[str, Any] | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = dict(details or {})
        self.status = status


def error_body(code: str, message: str, details: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The standard error body."""
    return {
        "error": {
            "code": code,
            "message": message,
            "details": dict(details or {}),
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
    }


def error_response(status: int, code: str, message: str, details: Mapping[str, Any] | None = None) -> JsonResponse:
    """The standard error as an answer, for views outside REST framework."""
    return JsonResponse(error_body(code, message, details), status=status)
