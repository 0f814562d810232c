"""Access tokens are replaced in time, once, and what was granted is never lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.db.models.functions import Now

from connections import token_refresh
from connections.incidents import from_now
from connections.models import AccessToken, ConnectionStatus, Incident, IntegrationConnection
from connections.runtime import calling, client_for
from connections.secret_store import SecretUnavailable, secret_store
from connections.turns import within
from providers.client import Response
from providers.errors import AuthFailed, Misconfigured, ProviderError, ProviderFault
from providers.token_requests import ask
from tests.factories import ACME, GLOBEX
from tests.token_server import CLIENT_SECRET, TokenServer, authorised, running_tokens

pytestmark = pytest.mark.django_db


@pytest.fixture
def server() -> Iterator[TokenServer]:
    with running_tokens() as stub:
        yield stub
        assert stub.faults == []


def call(connection: IntegrationConnection) -> int:
    with client_for(connection) as client:
        return client.get("user").status


def row_of(connection: IntegrationConnection) -> AccessToken:
    return AccessToken.objects.get(tenant_id=connection.tenant_id, auth_ref=connection.auth_ref)


def age(connection: IntegrationConnection, **columns: object) -> None:
    """Time passes for the token: by default it has ended."""
    past = from_now(timedelta(seconds=-10))
    AccessToken.objects.filter(auth_ref=connection.auth_ref).update(
        **{"expires_at": past, "refresh_at": past, "last_refreshed_at": Now() - timedelta(hours=2), **columns}
    )


def test_a_token_that_lasts_is_used_as_it_is(server: TokenServer) -> None:
    connection = authorised(server)
    assert call(connection) == 200
    assert server.requests == []


def test_a_token_that_ended_is_renewed_before_the_call(server: TokenServer) -> None:
    connection = authorised(server)
    first = server.good.copy()
    age(connection)
    assert call(connection) == 200
    assert server.granted == 1
    assert not first & set(server.calls)
    row = row_of(connection)
    assert (row.generation, row.attempts, row.refresh_started_at, row.scopes) == (2, 0, None, ["api"])


def test_a_token_is_renewed_before_it_ends(server: TokenServer) -> None:
    connection = authorised(server, expires_in=3600)
    row = AccessToken.objects.seen().get(auth_ref=connection.auth_ref)
    margin = (row.expires_at - row.refresh_at).total_seconds()
    assert 360 <= margin <= 540
    age(connection, expires_at=from_now(timedelta(minutes=5)))
    assert call(connection) == 200
    assert server.granted == 1


def test_a_due_token_that_is_still_good_is_used_while_the_server_is_down(server: TokenServer) -> None:
    connection = authorised(server)
    age(connection, expires_at=from_now(timedelta(minutes=5)))
    server.answers = [(503, b"down")]
    assert call(connection) == 200
    assert call(connection) == 200
    assert len(server.requests) == 1
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.ACTIVE
    assert "503" in row_of(connection).last_error


def test_an_ended_token_while_the_server_is_down_fails_for_now_and_is_not_asked_for_again_at_once(
    server: TokenServer,
) -> None:
    connection = authorised(server)
    age(connection)
    server.answers = [(503, b"down"), (200, b"<html>")]
    with pytest.raises(ProviderFault):
        call(connection)
    with pytest.raises(ProviderFault) as paused:
        call(connection)
    assert 0 < (paused.value.retry_after_seconds or 0) <= 5
    assert len(server.requests) == 1
    age(connection)
    with pytest.raises(ProviderFault, match="JSON"):
        call(connection)
    age(connection)
    assert call(connection) == 200
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.ACTIVE
    assert connection.history.filter(operation="token_refresh", outcome="failed").count() == 1
    assert not Incident.objects.exists()


@pytest.mark.parametrize(
    "answer",
    [
        (0, b""),
        (500, b"{}"),
        (429, b""),
        (200, b"[]"),
        (200, b'{"token_type": "bearer"}'),
        (200, b'{"access_token": "a\\nb"}'),
        (200, b'{"access_token": 7}'),
        (200, b'{"access_token": "good", "refresh_token": "bad one"}'),
        (400, b'{"error": "temporarily_unavailable"}'),
    ],
)
def test_no_fault_of_the_server_ends_an_authorisation(server: TokenServer, answer: tuple[int, bytes]) -> None:
    connection = authorised(server)
    age(connection)
    server.answers = [answer]
    with pytest.raises(ProviderError) as fault:
        call(connection)
    assert not isinstance(fault.value, AuthFailed | Misconfigured)
    row = row_of(connection)
    assert (row.ended_at, row.attempts) == (None, 1)
    age(connection)
    assert call(connection) == 200


def test_a_grant_the_provider_ended_is_told_and_costs_nothing_more(server: TokenServer) -> None:
    connection = authorised(server)
    age(connection)
    server.ended = True
    for _ in range(3):
        with pytest.raises(AuthFailed, match="Authorise again"):
            call(connection)
    assert len(server.requests) == 1
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.ERROR
    assert "Authorise again" in connection.last_error
    assert connection.history.filter(operation="authorisation_ended").count() == 1
    assert Incident.objects.get(connection=connection).cause == "credential_refused"


@pytest.mark.parametrize("status", [200, 400, 401, 403])
def test_invalid_grant_is_understood_with_every_status_vendors_give_it(server: TokenServer, status: int) -> None:
    connection = authorised(server)
    age(connection)
    server.answers = [(status, b'{"error": "invalid_grant"}')]
    with pytest.raises(AuthFailed):
        call(connection)
    assert row_of(connection).ended_at is not None


def test_a_refused_client_is_for_the_operator_and_ends_no_grant(server: TokenServer) -> None:
    connection = authorised(server)
    age(connection)
    server.answers = [(401, b'{"error": "invalid_client"}')]
    for _ in range(2):
        with pytest.raises(Misconfigured, match="client"):
            call(connection)
    assert len(server.requests) == 1
    assert row_of(connection).ended_at is None
    age(connection)
    assert call(connection) == 200


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_a_token_is_asked_for(
    server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = authorised(server)
    age(connection)
    seen: list[tuple[bool, bool]] = []

    def looking(*args: Any, **named: Any) -> Response:
        intent = row_of(connection).refresh_started_at is not None
        seen.append((database.in_atomic_block, intent))
        return ask(*args, **named)

    monkeypatch.setattr(token_refresh, "ask", looking)
    assert call(connection) == 200
    assert seen == [(False, True)]


@pytest.mark.django_db(transaction=True)
def test_invalid_grant_is_no_end_where_somebody_else_has_renewed_meanwhile(server: TokenServer) -> None:
    connection = authorised(server)
    age(connection)

    def overtaken(_answer: tuple[int, bytes]) -> tuple[int, bytes]:
        fresh = server.begin()
        reference = secret_store().put(ACME, f'{{"access_token": "{fresh.access_token}", "refresh_token": "x"}}')
        age(connection, generation=5, token_ref=reference, expires_at=from_now(timedelta(hours=1)), refresh_at=None)
        database.close()
        return 400, b'{"error": "invalid_grant"}'

    server.answers = [overtaken]
    assert call(connection) == 200
    assert row_of(connection).ended_at is None


def test_a_token_refused_early_is_renewed_once_and_the_call_made_again(server: TokenServer) -> None:
    connection = authorised(server)
    age(connection, expires_at=from_now(timedelta(hours=1)), refresh_at=from_now(timedelta(hours=1)))
    server.good.clear()
    assert call(connection) == 200
    assert (server.granted, len(server.calls)) == (1, 2)


def test_a_write_refused_with_its_token_was_not_done_and_is_sent_again(server: TokenServer) -> None:
    connection = authorised(server)
    age(connection, expires_at=from_now(timedelta(hours=1)), refresh_at=from_now(timedelta(hours=1)))
    server.good.clear()
    with client_for(connection) as client:
        assert client.write("POST", "projects", json={"name": "a"}).status == 200
    assert len(server.calls) == 2


def test_a_young_token_the_provider_refuses_is_not_renewed_again_and_again(server: TokenServer) -> None:
    connection = authorised(server)
    server.good.clear()
    for _ in range(3):
        with pytest.raises(AuthFailed):
            call(connection)
    assert server.requests == []


def test_a_token_somebody_else_renewed_is_read_again_instead(server: TokenServer) -> None:
    connection = authorised(server)
    with client_for(connection) as client:
        age(connection)
        assert call(connection) == 200
        assert client.get("user").status == 200
    assert server.granted == 1


def test_the_set_before_is_kept_until_a_call_succeeded_with_the_new_one(server: TokenServer) -> None:
    connection = authorised(server)
    first = row_of(connection).token_ref
    age(connection)
    with client_for(connection) as client:
        row = row_of(connection)
        assert row.previous_ref == first
        assert secret_store().get(ACME, first)
        client.get("user")
    assert row_of(connection).previous_ref == ""
    with pytest.raises(SecretUnavailable):
        secret_store().get(ACME, first)


def test_a_new_set_the_provider_disowns_gives_way_to_the_one_before_it(server: TokenServer) -> None:
    connection = authorised(server)
    age(connection)

    def undone(answer: tuple[int, bytes]) -> tuple[int, bytes]:
        return 200, answer[1].replace(server.current.encode(), b"rt-never-stored-over-there")

    server.grace, server.answers = True, [undone]
    with client_for(connection):
        age(connection)
    server.answers = [(400, b'{"error": "invalid_grant"}')]
    assert call(connection) == 200
    assert row_of(connection).ended_at is None


def test_a_server_that_does_not_rotate_keeps_its_refresh_token(server: TokenServer) -> None:
    server.rotates = False
    connection = authorised(server)
    for _ in range(2):
        age(connection)
        assert call(connection) == 200
    assert {sent["refresh_token"] for sent in server.requests} == {server.current}


def test_an_authorisation_without_a_refresh_token_ends_when_its_token_does(server: TokenServer) -> None:
    connection = authorised(server)
    reference = secret_store().put(ACME, '{"access_token": "at-only", "refresh_token": ""}')
    age(connection, token_ref=reference)
    with pytest.raises(AuthFailed, match="none to renew it with"):
        call(connection)
    assert server.requests == []


def test_another_tenants_authorisation_is_not_there(server: TokenServer) -> None:
    theirs = authorised(server, tenant_id=GLOBEX)
    ours = authorised(server)
    IntegrationConnection.objects.filter(pk=ours.pk).update(auth_ref=theirs.auth_ref)
    ours.refresh_from_db()
    with pytest.raises(Misconfigured, match="does not exist"):
        call(ours)
    assert server.calls == []


def test_a_grant_is_not_sent_to_another_server_than_granted_it(server: TokenServer) -> None:
    connection = authorised(server)
    age(connection)
    with running_tokens() as other:
        connection.settings = {"base_url": f"{other.url}/api/v4"}
        with pytest.raises(Misconfigured, match="another server"):
            call(connection)
        assert (other.requests, other.calls, server.requests) == ([], [], [])


def test_a_request_that_could_not_be_finished_in_time_is_not_begun(server: TokenServer) -> None:
    connection = authorised(server)
    age(connection)
    with within(1), pytest.raises(ProviderError):
        call(connection)
    assert server.requests == []


def test_the_quota_stays_the_same_ones_over_refreshes(server: TokenServer) -> None:
    connection = authorised(server)
    before = calling(connection)
    age(connection)
    after = calling(connection)
    assert before.config.headers != after.config.headers
    assert before.identity == after.identity


def test_no_secret_is_told(server: TokenServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture) -> None:
    connection = authorised(server)
    secret = server.current
    age(connection)
    server.ended = True
    with pytest.raises(AuthFailed) as refused:
        call(connection)
    how = repr(row_of(connection).__dict__) + repr(list(connection.history.values())) + repr(refused.value)
    told = how + caplog.text + "".join(capfd.readouterr())
    assert "token_not_refreshed" in told
    for canary in (secret, CLIENT_SECRET, "canary-000002"):
        assert canary not in told
