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
from providers.spi import HookRegistrar

PROJECT, GROUP = "project:", "group:"
HOOK_NAME: Final = "signals"
PAGE_SIZE: Final = 100
MAX_PAGES: Final = 20

# Each event and the switch that asks for it. Issues and notes marked confidential have switches of their own, which
# stay off.
_SWITCHES: Final[Mapping[str, str]] = {
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
NOT_SIGNED: Final = (
    "This GitLab does not sign webhooks (it is older than 19.0, or has them switched off). Make the registration with"
    " the scheme token, and enter its URL and secret in GitLab's settings."
)


class GitLabRegistrar(HookRegistrar):
    """One hook a project or group of the settings."""

    scheme = "signing_token"

    def targets(self, settings: Mapping[str, Any]) -> Sequence[str]:
        projects, groups = settings.get("projects") or [], settings.get("groups") or []
        if not projects and not groups:
            raise Misconfigured("Name the projects or groups to make webhooks in: the setting projects or groups.")
        # A group's hook tells of its subgroups and projects too; a second hook there would tell everything twice.
        covered = tuple(f"{group.lower()}/" for group in groups)
        places = [*(f"{GROUP}{group}" for group in groups), *(f"{PROJECT}{project}" for project in projects)]
        return [place for place in places if not place.partition(":")[2].lower().startswith(covered)]

    def create(self, client: ProviderClient, *, target: str, url: str, secret: str, events: Sequence[str]) -> str:
        hooks = _hooks_path(target)
        body = {
            "url": url,
            "name": HOOK_NAME,
            "enable_ssl_verification": True,
            "signing_token": secret,
            **_switches(target, events),
        }
        with _explained(target):
            known = _find(client, hooks, url)
            answer = (
                client.write("PUT", f"{hooks}/{known}", json=body) if known else client.write("POST", hooks, json=body)
            )
        hook_id = _hook_id(answer)
        if not _is_signed(answer):
            # Left alone it would send what is refused here, until GitLab gives it up.
            self.delete(client, target=target, hook_id=hook_id)
            raise Misconfigured(NOT_SIGNED, status=answer.status)
        return hook_id

    def change_secret(self, client: ProviderClient, *, target: str, hook_id: str, url: str, secret: str) -> None:
        with _explained(target):
            answer = client.write(
                "PUT", f"{_hooks_path(target)}/{quote(hook_id, safe='')}", json={"url": url, "signing_token": secret}
            )
        if not _is_signed(answer):
            raise Misconfigured(NOT_SIGNED, status=answer.status)

    def delete(self, client: ProviderClient, *, target: str, hook_id: str) -> None:
        with _explained(target):
            try:
                client.write("DELETE", f"{_hooks_path(target)}/{quote(hook_id, safe='')}")
            except Rejected as refused:
                if refused.status != 404:
                    raise


def _hooks_path(target: str) -> str:
    """``projects/acme%2Fweb/hooks``: a path counts as one part of the address."""
    place = "groups" if target.startswith(GROUP) else "projects"
    return f"{place}/{quote(target.partition(':')[2], safe='')}/hooks"


def _switches(target: str, events: Sequence[str]) -> JSON:
    """Every switch, on or off; those of an update would else stay as they were."""
    known = {**_SWITCHES, **_GROUP_SWITCHES} if target.startswith(GROUP) else _SWITCHES
    wanted = {known[kind] for event in events or known if (kind := event.partition(".")[0]) in known}
    return {switch: switch in wanted for switch in known.values()}


def _find(client: ProviderClient, hooks: str, url: str) -> str:
    """The id of the hook with this address, or nothing."""
    page = "1"
    for _ in range(MAX_PAGES):
        answer = client.get(hooks, params={"per_page": PAGE_SIZE, "page": page})
        found = answer.json()
        if not isinstance(found, list):
            raise ProviderFault("GitLab's answer holds no list of webhooks.")
        for hook in map(Document, found):
            if hook.text("/url") == url and (hook_id := hook.text("/id", limit=50)):
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
def _explained(target: str) -> Iterator[None]:
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
