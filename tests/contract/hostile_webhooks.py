"""Webhooks that break a promise, one each; ``hostile.VICES`` says which check must notice."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, ClassVar

from providers.adapters.fake.webhook import FakeWebhook
from providers.canonical import SignalType
from providers.spi import ProviderEvent, WebhookRequest
from providers.verification import Ed25519Scheme, Header, Scheme, SecretForm

# Signatures


class Schemeless(FakeWebhook):
    schemes: ClassVar[Mapping[str, Scheme]] = {}


class UnknownScheme:
    """Not a scheme of ours: nobody knows what it lets in."""

    secret_form = SecretForm.TEXT
    token = Header(name="x-fake-signature")


class ForgottenKey(FakeWebhook):
    """A key that only the provider has, and nobody is asked for it."""

    schemes: ClassVar[Mapping[str, Scheme]] = {
        "ed25519": Ed25519Scheme(signature=Header(name="x-fake-signature"), template="{body}")
    }


class OpenByDefault(FakeWebhook):
    schemes: ClassVar[Mapping[str, Scheme]] = dict(reversed(FakeWebhook.schemes.items()))


class UnknownPaste(FakeWebhook):
    secret_from_provider: ClassVar[frozenset[str]] = frozenset({"hmca"})


class LostRegistrar(FakeWebhook):
    registrar: ClassVar[Any] = SimpleNamespace(scheme="hmca")


# Payloads


class Webhook(FakeWebhook):
    """Hands each event through ``change``."""

    def change(self, event: ProviderEvent) -> ProviderEvent:
        return event

    def events(self, request: WebhookRequest) -> list[ProviderEvent]:
        return [self.change(event) for event in super().events(request)]


class Bare(FakeWebhook):
    """Leaves out the header with the delivery id."""

    def delivery_headers(self, event_type: str, delivery_id: str) -> Mapping[str, str]:
        return {"content-type": "application/json"}


class Loud(FakeWebhook):
    def delivery_headers(self, event_type: str, delivery_id: str) -> Mapping[str, str]:
        return {name.title(): value for name, value in super().delivery_headers(event_type, delivery_id).items()}


class Unordered(Webhook):
    def change(self, event: ProviderEvent) -> ProviderEvent:
        return replace(event, ordering_key="")


class NaiveTime(Webhook):
    def change(self, event: ProviderEvent) -> ProviderEvent:
        return replace(event, occurred_at=event.occurred_at and event.occurred_at.replace(tzinfo=None))


class Forgetful(Webhook):
    """A new key for every repetition."""

    def change(self, event: ProviderEvent) -> ProviderEvent:
        return replace(event, dedupe_key=f"{event.dedupe_key}:{id(event)}:{datetime.now(UTC).timestamp()}")


class OneKeyForAll(Webhook):
    def change(self, event: ProviderEvent) -> ProviderEvent:
        return replace(event, dedupe_key="always the same")


class Undeclared(Webhook):
    event_types: ClassVar[tuple[str, ...]] = ("issue.created",)


class Overdeclared(Webhook):
    event_types: ClassVar[tuple[str, ...]] = (*FakeWebhook.event_types, "issue.reopened")


class Guesses(Webhook):
    """Takes what it does not know for an update."""

    def change(self, event: ProviderEvent) -> ProviderEvent:
        return event if event.signal_type else replace(event, signal_type=SignalType.ISSUE_UPDATED, ignored_reason="")


class Trusting(Webhook):
    """Reads as if every body were the documented one."""

    def change(self, event: ProviderEvent) -> ProviderEvent:
        if event.signal_type is SignalType.ISSUE_CREATED:
            return replace(event, correlation_id=event.payload["issue"]["key"].strip())
        return event


class EatsJunk(FakeWebhook):
    """Answers a body it cannot read as if it told nothing."""

    def events(self, request: WebhookRequest) -> list[ProviderEvent]:
        try:
            return super().events(request)
        except ValueError:
            return []

    def handshake(self, request: WebhookRequest) -> None:
        return None


class PhonesHome(FakeWebhook):
    def events(self, request: WebhookRequest) -> list[ProviderEvent]:
        with socket.socket() as line:
            line.connect(("127.0.0.1", 9))
        return super().events(request)
