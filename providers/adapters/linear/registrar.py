"""Webhooks made and removed through Linear's API: one for all public teams, or one a team.

The id of a hook is chosen here, made of its target and URL. Making it again after an unknown outcome meets the hook
that is there already, so one is left, never two. Needs an admin's key, or an app with the scope ``admin``.
Source: https://linear.app/developers/webhooks
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from providers.adapters.linear import graphql
from providers.adapters.linear.lookup import team_of_key
from providers.client import ProviderClient
from providers.document import Document
from providers.errors import Misconfigured, ProviderFault, Rejected
from providers.ledgers import HookCondition, HookState, HookWatcher
from providers.spi import HookRegistrar

ALL_PUBLIC_TEAMS = "all public teams"
RESOURCE_TYPES = (
    *("Issue", "Comment", "Project", "ProjectUpdate", "Cycle"),
    *("IssueLabel", "Reaction", "Attachment", "Document"),
)
_LABEL = "Signals"
_ADDRESS = "A webhook's address must begin with https:// and be reachable from the internet."

HOOK = "query Hook($id: String!) { webhook(id: $id) { id url enabled } }"
CREATE = (
    "mutation CreateHook($input: WebhookCreateInput!) "
    "{ webhookCreate(input: $input) { success webhook { id enabled } } }"
)
UPDATE = (
    "mutation UpdateHook($id: String!, $input: WebhookUpdateInput!) "
    "{ webhookUpdate(id: $id, input: $input) { success webhook { id enabled } } }"
)
DELETE = "mutation DeleteHook($id: String!) { webhookDelete(id: $id) { success } }"


class LinearWatcher(HookWatcher):
    """A webhook that keeps failing may be switched off by Linear; it is not said after how many failures."""

    def state(self, client: ProviderClient, *, target: str, hook_id: str) -> HookState:
        try:
            found = graphql.data(client.post_query(graphql.PATH, json=graphql.request("Hook", HOOK, {"id": hook_id})))
        except Rejected as refused:
            # Of what the credential may not see it is said too, but it could see it when it made it.
            if refused.status != graphql.NOT_FOUND:
                raise
            return HookState(condition=HookCondition.GONE)
        enabled = found.boolean("/webhook/enabled")
        if enabled is None:
            raise ProviderFault("Linear does not say whether the webhook is enabled.")
        condition = HookCondition.ENABLED if enabled else HookCondition.DISABLED
        return HookState(condition=condition, url=found.text("/webhook/url") or "")

    def enable(
        self, client: ProviderClient, *, target: str, hook_id: str, url: str, secret: str, events: Sequence[str]
    ) -> str:
        _done(client, "UpdateHook", UPDATE, {"id": hook_id, "input": {"enabled": True}}, "webhookUpdate")
        return hook_id


class LinearHooks(HookRegistrar):
    scheme = "hmac"
    watcher = LinearWatcher()

    def targets(self, settings: Mapping[str, Any]) -> Sequence[str]:
        """The keys of the teams, or all public teams where the settings name none."""
        return settings.get("teams") or (ALL_PUBLIC_TEAMS,)

    def create(self, client: ProviderClient, *, target: str, url: str, secret: str, events: Sequence[str]) -> str:
        hook_id = _hook_id(target, url)
        kinds = [kind for kind in events if kind in RESOURCE_TYPES] if events else list(RESOURCE_TYPES)
        if not kinds:
            raise Misconfigured("None of these events can be chosen for a webhook at Linear.")
        changeable = {"url": url, "secret": secret, "resourceTypes": kinds, "label": _LABEL}
        wanted = {**changeable, "id": hook_id, **self._place(client, target)}
        try:
            return _done(client, "CreateHook", CREATE, {"input": wanted}, "webhookCreate") or hook_id
        except Rejected as refused:
            if not _is_ours(client, hook_id, url):
                # Linear does not say which of the values it means.
                if str(refused) == graphql.REFUSED:
                    raise Rejected(f"{refused} {_ADDRESS}", status=refused.status) from None
                raise
        # An earlier attempt made it, perhaps with another secret.
        again = {"id": hook_id, "input": {**changeable, "enabled": True}}
        _done(client, "UpdateHook", UPDATE, again, "webhookUpdate")
        return hook_id

    def change_secret(self, client: ProviderClient, *, target: str, hook_id: str, url: str, secret: str) -> None:
        # ``webhookRotateSecret`` would make a secret of Linear's own; this one is told to both sides by us.
        _done(client, "UpdateHook", UPDATE, {"id": hook_id, "input": {"secret": secret}}, "webhookUpdate")

    def delete(self, client: ProviderClient, *, target: str, hook_id: str) -> None:
        try:
            _done(client, "DeleteHook", DELETE, {"id": hook_id}, "webhookDelete")
        except Rejected as refused:
            if refused.status != graphql.NOT_FOUND:
                raise

    def _place(self, client: ProviderClient, target: str) -> dict[str, Any]:
        if target == ALL_PUBLIC_TEAMS:
            return {"allPublicTeams": True}
        team = team_of_key(client, target)
        if not team:
            raise Misconfigured(f"There is no team {target} at Linear, or the credential cannot see it.")
        return {"teamId": team}


def _hook_id(target: str, url: str) -> str:
    digest = hashlib.sha256(f"{target}\n{url}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def _is_ours(client: ProviderClient, hook_id: str, url: str) -> bool:
    try:
        answer = client.post_query(graphql.PATH, json=graphql.request("Hook", HOOK, {"id": hook_id}))
    except Rejected:
        return False
    return graphql.data(answer).text("/webhook/url") == url


def _done(client: ProviderClient, operation: str, text: str, variables: Mapping[str, Any], field: str) -> str | None:
    """The id of the hook a mutation was about. Raises ``Rejected`` where Linear says it did nothing."""
    answer = client.write("POST", graphql.PATH, json=graphql.request(operation, text, variables))
    told: Document = graphql.data(answer)
    if told.boolean(f"/{field}/success") is not True:
        raise Rejected(graphql.UNDONE, status=answer.status)
    return told.text(f"/{field}/webhook/id")
