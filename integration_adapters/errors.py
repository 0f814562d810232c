"""Every error leaves in one shape, whoever raised it: REST framework, Django or we ourselves."""

from __future__ import annotations

import math
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

from connections.errors import CODES, ServiceError, error_body, error_response

log = structlog.get_logger(__name__)

HTML_PATHS = ("/admin",)
_MESSAGES = {
    400: "The request cannot be understood.",
    403: "This is not allowed.",
    404: "There is nothing here.",
    413: "The body is too large.",
    500: "Something failed on our side. It was logged.",
    503: "A part of this service is not available. Try again shortly.",
}


def exception_handler(exc: Exception, _context: dict[str, Any]) -> Response | None:
    """REST framework's hook. ``None`` hands the exception to Django, which logs it and calls ``server_error``."""
    if isinstance(exc, ServiceError):
        response = _answer(exc.status, exc.code, exc.message, exc.details)
        if exc.status == 503 and (wait := exc.details.get("retry_after_seconds")):
            response["Retry-After"] = str(wait)
        return response
    if isinstance(exc, exceptions.ValidationError):
        details = {"problems": problems_of(exc.detail)}
        return _answer(400, "VALIDATION_FAILED", "Some values cannot be accepted.", details)
    if isinstance(exc, exceptions.APIException):
        return _of_api_exception(exc)
    status = _status_of(exc)
    if status is None:
        return None
    if status == 503:
        log.error("api.database_unavailable", error=type(exc).__name__)
    return _answer(status, CODES[status], _MESSAGES[status])


def problems_of(detail: Any, pointer: str = "") -> list[dict[str, str]]:
    """REST framework's nested messages as a flat list of JSON pointer and reason."""
    if isinstance(detail, dict):
        found = []
        for name, inner in detail.items():
            step = "" if name == "non_field_errors" else "/" + str(name).replace("~", "~0").replace("/", "~1")
            found += problems_of(inner, pointer + step)
        return found
    if isinstance(detail, list):
        found = []
        for index, inner in enumerate(detail):
            found += problems_of(inner, f"{pointer}/{index}" if isinstance(inner, dict | list) else pointer)
        return found
    # The library's text would repeat the value, which may be a secret in the wrong place.
    repeats_value = getattr(detail, "code", "") == "invalid_choice"
    return [{"pointer": pointer, "reason": "is not one of the known values" if repeats_value else str(detail)}]


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's 400: a bad host name, a suspicious or oversized request."""
    if request.path.startswith(HTML_PATHS):
        return defaults.bad_request(request, exception)
    status = _status_of(exception) or 400
    return error_response(status, CODES[status], _MESSAGES[status])


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's 403."""
    if request.path.startswith(HTML_PATHS):
        return defaults.permission_denied(request, exception)
    return error_response(403, CODES[403], _MESSAGES[403])


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's 404: no such route."""
    if request.path.startswith(HTML_PATHS):
        return defaults.page_not_found(request, exception)
    return error_response(404, CODES[404], _MESSAGES[404])


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's 500. What failed is in the log, under the correlation id of the answer's header."""
    if request.path.startswith(HTML_PATHS):
        return defaults.server_error(request)
    return error_response(500, CODES[500], _MESSAGES[500])


def _of_api_exception(exc: exceptions.APIException) -> Response:
    code = CODES.get(exc.status_code, "ERROR")
    if isinstance(exc, exceptions.ParseError):
        code = "INVALID_JSON"
    response = _answer(exc.status_code, code, str(exc.detail))
    if header := getattr(exc, "auth_header", None):
        response["WWW-Authenticate"] = header
    if wait := getattr(exc, "wait", None):
        response["Retry-After"] = str(math.ceil(wait))
    return response


def _status_of(exc: Exception) -> int | None:
    match exc:
        case Http404():
            return 404
        case PermissionDenied():
            return 403
        case RequestDataTooBig():
            return 413
        # A value the database cannot hold is the sender's; what was checked before never gets here.
        case SuspiciousOperation() | DataError():
            return 400
        case OperationalError() | InterfaceError():
            return 503
        case _:
            return None


def _answer(status: int, code: str, message: str, details: dict[str, Any] | None = None) -> Response:
    return Response(error_body(code, message, details), status=status)
