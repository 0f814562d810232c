"""SEC-IA-01: credentials of connections on every road, with a provider that repeats what it is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db.models.functions import Now

from connections.models import IntegrationConnection
from connections.rotation import replace_credential
from polling.models import PollingCursor
from polling.tasks import poll_cursors, poll_due_connections
from polling.services import PollingService
from tests.api import CONNECTIONS
from tests.factories import ACME
from tests.security.leakage_parrot import MOODS, Parrot, ParrotAdapter, parrot_oauth, running_parrot
from tests.security.leakage_watch import Watch, watch as watch  # noqa: PLC0414 - a fixture
from providers.catalogue import sync_providers

pytestmark = pytest.mark.django_db


@pytest.fixture
def parrot(settings: Any, db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parrot]:
    settings.EXTRA_ADAPTERS = {"parrot": "tests.security.leakage_parrot.ParrotAdapter"}
    with running_parrot() as running:
        monkeypatch.setattr(ParrotAdapter, "oauth", parrot_oauth(running), raising=False)
        monkeypatch.setattr(ParrotAdapter, "broken", set())
        sync_providers()
        yield running


def static(watch: Watch) -> dict[str, str]:
    return {"token": watch.plant("a static token")}


def basic(watch: Watch) -> dict[str, str]:
    return {"email": "bot@acme.example", "token": watch.plant("a token of Basic authentication")}


def create(watch: Watch, parrot: Parrot, credential: dict[str, str]) -> IntegrationConnection:
    body = {"provider_id": "parrot", "display_name": "P", "credential": credential, "settings": {"base_url": parrot.url}}
    made = watch.call("post", CONNECTIONS, {**body, "enabled_capabilities": {"polling": True, "outbound_actions": True}})
    return IntegrationConnection.objects.get(pk=made.json()["connection_id"])


def use(watch: Watch, connection: IntegrationConnection) -> None:
    """All that reads: verification, polling as beat and workers do it, and what the API shows of it."""
    url = f"{CONNECTIONS}/{connection.pk}"
    watch.call("post", f"{url}/verify")
    IntegrationConnection.objects.filter(pk=connection.pk).update(status="active")
    poll_due_connections()
    PollingCursor.objects.update(next_poll_at=Now())
    try:
        PollingService().poll_connection(connection.pk, ACME)
    except Exception as error:  # noqa: BLE001 - its words are what is looked at
        watch.told.append(("an exception", f"{error!r} {error}"))
    for path in ("", "/verifications", "/polling", "/incidents"):
        watch.call("get", url + path)
    watch.call("get", f"/internal/integrations/connections/{connection.pk}/health")
    watch.call("get", "/v1/integrations/events")


@pytest.mark.parametrize("kind", [static, basic])
def test_a_credential_stays_inside_whatever_the_provider_answers(
    watch: Watch, parrot: Parrot, kind: Callable[[Watch], dict[str, str]]
) -> None:
    """SEC-IA-01"""
    credential = kind(watch)
    connection = create(watch, parrot, credential)
    for mood in MOODS:
        parrot.mood = mood
        use(watch, connection)
    assert any(credential["token"] in sent for sent in parrot.sent)
    assert watch.leaks() == []


@pytest.mark.parametrize("kind", [static, basic])
def test_a_credential_stays_inside_when_the_adapter_breaks(
    watch: Watch, parrot: Parrot, kind: Callable[[Watch], dict[str, str]]
) -> None:
    """SEC-IA-01"""
    connection = create(watch, parrot, kind(watch))
    for place in ("client_config", "verify", "stream"):
        ParrotAdapter.broken = {place}
        use(watch, connection)
    assert "Broken" in watch.lines.getvalue()
    assert watch.leaks() == []


def test_the_old_and_the_new_credential_of_a_rotation_stay_inside(watch: Watch, parrot: Parrot) -> None:
    """SEC-IA-01"""
    connection = create(watch, parrot, static(watch))
    url = f"{CONNECTIONS}/{connection.pk}/rotate"
    watch.call("post", f"{CONNECTIONS}/{connection.pk}/verify")
    for mood in ("refuse", "rejected", "fault", "elsewhere", "junk", "ok"):
        parrot.mood = mood
        new = watch.plant(f"a new token, {mood}")
        watch.call("post", url, {"credential": {"token": new}})
        watch.call("post", url, {"credential": {"token": new}, "allow_account_change": True})
    ParrotAdapter.broken = {"verify"}
    new = watch.plant("a new token that breaks the adapter")
    watch.call("post", url, {"credential": {"token": new}})
    # Secrets in the wrong place.
    watch.call("post", url, {"auth_ref": new})
    watch.call("post", url, {"credential": new})
    watch.call("post", url, {"credential": {new: "x"}})
    watch.call("post", url, {new: "x"})
    use(watch, connection)
    assert watch.leaks() == []
