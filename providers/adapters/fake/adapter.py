"""A provider that does not exist: the worked example of ADDING_A_PROVIDER.md, and everybody's test double."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from providers.adapters.fake import mapping
from providers.adapters.fake.actions import ACTIONS, explain
from providers.adapters.fake.polling import IssueStream
from providers.adapters.fake.webhook import FakeWebhook
from providers.canonical import JSON, Category, Signal, SignalType
from providers.client import ClientConfig, ProviderClient
from providers.document import Document
from providers.errors import Misconfigured, ProviderFault
from providers.manifest import Manifest, Quota
from providers.spi import Adapter, Identity

DEFAULT_BASE_URL = "https://api.fake.example"


class FakeAdapter(Adapter):
    """Facts and parts. Everything that can be declared is declared; only two questions need code."""

    slug = "fake"  # folder, registry key, part of the webhook URL, fixture folder: never changes once stored
    label = "Fake"  # as the vendor writes it
    category = Category.ISSUE_TRACKER
    api_versions = ("1",)
    development_only = True

    # What the provider imposes on us. A real adapter takes every number from a page of the vendor.
    manifest = Manifest(
        ack_budget_seconds=10,
        retry_schedule_seconds=(60, 600, 3600),
        redelivery_horizon=timedelta(days=1),
        delivery_id_header="x-fake-delivery",
        body_limit_bytes=1024 * 1024,
        ordering_key="issue key",
        handshake="challenge",
        # What it counts of our calls: one ledger for each, shared by all connections that use the same token.
        quotas=(Quota(name="requests", units=600, window_seconds=60),),
        documentation="https://api.fake.example/docs/webhooks",
    )

    # The API validates against these and shows them to people; nothing is checked again below.
    settings_schema: ClassVar[JSON] = {
        "type": "object",
        "properties": {
            "base_url": {"type": "string", "format": "uri", "description": "Address of the API."},
            "projects": {
                "type": "array",
                "items": {"type": "string", "pattern": "^[A-Z][A-Z0-9]*$"},
                "uniqueItems": True,
                "description": "Project keys to poll; without them everything the token can see.",
            },
            "poll_interval_seconds": {"type": "integer", "minimum": 30, "maximum": 3600},
        },
        "additionalProperties": False,
    }
    credential_schema: ClassVar[JSON] = {
        "type": "object",
        "properties": {"token": {"type": "string", "minLength": 1, "description": "Bearer token of the account."}},
        "required": ["token"],
        "additionalProperties": False,
    }

    # A capability is a part that is present; there is no flag to set.
    webhook = FakeWebhook()
    streams = (IssueStream(),)
    actions = ACTIONS

    def normalise(self, signal_type: SignalType, event_type: str, payload: JSON) -> Signal:
        return mapping.signal(signal_type, payload)

    def client_config(
        self, settings: Mapping[str, Any], credential: Mapping[str, str], api_version: str
    ) -> ClientConfig:
        if not credential.get("token"):
            raise Misconfigured("The credential has no token.")
        return ClientConfig(
            base_url=settings.get("base_url") or DEFAULT_BASE_URL,
            headers={"Authorization": f"Bearer {credential['token']}"},
            explain=explain,
        )

    def verify(self, client: ProviderClient) -> Identity:
        # A refused credential never gets here: the client raises AuthFailed for 401 and 403.
        account = Document(client.get("/me").json()).text("/account")
        if account is None:
            raise ProviderFault("The provider does not say whose credential this is.")
        return Identity(account=account)
