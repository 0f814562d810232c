"""GitHub: github.com, GHE.com and GitHub Enterprise Server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from providers.adapters.github import account, mapping
from providers.adapters.github.actions import ACTIONS
from providers.adapters.github.app_tokens import InstallationTokens
from providers.adapters.github.oauth import OAUTH
from providers.adapters.github.polling import STREAMS
from providers.adapters.github.quotas import PAUSE_SECONDS, QUOTAS
from providers.adapters.github.refusals import classify, explain
from providers.adapters.github.settings import CREDENTIAL_SCHEMA, DEFAULT_BASE_URL, SETTINGS_SCHEMA
from providers.adapters.github.webhook import GitHubWebhook
from providers.canonical import JSON, Category, Signal, SignalType
from providers.client import ClientConfig, ProviderClient
from providers.errors import Misconfigured
from providers.manifest import MIB, Manifest
from providers.spi import Adapter, Identity

# Installation tokens hold dots and are over 500 characters long since they became JWTs.
_TOKEN = re.compile(r"[!-~]{1,4096}", re.ASCII)


class GitHubAdapter(Adapter):
    slug = "github"
    label = "GitHub"
    category = Category.SCM
    # Enterprise Server knows only the versions of its release, so a connection keeps its own.
    api_versions = ("2026-03-10", "2022-11-28")

    manifest = Manifest(
        ack_budget_seconds=10,
        body_limit_bytes=25 * MIB,
        # Nothing is redelivered by itself, but a person or script can for 3 days, on Enterprise Server 7.
        redelivery_horizon=timedelta(days=7),
        delivery_id_header="x-github-delivery",
        ordering_key="issue or pull request, branch or tag, run, check, deployment, release, alert, repository",
        quotas=QUOTAS,
        pause_seconds=PAUSE_SECONDS,
        documentation="https://docs.github.com/en/webhooks/using-webhooks/best-practices-for-using-webhooks",
    )

    settings_schema = SETTINGS_SCHEMA
    credential_schema = CREDENTIAL_SCHEMA
    oauth = OAUTH
    token_minters = (InstallationTokens(),)
    required_scopes = account.REQUIRED_SCOPES
    webhook = GitHubWebhook()
    streams = STREAMS
    actions = ACTIONS

    def normalise(self, signal_type: SignalType, event_type: str, payload: JSON) -> Signal:
        return mapping.signal(signal_type, event_type, payload)

    def client_config(
        self, settings: Mapping[str, Any], credential: Mapping[str, str], api_version: str
    ) -> ClientConfig:
        token = credential.get("token") or ""
        if not _TOKEN.fullmatch(token):
            raise Misconfigured("The credential has no usable token.")
        return ClientConfig(
            base_url=settings.get("base_url") or DEFAULT_BASE_URL,
            headers={
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": api_version or self.api_versions[0],
                "Authorization": f"Bearer {token}",
            },
            rate_limit_headers=self.manifest.rate_limit_headers,
            classify=classify,
            explain=explain,
        )

    def verify(self, client: ProviderClient) -> Identity:
        """Whose token it is, what it is allowed and when it ends."""
        return account.identify(client)
