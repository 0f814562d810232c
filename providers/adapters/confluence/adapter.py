"""Confluence: what it is, what it imposes, and how to call it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Final

from providers.adapters.confluence import account, mapping
from providers.adapters.confluence.actions import ACTIONS
from providers.adapters.confluence.answers import classify, explain
from providers.adapters.confluence.oauth import OAUTH
from providers.adapters.confluence.polling import ContentStream
from providers.adapters.confluence.polling_trash import TrashStream
from providers.adapters.confluence.quotas import QUOTAS
from providers.adapters.confluence.webhook import IDENTIFIER_HEADER, ConfluenceWebhook
from providers.canonical import JSON, Category, Signal, SignalType
from providers.client import ClientConfig, ProviderClient
from providers.document import compact
from providers.errors import Misconfigured
from providers.manifest import Manifest, RateLimitHeaders
from providers.minting import CLIENT_PARTS
from providers.spi import Adapter, Identity

_ADDRESS: Final = r"^https?://[^\s/?#@]+(/[^\s?#@]*)?$"


class ConfluenceAdapter(Adapter):
    """Confluence Cloud by polling; webhooks of Data Center and requests of Cloud's automation rules."""

    slug = "confluence"
    label = "Confluence"
    category = Category.KNOWLEDGE
    api_versions = ("2",)

    manifest = Manifest(
        # Neither side publishes how long it waits.
        ack_budget_seconds=5,
        # An automation rule asks once; how often Data Center tries again is not published.
        redelivery_horizon=timedelta(days=1),
        delivery_id_header=IDENTIFIER_HEADER,
        ordering_key="page, blog post, comment or space",
        quotas=QUOTAS,
        rate_limit_headers=RateLimitHeaders(
            limit="x-ratelimit-limit",
            remaining="x-ratelimit-remaining",
            reset="x-ratelimit-reset",
            reset_format="iso8601",
        ),
        documentation="https://developer.atlassian.com/cloud/confluence/rate-limiting/",
    )

    settings_schema: ClassVar[JSON] = {
        "type": "object",
        "required": ["base_url"],
        "additionalProperties": False,
        "properties": {
            "base_url": {
                "type": "string",
                "pattern": _ADDRESS,
                "maxLength": 500,
                "description": "https://your-site.atlassian.net/wiki, or for scoped tokens and OAuth"
                " https://api.atlassian.com/ex/confluence/{cloudId}/wiki.",
            },
            "site_url": {
                "type": "string",
                "pattern": _ADDRESS,
                "maxLength": 500,
                "description": "https://your-site.atlassian.net/wiki; needed for links where base_url is the gateway.",
            },
            "spaces": {
                "type": "array",
                "items": {"type": "string", "pattern": "^~?[A-Za-z0-9:._-]{1,100}$"},
                "uniqueItems": True,
                "maxItems": 30,
                "description": "Keys of the spaces to poll; all the credential can see if empty.",
            },
            "streams": {
                "type": "array",
                "items": {"enum": ["content", "trash"]},
                "uniqueItems": True,
                "description": "Lists to poll; without it: content.",
            },
            "poll_interval_seconds": {"type": "integer", "minimum": 60, "maximum": 86400},
        },
    }
    credential_schema: ClassVar[JSON] = {
        "type": "object",
        "oneOf": [{"required": ["token"]}, {"required": ["client_id", "client_secret"]}],
        "additionalProperties": False,
        "properties": {
            "email": {
                "type": "string",
                "minLength": 3,
                "maxLength": 320,
                "x-public": True,
                "description": "Account of an API token. Without it the token is sent as a bearer token.",
            },
            "token": {
                "type": "string",
                "minLength": 8,
                "maxLength": 4096,
                "pattern": "^[!-~]+$",
                "description": "API token or OAuth access token.",
            },
            **CLIENT_PARTS,
        },
    }

    oauth = OAUTH
    webhook = ConfluenceWebhook()
    streams = (ContentStream(), TrashStream())
    actions = ACTIONS

    def normalise(self, signal_type: SignalType, event_type: str, payload: JSON) -> Signal:
        return mapping.signal(signal_type, event_type, payload)

    def client_config(
        self, settings: Mapping[str, Any], credential: Mapping[str, str], api_version: str
    ) -> ClientConfig:
        base_url, token, email = settings.get("base_url"), credential.get("token"), credential.get("email")
        if not base_url:
            raise Misconfigured("The setting base_url is missing.")
        if not token:
            raise Misconfigured("The credential has no token.")
        basic = base64.b64encode(f"{email}:{token}".encode()).decode()
        return ClientConfig(
            base_url=base_url,
            headers={"Authorization": f"Basic {basic}" if email else f"Bearer {token}"},
            rate_limit_headers=self.manifest.rate_limit_headers,
            classify=classify,
            explain=explain,
        )

    def verify(self, client: ProviderClient) -> Identity:
        """Who am I. Other calls may answer a bad credential as an anonymous visitor, with 200."""
        who = account.named(account.ask(client))
        details = {"name": who.text("/displayName", limit=200), "time_zone": who.text("/timeZone", limit=60)}
        return Identity(account=who.text("/accountId", "/userKey", limit=200) or "", details=compact(details))
