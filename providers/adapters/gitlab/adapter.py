"""GitLab: GitLab.com, Self-Managed and Dedicated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from providers.adapters.gitlab import account, mapping
from providers.adapters.gitlab.actions import ACTIONS
from providers.adapters.gitlab.oauth import OAUTH
from providers.adapters.gitlab.polling import IssueStream, MergeRequestStream
from providers.adapters.gitlab.polling_events import EventStream
from providers.adapters.gitlab.polling_runs import DeploymentStream, PipelineStream, ReleaseStream
from providers.adapters.gitlab.quotas import QUOTAS
from providers.adapters.gitlab.refusals import explain
from providers.adapters.gitlab.webhook import DELIVERY_HEADER, GitLabWebhook
from providers.canonical import JSON, Category, Signal, SignalType
from providers.client import ClientConfig, ProviderClient
from providers.errors import Misconfigured
from providers.manifest import MIB, Manifest
from providers.spi import Adapter, Identity

DEFAULT_BASE_URL = "https://gitlab.com/api/v4"
_TOKEN = re.compile(r"[!-~]{1,4096}", re.ASCII)
_PATH = "^([0-9]{1,18}|[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*)$"


class GitLabAdapter(Adapter):
    slug = "gitlab"
    label = "GitLab"
    category = Category.SCM
    api_versions = ("4",)

    manifest = Manifest(
        ack_budget_seconds=10,
        body_limit_bytes=25 * MIB,
        # No schedule of retries is published; a delivery can be sent again for as long as its record is kept.
        redelivery_horizon=timedelta(days=7),
        delivery_id_header=DELIVERY_HEADER,
        timestamp_tolerance_seconds=300,
        ordering_key="merge request, issue, branch or tag, pipeline, deployment, release, page, milestone, alert",
        quotas=QUOTAS,
        documentation="https://docs.gitlab.com/user/project/integrations/webhooks/",
    )

    settings_schema: ClassVar[JSON] = {
        "type": "object",
        "properties": {
            "base_url": {
                "type": "string",
                "format": "uri",
                "pattern": "^https?://",
                "default": DEFAULT_BASE_URL,
                "description": "API address; https://HOST/api/v4 for an instance of your own.",
            },
            "projects": {
                "type": "array",
                "items": {"type": "string", "pattern": _PATH, "maxLength": 255},
                "uniqueItems": True,
                "maxItems": 500,
                "description": "Projects to poll and to make webhooks in, as group/project or by number.",
            },
            "groups": {
                "type": "array",
                "items": {"type": "string", "pattern": _PATH, "maxLength": 255},
                "uniqueItems": True,
                "maxItems": 100,
                "description": "Groups to poll and to make webhooks in; webhooks of groups need a Premium plan.",
            },
            "streams": {
                "type": "array",
                "items": {"enum": ["merge_requests", "issues", "events", "pipelines", "deployments", "releases"]},
                "uniqueItems": True,
                "description": "Lists to poll; without it: merge_requests, issues, events.",
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
                "description": "Personal, project or group access token, or OAuth access token.",
            }
        },
        "required": ["token"],
        "additionalProperties": False,
    }

    oauth = OAUTH
    required_scopes = account.REQUIRED_SCOPES
    webhook = GitLabWebhook()
    streams = (
        MergeRequestStream(), IssueStream(), EventStream(), PipelineStream(), DeploymentStream(), ReleaseStream(),
    )  # fmt: skip
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
            # Every kind of token may come like this; OAuth tokens may come in no other way.
            headers={"Authorization": f"Bearer {token}"},
            rate_limit_headers=self.manifest.rate_limit_headers,
            explain=explain,
        )

    def verify(self, client: ProviderClient) -> Identity:
        """Whose token it is, what it is allowed and when it ends."""
        return account.identify(client)
