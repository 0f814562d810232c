"""What GitHub's actions have in common: places in its paths, the hidden mark, how its answers are read."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from providers.canonical import JSON
from providers.client import Response
from providers.document import Document
from providers.errors import ProviderFault, Rejected
from providers.finding import CLOCKS_DIFFER
from providers.paging import LinkHeader

LINKS: Final = LinkHeader(size=100, size_in="per_page")
MAX_BODY: Final = 70_000

_OWNER_AND_NAME = r"[A-Za-z0-9_-]+/[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*"
_LOGIN = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}(?:\[bot\])?"
_KEY = re.compile(rf"({_OWNER_AND_NAME})#([1-9][0-9]{{0,17}})", re.ASCII)
# On a line of its own and not behind the sign of a quotation.
_MARK = re.compile(r"^<!-- sig:(\S+) -->[ \t]*\r?$", re.MULTILINE)

_NARROWED: Final[Mapping[str, JSON]] = {
    "repository": {"pattern": f"^{_OWNER_AND_NAME}$", "maxLength": 140},
    "issue_key": {"pattern": f"^{_OWNER_AND_NAME}#[1-9][0-9]{{0,17}}$", "maxLength": 160},
    "comment_id": {"pattern": "^[1-9][0-9]{0,17}$"},
    # A short id would be ambiguous, and is refused.
    "commit": {"pattern": "^[0-9a-f]{40}$"},
    "assignees": {"items": {"type": "string", "pattern": f"^{_LOGIN}$"}, "maxItems": 10},
    "reviewers": {
        "items": {"type": "string", "pattern": f"^{_LOGIN}(?:/[A-Za-z0-9][A-Za-z0-9_-]{{0,99}})?$"},
        "description": "Who is to review: logins, and teams as organisation/team.",
    },
    "state": {"enum": ["open", "closed"]},
    "state_reason": {"enum": ["completed", "not_planned", "duplicate", "reopened"]},
    "url": {"maxLength": 1000},
}


def narrowed(*fields: str) -> dict[str, JSON]:
    """What GitHub says further of these fields."""
    return {field: _NARROWED[field] for field in fields}


def below(repository: str, *steps: str | int) -> str:
    """A path below the repository, every step escaped."""
    return "/".join(quote(str(step), safe="") for step in ("repos", *repository.split("/", 1), *steps))


@dataclass(frozen=True, slots=True)
class Item:
    """An issue or a pull request: they share their numbers, and most of what can be done to them."""

    repository: str
    number: int

    @classmethod
    def of(cls, target: Mapping[str, Any]) -> Item:
        """From ``issue_key``, or from ``repository`` and ``pr_number``. Raises ``Rejected`` for neither, or both."""
        key, repository, number = (target.get(name) for name in ("issue_key", "repository", "pr_number"))
        found = _KEY.fullmatch(key or "")
        if found and repository is None and number is None:
            return cls(found[1], int(found[2]))
        if key is None and repository and number:
            return cls(repository, number)
        raise Rejected("Name either an issue by its key, as owner/name#12, or a pull request by repository and number.")

    @property
    def key(self) -> str:
        return f"{self.repository}#{self.number}"

    def path(self, *steps: str) -> str:
        return below(self.repository, "issues", self.number, *steps)

    def pull_path(self, *steps: str) -> str:
        return below(self.repository, "pulls", self.number, *steps)


def marked(text: str, mark: str) -> str:
    """The text with the mark before it, where no unclosed code or comment of the text can reach it.

    A comment of HTML is kept in the body and not shown.
    """
    return f"<!-- sig:{mark} -->\n\n{text}" if text else f"<!-- sig:{mark} -->"


def bears(made: Document, mark: str) -> bool:
    """Whether this was made with the mark: only the first in it counts, for a text may hold those of others."""
    found = _MARK.search(made.text("/body", limit=MAX_BODY) or "")
    return found is not None and found[1] == mark


def earliest(since: datetime) -> str:
    """Where a search begins, as the API takes it: whole seconds."""
    return f"{since - CLOCKS_DIFFER:%Y-%m-%dT%H:%M:%SZ}"


def told(answer: Response) -> Document:
    """The object GitHub answers with. Raises ``ProviderFault`` for anything else."""
    body = answer.json()
    if not isinstance(body, dict):
        raise ProviderFault("GitHub's answer does not say what came of it.", status=answer.status)
    return Document(body)


def reference(made: Document, pointer: str) -> str:
    found = made.text(pointer, limit=100)
    if not found:
        raise ProviderFault("GitHub does not name what it made.")
    return found


def page(made: Document) -> str:
    return made.text("/html_url", limit=2000) or ""


def none_of(wanted: Collection[str], there: Collection[str], words: str) -> None:
    """Raises ``Rejected`` with these words if none of what was wanted is there; case does not matter to GitHub."""
    if not {name.strip().casefold() for name in wanted} & {name.casefold() for name in there}:
        raise Rejected(words)
