"""``manage.py send_webhook`` against a running server."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.core.management import CommandError, call_command

from connections.models import ConnectionStatus, IntegrationConnection
from connections.services import waive_signatures
from events.models import AdapterEvent
from tests.factories import make_connection, make_registration
from tests.hub_provider import HUB, HubWebhook
from webhooks.registrations import suspend_registration

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    path = tmp_path / "made.json"
    path.write_bytes(orjson.dumps({"kind": "made", "id": "sent-1"}))
    return path


@pytest.fixture
def connection(settings: Any) -> IntegrationConnection:
    settings.EXTRA_ADAPTERS = HUB
    return make_connection("hub", credential={"token": "t"})


def send(**options: Any) -> str:
    out = io.StringIO()
    call_command("send_webhook", *(f"--{name}={value}" for name, value in options.items()), stdout=out)
    return out.getvalue()


def refused(**options: Any) -> str:
    with pytest.raises(CommandError) as error:
        send(**options)
    return str(error.value)


@pytest.mark.parametrize("scheme", ["hmac", "timed", "token", "standard", "unsigned"])
def test_a_file_is_signed_as_its_provider_would_and_becomes_an_event(
    live_server: Any, connection: IntegrationConnection, payload: Path, scheme: str
) -> None:
    waive_signatures(connection, actor="staff:ravi", reason="Only for this test of ours.")
    make_registration(connection, scheme=scheme)
    status, body = send(connection=connection.pk, file=payload, url=live_server.url).splitlines()
    assert (status, orjson.loads(body)) == ("202 Accepted", {"status": "accepted", "events": 1})
    assert AdapterEvent.objects.get().dedupe_key == "sent-1"


def test_a_registration_is_chosen_by_scheme_or_id(
    live_server: Any, connection: IntegrationConnection, payload: Path
) -> None:
    first, _, _ = make_registration(connection, scheme="hmac")
    make_registration(connection, scheme="timed")
    for choice in ({"connection": connection.pk, "scheme": "hmac"}, {"registration": first.pk}):
        send(file=payload, url=live_server.url, **choice)
        assert AdapterEvent.objects.get().registration_id == first.pk


def test_event_delivery_and_further_headers_are_sent(
    live_server: Any, connection: IntegrationConnection, payload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_registration(connection)
    seen: list[dict[str, str]] = []

    def events(self: HubWebhook, request: Any) -> list[Any]:
        seen.append(dict(request.headers))
        return []

    monkeypatch.setattr(HubWebhook, "events", events)
    said = send(
        connection=connection.pk,
        file=payload,
        url=live_server.url,
        event="made",
        delivery="d-7",
        header="X-Hub-Plan: gold",
    )
    assert said.startswith("202")
    assert seen[0]["x-hub-event"] == "made"
    assert seen[0]["x-hub-delivery"] == "d-7"
    assert seen[0]["x-hub-plan"] == "gold"


def test_what_the_server_refuses_is_printed_and_fails_the_command(
    live_server: Any, connection: IntegrationConnection, tmp_path: Path
) -> None:
    registration, _, _ = make_registration(connection, scheme="hmac")
    large = tmp_path / "large.json"
    large.write_bytes(b" " * (25 * 1024 * 1024 + 1))
    out = io.StringIO()
    with pytest.raises(CommandError, match="was refused"):
        call_command(
            "send_webhook",
            f"--registration={registration.pk}",
            f"--file={large}",
            f"--url={live_server.url}",
            stdout=out,
        )
    assert out.getvalue().startswith("413")


def test_what_only_the_provider_can_sign_is_said_so(connection: IntegrationConnection, payload: Path) -> None:
    make_registration(connection, scheme="published", secret="our-app-id")
    assert "Only the provider holds the key" in refused(connection=connection.pk, file=payload)


def test_nobody_listening_is_said_without_the_token(connection: IntegrationConnection, payload: Path) -> None:
    _, token, _ = make_registration(connection)
    said = refused(connection=connection.pk, file=payload, url="http://127.0.0.1:1")
    assert "http://127.0.0.1:1" in said
    assert token not in said


def test_wrong_use_is_told_in_words(connection: IntegrationConnection, payload: Path, tmp_path: Path) -> None:
    assert "either" in refused(file=payload)
    assert "no id" in refused(connection="acme", file=payload)
    assert "no open registration" in refused(connection=connection.pk, file=payload)
    registration, _, _ = make_registration(connection)
    assert "scheme timed" in refused(connection=connection.pk, file=payload, scheme="timed")
    assert "cannot be read" in refused(connection=connection.pk, file=tmp_path / "missing.json")
    assert "NAME:VALUE" in refused(connection=connection.pk, file=payload, header="nonsense")
    IntegrationConnection.objects.update(status=ConnectionStatus.SUSPENDED)
    assert "suspended" in refused(connection=connection.pk, file=payload)
    suspend_registration(registration, actor="staff:ravi")
    assert "no open registration" in refused(connection=connection.pk, file=payload)
