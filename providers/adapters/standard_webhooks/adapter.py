"""Any tool that follows the Standard Webhooks specification. It only sends, so there is nothing to call."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from providers.adapters.standard_webhooks import mapping
from providers.adapters.standard_webhooks.reading import POINTERS_SCHEMA
from providers.adapters.standard_webhooks.rules import RULES_SCHEMA
from providers.adapters.standard_webhooks.webhook import StandardWebhook
from providers.canonical import JSON, Category, Signal, SignalType
from providers.client import ClientConfig, ProviderClient
from providers.errors import Misconfigured
from providers.manifest import MIB, Manifest
from providers.spi import Adapter, Identity

NOTHING_TO_CALL = (
    "A sender of Standard Webhooks has no API to call: such a connection only receives, needs no credential, and is "
    "verified by its first delivery with a valid signature."
)


class StandardWebhooksAdapter(Adapter):
    slug = "standard_webhooks"
    label = "Standard Webhooks (any sender)"
    category = Category.OBSERVABILITY
    api_versions = ("1.0.0",)

    manifest = Manifest(
        # The specification advises senders to wait 15 to 30 seconds.
        ack_budget_seconds=15,
        # It advises less than 20 kB and sets no limit; this one is ours.
        body_limit_bytes=MIB,
        # Its example; the sum is a little over three days. Senders may take longer.
        retry_schedule_seconds=(5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400),
        redelivery_horizon=timedelta(days=7),
        delivery_id_header="webhook-id",
        timestamp_tolerance_seconds=300,
        ordering_key="the sender's entity, by its id",
        documentation="https://www.standardwebhooks.com/",
    )

    settings_schema: ClassVar[JSON] = {
        "type": "object",
        "properties": {"mapping": RULES_SCHEMA, "pointers": POINTERS_SCHEMA},
        "additionalProperties": False,
    }
    credential_schema: ClassVar[JSON] = {"type": "object", "properties": {}, "additionalProperties": False}

    webhook = StandardWebhook()

    def normalise(self, signal_type: SignalType, event_type: str, payload: JSON) -> Signal:
        return mapping.signal(signal_type, event_type, payload)

    def client_config(
        self, settings: Mapping[str, Any], credential: Mapping[str, str], api_version: str
    ) -> ClientConfig:
        raise Misconfigured(NOTHING_TO_CALL)

    def verify(self, client: ProviderClient) -> Identity:
        raise Misconfigured(NOTHING_TO_CALL)
