"""Probes, correlation, browser policy, the pages of the API."""

from __future__ import annotations

import re
import socket
import time
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_liveness_asks_nobody(settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert Client().get("/health").json() == {"status": "ok"}


@pytest.mark.django_db(transaction=True)
def test_readiness_asks_database_and_broker(settings: Any) -> None:
    response = Client().get("/ready")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "database": True, "broker": True})
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    response = Client().get("/ready")
    assert response.status_code == 503
    assert response.json() == {"status": "unavailable", "database": True, "broker": False}


@pytest.mark.django_db(transaction=True)
def test_readiness_does_not_wait_for_a_broker_that_hangs(settings: Any) -> None:
    # It takes connections and never says a word.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.REDIS_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        started = time.monotonic()
        assert Client().get("/ready").status_code == 503
        assert time.monotonic() - started < 5


def test_a_correlation_id_goes_through_and_a_bad_one_is_replaced() -> None:
    response = Client().get("/health", headers={"X-Correlation-ID": "order-66"})
    assert response["X-Correlation-ID"] == "order-66"
    for bad in ("", "x" * 129, "a b", "a\u00e9", "<script>"):
        replaced = Client().get("/health", headers={"X-Correlation-ID": bad})["X-Correlation-ID"]
        assert re.fullmatch("[0-9a-f]{32}", replaced)


def test_a_trace_goes_on_and_a_broken_one_is_started_anew() -> None:
    response = Client().get("/health", headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
    assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-01", response["traceparent"])
    assert "00f067aa0ba902b7" not in response["traceparent"]
    assert response["X-Correlation-ID"] == TRACE
    for bad in (f"00-{'0' * 32}-00f067aa0ba902b7-01", "nonsense", f"ff-{TRACE}-00f067aa0ba902b7-01"):
        assert TRACE not in Client().get("/health", headers={"traceparent": bad})["traceparent"]


def test_the_log_of_a_request_has_its_route_and_never_a_doors_token(caplog: Any, db: None) -> None:
    with caplog.at_level("INFO"):
        Client().post("/v1/integrations/webhooks/fake/the-token-of-a-door", b"{}", content_type="application/json")
    lines = [record.msg for record in caplog.records if "request.finished" in str(record.msg)]
    assert lines[0]["route"] == "v1/integrations/webhooks/<str:provider_id>/<str:connection_token>"
    assert "the-token-of-a-door" not in str(lines)


@pytest.mark.parametrize("path", ["/health", "/v1/integrations/connections", "/nowhere", "/schema"])
def test_an_api_answer_gives_a_browser_nothing_to_run(path: str) -> None:
    assert Client().get(path)["Content-Security-Policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/admin/login/"])
def test_pages_load_from_here_only(path: str, db: None) -> None:
    response = Client().get(path)
    assert response.status_code == 200
    policy = response["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "object-src 'none'" in policy
    assert "http:" not in policy
    assert not re.findall(r'(?:src|href)="(https?:)?//', response.content.decode())


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_pages_of_the_api_hold_no_inline_script(path: str) -> None:
    text = Client().get(path).content.decode()
    assert not re.findall(r"<script(?![^>]*\bsrc=)[^>]*>\s*\S", text)


def test_the_description_comes_as_yaml_or_json() -> None:
    assert APIClient().get("/schema").content.startswith(b"openapi: 3.1.0")
    for response in (
        APIClient().get("/schema", HTTP_ACCEPT="application/json"),
        APIClient().get("/schema?format=json"),
    ):
        assert response.json()["openapi"] == "3.1.0"


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_a_page_of_the_api_can_be_asked_for_its_methods(path: str) -> None:
    response = Client(raise_request_exception=False).options(path)
    assert response.status_code == 405
    assert "GET" in response["Allow"]
