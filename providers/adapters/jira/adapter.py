"""Jira: what it is, what it imposes, and how to call it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from providers.adapters.jira.actions import ACTIONS
from providers.adapters.jira.answers import explain
from providers.adapters.jira.lookup import MYSELF_PATH
from providers.adapters.jira.mapping import to_signal
from providers.adapters.jira.oauth import OAUTH
from providers.adapters.jira.polling import IssuesStream
from providers.adapters.jira.quotas import QUOTAS
from providers.adapters.jira.settings import CREDENTIAL_SCHEMA, SETTINGS_SCHEMA
from providers.adapters.jira.webhook import IDENTIFIER_HEADER, JiraWebhook
from providers.canonical import JSON, Category, Signal, SignalType
from providers.client import ClientConfig, ProviderClient
from providers.document import Document
from providers.errors import Misconfigured, ProviderFault, Rejected
from providers.manifest import Manifest, RateLimitHeaders
from providers.spi import Adapter, Identity


class JiraAdapter(Adapter):
    """Jira Cloud over REST v3; webhooks of Jira Data Center are read as well."""

    slug = "jira"
    label = "Jira"
    category = Category.ISSUE_TRACKER
    api_versions = ("3",)

    manifest = Manifest(
        # The vendor publishes no time-out; a slow answer is retried, so it must stay far below one.
        ack_budget_seconds=5,
        # Five retries, 5 to 15 minutes apart with random spread: the last one comes within 75 minutes.
        retry_schedule_seconds=(900,) * 5,
        redelivery_horizon=timedelta(hours=2),
        delivery_id_header=IDENTIFIER_HEADER,
        ordering_key="issue, sprint, version, board, project",
        quotas=QUOTAS,
        rate_limit_headers=RateLimitHeaders(
            limit="x-ratelimit-limit",
            remaining="x-ratelimit-remaining",
            reset="x-ratelimit-reset",
            reset_format="iso8601",
        ),
        documentation="https://developer.atlassian.com/cloud/jira/platform/webhooks/",
    )

    settings_schema = SETTINGS_SCHEMA
    credential_schema = CREDENTIAL_SCHEMA
    oauth = OAUTH
    webhook = JiraWebhook()
    streams = (IssuesStream(),)
    actions = ACTIONS

    def normalise(self, signal_type: SignalType, event_type: str, payload: JSON) -> Signal:
        return to_signal(signal_type, payload)

    def client_config(
        self, settings: Mapping[str, Any], credential: Mapping[str, str], api_version: str
    ) -> ClientConfig:
        base_url, token, email = settings.get("base_url"), credential.get("token"), credential.get("email")
        if not base_url:
            raise Misconfigured("The setting base_url is missing.")
        if not token:
            raise Misconfigured("The credential has no token.")
        if email:
            authorization = "Basic " + base64.b64encode(f"{email}:{token}".encode()).decode()
        else:
            authorization = f"Bearer {token}"
        return ClientConfig(
            base_url=base_url,
            headers={"Authorization": authorization},
            rate_limit_headers=self.manifest.rate_limit_headers,
            explain=explain,
        )

    def verify(self, client: ProviderClient) -> Identity:
        """Ask who we are. Other endpoints answer a bad token as an anonymous visitor, with 200."""
        try:
            answer = client.get(MYSELF_PATH).json()
        except Rejected as error:
            if error.status == 404:
                raise Misconfigured("There is no Jira at base_url, or the credential is not for it.") from None
            raise
        body = Document(answer)
        account = body.text("/accountId")
        if not account:
            raise ProviderFault("The provider does not say whose credential this is.")
        details = {"name": body.text("/displayName"), "time_zone": body.text("/timeZone")}
        return Identity(account=account, details={name: value for name, value in details.items() if value})
