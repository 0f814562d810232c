"""Deliveries as the web server hands them over, with commits that are real."""

from __future__ import annotations

import io
import json
import re
import uuid
from collections.abc import Iterable
from typing import Any

import psycopg
import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection as database
from django.db import transaction
from django.test import Client
from prometheus_client import REGISTRY

from events import single_insert
from events.models import AdapterEvent, IntakeTally
from events.single_insert import insert_one
from integration_adapters.front import ROUTE, Front
from tests.integration.test_webhook_road import Sender, issue_event
from webhooks import door

pytestmark = pytest.mark.django_db(transaction=True)


class Answered:
    def __init__(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = int(status.split()[0])
        self.headers = dict(headers)
        self.body = body
        assert len(self.headers) == len(headers), "a header twice"
        assert self.headers["Content-Length"] == str(len(body))

    def json(self) -> Any:
        return json.loads(self.body)


def ask(path: str, body: bytes = b"", headers: dict[str, str] | None = None, **environ: Any) -> Answered:
    """One request to the application, without a socket."""
    told: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        told[:] = [status, headers]

    meta = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.input": io.BytesIO(body),
        "wsgi.url_scheme": "http",
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in (headers or {}).items()},
        **environ,
    }
    answer: Iterable[bytes] = Front(WSGIHandler())(meta, start_response)
    return Answered(told[0], told[1], b"".join(answer))


def post(sender: Sender, event: dict[str, Any] | None = None, *, path: str = "", **headers: str) -> Answered:
    body = json.dumps(event or issue_event()).encode()
    proof = {**sender.signed(body), "x-fake-delivery": uuid.uuid4().hex, **headers}
    return ask(path or f"/v1/integrations/webhooks/fake/{sender.token}", body, proof)


def test_a_delivery_is_stored_once_and_tallied() -> None:
    sender, event = Sender(), issue_event()
    assert (post(sender, event).status, post(sender, event).status) == (202, 200)
    assert AdapterEvent.objects.count() == 1
    assert list(IntakeTally.objects.values_list("received", "duplicate").order_by("tally_id")) == [(1, 0), (1, 1)]


def test_the_quick_row_is_the_row_of_the_ordinary_way() -> None:
    """Prepared statement and cursor: the same columns, whichever way the row came in."""
    quick, ordinary = Sender(), Sender()
    event = issue_event()
    assert post(quick, event).status == 202
    with database.execute_wrapper(lambda execute, *args: execute(*args)), pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.conf.settings.DATABASE_PREPARED_STATEMENTS", False)
        assert post(ordinary, event).status == 202
    own = {"event_id", "connection_id", "registration_id", "signature_hash", "signal_id"}
    own |= {name for name in AdapterEvent.objects.values().first() or {} if name.endswith("_at")} - {"occurred_at"}
    one, other = (
        {name: value for name, value in row.items() if name not in own}
        for row in AdapterEvent.objects.order_by("event_id").values()
    )
    assert one == other
    assert {row.signal_id is None for row in AdapterEvent.objects.all()} == {False}


@pytest.mark.parametrize("text", ["plain", "with \\ and \" and '", "é 😀 \u2028", "", "%s {} $1"])
def test_text_of_every_kind_arrives_as_it_is(text: str) -> None:
    sender = Sender()
    event = issue_event()
    event["issue"]["title"] = text
    assert post(sender, event).status == 202
    assert AdapterEvent.objects.get().raw["issue"]["title"] == text


def test_sessions_that_the_database_ended_cost_no_delivery() -> None:
    """A restart or an administrator: noticed before the connection is used again."""
    sender = Sender()
    assert post(sender).status == 202
    with psycopg.connect(**{**database.get_connection_params(), "cursor_factory": psycopg.Cursor}) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
    assert post(sender).status == 202
    assert AdapterEvent.objects.count() == 2


@pytest.mark.parametrize("happened", ["forgotten", "known from somebody else"])
def test_a_session_of_a_pooler_costs_no_delivery(happened: str) -> None:
    """What a pooler hands out may have forgotten the statement, or know it already."""
    sender = Sender()
    before = 0
    if happened == "forgotten":
        assert post(sender).status == 202
        before = 1
        with database.cursor() as cursor:
            cursor.execute("DEALLOCATE ALL")
    else:
        database.close()
        database.ensure_connection()
        database.connection.pgconn.prepare(single_insert._NAME, single_insert._PREPARED)
    assert post(sender).status == 202
    assert AdapterEvent.objects.count() == before + 1


def test_inside_a_transaction_the_row_belongs_to_it() -> None:
    sender = Sender()
    assert post(sender).status == 202
    (values,) = AdapterEvent.objects.values()
    fresh = {**values, "event_id": uuid.uuid4(), "dedupe_key": "another", "signature_hash": None}
    with transaction.atomic():
        assert insert_one(fresh)
        transaction.set_rollback(True)
    assert AdapterEvent.objects.count() == 1


def test_answers_carry_identity_and_safe_headers() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = post(Sender(), traceparent=trace, x_correlation_id="order-66")
    assert answer.headers["X-Correlation-ID"] == "order-66"
    assert re.fullmatch(r"00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01", answer.headers["traceparent"])
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert answer.headers["Content-Type"] == "application/json"
    forged = post(Sender(), x_correlation_id="a\r\nSet-Cookie: x")
    assert re.fullmatch(r"[0-9a-f]{32}", forged.headers["X-Correlation-ID"])


def test_requests_are_measured_by_route_and_status() -> None:
    labels = {"method": "POST", "route": ROUTE, "status": "202"}
    before = REGISTRY.get_sample_value("http_request_duration_seconds_count", labels) or 0
    post(Sender())
    assert REGISTRY.get_sample_value("http_request_duration_seconds_count", labels) == before + 1


def test_the_route_is_the_one_django_knows() -> None:
    client = Client()
    found = client.post("/v1/integrations/webhooks/fake/nothing", b"{}", content_type="application/json")
    assert found.resolver_match.route == ROUTE


@pytest.mark.parametrize(
    ("path", "environ", "status"),
    [
        ("/v1/integrations/webhooks/fake/" + "A" * 43, {}, 404),
        ("/v1/integrations/webhooks/fake/a/b", {}, 404),
        ("/v1/integrations/webhooks/fake/", {}, 404),
        ("/v1/integrations/webhooks/fake/tok\xf0\x9f\x98\x80n", {}, 404),
        ("/v1/integrations/webhooks/fake/token", {"REQUEST_METHOD": "GET"}, 405),
        ("/v1/integrations/webhooks/fake/token", {"HTTP_CONTENT_ENCODING": "gzip"}, 415),
        ("/v1/integrations/webhooks/fake/token", {"QUERY_STRING": "&".join(f"a{n}=1" for n in range(1100))}, 400),
        ("/v1/integrations/webhooks/fake/token", {"CONTENT_LENGTH": "many"}, 404),
        ("/health", {"REQUEST_METHOD": "GET"}, 200),
    ],
)
def test_what_is_no_delivery_is_answered_in_the_usual_form(path: str, environ: dict[str, str], status: int) -> None:
    answer = ask(path, b"{}", **environ)
    assert answer.status == status
    if status >= 400:
        assert set(answer.json()) == {"error"}


def test_a_chunked_body_without_a_length_is_read_to_its_end() -> None:
    sender = Sender()
    body = json.dumps(issue_event()).encode()
    headers = {**sender.signed(body), "x-fake-delivery": "one", "transfer-encoding": "chunked"}
    answer = ask(f"/v1/integrations/webhooks/fake/{sender.token}", body, headers, CONTENT_LENGTH="")
    assert answer.status == 202


def test_no_more_is_read_than_the_length_says() -> None:
    sender = Sender()
    body = json.dumps(issue_event()).encode()
    path = f"/v1/integrations/webhooks/fake/{sender.token}"
    stream = io.BytesIO(body + b"POST /next HTTP/1.1")
    answer = ask(path, body, {**sender.signed(body), "x-fake-delivery": "one"}, **{"wsgi.input": stream})
    assert answer.status == 202
    assert stream.read() == b"POST /next HTTP/1.1"


def test_a_fault_of_ours_asks_for_another_try_in_the_usual_form(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(door, "find_door", fail)
    answer = post(Sender())
    assert answer.status == 503
    assert answer.json()["error"]["code"] == "TEMPORARILY_UNAVAILABLE"
    assert b"boom" not in answer.body
