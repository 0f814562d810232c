"""Two who ask at once, processes that wake late, and what people and metrics are told."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError
from django.db.models import F
from django.db.models.functions import Now
from django.urls import reverse
from prometheus_client import REGISTRY

from connections import token_refresh
from connections.incidents import from_now
from connections.models import AccessToken, IntegrationConnection, StoredSecret
from connections.runtime import client_for
from connections.secret_store import secret_store
from connections.token_sources import HeldTokens, held_tokens
from connections.turns import within
from providers.client import Response
from providers.errors import AuthFailed, CredentialAway, Misconfigured, ProviderFault
from providers.token_requests import ask
from tests.factories import ACME
from tests.staff import operator
from tests.token_server import TokenServer, authorised, running_tokens

pytestmark = pytest.mark.django_db


@pytest.fixture
def server() -> Iterator[TokenServer]:
    with running_tokens() as stub:
        yield stub
        assert stub.faults == []


@pytest.fixture
def after_answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Something happens between a token server's answer and our commit."""

    def arrange(happening: Callable[[], Any]) -> None:
        def asked(*args: Any, **named: Any) -> Response:
            answer = ask(*args, **named)
            happening()
            return answer

        monkeypatch.setattr(token_refresh, "ask", asked)

    return arrange


def call(connection: IntegrationConnection) -> int:
    with client_for(connection) as client:
        return client.get("user").status


def age(**columns: Any) -> None:
    past = from_now(timedelta(seconds=-10))
    AccessToken.objects.update(
        **{"expires_at": past, "refresh_at": past, "last_refreshed_at": Now() - timedelta(hours=2), **columns}
    )


def outcomes(outcome: str) -> float:
    labels = {"provider": "gitlab", "tenant": ACME, "outcome": outcome}
    return REGISTRY.get_sample_value("integration_token_refreshes_total", labels) or 0.0


def test_a_set_granted_after_the_lease_ended_is_stored_all_the_same(
    server: TokenServer, after_answer: Callable[..., None]
) -> None:
    connection = authorised(server)
    age()
    after_answer(lambda: AccessToken.objects.update(lease_token=uuid.uuid4()))
    assert call(connection) == 200
    row = AccessToken.objects.get()
    assert (row.generation, held_tokens(ACME, row.token_ref).refresh_token) == (2, server.current)


def test_a_set_granted_late_does_not_replace_a_newer_one(
    server: TokenServer, after_answer: Callable[..., None]
) -> None:
    connection = authorised(server)
    age()
    ours, newer = server.current, server.begin()
    server.current = ours

    def overtake() -> None:
        server.good.add(newer.access_token)
        reference = secret_store().put(ACME, HeldTokens(newer.access_token, newer.refresh_token).stored())
        age(
            token_ref=reference,
            generation=F("generation") + 1,
            lease_token=None,
            expires_at=from_now(timedelta(hours=1)),
            refresh_at=None,
        )

    after_answer(overtake)
    late = outcomes("late")
    assert call(connection) == 200
    assert server.calls == [newer.access_token]
    assert outcomes("late") == late + 1
    texts = {held_tokens(ACME, f"secret:{row.pk}").refresh_token for row in StoredSecret.objects.filter(tenant_id=ACME)}
    assert server.current not in texts


def test_while_another_process_asks_the_old_token_is_used_and_without_one_there_is_a_wait(
    server: TokenServer,
) -> None:
    connection = authorised(server)
    busy = {"lease_token": uuid.uuid4(), "lease_until": from_now(timedelta(minutes=1)), "attempts": 1}
    age(**busy, expires_at=from_now(timedelta(minutes=5)))
    assert call(connection) == 200
    age(**busy)
    with within(0.3), pytest.raises(CredentialAway):
        call(connection)
    assert server.requests == []


def test_whoever_died_with_the_lease_is_succeeded_when_it_has_ended(server: TokenServer) -> None:
    connection = authorised(server)
    age(lease_token=uuid.uuid4(), lease_until=from_now(timedelta(seconds=-1)), attempts=1)
    assert call(connection) == 200
    assert server.granted == 1


def test_a_fault_of_our_own_gives_the_lease_back(server: TokenServer, after_answer: Callable[..., None]) -> None:
    connection = authorised(server)
    age()

    def broken() -> None:
        raise RuntimeError("a bug")

    after_answer(broken)
    with pytest.raises(RuntimeError):
        call(connection)
    row = AccessToken.objects.get()
    assert (row.lease_token, row.ended_at) == (None, None)


@pytest.mark.django_db(transaction=True)
def test_what_was_granted_is_stored_although_the_database_stumbles(
    server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = authorised(server)
    age()
    put, stumbles = token_refresh._put, [OperationalError("gone"), InterfaceError("gone")]

    def stumbling(*args: Any) -> str:
        if stumbles:
            raise stumbles.pop()
        return put(*args)

    monkeypatch.setattr(token_refresh, "_put", stumbling)
    monkeypatch.setattr(token_refresh, "STORE_PAUSES_SECONDS", (0.0, 0.0))
    assert call(connection) == 200
    row = AccessToken.objects.get()
    assert held_tokens(ACME, row.token_ref).refresh_token == server.current


def test_a_refresh_token_that_cannot_be_read_here_ends_no_authorisation(server: TokenServer) -> None:
    connection = authorised(server)
    kept = AccessToken.objects.get().token_ref
    age(token_ref="secret:00000000-0000-0000-0000-000000000000")
    with pytest.raises(Misconfigured, match="cannot be used"):
        call(connection)
    assert AccessToken.objects.get().ended_at is None
    age(token_ref=kept)
    assert call(connection) == 200


def test_an_error_of_the_token_server_does_not_say_that_a_write_was_sent(server: TokenServer) -> None:
    connection = authorised(server)
    later = from_now(timedelta(hours=1))
    age(expires_at=later, refresh_at=later)
    server.good.clear()
    server.answers = [(503, b"")]
    with client_for(connection) as client, pytest.raises(ProviderFault) as fault:
        client.write("POST", "projects", json={})
    assert fault.value.sent is False


def test_refreshes_are_counted_by_outcome(server: TokenServer) -> None:
    connection = authorised(server)
    ok, failed, ended = (outcomes(name) for name in ("ok", "failed", "ended"))
    age()
    call(connection)
    age()
    server.answers = [(503, b"")]
    with pytest.raises(ProviderFault):
        call(connection)
    age()
    server.ended = True
    with pytest.raises(AuthFailed):
        call(connection)
    assert (outcomes("ok"), outcomes("failed"), outcomes("ended")) == (ok + 1, failed + 1, ended + 1)


def test_the_page_of_a_connection_shows_how_its_token_stands_and_never_the_token(server: TokenServer) -> None:
    connection = authorised(server)
    address = reverse("admin:connections_integrationconnection_change", args=[connection.pk])
    held = held_tokens(ACME, AccessToken.objects.get().token_ref)
    page = operator().get(address).content.decode()
    assert "Access token" in page
    assert ">good<" in page
    assert "ends" in page
    assert held.access_token not in page
    assert held.refresh_token not in page
    age()
    server.answers = [(503, b"")]
    with pytest.raises(ProviderFault):
        call(connection)
    assert "tried again" in operator().get(address).content.decode()


def test_the_key_of_an_app_is_asked_for_with_its_lines_and_not_shown_again() -> None:
    page = operator().get(reverse("admin:connections_integrationconnection_add") + "?provider=github").content.decode()
    assert 'name="credential_private_key"' in page
    form = {"credential_app_id": "1", "credential_private_key": "canary-000009", "tenant_id": ACME}
    answered = (
        operator()
        .post(reverse("admin:connections_integrationconnection_add") + "?provider=github", form)
        .content.decode()
    )
    assert "canary-000009" not in answered
