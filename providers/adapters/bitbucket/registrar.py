"""Hooks of repositories and workspaces, through Bitbucket's API.

Source: https://developer.atlassian.com/cloud/bitbucket/rest/api-group-repositories/ and
https://developer.atlassian.com/cloud/bitbucket/rest/api-group-workspaces/, section "webhooks".
Needs the scope ``webhook`` (``read:``, ``write:`` and ``delete:webhook:bitbucket``) and admin rights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from providers.adapters.bitbucket.mapping_rules import ONLY_WORKSPACE, RULES
from providers.canonical import JSON
from providers.client import ProviderClient
from providers.document import Document
from providers.errors import Misconfigured, ProviderFault, Rejected
from providers.ledgers import HookCondition, HookState, HookWatcher
from providers.spi import HookRegistrar

DESCRIPTION = "Integration signals"
_PAGE_LENGTH = 100
_MAX_PAGES = 50
_KEPT_BY_PUT = ("description", "url", "active", "events")


class BitbucketWatcher(HookWatcher):
    """Nothing is known of Bitbucket switching a hook off by itself; people can, and remove it. There is no ledger."""

    def state(self, client: ProviderClient, *, target: str, hook_id: str) -> HookState:
        try:
            hook = Document(client.get(_path(target, hook_id)).json())
        except Rejected as refused:
            if refused.status != 404:
                raise
            # A credential that may not see hooks is answered the same for each of them, and for all.
            with _named(target):
                client.get(_path(target), params={"pagelen": 1})
            return HookState(condition=HookCondition.GONE)
        active = hook.boolean("/active")
        if active is None:
            raise ProviderFault("Bitbucket does not say whether the hook is active.")
        condition = HookCondition.ENABLED if active else HookCondition.DISABLED
        return HookState(condition=condition, url=hook.text("/url") or "")

    def enable(
        self, client: ProviderClient, *, target: str, hook_id: str, url: str, secret: str, events: Sequence[str]
    ) -> str:
        _update(client, target, hook_id, {"active": True, "secret": secret})
        return hook_id


class BitbucketRegistrar(HookRegistrar):
    """A target is a path of the API: ``repositories/<workspace>/<repository>`` or ``workspaces/<workspace>``."""

    scheme = "hmac"
    watcher = BitbucketWatcher()

    def targets(self, settings: Mapping[str, Any]) -> Sequence[str]:
        workspaces: list[str] = settings.get("workspaces") or []
        repositories: list[str] = settings.get("repositories") or []
        if not (workspaces or repositories):
            raise Misconfigured("The settings name no repositories and no workspaces to make hooks in.")
        # A workspace's hook tells of its repositories too; a second hook there would tell everything twice.
        covered = {workspace.lower() for workspace in workspaces}
        alone = [name for name in repositories if name.partition("/")[0].lower() not in covered]
        return [*(f"workspaces/{name}" for name in workspaces), *(f"repositories/{name}" for name in alone)]

    def create(self, client: ProviderClient, *, target: str, url: str, secret: str, events: Sequence[str]) -> str:
        hook = {
            "description": DESCRIPTION,
            "url": url,
            "active": True,
            # Without a secret Bitbucket signs nothing, so one is always given.
            "secret": secret,
            "events": list(events) or _all_events(target),
        }
        with _named(target):
            # The same URL may be hooked any number of times, so an earlier try whose answer was lost is looked for.
            existing = _find(client, target, url)
            if existing:
                client.write("PUT", _path(target, existing), json=hook)
                return existing
            made = Document(client.write("POST", _path(target), json=hook).json()).text("/uuid", limit=200)
        if not made:
            raise ProviderFault("Bitbucket does not name the hook it made.")
        return made

    def change_secret(self, client: ProviderClient, *, target: str, hook_id: str, url: str, secret: str) -> None:
        _update(client, target, hook_id, {"url": url, "secret": secret})

    def delete(self, client: ProviderClient, *, target: str, hook_id: str) -> None:
        try:
            client.write("DELETE", _path(target, hook_id))
        except Rejected as refused:
            if refused.status != 404:
                raise


def _update(client: ProviderClient, target: str, hook_id: str, changes: JSON) -> None:
    """An update replaces the hook, so what is to stay is sent again."""
    with _named(f"hook {hook_id} of {target}"):
        path = _path(target, hook_id)
        hook = client.get(path).json()
        if not isinstance(hook, dict) or not isinstance(hook.get("events"), list):
            raise ProviderFault("Bitbucket's answer does not describe the hook.")
        kept = {name: hook[name] for name in _KEPT_BY_PUT if name in hook}
        client.write("PUT", path, json={**kept, **changes})


def _all_events(target: str) -> list[str]:
    everywhere = sorted(set(RULES) - ONLY_WORKSPACE)
    return sorted(RULES) if target.startswith("workspaces/") else everywhere


def _path(target: str, hook_id: str = "") -> str:
    """Path of a target's hooks, or of one; ids are UUIDs in braces and are escaped."""
    steps = [*target.split("/"), "hooks", *([hook_id] if hook_id else [])]
    return "/".join(quote(step, safe="") for step in steps)


def _find(client: ProviderClient, target: str, url: str) -> str | None:
    """Id of the hook that posts to ``url``."""
    for hook in _hooks(client, _path(target)):
        if hook.text("/url") == url:
            return hook.text("/uuid", limit=200)
    return None


def _hooks(client: ProviderClient, path: str) -> Iterator[Document]:
    params: JSON | None = {"pagelen": _PAGE_LENGTH}
    for _ in range(_MAX_PAGES):
        page = Document(client.get(path, params=params).json())
        if not isinstance(page.at("/values"), list):
            raise ProviderFault("Bitbucket's answer holds no list of hooks.")
        yield from page.items("/values")
        following = page.text("/next")
        if not following:
            return
        path, params = following, None
    raise ProviderFault("Bitbucket's list of hooks does not end.")


@contextmanager
def _named(what: str) -> Iterator[None]:
    """A 404 says that the thing is gone, or that the credential may not see it; both are for a person."""
    try:
        yield
    except Rejected as refused:
        if refused.status == 404:
            raise Misconfigured(f"Bitbucket shows no {what} to this credential (404).", status=404) from None
        raise
