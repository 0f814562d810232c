"""From GitLab's bodies to signals: the rules behind the golden files, and what older instances write."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from providers.adapters.gitlab.adapter import GitLabAdapter
from providers.canonical import Signal
from providers.spi import WebhookRequest

ADAPTER = GitLabAdapter()


def merge_request(action: str, changes: dict[str, Any] | None = None, **attributes: Any) -> dict[str, Any]:
    given = {"iid": 12, "target_project_id": 4101, **attributes, "action": action}
    return {"object_kind": "merge_request", "object_attributes": given, "changes": changes or {}}


def signal(body: dict[str, Any]) -> Signal:
    """The one signal of a body."""
    (event,) = ADAPTER.process_webhook(WebhookRequest(headers={"webhook-id": "id-1"}, body=orjson.dumps(body)))
    assert event.signal_type is not None
    return ADAPTER.normalise(event.signal_type, event.event_type, body)


@pytest.mark.parametrize("kind", ["merge_request", "issue"])
@pytest.mark.parametrize(
    ("before", "after", "expected", "added", "removed"),
    [
        (["bug"], ["urgent"], "labeled", ["urgent"], ["bug"]),
        (["bug"], ["bug", "urgent"], "labeled", ["urgent"], None),
        (["bug", "urgent"], ["bug"], "unlabeled", None, ["urgent"]),
    ],
)
def test_one_label_for_another_is_one_change(
    kind: str, before: list[str], after: list[str], expected: str, added: list[str] | None, removed: list[str] | None
) -> None:
    previous, current = ([{"title": name} for name in names] for names in (before, after))
    body = {**merge_request("update", {"labels": {"previous": previous, "current": current}}), "object_kind": kind}
    found = signal(body)
    assert str(found.signal_type) == f"{'pr' if kind == 'merge_request' else 'issue'}_{expected}"
    attributes = found.attributes
    assert (attributes.get("labels_added"), attributes.get("labels_removed")) == (added, removed)


@pytest.mark.parametrize(
    ("user", "author"),
    [
        ({"id": 7, "username": "zoe"}, "zoe"),
        # Older bodies do not number the person.
        ({"username": "zoe"}, "zoe"),
        # Moved by somebody who did not write it.
        ({"id": 8, "username": "ravi"}, None),
    ],
)
def test_who_opened_something_wrote_it_unless_the_body_says_otherwise(user: Any, author: str | None) -> None:
    body = {**merge_request("open", author_id=7), "user": user}
    assert signal(body).fields.get("author") == author
    assert signal({**body, "object_kind": "issue"}).fields.get("author") == author


def test_merge_request_belongs_to_its_target() -> None:
    body = merge_request("open", target_project_id=14, target={"path_with_namespace": "acme/web"})
    found = signal({**body, "project": {"id": 1, "path_with_namespace": "zoe/web"}})
    assert (found.resource.repository, found.canonical_keys["repository_id"]) == ("acme/web", 14)


def test_older_bodies_name_a_single_assignee() -> None:
    body = {**merge_request("open"), "assignee": {"username": "ravi"}}
    assert signal(body).fields["assignees"] == ["ravi"]
    assert signal({**body, "assignees": [{"username": "mina"}]}).fields["assignees"] == ["mina"]


@pytest.mark.parametrize("kind", ["push", "tag_push"])
@pytest.mark.parametrize(
    ("who", "actor"),
    [
        ({"user_username": "zoe", "user_name": "Zoe Novak", "user_id": 7}, "zoe"),
        ({"user_name": "Zoe Novak", "user_id": 7}, "Zoe Novak"),
        ({"user_id": 7}, "7"),
    ],
)
def test_push_of_an_older_instance_names_its_person(kind: str, who: dict[str, Any], actor: str) -> None:
    assert signal({"object_kind": kind, "before": "0" * 40, "after": "a" * 40, **who}).actor_id == actor


@pytest.mark.parametrize(
    "body",
    [
        {"object_kind": "pipeline", "object_attributes": {"status": "failed"}},
        {"object_kind": "note", "object_attributes": {"noteable_type": "Commit"}},
    ],
)
def test_commit_without_a_title_has_the_first_line_of_its_message(body: dict[str, Any]) -> None:
    assert signal({**body, "commit": {"message": "Show the total\n\nAs asked."}}).fields["title"] == "Show the total"


def test_release_without_a_day_of_its_own_has_that_of_its_making() -> None:
    body = {"object_kind": "release", "action": "create", "created_at": "2026-03-02 17:08:07 UTC"}
    assert signal(body).occurred_at == datetime(2026, 3, 2, 17, 8, 7, tzinfo=UTC)


def test_approval_that_was_taken_back_is_dismissed() -> None:
    assert signal(merge_request("unapproved")).fields["review_state"] == "dismissed"
