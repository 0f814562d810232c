"""GitHub: github.com, GHE.com and GitHub Enterprise Server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from providers.adapters.github import mapping
from providers.adapters.github.polling import STREAMS
from providers.adapters.github.quotas import PAUSE_SECONDS, QUOTAS
from providers.adapters.github.webhook import GitHubWebhook
from providers.canonical import JSON, Category, Signal, SignalType
from providers.client import ClientConfig, ProviderClient
from providers.document import Document, compact
from providers.errors import AuthFailed, Misconfigured, ProviderFault
from providers.manifest import MIB, Manifest
from providers.spi import Adapter, Identity

DEFAULT_BASE_URL = "https://api.github.com"
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

    settings_schema: ClassVar[JSON] = {
        "type": "object",
        "properties": {
            "base_url": {
                "type": "string",
                "format": "uri",
                "pattern": "^https?://",
                "default": DEFAULT_BASE_URL,
                "description": "API address; https://HOST/api/v3 for Enterprise Server.",
            },
            "repositories": {
                "type": "array",
                "items": {
                    "type": "string",
                    "pattern": "^[A-Za-z0-9_-]+/[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*$",
                    "maxLength": 140,
                },
                "uniqueItems": True,
                "maxItems": 500,
                "description": "Repositories to poll and to make webhooks in, as owner/name.",
            },
            "streams": {
                "type": "array",
                "items": {"enum": [stream.name for stream in STREAMS]},
                "uniqueItems": True,
                "description": "Lists to poll; without it: issues.",
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
                "maxLength": 4096,
                "pattern": "^[!-~]+$",
                "description": "Personal access token, OAuth token or installation token.",
            }
        },
        "required": ["token"],
        "additionalProperties": False,
    }

    webhook = GitHubWebhook()
    streams = STREAMS

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
        )

    def verify(self, client: ProviderClient) -> Identity:
        """``GET /user``; a token of an app installation has no user and is asked for its repositories."""
        try:
            answer = client.get("/user")
        except AuthFailed as refused:
            if refused.status != 403:
                raise
            return _installation(client)
        user = Document(answer.json())
        login = user.text("/login", limit=100)
        if not login:
            raise ProviderFault("GitHub does not say whose token this is.")
        details = {"type": user.text("/type"), "scopes": answer.headers.get("x-oauth-scopes")}
        return Identity(account=login, details=compact(details))


def _installation(client: ProviderClient) -> Identity:
    """https://docs.github.com/en/rest/apps/installations#list-repositories-accessible-to-the-app-installation"""
    try:
        found = Document(client.get("/installation/repositories", params={"per_page": 1}).json())
    except AuthFailed as refused:
        raise AuthFailed(
            "GitHub refuses the token (403). A fine-grained token may lack a permission, a classic one the "
            "organisation's single sign-on, or too many bad logins block it for a while.",
            status=refused.status,
        ) from None
    total = found.integer("/total_count")
    if total is None:
        raise ProviderFault("GitHub does not say what the token can see.")
    owner = found.text("/repositories/0/owner/login", limit=100)
    return Identity(account=owner or "app installation", details={"type": "Installation", "repositories": str(total)})
