"""Microsoft Teams: Graph change notifications, bot activities and outgoing webhooks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Final

from providers.adapters.msteams import app_tokens, mapping
from providers.adapters.msteams.actions import ACTIONS
from providers.adapters.msteams.answers import refusal, words
from providers.adapters.msteams.quotas import QUOTAS
from providers.adapters.msteams.webhook import TeamsWebhook
from providers.canonical import JSON, Category, Signal, SignalType
from providers.client import ClientConfig, ProviderClient
from providers.document import Document, compact
from providers.errors import AuthFailed, Misconfigured, ProviderFault, Rejected
from providers.manifest import MIB, Manifest
from providers.spi import Adapter, Identity

DEFAULT_BASE_URL: Final = "https://graph.microsoft.com/v1.0"
_TOKEN = re.compile(r"[!-~]{1,16000}", re.ASCII)
_WHO: Final = {"$select": "id,displayName"}


class TeamsAdapter(Adapter):
    """Three ways in, each with a scheme of its own; what goes out goes through Graph, as a person."""

    slug = "msteams"
    label = "Microsoft Teams"
    category = Category.CHAT
    api_versions = ("v1.0",)

    manifest = Manifest(
        # Graph counts answers over 10 s and drops notifications of slow endpoints; 3 s is what it asks for.
        ack_budget_seconds=3,
        # Larger than any notification: a message has at most 28 KB, and several come in one request.
        body_limit_bytes=4 * MIB,
        # Graph tries again with growing pauses, unpublished, for 4 hours; for bots nothing is documented.
        redelivery_horizon=timedelta(hours=4),
        delivery_id_header="",
        ordering_key="message; for what happens to a channel itself, the channel",
        handshake="validationToken",
        # The answer to an outgoing webhook or a card must be 200; Graph takes any 2xx.
        accepted_status=200,
        quotas=QUOTAS,
        documentation="https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks",
    )

    settings_schema: ClassVar[JSON] = {
        "type": "object",
        "properties": {
            "base_url": {
                "type": "string",
                "format": "uri",
                # Plain http is refused by the client except for hosts the operator admits (a simulator).
                "pattern": "^(https://(graph\\.microsoft\\.com|graph\\.microsoft\\.us|dod-graph\\.microsoft\\.us"
                "|microsoftgraph\\.chinacloudapi\\.cn)/v1\\.0/?|http://[^\\s?#@]+)$",
                "maxLength": 200,
                "default": DEFAULT_BASE_URL,
                "description": "Address of Microsoft Graph; another one for the national clouds.",
            }
        },
        "additionalProperties": False,
    }
    credential_schema: ClassVar[JSON] = {
        "type": "object",
        "properties": {
            "token": {
                "type": "string",
                "minLength": 1,
                "maxLength": 16000,
                "pattern": "^[!-~]+$",
                "description": "Access token for Microsoft Graph, of a person or an application.",
            },
            **app_tokens.PARTS,
        },
        "oneOf": [{"required": ["token"]}, {"required": [*app_tokens.PARTS]}],
        "additionalProperties": False,
    }
    token_minters = (app_tokens.APP_TOKENS,)

    webhook = TeamsWebhook()
    actions = ACTIONS

    def normalise(self, signal_type: SignalType, event_type: str, payload: JSON) -> Signal:
        return mapping.signal(signal_type, payload)

    def client_config(
        self, settings: Mapping[str, Any], credential: Mapping[str, str], api_version: str
    ) -> ClientConfig:
        token = credential.get("token") or ""
        if not _TOKEN.fullmatch(token):
            raise Misconfigured("The credential has no usable token.")
        return ClientConfig(
            base_url=settings.get("base_url") or DEFAULT_BASE_URL,
            headers={"Authorization": f"Bearer {token}"},
            classify=refusal,
            explain=words,
        )

    def verify(self, client: ProviderClient) -> Identity:
        """``GET /me``; an application has no self and is asked for its organisation."""
        try:
            me = Document(client.get("me", params=_WHO).json())
        except (AuthFailed, Rejected) as refused:
            if refused.status == 401:
                raise
            return _application(client)
        account = me.text("/id", limit=100)
        if not account:
            raise ProviderFault("Microsoft Graph does not say whose token this is.")
        return Identity(account=account, details=compact({"type": "person", "name": me.text("/displayName")}))


def _application(client: ProviderClient) -> Identity:
    """https://learn.microsoft.com/en-us/graph/api/organization-list"""
    try:
        found = Document(client.get("organization", params=_WHO).json())
    except AuthFailed as refused:
        raise AuthFailed(
            f"Microsoft Graph refuses the token ({refused.status}). An application needs the permission "
            "Organization.Read.All, consented to by an administrator.",
            status=refused.status,
        ) from None
    account = found.text("/value/0/id", limit=100)
    if not account:
        raise ProviderFault("Microsoft Graph does not say which organisation this token belongs to.")
    return Identity(
        account=account, details=compact({"type": "application", "name": found.text("/value/0/displayName")})
    )
