"""Admin webhooks of a Jira Cloud site, made through its API.

Jira has two kinds. Admin webhooks carry a secret of ours and sign the body; an administrator of the site makes them
with an API token. Dynamic webhooks belong to an OAuth app: they are signed with the app's client secret, which no
connection holds, and end after 30 days unless somebody extends them. So only the former are made here.

Source: https://developer.atlassian.com/cloud/jira/platform/webhooks/, "Registering a webhook" and "Secure admin
webhooks".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

from providers.canonical import JSON
from providers.client import ProviderClient
from providers.document import Document
from providers.errors import AuthFailed, Misconfigured, ProviderFault, Rejected
from providers.ledgers import HookCondition, HookState, HookWatcher
from providers.spi import HookRegistrar

WEBHOOKS_PATH: Final = "rest/webhooks/1.0/webhook"
ALL_ISSUES: Final = "all issues"
HOOK_NAME: Final = "Integration signals"
_FILTER: Final = "issue-related-events-section"
# What an update has to repeat, so that nothing but the secret changes.
_KEPT: Final = ("name", "url", "events", "filters", "excludeBody", "enabled")
_BY_HAND: Final = "Enter the registration's URL and secret in Jira, under System > WebHooks."

_REFUSALS: Final[Mapping[int, str]] = {
    400: "Jira refuses the webhook (400): its address must be https with a publicly trusted certificate, and the"
    " projects must exist.",
    403: "Jira refuses (403): webhooks are managed by an administrator of the site, with e-mail and API token; an OAuth"
    f" token cannot. {_BY_HAND}",
    404: "Jira shows no such webhook, or no webhooks at all at this base_url (404).",
}
_NOT_SIGNED: Final = f"Jira does not say that it signs this webhook. {_BY_HAND}"


class JiraWatcher(HookWatcher):
    """Admin webhooks do not expire, but administrators can switch them off or remove them. There is no ledger."""

    def state(self, client: ProviderClient, *, target: str, hook_id: str) -> HookState:
        with _explained():
            try:
                hook = Document(client.get(_path(hook_id)).json())
            except Rejected as refused:
                if refused.status != 404:
                    raise
                # An account that is no administrator is answered the same for each of them, and for all.
                client.get(WEBHOOKS_PATH)
                return HookState(condition=HookCondition.GONE)
        enabled = hook.boolean("/enabled")
        if enabled is None:
            raise ProviderFault("Jira does not say whether the webhook is enabled.")
        condition = HookCondition.ENABLED if enabled else HookCondition.DISABLED
        return HookState(condition=condition, url=hook.text("/url") or "")

    def enable(
        self, client: ProviderClient, *, target: str, hook_id: str, url: str, secret: str, events: Sequence[str]
    ) -> str:
        _update(client, hook_id, {"enabled": True, "url": url, "secret": secret})
        return hook_id


class JiraRegistrar(HookRegistrar):
    """One hook of the site. A target is the JQL of the issues it tells of, after the setting ``projects``.

    ``default_events`` are asked for where a registration names none.
    """

    scheme = "hmac"
    watcher = JiraWatcher()

    def __init__(self, default_events: Sequence[str]) -> None:
        self._default_events = tuple(default_events)

    def targets(self, settings: Mapping[str, Any]) -> Sequence[str]:
        # Keys are letters, digits and underscores; quoted, because some are reserved words of JQL.
        projects = ", ".join(f'"{key}"' for key in sorted(settings.get("projects") or []))
        return [f"project in ({projects})" if projects else ALL_ISSUES]

    def create(self, client: ProviderClient, *, target: str, url: str, secret: str, events: Sequence[str]) -> str:
        hook: JSON = {
            "name": HOOK_NAME,
            "url": url,
            "events": list(events or self._default_events),
            "filters": {} if target == ALL_ISSUES else {_FILTER: target},
            "excludeBody": False,
            "secret": secret,
        }
        with _explained():
            # A second hook with the same URL would tell everything twice; the secret of one that is there is unknown.
            for known in _with_url(client, url):
                client.write("DELETE", _path(known))
            made = Document(client.write("POST", WEBHOOKS_PATH, json=hook).json())
        hook_id = _id(made)
        if not hook_id:
            raise ProviderFault("Jira does not name the webhook it made.")
        if made.boolean("/isSigned") is not True:
            # Left alone it would send what is refused here.
            self.delete(client, target=target, hook_id=hook_id)
            raise Misconfigured(_NOT_SIGNED)
        return hook_id

    def change_secret(self, client: ProviderClient, *, target: str, hook_id: str, url: str, secret: str) -> None:
        _update(client, hook_id, {"url": url, "secret": secret})

    def delete(self, client: ProviderClient, *, target: str, hook_id: str) -> None:
        with _explained():
            try:
                client.write("DELETE", _path(hook_id))
            except Rejected as refused:
                if refused.status != 404:
                    raise


def _update(client: ProviderClient, hook_id: str, changes: JSON) -> None:
    """An update replaces the webhook, so what is to stay is sent again."""
    with _explained():
        hook = client.get(_path(hook_id)).json()
        if not isinstance(hook, dict) or not isinstance(hook.get("events"), list):
            raise ProviderFault("Jira's answer does not describe the webhook.")
        kept = {name: hook[name] for name in _KEPT if name in hook}
        told = client.write("PUT", _path(hook_id), json={**kept, **changes})
    if Document(told.json()).boolean("/isSigned") is not True:
        raise Misconfigured(_NOT_SIGNED)


def _path(hook_id: str) -> str:
    return f"{WEBHOOKS_PATH}/{quote(hook_id, safe='')}"


def _id(hook: Document) -> str:
    """The end of the webhook's own address; there is no other id."""
    own = (hook.text("/self") or "").rstrip("/").rpartition("/")[2]
    return own if own.isascii() and own.isdigit() and len(own) <= 50 else ""


def _with_url(client: ProviderClient, url: str) -> list[str]:
    found = client.get(WEBHOOKS_PATH).json()
    if not isinstance(found, list):
        raise ProviderFault("Jira's answer holds no list of webhooks.")
    return [own for hook in map(Document, found) if hook.text("/url") == url and (own := _id(hook))]


@contextmanager
def _explained() -> Iterator[None]:
    """Refusals in words that say what to do; what the client says of the others is enough."""
    try:
        yield
    except (AuthFailed, Rejected) as refused:
        words = _REFUSALS.get(refused.status or 0)
        if words is None:
            raise
        # A 404 says that it is gone, or that the account may not see it; both are for a person.
        kind = Misconfigured if refused.status == 404 else type(refused)
        raise kind(words, status=refused.status) from None
