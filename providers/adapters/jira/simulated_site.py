"""What a simulated site holds, and how Jira writes it down."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from providers.adapters.jira.mapping import milliseconds

SITE: Final = "https://acme.atlassian.example"
PROJECTS: Final = {"DEMO": "Demo shop", "OPS": "Operations"}
BOT: Final = "5b10bot"
PEOPLE: Final = {"5b10zoe": "Zoe", "5b10ravi": "Ravi", "5b10mina": "Mina", "5b10olaf": "Olaf"}
STATUSES: Final = {"To Do": ("10000", "new"), "In Progress": ("3", "indeterminate"), "Done": ("10001", "done")}
LABELS: Final = ("frontend", "backend", "regression", "quick-win")
PARTS: Final = ("Login page", "Export", "Search index", "Invoice mail", "Dark mode", "Sign-up form")
FAULTS: Final = ("is slow", "shows the wrong date", "loses its settings", "cannot be printed")


Change = dict[str, Any]


@dataclass(slots=True)
class Issue:
    number: int
    project: str
    issue_id: int
    summary: str
    description: str
    creator: str
    kind: str
    priority: str
    created: datetime
    updated: datetime
    status: str = "To Do"
    resolved: bool = False
    assignee: str | None = None
    sprint: str | None = None
    parent: str | None = None
    labels: list[str] = field(default_factory=list)
    # What came through the API: the text as a document, properties, comments, and when the search index has it.
    document: Change | None = None
    properties: Change = field(default_factory=dict)
    comments: list[Change] = field(default_factory=list)
    indexed: datetime | None = None

    @property
    def key(self) -> str:
        return f"{self.project}-{self.number}"

    @property
    def order(self) -> tuple[int, str, int]:
        return milliseconds(self.updated), self.project, self.number


def address_of(issue: Issue, version: int) -> Change:
    return {
        "id": str(issue.issue_id),
        "self": f"{SITE}/rest/api/{version}/issue/{issue.issue_id}",
        "key": issue.key,
    }


def fields_of(issue: Issue) -> Change:
    status_id, category = STATUSES[issue.status]
    return {
        "summary": issue.summary,
        "description": issue.description,
        "status": {"id": status_id, "name": issue.status, "statusCategory": {"key": category}},
        "resolution": {"id": "10000", "name": "Done"} if issue.resolved else None,
        "created": written_time(issue.created),
        "updated": written_time(issue.updated),
        "creator": person_of(issue.creator),
        "reporter": person_of(issue.creator),
        "assignee": person_of(issue.assignee) if issue.assignee else None,
        "project": {"id": str(list(PROJECTS).index(issue.project) + 1), "key": issue.project},
        "issuetype": {"name": issue.kind},
        "labels": list(issue.labels),
        "priority": {"name": issue.priority},
        **({"parent": {"key": issue.parent}} if issue.parent else {}),
        "fixVersions": [],
    }


def polled_issue(issue: Issue, wanted: list[str]) -> Change:
    """As REST v3 shows it: only the fields asked for, text as a document."""
    if not wanted:
        return {"id": str(issue.issue_id)}
    lines = issue.description.split("\n")
    paragraphs = [{"type": "paragraph", "content": [{"type": "text", "text": line}]} for line in lines]
    text = issue.document or {"type": "doc", "version": 1, "content": paragraphs}
    written = {**fields_of(issue), "description": text}
    return {**address_of(issue, 3), "fields": {name: written[name] for name in wanted if name in written}}


def person_of(account: str) -> Change:
    name = "Acme bot" if account == BOT else PEOPLE[account]
    return {"accountId": account, "displayName": name, "active": True, "accountType": "atlassian"}


def change_item(
    name: str, before: str | None, after: str | None, old: str | None = None, new: str | None = None
) -> Change:
    kind = "custom" if name == "Sprint" else "jira"
    sides = {"from": old, "fromString": before, "to": new, "toString": after}
    return {"field": name, "fieldtype": kind, "fieldId": name.lower(), **sides}


def written_time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}+0000"
