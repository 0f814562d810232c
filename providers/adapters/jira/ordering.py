"""Which entity an event is about: those of one entity are handed on in the order they came."""

from __future__ import annotations

from typing import Final

from providers.adapters.jira.mapping import issue_id
from providers.document import Document

_MAX_KEY: Final = 200
# The names of entities beside issues, and where their ids stand.
_OTHERS: Final = (
    ("sprint", ("/sprint/id",)),
    ("version", ("/version/id",)),
    ("board", ("/board/id", "/configuration/id")),
    ("project", ("/project/id", "/project/key")),
    ("attachment", ("/attachment/id",)),
)


def issue_key(issue: str) -> str:
    """The entity an issue is, by its id; the key changes when it moves."""
    return f"issue:{issue}"


def ordering_key(body: Document) -> str:
    """The entity, or nothing where the body names none. Comments, work logs and links belong to their issue."""
    issue = issue_id(body) or body.text("/issueLink/sourceIssueId", limit=60)
    if issue:
        return issue_key(issue)
    found = ((name, body.text(*pointers, limit=_MAX_KEY)) for name, pointers in _OTHERS)
    key = next((f"{name}:{own}" for name, own in found if own), "")
    return key if len(key) <= _MAX_KEY else ""
