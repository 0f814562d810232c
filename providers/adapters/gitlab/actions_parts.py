"""What GitLab's actions have in common: places in its paths, people by their names, how its answers are read."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from providers.actions import Command
from providers.adapters.gitlab.places import API_PATH, SITE
from providers.canonical import JSON
from providers.client import ProviderClient, Response
from providers.document import Document
from providers.errors import ProviderFault, Rejected
from providers.paging import LinkHeader

LINKS: Final = LinkHeader(size=100, size_in="per_page")
MOST_PEOPLE: Final = 10
STATES: Final = {"open": "opened", "opened": "opened", "closed": "closed"}
STATE_EVENTS: Final = {"opened": "reopen", "open": "reopen", "closed": "close"}

_PROJECT = r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*"
_KEY = re.compile(rf"({_PROJECT})#([1-9][0-9]{{0,17}})", re.ASCII)
_PEOPLE: JSON = {"items": {"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$"}, "maxItems": MOST_PEOPLE}
_NARROWED: Final[Mapping[str, JSON]] = {
    "repository": {"pattern": f"^{_PROJECT}$", "description": "Project, as group/project or by its number."},
    "issue_key": {"pattern": f"^{_PROJECT}#[1-9][0-9]{{0,17}}$"},
    "commit": {"pattern": "^[0-9a-f]{40}(?:[0-9a-f]{24})?$"},
    "assignees": {**_PEOPLE, "description": "Who is to be assigned, by user name."},
    "reviewers": {**_PEOPLE, "description": "Who is to review, by user name."},
    # They are sent in one text, with commas between them.
    "labels": {"items": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^[^,]*[^,\s][^,]*$"}},
    "state": {"enum": ["open", "opened", "closed"], "description": "open, or as signals say it opened; or closed."},
}


def narrowed(*fields: str) -> dict[str, JSON]:
    """What GitLab says further of these fields."""
    return {field: _NARROWED[field] for field in fields}


def below(project: str, *steps: str | int) -> str:
    """A path below the project, whose own path counts as one step."""
    return "/".join(quote(str(step), safe="") for step in ("projects", project, *steps))


@dataclass(frozen=True, slots=True)
class Item:
    """An issue or a merge request of a project."""

    project: str
    kind: str
    number: int

    @classmethod
    def of(cls, target: Mapping[str, Any]) -> Item:
        """From ``issue_key``, or from ``repository`` and ``pr_number``. Raises ``Rejected`` for neither, or both."""
        key, project, number = (target.get(name) for name in ("issue_key", "repository", "pr_number"))
        found = _KEY.fullmatch(key or "")
        if found and project is None and number is None:
            return cls(found[1], "issues", int(found[2]))
        if key is None and project and number:
            return cls(project, "merge_requests", number)
        raise Rejected("Name an issue by its key, as group/project#12, or a merge request by repository and number.")

    def path(self, *steps: str) -> str:
        return below(self.project, self.kind, self.number, *steps)

    @property
    def reference(self) -> str:
        """As the target of another command names it."""
        return f"{self.project}#{self.number}" if self.kind == "issues" else str(self.number)

    def page(self, command: Command, anchor: str = "") -> str:
        """Where a person can look, as far as the settings and the target tell."""
        if self.project.isdigit():
            return ""
        base: str = command.settings.get("base_url") or SITE
        return f"{base.removesuffix('/').removesuffix(API_PATH)}/{self.project}/-/{self.kind}/{self.number}{anchor}"


def told(answer: Response) -> Document:
    """The object GitLab answers with. Raises ``ProviderFault`` for anything else."""
    body = answer.json()
    if not isinstance(body, dict):
        raise ProviderFault("GitLab's answer does not say what came of it.", status=answer.status)
    return Document(body)


def reference(made: Document, pointer: str) -> str:
    found = made.text(pointer, limit=100)
    if not found:
        raise ProviderFault("GitLab does not name what it made.")
    return found


def page(made: Document) -> str:
    return made.text("/web_url", limit=2000) or ""


def numbers_of(client: ProviderClient, names: Iterable[str]) -> dict[str, int]:
    """The ids of these users: the API takes no names. Raises ``Rejected`` for one that is not there.

    https://docs.gitlab.com/api/users/#list-all-users
    """
    found: dict[str, int] = {}
    for name in names:
        users = client.get("users", params={"username": name}).json()
        if not isinstance(users, list):
            raise ProviderFault("GitLab's answer holds no list of users.")
        numbers = [
            user.integer("/id")
            for user in map(Document, users)
            if (user.text("/username") or "").casefold() == name.casefold()
        ]
        if not numbers or numbers[0] is None:
            raise Rejected(f"GitLab knows no user {name}.")
        found[name] = numbers[0]
    return found


def people(item: Document, role: str) -> list[int]:
    """The ids under ``assignees`` or ``reviewers``. Raises ``ProviderFault`` where the answer has no such list."""
    if not isinstance(item.at(f"/{role}"), list):
        raise ProviderFault(f"GitLab does not say who the {role} are.")
    return [number for person in item.items(f"/{role}") if (number := person.integer("/id")) is not None]


def names(item: Document, role: str) -> set[str]:
    people(item, role)
    return {name.casefold() for name in item.texts(f"/{role}", "/username")}


def none_of(wanted: Collection[str], there: Collection[str], words: str) -> None:
    """Raises ``Rejected`` with these words if none of what was wanted is there."""
    if not {name.casefold() for name in wanted} & {name.casefold() for name in there}:
        raise Rejected(words)
