"""Access tokens where key management keeps the secrets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.db.models.functions import Now

from connections.incidents import from_now
from connections.models import AccessToken, IntegrationConnection
from connections.runtime import client_for
from connections.secret_kms import TOKEN_NAME, forget_remembered
from connections.secret_store import EmbeddedSecretStore, is_kept_here
from providers.errors import AuthFailed
from tests.factories import ACME, make_connection
from tests.key_management import KeyManagementStub, running_key_management
from tests.token_server import TokenServer, authorised, running_tokens

pytestmark = pytest.mark.django_db


@pytest.fixture
def server() -> Iterator[TokenServer]:
    with running_tokens() as stub:
        yield stub
        assert stub.faults == []


@pytest.fixture
def keys(settings: Any) -> Iterator[KeyManagementStub]:
    forget_remembered()
    with running_key_management() as stub:
        settings.KMS_SERVICE_URL = stub.url
        for tenant in (ACME, "*"):
            stub.tokens[tenant] = f"token-of-{tenant}"
            EmbeddedSecretStore().put(tenant, stub.tokens[tenant], name=TOKEN_NAME)
        yield stub
        assert stub.faults == []
    forget_remembered()


def call(connection: IntegrationConnection) -> int:
    with client_for(connection) as client:
        return client.get("user").status


def age(**columns: Any) -> None:
    past = from_now(timedelta(seconds=-10))
    AccessToken.objects.update(
        **{"expires_at": past, "refresh_at": past, "last_refreshed_at": Now() - timedelta(hours=2), **columns}
    )


def test_tokens_are_kept_there_each_set_under_a_reference_of_its_own(
    server: TokenServer, keys: KeyManagementStub
) -> None:
    connection = authorised(server)
    assert call(connection) == 200
    first = AccessToken.objects.get().token_ref
    age()
    assert call(connection) == 200
    row = AccessToken.objects.get()
    assert row.token_ref != first
    assert row.token_ref.startswith("kms:")
    assert server.current in "".join(map(str, keys.secrets.values()))


def test_a_new_refresh_token_is_not_lost_while_key_management_is_away(
    server: TokenServer, keys: KeyManagementStub
) -> None:
    connection = authorised(server)
    call(connection)
    age()

    def outage(answer: tuple[int, bytes]) -> tuple[int, bytes]:
        keys.outage = 503
        return answer

    server.answers = [outage]
    assert call(connection) == 200
    assert is_kept_here(AccessToken.objects.get().token_ref)
    keys.outage = 0
    age()
    assert call(connection) == 200
    assert not is_kept_here(AccessToken.objects.get().token_ref)


def test_a_credential_of_the_operator_is_renewed_by_key_management(
    server: TokenServer, keys: KeyManagementStub
) -> None:
    keys.secrets[ACME, "gitlab/acme"] = '{"token": "old-token"}'
    keys.renewed["gitlab/acme"] = orjson.dumps({"token": server.begin().access_token}).decode()
    connection = make_connection("gitlab", auth_ref="gitlab/acme", settings={"base_url": f"{server.url}/api/v4"})
    assert call(connection) == 200
    assert call(connection) == 200
    assert [verb for verb, _ in keys.calls].count("REFRESH") == 1
    assert server.requests == []


def test_a_credential_key_management_cannot_renew_is_refused_as_it_is(
    server: TokenServer, keys: KeyManagementStub
) -> None:
    keys.secrets[ACME, "gitlab/acme"] = '{"token": "old-token"}'
    connection = make_connection("gitlab", auth_ref="gitlab/acme", settings={"base_url": f"{server.url}/api/v4"})
    with pytest.raises(AuthFailed):
        call(connection)
