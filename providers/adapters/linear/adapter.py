"""Linear: what it is, what it imposes, and how to call it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from providers.adapters.linear import graphql, mapping
from providers.adapters.linear.actions import ACTIONS
from providers.adapters.linear.oauth import OAUTH
from providers.adapters.linear.polling import CommentStream, CycleStream, ProjectStream, ProjectUpdateStream
from providers.adapters.linear.polling_issues import IssueStream
from providers.adapters.linear.quotas import QUOTAS
from providers.adapters.linear.webhook import DELIVERY_HEADER, LinearWebhook
from providers.canonical import JSON, Category, Signal, SignalType
from providers.client import ClientConfig, ProviderClient
from providers.document import compact
from providers.errors import Misconfigured, ProviderFault
from providers.manifest import MIB, Manifest
from providers.minting import CLIENT_PARTS, ClientCredentials
from providers.spi import Adapter, Identity

DEFAULT_BASE_URL = "https://api.linear.app"
VIEWER = "query Viewer { viewer { id name } organization { id name urlKey } }"
_TOKEN = re.compile(r"[!-~]{1,4096}", re.ASCII)
_SECRET: JSON = {"type": "string", "minLength": 1, "maxLength": 4096, "pattern": "^[!-~]+$"}


class LinearAdapter(Adapter):
    slug = "linear"
    label = "Linear"
    category = Category.ISSUE_TRACKER
    # The API has no versions; its schema only grows, and marks what will go.
    api_versions = ("graphql",)

    manifest = Manifest(
        ack_budget_seconds=5,
        retry_schedule_seconds=(60, 3600, 21600),
        redelivery_horizon=timedelta(hours=8),
        delivery_id_header=DELIVERY_HEADER,
        # No limit is published; the official SDK reads no more.
        body_limit_bytes=5 * MIB,
        # Exactly 200 counts; anything else is a failure, and enough of them disable the webhook.
        accepted_status=200,
        duplicate_status=200,
        ordering_key="an issue with its comments, a project, a cycle, a label or a document",
        quotas=QUOTAS,
        documentation="https://linear.app/developers/webhooks",
    )

    settings_schema: ClassVar[JSON] = {
        "type": "object",
        "properties": {
            "base_url": {
                "type": "string",
                "format": "uri",
                "pattern": "^https?://",
                "default": DEFAULT_BASE_URL,
                "description": "API address; there is only one unless a proxy stands before it.",
            },
            "teams": {
                "type": "array",
                "items": {"type": "string", "pattern": "^[A-Z0-9]{1,20}$"},
                "uniqueItems": True,
                "maxItems": 100,
                "description": "Keys of the teams to make webhooks for and to poll, such as ENG; all if empty.",
            },
            "streams": {
                "type": "array",
                "items": {"enum": ["issues", "comments", "projects", "project_updates", "cycles"]},
                "uniqueItems": True,
                "description": "Lists to poll; without it: issues and comments.",
            },
            "history": {
                "type": "boolean",
                "description": "Whether polling tells every change of an issue, not only the last; for use without "
                "webhooks, which tell the same.",
            },
            "poll_interval_seconds": {"type": "integer", "minimum": 60, "maximum": 86400},
        },
        "additionalProperties": False,
    }
    credential_schema: ClassVar[JSON] = {
        "type": "object",
        "properties": {
            "token": {**_SECRET, "description": "Personal API key (lin_api_…)."},
            "access_token": {**_SECRET, "description": "OAuth access token."},
            **CLIENT_PARTS,
        },
        "oneOf": [{"required": [*parts]} for parts in (("token",), ("access_token",), ("client_id", "client_secret"))],
        "additionalProperties": False,
    }

    oauth = OAUTH
    token_minters = (ClientCredentials(server=OAUTH, scope=OAUTH.scope_separator.join(OAUTH.scopes)),)
    webhook = LinearWebhook()
    streams = (IssueStream(), CommentStream(), ProjectStream(), ProjectUpdateStream(), CycleStream())
    actions = ACTIONS

    def normalise(self, signal_type: SignalType, event_type: str, payload: JSON) -> Signal:
        return mapping.signal(signal_type, event_type, payload)

    def client_config(
        self, settings: Mapping[str, Any], credential: Mapping[str, str], api_version: str
    ) -> ClientConfig:
        key, bearer = credential.get("token") or "", credential.get("access_token") or ""
        if not _TOKEN.fullmatch(key or bearer):
            raise Misconfigured("The credential has no usable token.")
        return ClientConfig(
            base_url=settings.get("base_url") or DEFAULT_BASE_URL,
            # A personal key stands alone; only OAuth tokens are bearer tokens.
            headers={"Authorization": key or f"Bearer {bearer}"},
            rate_limit_headers=self.manifest.rate_limit_headers,
            classify=graphql.classify,
            explain=graphql.explain,
        )

    def verify(self, client: ProviderClient) -> Identity:
        """Ask who we are and which workspace this is."""
        answer = graphql.data(client.post_query(graphql.PATH, json=graphql.request("Viewer", VIEWER)))
        account = answer.text("/viewer/id", limit=100)
        if not account:
            raise ProviderFault("Linear does not say whose credential this is.")
        details = {
            "name": answer.text("/viewer/name"),
            "organization": answer.text("/organization/urlKey"),
            "organization_id": answer.text("/organization/id", limit=100),
        }
        return Identity(account=account, details=compact(details))
