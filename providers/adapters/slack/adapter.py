"""Slack: slack.com and GovSlack."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Final

from providers.adapters.slack import account, mapping
from providers.adapters.slack.actions import ACTIONS
from providers.adapters.slack.answers import refusal, words
from providers.adapters.slack.oauth import OAUTH
from providers.adapters.slack.polling import MessageStream
from providers.adapters.slack.polling_threads import ReplyStream
from providers.adapters.slack.quotas import QUOTAS
from providers.adapters.slack.routing import routes_of_installation
from providers.adapters.slack.webhook import SlackWebhook
from providers.canonical import JSON, Category, Signal, SignalType
from providers.client import ClientConfig, ProviderClient
from providers.document import compact
from providers.errors import Misconfigured
from providers.manifest import MIB, Manifest
from providers.scopes import scopes_in
from providers.spi import Adapter, Identity

DEFAULT_BASE_URL: Final = "https://slack.com/api"
_TOKEN = re.compile(r"[!-~]{1,1000}", re.ASCII)


class SlackAdapter(Adapter):
    """Live on events; channels can be polled besides, to fill holes or where no URL can be reached."""

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
        quotas=QUOTAS,
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
            },
            "channels": {
                "type": "array",
                "items": {"type": "string", "pattern": "^[CDG][A-Z0-9]{2,39}$"},
                "uniqueItems": True,
                "maxItems": 200,
                "description": "Ids of the channels to poll; the app must be a member.",
            },
            "streams": {
                "type": "array",
                "items": {"enum": ["messages", "replies"]},
                "uniqueItems": True,
                "description": "Lists to poll; without it: messages.",
            },
            "limited": {
                "type": "boolean",
                "default": False,
                "description": "For an app that is distributed outside the Marketplace: it may read one page a minute.",
            },
            "poll_interval_seconds": {"type": "integer", "minimum": 60, "maximum": 86400},
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

    oauth = OAUTH
    required_scopes = account.REQUIRED_SCOPES
    webhook = SlackWebhook()
    streams = (MessageStream(), ReplyStream())
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
        """``auth.test``, which needs no scope; for a bot also its app, where the token may ask (``users:read``)."""
        answer = account.ask(client)
        who = account.named(answer)
        workspace, user = who.text("/team_id", limit=60), who.text("/user_id", limit=60)
        bot = who.text("/bot_id", limit=60)
        app = account.app_of(client, bot) if bot else None
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
            scopes=scopes_in(details["scopes"]),
            # A person's id is the same for every app, so only a bot's can be a route.
            routes=routes_of_installation(who, app) if bot else (),
        )
