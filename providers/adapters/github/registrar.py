"""Hooks of repositories, made through GitHub's API.

Needs admin rights in the repository and, for a fine-grained token or an app, *Webhooks: write*; for a classic token
``admin:repo_hook``.

Source: https://docs.github.com/en/rest/repos/webhooks
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

from providers.adapters.github.mapping_rules import MAPPED
from providers.canonical import JSON
from providers.client import ProviderClient
from providers.document import Document
from providers.errors import AuthFailed, Misconfigured, ProviderFault, Rejected
from providers.ledgers import HookCondition, HookState, HookWatcher
from providers.spi import HookRegistrar

PAGE_SIZE: Final = 100
MAX_PAGES: Final = 20

# Only an app can be told of the merge queue; a hook of a repository that asks for it is refused.
ONLY_FOR_APPS: Final = frozenset({"merge_group"})

_REFUSALS: Final[Mapping[int, str]] = {
    403: "GitHub refuses to let this token manage the webhooks of {target} (403): it needs Webhooks: write, a classic"
    " token admin:repo_hook, and maybe the organisation's single sign-on.",
    404: "GitHub shows no webhooks of {target} to this token (404): the repository is not there or not visible, or the"
    " token's owner is no admin of it.",
    422: "GitHub refuses the webhook of {target} (422): its address must be reachable from the internet, its events"
    " known to this version, and a repository takes 20 webhooks an event.",
}


class GitHubWatcher(HookWatcher):
    """GitHub switches no hook off by itself, but people do, and remove them.

    Source: https://docs.github.com/en/rest/repos/webhooks#get-a-repository-webhook
    """

    def state(self, client: ProviderClient, *, target: str, hook_id: str) -> HookState:
        with explained(target):
            try:
                hook = Document(client.get(hook_path(target, hook_id)).json())
            except Rejected as refused:
                if refused.status != 404:
                    raise
                # A token that may not see hooks is answered the same for each of them, and for all.
                client.get(hook_path(target), params={"per_page": 1})
                return HookState(condition=HookCondition.GONE)
        active = hook.boolean("/active")
        if active is None:
            raise ProviderFault("GitHub does not say whether the webhook is active.")
        condition = HookCondition.ENABLED if active else HookCondition.DISABLED
        return HookState(condition=condition, url=hook.text("/config/url") or "")

    def enable(
        self, client: ProviderClient, *, target: str, hook_id: str, url: str, secret: str, events: Sequence[str]
    ) -> str:
        with explained(target):
            client.write("PATCH", hook_path(target, hook_id), json={"active": True})
        return hook_id


class GitHubRegistrar(HookRegistrar):
    """One hook a repository of the settings; a target is ``owner/name``."""

    scheme = "hmac"
    watcher = GitHubWatcher()

    def targets(self, settings: Mapping[str, Any]) -> Sequence[str]:
        repositories: list[str] = settings.get("repositories") or []
        if not repositories:
            raise Misconfigured("Name the repositories to make webhooks in: the setting repositories.")
        return repositories

    def create(self, client: ProviderClient, *, target: str, url: str, secret: str, events: Sequence[str]) -> str:
        body = {"active": True, "events": _events(events), "config": _config(url, secret)}
        with explained(target):
            # An equal hook is refused, but one with other events is another hook to GitHub and would tell twice.
            existing = _find(client, target, url)
            if existing:
                client.write("PATCH", hook_path(target, existing), json=body)
                return existing
            made = Document(client.write("POST", hook_path(target), json={"name": "web", **body}).json())
        hook_id = made.text("/id", limit=50)
        if not hook_id:
            raise ProviderFault("GitHub does not name the webhook it made.")
        return hook_id

    def change_secret(self, client: ProviderClient, *, target: str, hook_id: str, url: str, secret: str) -> None:
        with explained(f"{target}, number {hook_id},"):
            client.write("PATCH", f"{hook_path(target, hook_id)}/config", json=_config(url, secret))

    def delete(self, client: ProviderClient, *, target: str, hook_id: str) -> None:
        with explained(target):
            try:
                client.write("DELETE", hook_path(target, hook_id))
            except Rejected as refused:
                if refused.status != 404:
                    raise


def _events(wanted: Sequence[str]) -> list[str]:
    """GitHub's names of the events; actions cannot be chosen."""
    return sorted({event.partition(".")[0] for event in wanted} or set(MAPPED) - ONLY_FOR_APPS)


def _config(url: str, secret: str) -> JSON:
    # Whole every time: a part left out of an update is lost, the secret too.
    return {"url": url, "content_type": "json", "secret": secret, "insecure_ssl": "0"}


def hook_path(target: str, hook_id: str = "") -> str:
    steps = ["repos", *target.split("/"), "hooks", *([hook_id] if hook_id else [])]
    return "/".join(quote(step, safe="") for step in steps)


def _find(client: ProviderClient, target: str, url: str) -> str:
    """The id of the hook with this address, or nothing."""
    path: str = hook_path(target)
    params: JSON | None = {"per_page": PAGE_SIZE}
    for _ in range(MAX_PAGES):
        answer = client.get(path, params=params)
        found = answer.json()
        if not isinstance(found, list):
            raise ProviderFault("GitHub's answer holds no list of webhooks.")
        for hook in map(Document, found):
            if hook.text("/config/url") == url and (hook_id := hook.text("/id", limit=50)):
                return hook_id
        path, params = answer.link("next"), None
        if not path:
            return ""
    raise ProviderFault("GitHub's list of webhooks does not end.")


@contextmanager
def explained(target: str) -> Iterator[None]:
    """Refusals in words that say what to do; what the client says of the others is enough."""
    try:
        yield
    except (AuthFailed, Rejected) as refused:
        words = _REFUSALS.get(refused.status or 0)
        if words is None:
            raise
        # A 404 says that it is gone, or that the token may not see it; both are for a person.
        kind = Misconfigured if refused.status == 404 else type(refused)
        raise kind(words.format(target=target), status=refused.status) from None
