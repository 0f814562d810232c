"""Slack: slack.com and GovSlack."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Final

from providers.adapters.slack import mapping
from providers.adapters.slack.answers import refusal
from providers.adapters.slack.routing import routes_of_installation
from providers.adapters.slack.webhook import SlackWebhook
from providers.canonical import JSON, Category, Signal, SignalType
from providers.client import ClientConfig, ProviderClient
from providers.document import Document, compact
from providers.errors import AuthFailed, Misconfigured, ProviderFault, Rejected
from providers.manifest import MIB, Manifest
from providers.spi import Adapter, Identity

DEFAULT_BASE_URL: Final = "https://slack.com/api"
_TOKEN = re.compile(r"[!-~]{1,1000}", re.ASCII)


class SlackAdapter(Adapter):
    """Live on events; the Web API is called only to find out whose token this is."""

    slug = "slack"
    label = "Slack"
    category = Category.CHAT
    # The Web API has no versions.
    api_versions = ("1",)

    manifest = Manifest(
        ack_budget_seconds=3,
        body_limit_bytes=MIB,
        # At once, after a minute, after five; with the option "delayed events" then hourly for a day.
        retry_schedule_seconds=(0, 60, 300),
        redelivery_horizon=timedelta(hours=25),
        delivery_id_header="",
        timestamp_tolerance_seconds=300,
        ordering_key="message; for what happens to a channel itself, the channel",
        handshake="url_verification",
        accepted_status=200,
        vendor_origins=("https://slack.com", "https://slack-gov.com"),
        documentation="https://docs.slack.dev/apis/events-api/",
    )

    settings_schema: ClassVar[JSON] = {
        "type": "object",
        "properties": {
            "base_url": {
                "type": "string",
                "format": "uri",
                # Plain http is refused by the client except for hosts the operator admits (a simulator); what
                # those say of an account routes nothing (vendor_origins).
                "pattern": "^(https://slack(-gov)?\\.com/api/?|http://[^\\s?#@]+)$",
                "maxLength": 200,
                "default": DEFAULT_BASE_URL,
                "description": "API address; https://slack-gov.com/api for GovSlack.",
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
                "maxLength": 1000,
                "pattern": "^[!-~]+$",
                "description": "Bot token of the installed app (xoxb-…).",
            }
        },
        "required": ["token"],
        "additionalProperties": False,
    }

    webhook = SlackWebhook()

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
        )

    def verify(self, client: ProviderClient) -> Identity:
        """``auth.test``, which needs no scope; for a bot also its app, where the token may ask (``users:read``)."""
        answer = client.post_query("auth.test", json={})
        who = Document(answer.json())
        workspace, user = who.text("/team_id", limit=60), who.text("/user_id", limit=60)
        if who.boolean("/ok") is not True or not workspace or not user:
            raise ProviderFault("Slack does not say whose token this is.")
        bot = who.text("/bot_id", limit=60)
        app = _app_of(client, bot) if bot else None
        details = {
            "workspace": who.text("/team", limit=200),
            "user": who.text("/user", limit=200),
            "url": who.text("/url", limit=200),
            "type": "bot" if bot else "person",
            "app": app,
            "scopes": answer.headers.get("x-oauth-scopes"),
        }
        return Identity(
            account=f"{workspace}:{user}",
            details=compact(details),
            # A person's id is the same for every app, so only a bot's can be a route.
            routes=routes_of_installation(who, app) if bot else (),
        )


def _app_of(client: ProviderClient, bot: str) -> str | None:
    """The id of the app a bot belongs to, or ``None`` where the token may not ask.

    https://docs.slack.dev/reference/methods/bots.info
    """
    try:
        info = Document(client.get("bots.info", params={"bot": bot}).json())
    except (AuthFailed, Rejected):
        return None
    return info.text("/bot/app_id", limit=60) if info.text("/bot/id") == bot else None
