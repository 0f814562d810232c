"""Azure DevOps: what it is, what it imposes, and how to call it."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from providers.adapters.azure_devops import entra, mapping
from providers.adapters.azure_devops.actions import ACTIONS
from providers.adapters.azure_devops.answers import classify, explain
from providers.adapters.azure_devops.lookup import IDENTITY_PATH, IDENTITY_VERSION
from providers.adapters.azure_devops.polling import (
    BuildStream,
    ClosedPullRequestStream,
    OpenedPullRequestStream,
    PushStream,
)
from providers.adapters.azure_devops.polling_work import WorkItemStream
from providers.adapters.azure_devops.quotas import QUOTAS
from providers.adapters.azure_devops.settings import SETTINGS
from providers.adapters.azure_devops.webhook import AzureDevOpsWebhook
from providers.canonical import JSON, Category, Signal, SignalType
from providers.client import ClientConfig, ProviderClient
from providers.document import Document, compact
from providers.errors import AuthFailed, Misconfigured, ProviderFault, Rejected
from providers.manifest import MIB, Manifest
from providers.spi import Adapter, Identity

_TOKEN = re.compile(r"[!-~]{1,8192}", re.ASCII)
_SECRET: JSON = {"type": "string", "minLength": 1, "maxLength": 8192, "pattern": "^[!-~]+$"}


class AzureDevOpsAdapter(Adapter):
    """Azure DevOps Services, and Azure DevOps Server as far as it speaks the same version."""

    slug = "azure_devops"
    label = "Azure DevOps"
    category = Category.SCM
    api_versions = ("7.1",)

    manifest = Manifest(
        # No time-out is published; this is the careful guess.
        ack_budget_seconds=10,
        # What fails passingly is tried again at once; what still fails puts the subscription on probation.
        retry_schedule_seconds=(
            *(1, 2, 4, 8, 16, 32, 60, 60),
            *(1200, 2400, 4800, 9600, 19200, 38400, 54000),
        ),
        redelivery_horizon=timedelta(hours=37),
        delivery_id_header="",
        body_limit_bytes=2 * MIB,
        # Only 408, 502, 503 and 504 are tried again without the subscription losing what comes meanwhile; 410
        # disables it at once. Who cannot prove himself is told so: his events could not be taken anyway.
        accepted_status=200,
        rejected_status=401,
        limited_status=503,
        fault_status=503,
        ordering_key="a pull request, a ref, a work item, a run, a deployment, a release or a repository",
        quotas=QUOTAS,
        documentation="https://learn.microsoft.com/azure/devops/service-hooks/troubleshoot",
    )

    settings_schema = SETTINGS
    credential_schema: ClassVar[JSON] = {
        "type": "object",
        "properties": {
            "token": {**_SECRET, "description": "Personal access token of one organisation."},
            "access_token": {**_SECRET, "description": "Access token of Microsoft Entra ID."},
            **entra.PARTS,
        },
        "oneOf": [{"required": ["token"]}, {"required": ["access_token"]}, {"required": [*entra.PARTS]}],
        "additionalProperties": False,
    }
    token_minters = (entra.SERVICE_PRINCIPAL,)

    webhook = AzureDevOpsWebhook()
    streams = (WorkItemStream(), BuildStream(), OpenedPullRequestStream(), ClosedPullRequestStream(), PushStream())
    actions = ACTIONS

    def normalise(self, signal_type: SignalType, event_type: str, payload: JSON) -> Signal:
        return mapping.signal(signal_type, event_type, payload)

    def client_config(
        self, settings: Mapping[str, Any], credential: Mapping[str, str], api_version: str
    ) -> ClientConfig:
        base_url = settings.get("base_url")
        if not base_url:
            raise Misconfigured("The setting base_url is missing.")
        token, bearer = credential.get("token") or "", credential.get("access_token") or ""
        if not _TOKEN.fullmatch(token or bearer):
            raise Misconfigured("The credential has no usable token.")
        # A personal access token is a password without a user.
        basic = "Basic " + base64.b64encode(f":{token}".encode()).decode()
        return ClientConfig(
            base_url=base_url,
            headers={
                "Authorization": basic if token else f"Bearer {bearer}",
                # Asks for 401 instead of a redirect to the sign-in page.
                "X-TFS-FedAuthRedirect": "Suppress",
            },
            rate_limit_headers=self.manifest.rate_limit_headers,
            classify=classify,
            explain=explain,
        )

    def verify(self, client: ProviderClient) -> Identity:
        """Ask who we are; a visitor without a name is told so with 200."""
        params = {"api-version": IDENTITY_VERSION}
        try:
            body = Document(client.get(IDENTITY_PATH, params=params).json())
        except Rejected as error:
            if error.status == 404:
                raise Misconfigured("There is no such organisation at base_url, or it is hidden.") from None
            raise
        user = "/authenticatedUser"
        name, account = body.text(f"{user}/providerDisplayName"), body.text(f"{user}/id", limit=100)
        descriptor = body.text(f"{user}/descriptor") or ""
        if (name or "").lower() == "anonymous" or descriptor.startswith("System:PublicAccess"):
            raise AuthFailed("Azure DevOps does not know the token; it answers as to an anonymous visitor.")
        if not account:
            raise ProviderFault("Azure DevOps does not say whose token this is.")
        return Identity(account=account, details=compact({"name": name}))
