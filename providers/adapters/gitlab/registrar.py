"""Hooks of projects and groups, made through GitLab's API with a signing token.

Needs the scope ``api`` and the role Maintainer in a project; in a group Owner, and a Premium plan.

Sources: https://docs.gitlab.com/api/project_webhooks/ and https://docs.gitlab.com/api/group_webhooks/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

from providers.canonical import JSON
from providers.client import ProviderClient, Response
from providers.document import Document
from providers.errors import AuthFailed, Misconfigured, ProviderFault, Rejected
from providers.ledgers import HookCondition, HookState, HookWatcher
from providers.spi import HookRegistrar

PROJECT, GROUP = "project:", "group:"
HOOK_NAME: Final = "signals"
PAGE_SIZE: Final = 100
MAX_PAGES: Final = 20

# Each event and the switch that asks for it. Issues and notes marked confidential have switches of their own, which
# stay off.
SWITCHES: Final[Mapping[str, str]] = {
    "push": "push_events",
    "tag_push": "tag_push_events",
    "merge_request": "merge_requests_events",
    "issue": "issues_events",
    "work_item": "issues_events",
    "note": "note_events",
    "emoji": "emoji_events",
    "pipeline": "pipeline_events",
    "build": "job_events",
    "deployment": "deployment_events",
    "release": "releases_events",
    "wiki_page": "wiki_page_events",
    "milestone": "milestone_events",
    "vulnerability": "vulnerability_events",
}
_GROUP_SWITCHES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("project_create", "project_destroy"), "project_events"),
    **dict.fromkeys(("user_add_to_group", "user_update_for_group", "user_remove_from_group"), "member_events"),
}
_REFUSALS: Final[Mapping[int, str]] = {
    403: "GitLab refuses to let this token manage the webhooks of {target} (403): it needs the scope api and the role"
    " Maintainer, for a group Owner.",
    404: "GitLab shows no {target} to this token, or no webhooks of it (404); those of groups need a Premium plan.",
    422: "GitLab refuses the webhook of {target} (422): the address must be one it may call, and a project holds 100"
    " webhooks, a group 50.",
}
_CONDITIONS: Final[Mapping[str, HookCondition]] = {
    "executable": HookCondition.ENABLED,
    "temporarily_disabled": HookCondition.PAUSED,
    "disabled": HookCondition.DISABLED,
}
NOT_SIGNED: Final = (
    "This GitLab does not sign webhooks (it is older than 19.0, or has them switched off). Make the registration with"
    " the scheme token, and enter its URL and secret in GitLab's settings."
)


class GitLabWatcher(HookWatcher):
    """GitLab pauses a hook after four failures in a row, a minute at first and a day at most; after 40 it is off.

    The documented way back is a test request, which sends the newest push or issue as if it had just happened. So a
    hook that is to deliver again is made anew, and the old one is removed.

    Source: https://docs.gitlab.com/user/project/integrations/webhooks/#auto-disabled-webhooks
    """

    pauses_after = 4

    def state(self, client: ProviderClient, *, target: str, hook_id: str) -> HookState:
        with explained(target):
            try:
                hook = Document(client.get(hooks_path(target, hook_id)).json())
            except Rejected as refused:
                if refused.status != 404:
                    raise
                # A token that may not see hooks is answered the same for each of them, and for all.
                client.get(hooks_path(target), params={"per_page": 1})
                return HookState(condition=HookCondition.GONE)
        if not hook.text("/id"):
            raise ProviderFault("GitLab's answer does not describe the webhook.")
        # Older versions do not tell; there no hook is switched off.
        condition = _CONDITIONS.get(hook.text("/alert_status") or "executable")
        if condition is None:
            raise ProviderFault("GitLab tells a state of the webhook that is not known.")
        return HookState(condition=condition, url=hook.text("/url") or "", until=hook.time("/disabled_until"))

    def enable(
        self, client: ProviderClient, *, target: str, hook_id: str, url: str, secret: str, events: Sequence[str]
    ) -> str:
        made = _make(client, target, url, secret, events, instead_of=hook_id)
        _remove(client, target, hook_id)
        return made


class GitLabRegistrar(HookRegistrar):
    """One hook a project or group of the settings."""

    scheme = "signing_token"
    watcher = GitLabWatcher()

    def targets(self, settings: Mapping[str, Any]) -> Sequence[str]:
        projects, groups = settings.get("projects") or [], settings.get("groups") or []
        if not projects and not groups:
            raise Misconfigured("Name the projects or groups to make webhooks in: the setting projects or groups.")
        # A group's hook tells of its subgroups and projects too; a second hook there would tell everything twice.
        covered = tuple(f"{group.lower()}/" for group in groups)
        places = [*(f"{GROUP}{group}" for group in groups), *(f"{PROJECT}{project}" for project in projects)]
        return [place for place in places if not place.partition(":")[2].lower().startswith(covered)]

    def create(self, client: ProviderClient, *, target: str, url: str, secret: str, events: Sequence[str]) -> str:
        return _make(client, target, url, secret, events)

    def change_secret(self, client: ProviderClient, *, target: str, hook_id: str, url: str, secret: str) -> None:
        with explained(target):
            answer = client.write("PUT", hooks_path(target, hook_id), json={"url": url, "signing_token": secret})
        if not _is_signed(answer):
            raise Misconfigured(NOT_SIGNED, status=answer.status)

    def delete(self, client: ProviderClient, *, target: str, hook_id: str) -> None:
        _remove(client, target, hook_id)


def _make(
    client: ProviderClient, target: str, url: str, secret: str, events: Sequence[str], *, instead_of: str = ""
) -> str:
    """One hook with this URL, made or found; ``instead_of`` is one that may have it, too."""
    hooks = hooks_path(target)
    body = {
        "url": url,
        "name": HOOK_NAME,
        "enable_ssl_verification": True,
        "signing_token": secret,
        **_switches(target, events),
    }
    with explained(target):
        known = _find(client, hooks, url, but=instead_of)
        answer = client.write("PUT", f"{hooks}/{known}", json=body) if known else client.write("POST", hooks, json=body)
    hook_id = _hook_id(answer)
    if not _is_signed(answer):
        # Left alone it would send what is refused here, until GitLab gives it up.
        _remove(client, target, hook_id)
        raise Misconfigured(NOT_SIGNED, status=answer.status)
    return hook_id


def _remove(client: ProviderClient, target: str, hook_id: str) -> None:
    with explained(target):
        try:
            client.write("DELETE", hooks_path(target, hook_id))
        except Rejected as refused:
            if refused.status != 404:
                raise


def hooks_path(target: str, hook_id: str = "") -> str:
    """``projects/acme%2Fweb/hooks``, or one of them: a path counts as one part of the address."""
    place = "groups" if target.startswith(GROUP) else "projects"
    one = f"/{quote(hook_id, safe='')}" if hook_id else ""
    return f"{place}/{quote(target.partition(':')[2], safe='')}/hooks{one}"


def _switches(target: str, events: Sequence[str]) -> JSON:
    """Every switch, on or off; those of an update would else stay as they were."""
    known = {**SWITCHES, **_GROUP_SWITCHES} if target.startswith(GROUP) else SWITCHES
    wanted = {known[kind] for event in events or known if (kind := event.partition(".")[0]) in known}
    return {switch: switch in wanted for switch in known.values()}


def _find(client: ProviderClient, hooks: str, url: str, *, but: str = "") -> str:
    """The id of the hook with this address, or nothing; ``but`` does not count."""
    page = "1"
    for _ in range(MAX_PAGES):
        answer = client.get(hooks, params={"per_page": PAGE_SIZE, "page": page})
        found = answer.json()
        if not isinstance(found, list):
            raise ProviderFault("GitLab's answer holds no list of webhooks.")
        for hook in map(Document, found):
            hook_id = hook.text("/id", limit=50)
            if hook_id and hook_id != but and hook.text("/url") == url:
                return hook_id
        page = answer.headers.get("x-next-page", "")
        if not page:
            return ""
    raise ProviderFault("GitLab's list of webhooks does not end.")


def _hook_id(answer: Response) -> str:
    hook_id = Document(answer.json()).text("/id", limit=50)
    if not hook_id:
        raise ProviderFault("GitLab does not name the webhook it made.")
    return hook_id


def _is_signed(answer: Response) -> bool:
    return bool(Document(answer.json()).boolean("/signing_token_present"))


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
        raise kind(words.format(target=target.replace(":", " ", 1)), status=refused.status) from None
