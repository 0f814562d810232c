"""SEC-IA-01: a secret is seen once by whom it is told, and nowhere else, ever."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings as deployment
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import models
from django.test import Client
from django.urls import reverse

from connections.models import IntegrationConnection, StoredSecret
from connections.secret_store import get_credential, secret_store
from connections.tenancy import SERVICE, TENANT_ADMIN, TENANT_READER
from events.compression import unpack
from events.models import AdapterEvent
from events.outbox import deliver_batch
from polling.services import PollingService
from providers import registry
from providers.catalogue import sync_providers
from providers.simulation import SimulatedAnswer
from providers.verification import HmacScheme, sign
from tests.api import CONNECTIONS, EVENTS, client_of
from tests.contract.provider_server import Server, serving
from tests.factories import ACME

pytestmark = pytest.mark.django_db

# Shaped like nothing a pattern would catch: what keeps them in is the way they are handled.
CREDENTIAL = "kanarienvogel-zugang-4711"
SIGNING = "kanarienvogel-unterschrift-0815"
CANARIES = (CREDENTIAL, SIGNING)


def echo(method: str, path: str, query: Any, headers: dict[str, str], body: bytes) -> SimulatedAnswer:
    """A provider that shouts the caller's credential back, in every place an error could pick it up from."""
    told = json.dumps({"error": headers.get("authorization", ""), "account": "acme-bot"}).encode()
    shout = {"x-echo": headers.get("authorization", ""), "www-authenticate": headers.get("authorization", "")}
    return SimulatedAnswer(200 if "calm" in path else 403, shout, told)


@pytest.fixture
def provider() -> Iterator[Server]:
    with serving(echo) as server:
        yield server


@pytest.fixture
def log_lines() -> Iterator[io.StringIO]:
    """All that is logged, down to debug, as it would be written."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    formatter = dict(deployment.LOGGING["formatters"]["lines"])
    handler.setFormatter(formatter.pop("()")(**formatter))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield written
    root.removeHandler(handler)
    root.setLevel(before)


class Story:
    """A connection with both canaries, and everything that happens to it."""

    def __init__(self, provider: Server) -> None:
        sync_providers()
        self.answers: list[str] = []
        self.client = client_of(ACME, TENANT_ADMIN, SERVICE)
        created = self.call(
            "post",
            CONNECTIONS,
            {
                "provider_id": "fake",
                "display_name": "Acme",
                "credential": {"token": CREDENTIAL},
                "settings": {"base_url": provider.url},
            },
        )
        self.url = f"{CONNECTIONS}/{created['connection_id']}"
        self.connection = IntegrationConnection.objects.get(pk=created["connection_id"])
        # The one answer that tells a secret, to whoever gave or asked for it.
        told = self.client.post(f"{self.url}/webhooks", {"secret": SIGNING}).json()
        assert told["secret"] == SIGNING
        self.door = "/v1/" + told["public_url"].partition("/v1/")[2]
        self.token = self.door.rsplit("/", 1)[1]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        response = getattr(self.client, method)(path, body) if body is not None else getattr(self.client, method)(path)
        self.answers.append(response.content.decode() + str(dict(response.headers)))
        return response.json() if response.content else None

    def knock(self, body: bytes, *, secret: str = SIGNING) -> None:
        webhook = registry.get("fake").webhook
        assert webhook is not None
        scheme = webhook.schemes["hmac"]
        assert isinstance(scheme, HmacScheme)
        headers = sign(scheme, body=body, secret=secret.encode(), timestamp=int(time.time()))
        response = Client().post(self.door, body, content_type="application/json", headers=headers)
        self.answers.append(response.content.decode())

    def live(self) -> None:
        """Everything that could carry a secret somewhere."""
        self.call("post", f"{self.url}/verify")
        IntegrationConnection.objects.filter(pk=self.connection.pk).update(status="active")
        PollingService().poll_connection(self.connection.pk, ACME)
        event = {"type": "issue.created", "id": "evt_1", "at": "2026-03-01T09:00:00Z", "issue": {"key": "WEB-1"}}
        leaky = {"token": CREDENTIAL, "hook": {"client_secret": SIGNING, "Authorization": f"Bearer {CREDENTIAL}"}}
        self.knock(json.dumps({**event, **leaky}).encode())
        self.knock(json.dumps({**event, "id": "evt_2"}).encode(), secret="guessed-wrongly")
        self.knock(b"{" + CREDENTIAL.encode())
        deliver_batch()
        for path in ("", "/webhooks", "/polling"):
            self.call("get", self.url + path)
        for path in (CONNECTIONS, EVENTS, f"{EVENTS}/{AdapterEvent.objects.get().pk}", "/v1/integrations/actions"):
            self.call("get", path)
        self.call("get", f"/internal/integrations/connections/{self.connection.pk}/health")
        # Secrets in the wrong place, in broken bodies and in paths.
        self.call("post", CONNECTIONS, {"provider_id": "fake", "display_name": "x", "credential": {"token": [SIGNING]}})
        self.call("post", CONNECTIONS, {"provider_id": CREDENTIAL, "display_name": "x"})
        self.call("patch", self.url, {"settings": {"base_url": f"https://x:{CREDENTIAL}@tracker.example"}})
        self.call("patch", self.url, {"settings": {"projects": [CREDENTIAL]}})
        self.call("post", f"{self.url}/webhooks", {"secret": SIGNING, "secret_ref": CREDENTIAL})
        self.call("post", f"{self.url}/webhooks", {"scheme": CREDENTIAL})
        self.call("get", f"{EVENTS}?status={CREDENTIAL}&provider_id={CREDENTIAL}&since={SIGNING}&cursor={SIGNING}")
        self.call("post", f"{EVENTS}/replay", {"status": CREDENTIAL, "provider_id": SIGNING, "since": SIGNING})
        response = self.client.generic("POST", CONNECTIONS, f'{{"token": "{CREDENTIAL}"'.encode())
        self.answers.append(response.content.decode())
        self.answers.append(self.client.get("/metrics").content.decode())


def test_no_answer_and_no_log_line_tells_a_secret(provider: Server, log_lines: io.StringIO) -> None:
    """SEC-IA-01"""
    story = Story(provider)
    story.live()
    assert any("refused the credential" in answer for answer in story.answers)
    for answer in story.answers:
        assert not [canary for canary in CANARIES if canary in answer], answer
    written = log_lines.getvalue()
    assert "webhook.refused" in written
    assert not [line for line in written.splitlines() if any(canary in line for canary in (*CANARIES, story.token))]


def test_no_column_holds_a_secret_but_as_ciphertext(provider: Server) -> None:
    """SEC-IA-01"""
    story = Story(provider)
    story.live()
    for model in apps.get_models():
        for row in model._default_manager.all():
            for field in model._meta.concrete_fields:
                assert not _found_in(row, field), f"{model.__name__}.{field.name}"
    reference = IntegrationConnection.objects.get().auth_ref
    assert get_credential(ACME, reference) == {"token": CREDENTIAL}
    assert AdapterEvent.objects.count() == 1
    assert "[redacted]" in json.dumps(AdapterEvent.objects.get().raw)


def _found_in(row: models.Model, field: Any) -> list[str]:
    value = getattr(row, field.attname)
    if isinstance(value, memoryview | bytes):
        packed = isinstance(row, AdapterEvent) and field.name in ("payload", "envelope")
        value = json.dumps(unpack(value)) if packed else bytes(value).decode("latin-1")
    return [canary for canary in CANARIES if canary in str(value)]


def test_the_url_token_is_kept_only_encrypted(provider: Server) -> None:
    """SEC-IA-01"""
    story = Story(provider)
    for model in apps.get_models():
        for values in model._default_manager.values():
            shown = {name: bytes(v) if isinstance(v, memoryview) else v for name, v in values.items()}
            assert story.token not in str(shown), model.__name__


def test_no_admin_page_shows_a_secret(provider: Server) -> None:
    """SEC-IA-01"""
    story = Story(provider)
    story.live()
    user = get_user_model().objects.create_superuser("root", "root@example.com", "a-long-password-1")
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    pages = [reverse("admin:index")]
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        pages.append(reverse(f"{name}_changelist"))
        rows = model._default_manager.all()[:5]
        pages += [reverse(f"{name}_{page}", args=[row.pk]) for row in rows for page in ("change", "history")]
    shown = 0
    for page in pages:
        response = client.get(page)
        if response.status_code == 200:
            shown += 1
            text = response.content.decode()
            assert not [canary for canary in (*CANARIES, story.token) if canary in text], page
        else:
            assert response.status_code in (302, 403, 404), page
    assert shown > len(admin.site._registry)


def test_a_reader_sees_no_door(provider: Server) -> None:
    """SEC-IA-01"""
    story = Story(provider)
    assert story.token not in client_of(ACME, TENANT_READER).get(f"{story.url}/webhooks").content.decode()


def test_a_secret_is_unreadable_without_the_deployments_key(provider: Server) -> None:
    """SEC-IA-01"""
    Story(provider)
    for stored in StoredSecret.objects.all():
        ciphertext = bytes(stored.ciphertext).decode()
        assert ciphertext.startswith("gAAAA")  # a Fernet token
        assert secret_store().get(ACME, f"secret:{stored.pk}") not in ciphertext
