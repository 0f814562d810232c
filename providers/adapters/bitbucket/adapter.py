"""Bitbucket Cloud: what it is, what it imposes, and how to call it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from providers.adapters.bitbucket import access, mapping
from providers.adapters.bitbucket.actions import ACTIONS
from providers.adapters.bitbucket.oauth import OAUTH
from providers.adapters.bitbucket.polling import ActivityStream, PipelineStream, PullRequestStream
from providers.adapters.bitbucket.quotas import PAUSE_SECONDS, QUOTAS
from providers.adapters.bitbucket.webhook import BitbucketWebhook
from providers.canonical import JSON, Category, Signal, SignalType
from providers.client import ClientConfig, ProviderClient
from providers.document import Document, compact
from providers.errors import Misconfigured, ProviderFault, Rejected
from providers.manifest import MIB, Manifest
from providers.minting import CLIENT_PARTS
from providers.spi import Adapter, Identity

DEFAULT_BASE_URL = "https://api.bitbucket.org/2.0"
# A slug, or a UUID in braces, which outlives a rename.
_NAME = r"([A-Za-z0-9_.-]*[A-Za-z0-9_-][A-Za-z0-9_.-]*|\{[0-9a-f-]{36}\})"


class BitbucketAdapter(Adapter):
    """Bitbucket Cloud over REST 2.0. Bitbucket Data Center is another product and is not read."""

    slug = "bitbucket"
    label = "Bitbucket"
    category = Category.SCM
    api_versions = ("2.0",)

    manifest = Manifest(
        ack_budget_seconds=10,
        # No limit is published.
        body_limit_bytes=25 * MIB,
        # Two more tries after 5xx and time-outs, soon after one another; the pauses are not published.
        retry_schedule_seconds=(0, 0),
        # A person can resend; for how long is not published, so a week is assumed.
        redelivery_horizon=timedelta(days=7),
        # Nothing is tried again after a 4xx, so a limit must not look like one.
        limited_status=503,
        delivery_id_header="x-request-uuid",
        ordering_key="pull request, branch or tag, build status, or repository",
        quotas=QUOTAS,
        pause_seconds=PAUSE_SECONDS,
        documentation="https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/",
    )

    settings_schema: ClassVar[JSON] = {
        "type": "object",
        "properties": {
            "base_url": {
                "type": "string",
                "format": "uri",
                "pattern": "^https?://",
                "maxLength": 500,
                "default": DEFAULT_BASE_URL,
                "description": "Address of the API.",
            },
            "workspaces": {
                "type": "array",
                "items": {"type": "string", "pattern": f"^{_NAME}$", "maxLength": 100},
                "uniqueItems": True,
                "maxItems": 50,
                "description": "Workspaces to make hooks in, for all their repositories; they are not polled.",
            },
            "repositories": {
                "type": "array",
                "items": {"type": "string", "pattern": f"^{_NAME}/{_NAME}$", "maxLength": 200},
                "uniqueItems": True,
                "maxItems": 500,
                "description": "Repositories to poll and to make hooks in: workspace/repository, each slug or {uuid}.",
            },
            "streams": {
                "type": "array",
                "items": {"enum": ["pull_requests", "pull_request_activity", "pipelines"]},
                "uniqueItems": True,
                "description": "Lists to poll; without it: pull_requests, pull_request_activity.",
            },
            "poll_interval_seconds": {"type": "integer", "minimum": 60, "maximum": 86400},
        },
        "additionalProperties": False,
    }
    credential_schema: ClassVar[JSON] = {
        "type": "object",
        "properties": {
            "email": {
                "type": "string",
                "minLength": 3,
                "maxLength": 320,
                "x-public": True,
                "description": "Atlassian account of an API token. Without it the token is sent as a bearer token.",
            },
            "token": {
                "type": "string",
                "minLength": 1,
                "maxLength": 4096,
                "pattern": "^[!-~]+$",
                "description": "API token, access token of a repository, project or workspace, or OAuth token.",
            },
            **CLIENT_PARTS,
        },
        "oneOf": [{"required": ["token"]}, {"required": ["client_id", "client_secret"]}],
        "additionalProperties": False,
    }

    oauth = OAUTH
    webhook = BitbucketWebhook()
    streams = (PullRequestStream(), ActivityStream(), PipelineStream())
    actions = ACTIONS

    def normalise(self, signal_type: SignalType, event_type: str, payload: JSON) -> Signal:
        return mapping.signal(signal_type, event_type, payload)

    def client_config(
        self, settings: Mapping[str, Any], credential: Mapping[str, str], api_version: str
    ) -> ClientConfig:
        return ClientConfig(
            base_url=settings.get("base_url") or DEFAULT_BASE_URL,
            headers={"Authorization": access.authorization(credential)},
            rate_limit_headers=self.manifest.rate_limit_headers,
            classify=access.refusal,
            explain=access.explain,
            account_path=access.account_path(settings, credential),
        )

    def verify(self, client: ProviderClient) -> Identity:
        """Ask for the user, or for what an access token was made for: it stands for no user."""
        try:
            account = Document(client.get(client.account_path).json())
        except Rejected as refused:
            if refused.status != 404:
                raise
            raise Misconfigured(f"Bitbucket shows no {client.account_path} to this credential (404).") from None
        name = account.text("/account_id", "/full_name", "/slug", limit=200)
        if name is None:
            raise ProviderFault("Bitbucket does not say whose credential this is.")
        details = {"type": account.text("/type"), "name": account.text("/display_name", "/name")}
        return Identity(account=name, details=compact(details))
