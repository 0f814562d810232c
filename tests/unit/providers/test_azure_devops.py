"""Azure DevOps' service hooks: proofs, and what a request tells."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from providers.adapters.azure_devops.adapter import AzureDevOpsAdapter
from providers.canonical import Signal
from providers.redaction import redact
from providers.spi import TEST_DELIVERY, ProviderEvent, WebhookRequest
from providers.verification import SignatureRejected, verify

ADAPTER = AzureDevOpsAdapter()
BASIC, HEADER = ADAPTER.webhook.schemes["basic"], ADAPTER.webhook.schemes["header"]
NOBODY = "00000000-0000-0000-0000-000000000000"
SOMEBODY = "11111111-2222-4333-8444-555555555555"


def told(event: str, resource: dict[str, Any], kind: str = "", **more: Any) -> list[ProviderEvent]:
    body = {
        "id": "e-1",
        "eventType": event,
        "resource": resource,
        "createdDate": "2026-03-02T09:20:05.1234567Z",
        **more,
    }
    query = {"kind": kind} if kind else {}
    return ADAPTER.process_webhook(WebhookRequest(headers={}, body=orjson.dumps(body), query=query))


def types(events: list[ProviderEvent]) -> list[str]:
    return [str(event.signal_type) for event in events]


def signal(event: ProviderEvent) -> Signal:
    assert event.signal_type is not None
    return ADAPTER.normalise(event.signal_type, event.event_type, event.payload)


# --- proofs ---


def test_the_published_authorization_is_accepted() -> None:
    """UT-IA-01"""
    headers = {"authorization": "Basic aG9va3VzZXI6czNjcjN0LWhvb2s="}
    verified = verify(BASIC, headers=headers, body=b"{}", secrets=[b"hookuser:s3cr3t-hook"])
    assert (verified.fingerprint, verified.signed_at) == (None, None)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Basic aG9va3VzZXI6d3Jvbmc="},
        {"authorization": "Bearer aG9va3VzZXI6czNjcjN0LWhvb2s="},
        {"x-sig-secret": "hookuser:s3cr3t-hook"},
    ],
)
def test_anything_else_is_refused(headers: dict[str, str]) -> None:
    """UT-IA-01"""
    with pytest.raises(SignatureRejected):
        verify(BASIC, headers=headers, body=b"{}", secrets=[b"hookuser:s3cr3t-hook"])


def test_a_header_of_ours_is_another_way_to_prove_oneself() -> None:
    assert verify(HEADER, headers={"x-sig-secret": "s3cr3t"}, body=b"{}", secrets=[b"s3cr3t"]).fingerprint is None
    with pytest.raises(SignatureRejected):
        verify(HEADER, headers={"x-sig-secret": "other"}, body=b"{}", secrets=[b"s3cr3t"])


# --- answers ---


def test_no_answer_of_ours_silences_a_subscription_needlessly() -> None:
    """After anything but these all new events are dropped; 410 would disable the subscription."""
    manifest = ADAPTER.manifest
    assert manifest.accepted_status == manifest.duplicate_status == 200
    assert {manifest.limited_status, manifest.fault_status} <= {408, 502, 503, 504}
    assert manifest.rejected_status == 401


@pytest.mark.parametrize("body", [{}, {"eventType": None}, {"eventType": 7, "resource": []}, {"resource": {"id": 1}}])
def test_an_object_without_an_event_is_kept_and_not_refused(body: dict[str, Any]) -> None:
    (event,) = ADAPTER.process_webhook(WebhookRequest(headers={}, body=orjson.dumps(body)))
    assert event.signal_type is None
    assert event.ignored_reason


# --- tests of a subscription ---

SAMPLE = {"account": {"id": "f844ec47-a9db-4511-8281-8b63f4eaf94e"}}


@pytest.mark.parametrize(("subscription", "containers"), [(NOBODY, {}), (NOBODY, SAMPLE), (SOMEBODY, SAMPLE)], ids=str)
def test_a_test_notification_is_no_event(subscription: str, containers: dict[str, Any]) -> None:
    (event,) = told("workitem.created", {"id": 5}, subscriptionId=subscription, resourceContainers=containers)
    assert (event.signal_type, event.ignored_reason) == (None, TEST_DELIVERY)


def test_somebodys_subscription_with_its_own_data_is_none() -> None:
    containers = {"account": {"id": SOMEBODY}}
    assert types(told("workitem.created", {"id": 5}, subscriptionId=SOMEBODY, resourceContainers=containers)) == [
        "issue_created"
    ]


# --- pushes ---

ZERO, OLD, NEW = "0" * 40, "a" * 40, "b" * 40
REPOSITORY = {"id": "r-1", "name": "storefront", "project": {"name": "Shop"}}


def push(*refs: tuple[str, str, str], **more: Any) -> dict[str, Any]:
    updates = [{"name": name, "oldObjectId": old, "newObjectId": new} for name, old, new in refs]
    return {"refUpdates": updates, "repository": REPOSITORY, "pushId": 31, "date": "2026-03-02T09:15:30Z", **more}


def test_each_ref_of_a_push_is_told() -> None:
    events = told(
        "git.push",
        push(
            ("refs/heads/main", OLD, NEW),
            ("refs/heads/new", ZERO, NEW),
            ("refs/tags/v1", OLD, ZERO),
            ("refs/tags/latest", OLD, NEW),
        ),
    )
    assert types(events) == ["push", "branch_created", "tag_deleted", "None"]
    assert signal(events[1]).resource.branch == "new"
    assert signal(events[2]).fields["before"] == OLD


def test_a_ref_has_one_key_whatever_else_a_subscription_lists() -> None:
    """A subscription to one branch may list fewer refs of the push; a place in the list would be another ref."""
    main, tag = ("refs/heads/main", OLD, NEW), ("refs/tags/v1", ZERO, NEW)
    both = [event.dedupe_key for event in told("git.push", push(tag, main))]
    (alone,) = told("git.push", push(main), id="e-2")
    assert alone.dedupe_key == both[1]
    assert alone.dedupe_key != both[0]


def test_a_push_of_several_refs_does_not_count_commits_of_all_for_one() -> None:
    commits = [{"commitId": NEW, "comment": "Second"}, {"commitId": OLD, "comment": "First"}]
    events = told("git.push", push(("refs/heads/a", OLD, NEW), ("refs/heads/b", ZERO, OLD), commits=commits))
    assert [signal(event).fields.get("title") for event in events] == ["Second", None]
    assert "commit_count" not in signal(events[0]).fields
    (alone,) = told("git.push", push(("refs/heads/a", ZERO[:-1] + "1", NEW), commits=commits))
    assert signal(alone).fields["commit_count"] == 2


# --- pull requests ---


def request(status: str = "active", *votes: int, closed: str = "2026-03-02T11:02:03.1234567Z") -> dict[str, Any]:
    reviewers = [{"id": f"person-{index}", "vote": vote} for index, vote in enumerate(votes)]
    found = {"repository": REPOSITORY, "pullRequestId": 12, "status": status, "reviewers": reviewers}
    return found if status == "active" else {**found, "closedDate": closed}


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        ("push", "active", "pr_synchronized"),
        ("push", "completed", "pr_synchronized"),  # rendered after a merge that followed at once
        ("reviewers", "active", "pr_updated"),
        ("status", "completed", "pr_merged"),
        ("status", "abandoned", "pr_closed"),
        ("status", "active", "pr_updated"),
        ("STATUS", "completed", "pr_merged"),
        ("", "completed", "pr_merged"),
        ("", "abandoned", "pr_closed"),
        ("", "active", "pr_updated"),
        ("nonsense", "active", "pr_updated"),
    ],
)
def test_the_kind_in_the_url_tells_what_an_update_changed(kind: str, status: str, expected: str) -> None:
    (event,) = told("git.pullrequest.updated", request(status), kind)
    assert str(event.signal_type) == expected
    assert event.event_type == f"git.pullrequest.updated{'.' + kind.lower() if kind not in ('', 'nonsense') else ''}"


@pytest.mark.parametrize(
    ("votes", "expected", "reviewer"),
    [
        ((10,), "pr_approved", "person-0"),
        ((5,), "pr_approved", "person-0"),
        ((-5,), "pr_changes_requested", "person-0"),
        ((-10,), "pr_changes_requested", "person-0"),
        ((0,), "pr_approval_removed", "person-0"),
        ((10, 5), "pr_approved", None),
        ((0, 0), "pr_approval_removed", None),
        ((10, 0), "pr_updated", None),
        ((10, -5), "pr_updated", None),
        ((3,), "pr_updated", None),
        ((), "pr_updated", None),
    ],
)
def test_a_vote_is_told_as_far_as_the_body_proves_it(
    votes: tuple[int, ...], expected: str, reviewer: str | None
) -> None:
    (event,) = told("git.pullrequest.updated", request("active", *votes), "vote")
    assert str(event.signal_type) == expected
    assert signal(event).actor_id == reviewer
    assert signal(event).fields.get("changed_fields") == (["reviewers"] if expected == "pr_updated" else None)
    assert signal(event).fields.get("reviewer") == reviewer


def test_the_vote_of_a_group_does_not_count() -> None:
    resource = request("active", 10)
    resource["reviewers"].append({"id": "team", "vote": 0, "isContainer": True})
    (event,) = told("git.pullrequest.updated", resource, "vote")
    assert (str(event.signal_type), signal(event).actor_id) == ("pr_approved", "person-0")


def test_a_closing_is_told_once_and_a_second_closing_again() -> None:
    """Any later change of a closed pull request looks like its closing, where a subscription has no filter."""
    first, later = (told("git.pullrequest.updated", request("abandoned"), id=event)[0] for event in ("e-1", "e-2"))
    (again,) = told("git.pullrequest.updated", request("abandoned", closed="2026-03-03T08:00:00Z"))
    assert first.dedupe_key == later.dedupe_key != again.dedupe_key
    (merged,) = told("git.pullrequest.updated", request("completed"))
    assert merged.dedupe_key != first.dedupe_key


def test_a_merge_that_was_only_tried_is_no_merge() -> None:
    (event,) = told("git.pullrequest.merged", request("active"))
    assert (event.signal_type, "git.pullrequest.updated" in event.ignored_reason) == (None, True)


# --- work items ---


def test_an_update_names_the_work_item_and_not_the_update() -> None:
    change = {"System.Title": {"oldValue": "a", "newValue": "b"}}
    (event,) = told("workitem.updated", {"id": 99, "workItemId": 7, "rev": 3, "fields": change})
    assert event.ordering_key == "workitem:7"
    assert signal(event).canonical_keys["issue_id"] == "7"


def test_an_update_happened_when_it_was_made_and_not_in_the_year_9999() -> None:
    revision = {"id": 7, "fields": {"System.ChangedDate": "2026-03-02T09:30:00.25Z"}}
    resource = {"workItemId": 7, "rev": 3, "revisedDate": "9999-01-01T00:00:00Z", "revision": revision}
    (event,) = told("workitem.updated", resource)
    assert event.occurred_at is not None
    assert event.occurred_at.isoformat() == "2026-03-02T09:30:00.250000+00:00"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("Active", "Closed", ["issue_transitioned", "issue_closed"]),
        ("Doing", "DONE", ["issue_transitioned", "issue_closed"]),
        ("Closed", "New", ["issue_transitioned", "issue_reopened"]),
        ("Done", "Closed", ["issue_transitioned"]),
        ("Active", "Resolved", ["issue_transitioned"]),
        ("Active", "Removed", ["issue_transitioned"]),
        ("Active", "Shelved", ["issue_transitioned"]),
        ("Shelved", "Closed", ["issue_transitioned"]),
    ],
)
def test_closing_is_told_where_both_states_are_known(before: str, after: str, expected: list[str]) -> None:
    change = {"System.State": {"oldValue": before, "newValue": after}}
    assert types(told("workitem.updated", {"workItemId": 7, "rev": 3, "fields": change})) == expected


def test_a_comment_beside_a_change_is_two_signals_of_one_revision() -> None:
    change = {
        "System.History": {"newValue": "Seen it."},
        "System.AssignedTo": {"oldValue": {"id": "zoe"}},
        "System.Rev": {"oldValue": 2, "newValue": 3},
    }
    events = told("workitem.updated", {"workItemId": 7, "rev": 3, "revisedBy": {"id": "ravi"}, "fields": change})
    assert types(events) == ["issue_unassigned", "issue_commented"]
    assert [
        signal(event).fields.get(name) for event, name in zip(events, ("previous_assignee", "body"), strict=True)
    ] == [
        "zoe",
        "Seen it.",
    ]
    assert len({event.dedupe_key for event in events}) == 2


# --- builds and names ---


def test_an_old_build_tells_branch_and_outcome_in_other_places() -> None:
    resource = {"id": 2, "status": "partiallySucceeded", "sourceGetVersion": f"LG:refs/heads/x/y:{NEW}"}
    (event,) = told("build.complete", resource)
    made = signal(event)
    assert str(event.signal_type) == "pipeline_failed"
    assert (made.resource.branch, made.resource.commit, made.attributes["partial"]) == ("x/y", NEW, True)


@pytest.mark.parametrize(
    ("remote", "base", "expected"),
    [
        ("https://dev.azure.com/acme/Shop/_git/storefront", "", "acme/Shop/storefront"),
        ("https://acme.visualstudio.com/DefaultCollection/_git/storefront", "", "acme/Shop/storefront"),
        ("https://tfs.acme.example/tfs/Main/Shop/_git/x", "https://tfs.acme.example/tfs/Main/", "Main/Shop/storefront"),
        ("https://tfs.acme.example/tfs/Main/Shop/_git/x", "", None),
        ("https://[redacted]/acme/Shop/_git/x", "", None),
        ("nonsense", "https://[::1", None),
    ],
)
def test_a_repository_is_named_with_its_organisation(remote: str, base: str, expected: str | None) -> None:
    resource = push(("refs/heads/main", OLD, NEW), repository={**REPOSITORY, "remoteUrl": remote})
    (event,) = told("git.push", resource, resourceContainers={"collection": {"baseUrl": base}})
    assert signal(event).resource.repository == expected


# --- one happening told by several subscriptions ---

COLLECTION = {"collection": {"id": "c-1"}}


@pytest.mark.parametrize(
    ("event", "resource", "later"),
    [
        pytest.param(
            "git.pullrequest.created",
            {"pullRequestId": 12, "repository": {"id": "r-1"}},
            {"pullRequestId": 13},
            id="pull-request",
        ),
        pytest.param("workitem.created", {"id": 7, "rev": 1, "fields": {}}, {"id": 8}, id="work-item"),
        pytest.param(
            "build.complete",
            {"id": 900, "result": "failed", "finishTime": "2026-03-02T09:26:20.69Z"},
            {"finishTime": "2026-03-02T10:26:20.69Z", "result": "succeeded"},
            id="build-tried-again",
        ),
    ],
)
def test_a_second_subscription_repeats_an_event(event: str, resource: dict[str, Any], later: dict[str, Any]) -> None:
    (first,) = told(event, resource, id="e-1", resourceContainers=COLLECTION)
    (again,) = told(event, resource, id="e-2", resourceContainers=COLLECTION)
    (other,) = told(event, {**resource, **later}, id="e-1", resourceContainers=COLLECTION)
    assert first.dedupe_key == again.dedupe_key != other.dedupe_key


@pytest.mark.parametrize("event", ["git.pullrequest.created", "workitem.created", "build.complete"])
def test_without_an_object_to_name_the_events_own_id_is_the_key(event: str) -> None:
    assert told(event, {}, id="e-1")[0].dedupe_key != told(event, {}, id="e-2")[0].dedupe_key


# --- parts a body does not bring ---


def test_a_work_item_has_a_page_where_only_its_address_names_the_organisation() -> None:
    address = "https://acme-shop.visualstudio.com/DefaultCollection/_apis/wit/workItems/7"
    (event,) = told("workitem.created", {"id": 7, "url": address, "fields": {"System.TeamProject": "Web Shop"}})
    assert signal(event).fields["url"] == "https://dev.azure.com/acme-shop/Web%20Shop/_workitems/edit/7"


def test_an_old_identity_that_is_an_address_is_told_by_name() -> None:
    pusher = {"id": "zoe@acme.example", "displayName": "Zoe"}
    (event,) = told("git.push", push(("refs/heads/main", OLD, NEW), pushedBy=pusher))
    stored = redact(event.payload, emails=True)
    assert event.signal_type is not None
    assert ADAPTER.normalise(event.signal_type, event.event_type, stored).actor_id == "Zoe"
