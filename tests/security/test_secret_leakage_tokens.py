"""SEC-IA-01: access tokens and what they are made from: codes, clients' secrets, refresh tokens, keys of apps."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connections import oauth
from connections.models import AccessToken, IntegrationConnection
from connections.oauth_clients import put_client
from connections.tasks import renew_tokens
from connections.token_upkeep import renew
from providers.catalogue import sync_providers
from tests.api import CONNECTIONS
from tests.factories import make_connection
from tests.security.leakage_canaries import SHAPES
from tests.security.leakage_parrot import Parrot, ParrotAdapter, parrot_oauth
from tests.security.leakage_watch import Watch, parrot, watch

__all__ = ["parrot", "watch"]

pytestmark = pytest.mark.django_db

AUTHORIZE = "/v1/integrations/oauth/parrot/authorize"
CALLBACK = "/v1/integrations/oauth/callback"
ACCEPTED = {"words": "application/json", "token": "text/html"}
MOODS = ("refuse_secret", "refuse_refresh", "refuse_code", "ended", "client", "fault", "useless", "junk", "ok")


def grant(watch: Watch, parrot: Parrot, name: str, shape: str) -> None:
    """What the parrot grants next."""
    parrot.granted = {
        "access_token": watch.plant(f"an access token, {name}", shape),
        "refresh_token": watch.plant(f"a refresh token, {name}", shape),
        "expires_in": 3600,
    }


def authorise(watch: Watch, parrot: Parrot, name: str, shape: str, **query: str) -> IntegrationConnection | None:
    """One authorisation from its beginning to what the browser is told in the end."""
    grant(watch, parrot, name, shape)
    asked = {"display_name": "P", "settings": f'{{"base_url": "{parrot.url}"}}', **query}
    begun = watch.answer("get", AUTHORIZE, asked, HTTP_ACCEPT="application/json")
    # The one answer that holds the state is that to whoever began.
    state = parse_qs(urlsplit(begun.json()["authorize_url"]).query)["state"][0]
    watch.plant(f"a state, {name}", shape, value=state)
    watch.plant(f"a verifier, {name}", shape, value=oauth.code_verifier(state))
    code = watch.plant(f"a code, {name}", shape)
    known = set(IntegrationConnection.objects.values_list("pk", flat=True))
    for told in (state + "x", state, state):
        watch.call("get", CALLBACK, {"state": told, "code": code}, HTTP_ACCEPT=ACCEPTED[shape])
    return IntegrationConnection.objects.exclude(pk__in=known).first()


@pytest.mark.parametrize("client_authentication", ["body", "basic"])
def test_nothing_of_an_authorisation_comes_to_light(
    watch: Watch, parrot: Parrot, monkeypatch: pytest.MonkeyPatch, client_authentication: str
) -> None:
    """SEC-IA-01"""
    flow = parrot_oauth(parrot, client_authentication=client_authentication)
    monkeypatch.setattr(ParrotAdapter, "oauth", flow)
    some = MOODS if client_authentication == "body" else ("refuse_secret", "client", "ok")
    for shape, moods in zip(SHAPES, (some, ("refuse_code", "ok")), strict=True):
        put_client(provider_id="parrot", client_id="app-1", client_secret=watch.plant("a client's secret", shape))
        for mood in moods:
            parrot.token_mood = mood
            made = authorise(watch, parrot, mood, shape)
        assert made is not None
        for place in ("client_config", "verify"):
            ParrotAdapter.broken = {place}
            authorise(watch, parrot, place, shape)
        ParrotAdapter.broken = set()
    assert watch.leaks(admin_too=client_authentication == "body") == []


def due(connection: IntegrationConnection) -> AccessToken:
    AccessToken.objects.filter(auth_ref=connection.auth_ref).update(
        refresh_at="2026-01-01T00:00:00Z",
        expires_at="2026-01-01T00:00:00Z",
        last_refreshed_at="2026-01-01T00:00:00Z",
        lease_token=None,
        lease_until=None,
        attempts=0,
    )
    return AccessToken.objects.get(auth_ref=connection.auth_ref)


def test_nothing_of_a_refresh_comes_to_light(watch: Watch, parrot: Parrot) -> None:
    """SEC-IA-01"""
    for shape, moods in zip(SHAPES, (MOODS[:3] + MOODS[5:], ("refuse_refresh", "ok")), strict=True):
        put_client(provider_id="parrot", client_id="app-1", client_secret=watch.plant("a client's secret", shape))
        connection = authorise(watch, parrot, "first", shape)
        assert connection is not None
        for mood in (*moods, "ended"):
            parrot.token_mood = mood
            grant(watch, parrot, mood, shape)
            row = due(connection)
            renew_tokens()
            watch.called(renew, row.pk)
            watch.call("post", f"{CONNECTIONS}/{connection.pk}/verify")
            watch.call("get", f"{CONNECTIONS}/{connection.pk}")
            parrot.token_mood = "ok"
    assert "token_not_refreshed" in watch.lines.getvalue()
    assert watch.leaks() == []


def test_nothing_of_an_app_that_acts_for_itself_comes_to_light(watch: Watch, parrot: Parrot) -> None:
    """SEC-IA-01"""
    for shape, moods in zip(SHAPES, (MOODS, ("refuse_secret", "ok")), strict=True):
        credential = {"client_id": "app-1", "client_secret": watch.plant("a secret of client credentials", shape)}
        connection = watch.create(parrot, credential)
        for mood in moods:
            parrot.token_mood = mood
            grant(watch, parrot, mood, shape)
            AccessToken.objects.all().delete()
            watch.call("post", f"{CONNECTIONS}/{connection.pk}/verify")
            watch.call("get", f"{CONNECTIONS}/{connection.pk}")
        ParrotAdapter.broken = {"verify"}
        watch.call("post", f"{CONNECTIONS}/{connection.pk}/verify")
        ParrotAdapter.broken = set()
    assert watch.leaks() == []


@pytest.fixture(scope="module")
def pem() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()


def test_nothing_of_an_apps_private_key_comes_to_light(watch: Watch, parrot: Parrot, pem: str) -> None:
    """SEC-IA-01"""
    sync_providers()
    for number, line in enumerate(pem.splitlines()[1:4]):
        watch.plant(f"line {number} of a private key", value=line)
    settings = {"base_url": f"{parrot.url}/api/v3"}
    for text in (pem, pem.replace("MII", "XXX", 1), pem[: len(pem) // 2]):
        credential = {"app_id": "Iv1.app", "installation_id": "42", "private_key": text}
        body = {"provider_id": "github", "display_name": "G", "credential": credential, "settings": settings}
        watch.call("post", CONNECTIONS, body)
        connection = make_connection("github", credential=credential, settings=settings)
        for mood in ("client", "fault", "junk", "ok"):
            parrot.token_mood = mood
            grant(watch, parrot, mood, "token")
            AccessToken.objects.all().delete()
            watch.call("post", f"{CONNECTIONS}/{connection.pk}/verify")
    assert any("/access_tokens" in sent for sent in parrot.sent)
    assert watch.leaks() == []
