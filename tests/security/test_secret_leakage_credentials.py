"""SEC-IA-01: credentials of connections on every road, with a provider that repeats what it is sent."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models.functions import Now

from connections.models import IntegrationConnection
from polling.models import PollingCursor
from polling.services import PollingService
from polling.tasks import poll_due_connections
from tests.api import CONNECTIONS
from tests.factories import ACME
from tests.security.leakage_canaries import SHAPES
from tests.security.leakage_parrot import MOODS, Parrot, ParrotAdapter
from tests.security.leakage_watch import Watch, parrot, watch

__all__ = ["parrot", "watch"]

pytestmark = pytest.mark.django_db


def credentials(watch: Watch, shape: str) -> list[dict[str, Any]]:
    return [
        {"token": watch.plant("a token", shape)},
        {"email": "bot@acme.example", "token": watch.plant("a token of Basic authentication", shape)},
    ]


def use(watch: Watch, connection: IntegrationConnection) -> None:
    """All that reads: verification, and polling as beat and workers do it."""
    url = f"{CONNECTIONS}/{connection.pk}"
    watch.call("post", f"{url}/verify")
    IntegrationConnection.objects.filter(pk=connection.pk).update(status="active")
    poll_due_connections()
    PollingCursor.objects.update(next_poll_at=Now(), lease_token=None)
    watch.called(PollingService().poll_connection, connection.pk, ACME)
    watch.call("get", f"{url}/polling")


def look(watch: Watch, connection: IntegrationConnection) -> None:
    """All that the API shows of it."""
    for path in ("", "/verifications", "/incidents"):
        watch.call("get", f"{CONNECTIONS}/{connection.pk}{path}")
    watch.call("get", f"/internal/integrations/connections/{connection.pk}/health")
    watch.call("get", "/v1/integrations/events")


@pytest.mark.parametrize("number", [0, 1], ids=["bearer", "basic"])
def test_a_credential_stays_inside_whatever_the_provider_answers(watch: Watch, parrot: Parrot, number: int) -> None:
    """SEC-IA-01"""
    for shape, moods in zip(SHAPES, (MOODS, ("ok",)), strict=True):
        credential = credentials(watch, shape)[number]
        connection = watch.create(parrot, credential)
        for mood in moods:
            parrot.mood = mood
            use(watch, connection)
        look(watch, connection)
        assert any(credential["token"] in sent for sent in parrot.sent)
    assert watch.leaks(admin_too=number == 0) == []


def test_a_credential_stays_inside_when_the_adapter_breaks(watch: Watch, parrot: Parrot) -> None:
    """SEC-IA-01"""
    for shape in SHAPES:
        for credential in credentials(watch, shape):
            connection = watch.create(parrot, credential)
            for place in ("client_config", "verify", "stream"):
                ParrotAdapter.broken = {place}
                use(watch, connection)
            look(watch, connection)
            assert credential["token"] in str(ParrotAdapter.knows)
    assert "Broken" in watch.lines.getvalue()
    assert watch.leaks() == []


def test_the_old_and_the_new_credential_of_a_rotation_stay_inside(watch: Watch, parrot: Parrot) -> None:
    """SEC-IA-01"""
    connection = watch.create(parrot, credentials(watch, "words")[0])
    url = f"{CONNECTIONS}/{connection.pk}/rotate"
    watch.call("post", f"{CONNECTIONS}/{connection.pk}/verify")
    for mood in ("refuse", "fault", "elsewhere", "junk", "ok"):
        parrot.mood = mood
        new = watch.plant(f"a new token, {mood}")
        watch.call("post", url, {"credential": {"token": new}})
        watch.call("post", url, {"credential": {"token": new}, "allow_account_change": True})
    ParrotAdapter.broken = {"verify"}
    new = watch.plant("a new token that breaks the adapter")
    watch.call("post", url, {"credential": {"token": new}})
    for misplaced in ({"auth_ref": new}, {"credential": new}, {"credential": {"token": [new]}}, {"credential": [new]}):
        watch.call("post", url, misplaced)
    look(watch, connection)
    assert watch.leaks() == []
