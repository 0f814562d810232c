"""A provider for webhook tests: an app many accounts install, hooks made through an API, and every kind of proof."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
from django.test import Client

from connections.models import IntegrationConnection
from providers.canonical import JSON, Category, Signal, SignalType
from providers.client import ClientConfig, ProviderClient
from providers.document import Document
from providers.errors import Misconfigured, UnreadablePayload
from providers.manifest import Manifest
from providers.simulation import SimulatedAnswer
from providers.spi import (
    TEST_DELIVERY,
    Adapter,
    HookRegistrar,
    Identity,
    ProviderEvent,
    Webhook,
    WebhookReply,
    WebhookRequest,
)
from providers.verification import (
    Ed25519Scheme,
    Header,
    HmacScheme,
    KeySetScheme,
    SecretForm,
    SharedTokenScheme,
    UnsignedScheme,
    sign,
)
from tests.contract.provider_server import serving
from tests.factories import make_connection

TOKEN = "hub-token"
KEYS_URL = "https://keys.hub.example/jwks"
ISSUER = "https://hub.example"
HUB = {"hub": "tests.hub_provider.HubAdapter"}


class Hub:
    """The far side: hooks by place. ``faults`` are answered first, one a request: a status, or ``made-then-500``."""

    def __init__(self) -> None:
        self.hooks: dict[str, dict[str, Any]] = {}
        self.faults: list[int | str] = []
        self.outage = 0
        self.refused_places: set[str] = set()
        self.accounts: list[str] = []
        self.url = ""
        self.asked: list[tuple[str, str]] = []
        self.before_answer: Callable[[], None] = lambda: None
        self._numbers = itertools.count(1)

    def answer(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        self.asked.append((method, path))
        self.before_answer()
        fault = self.faults.pop(0) if self.faults else self.outage
        if isinstance(fault, int) and fault:
            return _answer(fault, {})
        if headers.get("authorization") != f"Bearer {TOKEN}":
            return _answer(401, {})
        steps = path.strip("/").split("/")
        if steps[0] == "me":
            return _answer(200, {"account": "hub-bot", "accounts": self.accounts})
        if steps[1] in self.refused_places:
            return _answer(404, {})
        answer = self._hooks(method, steps, orjson.loads(body or b"{}"))
        return _answer(500, {}) if fault == "made-then-500" else answer

    def _hooks(self, method: str, steps: list[str], body: dict[str, Any]) -> SimulatedAnswer:
        place, hook_id = steps[1], steps[3] if len(steps) > 3 else ""
        if method == "GET":
            return _answer(200, {"hooks": [{"id": k, **v} for k, v in self.hooks.items() if v["place"] == place]})
        if method == "POST":
            hook_id = f"h{next(self._numbers)}"
            self.hooks[hook_id] = {"place": place, **body}
            return _answer(201, {"id": hook_id})
        if hook_id not in self.hooks:
            return _answer(404, {})
        if method == "DELETE":
            del self.hooks[hook_id]
            return _answer(204, {})
        self.hooks[hook_id] |= body
        return _answer(200, {"id": hook_id})


class HubRegistrar(HookRegistrar):
    scheme = "hmac"

    def targets(self, settings: Mapping[str, Any]) -> Sequence[str]:
        if not settings.get("places"):
            raise Misconfigured("The settings name no places to make hooks in.")
        return list(settings["places"])

    def create(self, client: ProviderClient, *, target: str, url: str, secret: str, events: Sequence[str]) -> str:
        path = f"/places/{target}/hooks"
        for hook in Document(client.get(path).json()).items("/hooks"):
            if hook.text("/url") == url:
                return str(hook.text("/id"))
        made = client.write("POST", path, json={"url": url, "secret": secret, "events": list(events)})
        return str(Document(made.json()).text("/id"))

    def change_secret(self, client: ProviderClient, *, target: str, hook_id: str, url: str, secret: str) -> None:
        client.write("PUT", f"/places/{target}/hooks/{hook_id}", json={"secret": secret})

    def delete(self, client: ProviderClient, *, target: str, hook_id: str) -> None:
        if hook_id in {h.text("/id") for h in Document(client.get(f"/places/{target}/hooks").json()).items("/hooks")}:
            client.write("DELETE", f"/places/{target}/hooks/{hook_id}")


class HubWebhook(Webhook):
    schemes = {
        "hmac": HmacScheme(signature=Header(name="x-hub-signature")),
        "timed": HmacScheme(
            signature=Header(name="x-hub-signature"),
            template="{id}.{timestamp}.{body}",
            timestamp=Header(name="x-hub-timestamp"),
            id=Header(name="x-hub-delivery"),
        ),
        "token": SharedTokenScheme(token=Header(name="x-hub-token")),
        "standard": HmacScheme(signature=Header(name="x-hub-signature"), secret_form=SecretForm.WHSEC),
        "ed25519": Ed25519Scheme(signature=Header(name="x-hub-signature"), template="{body}"),
        "published": KeySetScheme(keys_url=KEYS_URL, issuer=ISSUER),
        "unsigned": UnsignedScheme(),
    }
    secret_from_provider = frozenset({"token", "ed25519"})
    event_types = ("made", "ping", "revoked")
    routed = True
    registrar = HubRegistrar()
    broken = False
    """Set by tests: the adapter has a fault."""

    def handshake(self, request: WebhookRequest) -> WebhookReply | None:
        return WebhookReply(b"{}") if request.payload().get("kind") == "handshake" else None

    def routes(self, request: WebhookRequest) -> Sequence[str]:
        accounts = request.payload().get("accounts", [])
        return [account for account in accounts if isinstance(account, str)]

    def delivery_headers(self, event_type: str, delivery_id: str) -> Mapping[str, str]:
        return {"content-type": "application/json", "x-hub-event": event_type, "x-hub-delivery": delivery_id}

    def events(self, request: WebhookRequest) -> list[ProviderEvent]:
        if self.broken:
            raise RuntimeError("a fault of the adapter")
        body = Document(request.payload())
        kind = body.text("/kind", limit=100)
        if kind is None:
            raise UnreadablePayload("The event has no kind.")
        reason = TEST_DELIVERY if kind == "ping" else "unknown event type"
        return [
            ProviderEvent(
                event_type=kind,
                dedupe_key=body.text("/id", limit=100) or hashlib.sha256(request.body).hexdigest(),
                payload=request.payload(),
                signal_type=SignalType.ISSUE_CREATED if kind == "made" else None,
                ignored_reason="" if kind == "made" else reason,
                credential_revoked=kind == "revoked",
            )
        ]


class HubAdapter(Adapter):
    slug = "hub"
    label = "Hub"
    category = Category.CHAT
    api_versions = ("1",)
    development_only = True
    manifest = Manifest(
        ack_budget_seconds=10, redelivery_horizon=timedelta(days=1), delivery_id_header="", documentation="-"
    )
    settings_schema = {"type": "object"}
    credential_schema = {"type": "object"}
    webhook = HubWebhook()

    def normalise(self, signal_type: SignalType, event_type: str, payload: JSON) -> Signal:
        return Signal(signal_type=signal_type)

    def client_config(
        self, settings: Mapping[str, Any], credential: Mapping[str, str], api_version: str
    ) -> ClientConfig:
        return ClientConfig(
            base_url=settings.get("base_url", "https://hub.example"),
            headers={"Authorization": f"Bearer {credential.get('token', '')}"},
        )

    def verify(self, client: ProviderClient) -> Identity:
        me = Document(client.get("/me").json())
        accounts = [account.value for account in me.items("/accounts") if isinstance(account.value, str)]
        return Identity(account=me.text("/account") or "", routes=accounts)


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub listening on loopback; ``hub.url`` is its address."""
    hub = Hub()
    with serving(hub.answer) as server:
        hub.url = server.url
        # At this address it is the provider itself that answers.
        HubAdapter.manifest = replace(HubAdapter.manifest, vendor_origins=(hub.url,))
        yield hub


def hub_connection(hub: Hub, *places: str, **values: Any) -> IntegrationConnection:
    """An active connection to the hub that may make hooks in ``places``."""
    values["settings"] = {"base_url": hub.url, "places": list(places), **values.get("settings", {})}
    return make_connection("hub", **{"credential": {"token": TOKEN}, **values})


def post(door: tuple[Any, str, str], body: dict[str, Any] | bytes, scheme: str = "hmac", **headers: str) -> Any:
    """Deliver as the hub does, at a door of ``make_registration`` (row, token, secret)."""
    _, token, secret = door
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    proof = sign(HubWebhook.schemes[scheme], body=raw, secret=secret.encode(), identifier="d1")
    path = f"/v1/integrations/webhooks/hub/{token}"
    return Client().post(path, raw, content_type="application/json", headers={**proof, **headers})


def _answer(status: int, body: Any) -> SimulatedAnswer:
    return SimulatedAnswer(status, {"content-type": "application/json"}, orjson.dumps(body))
