"""Every error has one shape, whoever raises it."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import DataError, OperationalError
from django.http import Http404, HttpRequest
from rest_framework.exceptions import ErrorDetail, MethodNotAllowed, ParseError, Throttled, ValidationError
from rest_framework.test import APIClient

from connections.errors import ServiceError
from integration_adapters import errors
from integration_adapters.errors import exception_handler, problems_of
from tests.api import client_of, error_of


@pytest.mark.parametrize(
    ("raised", "status", "code"),
    [
        (ServiceError("MADE_UP", "No.", {"a": 1}, status=422), 422, "MADE_UP"),
        (ValidationError({"a": ["b"]}), 400, "VALIDATION_FAILED"),
        (ParseError(), 400, "INVALID_JSON"),
        (MethodNotAllowed("PUT"), 405, "METHOD_NOT_ALLOWED"),
        (Http404(), 404, "NOT_FOUND"),
        (PermissionDenied(), 403, "FORBIDDEN"),
        (RequestDataTooBig(), 413, "PAYLOAD_TOO_LARGE"),
        (SuspiciousOperation("secret-in-the-exception"), 400, "INVALID_REQUEST"),
        (DataError("secret-in-the-exception"), 400, "INVALID_REQUEST"),
        (OperationalError("secret-in-the-exception"), 503, "SERVICE_UNAVAILABLE"),
    ],
)
def test_what_is_raised_in_a_view_becomes_the_standard_error(raised: Exception, status: int, code: str) -> None:
    response = exception_handler(raised, {})
    assert response is not None
    assert (response.status_code, response.data["error"]["code"]) == (status, code)
    assert "secret" not in str(response.data)


def test_a_fault_of_ours_is_left_to_django_which_logs_it() -> None:
    assert exception_handler(RuntimeError("boom"), {}) is None


def test_a_throttled_client_learns_when_to_come_back() -> None:
    response = exception_handler(Throttled(wait=3.2), {})
    assert response is not None
    assert response.data["error"]["code"] == "RATE_LIMITED"
    assert response["Retry-After"] == "4"


def test_nested_messages_become_json_pointers() -> None:
    detail = {"a": {"b~/c": [ErrorDetail("x")]}, "list": [{}, {"d": ["y"]}], "non_field_errors": ["z"]}
    assert problems_of(detail) == [
        {"pointer": "/a/b~0~1c", "reason": "x"},
        {"pointer": "/list/1/d", "reason": "y"},
        {"pointer": "", "reason": "z"},
    ]


def test_an_unhandled_fault_shows_nothing_of_itself() -> None:
    request = HttpRequest()
    request.path = "/v1/integrations/events"
    response = errors.server_error(request)
    assert response.status_code == 500
    assert b"INTERNAL_ERROR" in response.content
    assert b"Traceback" not in response.content


@pytest.mark.parametrize("path", ["/v1/nothing", "/internal/nothing", "/v1/integrations/connections/", "/nothing"])
def test_an_unknown_route_is_the_standard_404(path: str) -> None:
    assert error_of(client_of().get(path), 404)["code"] == "NOT_FOUND"


def test_a_bad_id_in_the_path_is_a_404() -> None:
    error_of(client_of().get("/v1/integrations/connections/not-a-uuid"), 404)


def test_a_method_that_is_not_served_is_a_405_that_names_those_that_are() -> None:
    response = client_of().put("/v1/integrations/connections", {})
    error_of(response, 405)
    assert {"GET", "POST"} <= set(response["Allow"].replace(",", " ").split())
    error_of(APIClient().post("/health"), 405)


def test_a_host_that_is_not_ours_is_refused_in_the_same_shape() -> None:
    error_of(client_of().get("/v1/integrations/connections", HTTP_HOST="evil.example"), 400)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "INVALID_JSON"),
        (b"[]", "INVALID_JSON"),
        (b"null", "INVALID_JSON"),
        (b'"text"', "INVALID_JSON"),
        (b"\xff\xfe", "INVALID_JSON"),
        (b'{"display_name": NaN}', "INVALID_JSON"),
        (b'{"display_name": "a\\u0000b"}', "INVALID_JSON"),
        (b'{"settings": {"a\\u0000b": 1}}', "INVALID_JSON"),
        (b'{"display_name": "\\ud800"}', "INVALID_JSON"),
        (b'{"settings": ' + b'{"a":' * 40 + b"1" + b"}" * 40 + b"}", "INVALID_JSON"),
        (b'{"settings": ' + b"[" * 5000 + b"]" * 5000 + b"}", "INVALID_JSON"),
        (b'{"settings": {"n": ' + b"9" * 5000 + b"}}", "INVALID_JSON"),
        (b"", "VALIDATION_FAILED"),
    ],
)
def test_a_body_that_is_no_storable_object_is_a_400(body: bytes, code: str) -> None:
    response = client_of().generic("POST", "/v1/integrations/connections", body, content_type="application/json")
    assert error_of(response, 400)["code"] == code


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x"])
def test_a_body_that_is_not_json_is_a_415(content_type: str) -> None:
    response = client_of().generic("POST", "/v1/integrations/connections", b"x=1", content_type=content_type)
    error_of(response, 415)


def test_a_body_over_the_limit_is_a_413(settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    response = client_of().post("/v1/integrations/connections", {"display_name": "x" * 200})
    error_of(response, 413)


def test_no_token_is_a_401_that_says_how_to_come_in() -> None:
    response = APIClient().get("/v1/integrations/connections")
    error_of(response, 401)
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_accept_headers_do_not_change_the_answer() -> None:
    assert APIClient().get("/health", HTTP_ACCEPT="text/html").json() == {"status": "ok"}
