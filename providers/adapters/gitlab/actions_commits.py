"""What can be said on a commit.

https://docs.gitlab.com/api/commits/#set-commit-pipeline-status
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar, Final

from providers.actions import Command, Done, OneEffect, OutboundAction, WriteRequest
from providers.adapters.gitlab.actions_parts import LINKS, below, narrowed, reference, told
from providers.canonical import JSON
from providers.canonical.action_types import ActionType
from providers.client import ProviderClient, Response
from providers.document import Document, compact
from providers.errors import ProviderFault, Rejected
from providers.finding import CLOCKS_DIFFER, listed
from providers.paging import Query

_STATES: Final = {"pending": "pending", "success": "success", "failure": "failed", "error": "failed"}
_SO_ALREADY: Final = re.compile(r"Cannot transition status via :\w+ from :(\w+)")


class SetCommitStatus(OutboundAction):
    """A status that waits or runs is one row and becomes another; after one that has ended, a new row begins."""

    type = ActionType.SET_COMMIT_STATUS
    one_effect = OneEffect.NATURAL_KEY
    permissions: ClassVar[Sequence[str]] = ("api",)
    narrowed: ClassVar[Mapping[str, JSON]] = narrowed("repository", "commit")
    notes = "failure and error are both failed. Without a branch GitLab chooses one that has the commit."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        given = command.payload
        more = {"ref": given.get("branch"), "target_url": given.get("url"), "description": given.get("description")}
        body = {"state": _STATES[given["status"]], "name": given["context"], **compact(more)}
        path = below(command.target["repository"], "statuses", command.target["commit"])
        return WriteRequest(method="POST", path=path, json=body)

    def done(self, command: Command, answer: Response) -> Done:
        return self._set(command, told(answer))

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        """The newest of its name says so, or one since then did, even if another came after it."""
        given, newest = command.payload, True
        params = compact({"all": "true", "name": given["context"], "ref": given.get("branch")})
        path = below(command.target["repository"], "repository", "commits", command.target["commit"], "statuses")
        rows = list(listed(client, Query(path=path, params=params), LINKS, items_at=""))
        for status in sorted(rows, key=_number, reverse=True):
            if status.text("/name") != given["context"]:
                continue
            if _says(status, command):
                if newest or _is_since(status, command.since.replace(microsecond=0)):
                    return self._set(command, status)
                if _is_since(status, command.since - CLOCKS_DIFFER):
                    raise ProviderFault("A status of these words was replaced; whether it was this one cannot be told.")
            newest = False
        return None

    def settled_by(self, command: Command, refusal: Rejected) -> Done | None:
        """The state it has already is refused once more, in these words."""
        found = _SO_ALREADY.search(refusal.told)
        if refusal.status == 400 and found and found[1] == _STATES[command.payload["status"]]:
            return _named(command)
        return None

    def _set(self, command: Command, status: Document) -> Done:
        reference(status, "/id")
        return _named(command)


def _named(command: Command) -> Done:
    """By commit and name: a status has another id each time it begins anew."""
    given = command.payload
    return Done(reference=f"{command.target['commit']}:{given['context']}", url=given.get("url", ""))


def _number(status: Document) -> int:
    number = status.integer("/id")
    if number is None:
        raise ProviderFault("A status in GitLab's list has no id.")
    return number


def _says(status: Document, command: Command) -> bool:
    given = command.payload
    return (
        status.text("/status") == _STATES[given["status"]]
        and ("description" not in given or status.text("/description") == given["description"])
        and ("url" not in given or status.text("/target_url") == given["url"])
    )


def _is_since(status: Document, begin: datetime) -> bool:
    """By when it began or ended: a row keeps the time it began when its state changes."""
    times = (status.time(pointer) for pointer in ("/created_at", "/started_at", "/finished_at"))
    return any(moment is not None and moment >= begin for moment in times)
