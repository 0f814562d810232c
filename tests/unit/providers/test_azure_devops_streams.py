"""What the Azure DevOps lists tell, and what must not be missed in them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import orjson
import pytest

from providers.adapters.azure_devops.simulated_lists import BUILDS_A_PAGE
from providers.canonical import JSON
from providers.errors import AuthFailed, ProviderError, ProviderFault, Rejected
from providers.simulation import SimulatedAnswer
from providers.spi import ProviderEvent, WebhookRequest, Window
from tests.contract.provider_server import serving
from tests.unit.providers.azure_devops_organisation import ADAPTER, REPOSITORY, START, Organisation, at

ZERO, OLD, NEW = "0" * 40, "a" * 40, "b" * 40
WHERE = "Web Shop/storefront"


@pytest.fixture
def acme() -> Iterator[Organisation]:
    organisation = Organisation()
    with serving(organisation.answer) as server:
        organisation.server = server
        yield organisation


def pushed(event: str, resource: JSON) -> list[ProviderEvent]:
    body = {"id": "e-1", "eventType": event, "resource": resource, "createdDate": at(1)}
    return ADAPTER.process_webhook(WebhookRequest(headers={}, body=orjson.dumps(body)))


# --- work items ---

STATE, CLOSED = "Microsoft.VSTS.Common__StateChangeDate", "Microsoft.VSTS.Common__ClosedDate"


@pytest.mark.parametrize(
    ("rev", "fields", "expected"),
    [
        (1, {}, ["issue_created"]),
        (1, {STATE: at(5)}, ["issue_created"]),
        (4, {}, ["issue_updated"]),
        (4, {STATE: at(4), CLOSED: at(3)}, ["issue_updated"]),
        (4, {STATE: at(5)}, ["issue_transitioned"]),
        (4, {STATE: at(5), CLOSED: at(5)}, ["issue_transitioned", "issue_closed"]),
        (4, {"System__History": "<p>Seen.</p>"}, ["issue_commented"]),
        (4, {"System__History": "Moved.", STATE: at(5)}, ["issue_transitioned", "issue_commented"]),
        (9, {"System__IsDeleted": True}, ["issue_deleted"]),
        (9, {"System__IsDeleted": False}, ["issue_updated"]),
    ],
)
def test_a_revision_tells_what_its_own_time_shows(
    acme: Organisation, rev: int, fields: JSON, expected: list[str]
) -> None:
    acme.revise(7, rev, 5, **fields)
    run = acme.poll("work_items")
    assert run.told == expected
    for event in run.events:
        if rev > 1:
            assert event.occurred_at == START + timedelta(minutes=5)
        assert event.signal_type is not None
        signal = ADAPTER.normalise(event.signal_type, event.event_type, event.payload)
        assert signal.canonical_keys["issue_key"] == "7"
        assert str(signal.fields["url"]).endswith("/acme/Web%20Shop/_workitems/edit/7")
        assert signal.fields.get("author") == "zoe-1"


def test_every_revision_is_told_and_not_only_the_last(acme: Organisation) -> None:
    acme.revise(7, 1, 1)
    acme.revise(7, 2, 2, **{STATE: at(2)})
    acme.revise(7, 3, 3, System__History="Done.")
    assert acme.poll("work_items").told == ["issue_created", "issue_transitioned", "issue_commented"]


def test_a_revision_and_its_webhook_are_one_happening(acme: Organisation) -> None:
    acme.revise(7, 1, 1)
    acme.revise(7, 2, 2, **{STATE: at(2)})
    acme.revise(7, 3, 3, System__IsDeleted=True)
    polled = acme.poll("work_items").events
    fields = {"System.CreatedDate": at(1)}
    revision = {"id": 7, "rev": 2, "fields": {"System.ChangedDate": at(2)}}
    state = {"System.State": {"oldValue": "New", "newValue": "Active"}}
    hooks = [
        *pushed("workitem.created", {"id": 7, "rev": 1, "fields": fields}),
        *pushed("workitem.updated", {"id": 31, "workItemId": 7, "rev": 2, "fields": state, "revision": revision}),
        *pushed("workitem.deleted", {"id": 7, "rev": 3, "fields": fields}),
    ]
    for one, other in zip(polled, hooks, strict=True):
        assert (one.happening, one.ordering_key) == (other.happening, other.ordering_key)
        assert (one.event_type, one.signal_type) == (other.event_type, other.signal_type)
    assert len({event.happening for event in polled}) == 3


def test_the_feed_is_asked_by_time_once_and_then_by_token(acme: Organisation) -> None:
    acme.revise(7, 1, 1)
    first = acme.poll("work_items")
    assert first.asked[0]["startDateTime"] == ["2026-03-02T07:59:59Z"]
    assert first.asked[0]["includeDeleted"] == first.asked[0]["includeIdentityRef"] == ["true"]
    quiet = acme.poll("work_items", first.position)
    assert [set(asked) & {"startDateTime", "continuationToken"} for asked in quiet.asked] == [{"continuationToken"}]
    assert quiet.events == []
    # Learned of late, with a time from before the first poll.
    acme.revise(8, 1, 0.5, System__CreatedDate=at(0.5))
    assert acme.poll("work_items", quiet.position).told == ["issue_created"]


# --- builds ---


def test_more_builds_of_one_second_than_a_page_holds_are_all_told(acme: Organisation) -> None:
    for number in range(BUILDS_A_PAGE * 3):
        acme.build(number, at(5, seconds=number % 3 * 0.2))
    acme.build(999, at(6))
    assert len(acme.poll("builds").keys) == BUILDS_A_PAGE * 3 + 1


def test_builds_of_one_second_hide_none_when_some_are_deleted_meanwhile(acme: Organisation) -> None:
    for number in range(BUILDS_A_PAGE * 3):
        acme.build(number, at(5))
    # After the first page of that second, which begins with the second request.
    acme.meanwhile = [lambda: None, lambda: acme.lists.builds.__delitem__(slice(0, 5))]
    told = {event.happening.split(":")[1] for event in acme.poll("builds").events}
    assert told >= {str(number) for number in range(5, BUILDS_A_PAGE * 3)}


def test_a_build_listed_late_is_told_inside_the_lookback_only(acme: Organisation) -> None:
    acme.build(1, at(30))
    position = acme.poll("builds").position
    acme.build(2, at(20, seconds=1))
    acme.build(3, at(19))
    run = acme.poll("builds", position)
    assert {event.happening.split(":")[1] for event in run.events} == {"1", "2"}


def test_builds_that_end_while_they_are_read_are_told_by_this_run_or_the_next(acme: Organisation) -> None:
    for number in range(120):
        acme.build(number, at(number))
    acme.meanwhile = [lambda: acme.build(500, at(3)), lambda: acme.build(501, at(130))]
    first = acme.poll("builds")
    second = acme.poll("builds", first.position)
    # 500 became visible two hours late, which no lookback covers.
    assert {key.split(":")[2] for key in first.keys | second.keys} == {*map(str, range(120)), "501"}


def test_a_window_is_asked_for_with_both_ends(acme: Organisation) -> None:
    for minutes in (0, 10, 20, 30):
        acme.build(minutes, at(minutes))
    run = acme.poll("builds", window=Window(since=START, until=START + timedelta(minutes=20)))
    assert run.asked[0]["minTime"] == ["2026-03-02T08:00:00.000Z"]
    assert run.asked[0]["maxTime"] == ["2026-03-02T08:20:00.000Z"]
    assert [event.happening.split(":")[1] for event in run.events] == ["0", "10"]


@pytest.mark.parametrize("stream", ["pull_requests_created", "pull_requests_closed", "pushes"])
def test_other_windows_have_both_ends_too(acme: Organisation, stream: str) -> None:
    window = Window(since=START, until=START + timedelta(minutes=20))
    (asked,) = acme.poll(stream, window=window, partition=WHERE if stream == "pushes" else "Web Shop").asked
    times = [values for name, values in asked.items() if name.endswith(("Time", "Date"))]
    assert times == [["2026-03-02T08:00:00.000Z"], ["2026-03-02T08:20:00.000Z"]]


def test_a_build_and_its_webhook_are_one_happening(acme: Organisation) -> None:
    acme.build(900, at(5), result="failed")
    (polled,) = acme.poll("builds").events
    (hook,) = pushed("build.complete", {"id": 900, "result": "failed", "finishTime": at(5)})
    assert (polled.happening, polled.ordering_key, polled.signal_type) == (
        hook.happening,
        hook.ordering_key,
        hook.signal_type,
    )
    assert polled.signal_type is not None
    signal = ADAPTER.normalise(polled.signal_type, polled.event_type, polled.payload)
    assert signal.canonical_keys["project_id"] == "p-1"
    assert signal.attributes["organization"] == "acme"


# --- pull requests ---


def test_an_opening_and_a_closing_are_told_once_each_by_their_own_times(acme: Organisation) -> None:
    acme.request(1, at(-60), closed=at(5))
    acme.request(2, at(6))
    acme.request(3, at(7), closed=at(9), status="abandoned")
    opened, closed = acme.poll("pull_requests_created"), acme.poll("pull_requests_closed")
    assert sorted(event.happening for event in opened.events) == ["pr:r-1:2:opened", "pr:r-1:3:opened"]
    assert sorted(closed.told) == ["pr_closed", "pr_merged"]


def test_closed_requests_are_all_told_though_the_list_is_sorted_by_number(acme: Organisation) -> None:
    for number in range(250):
        acme.request(number + 1, at(-900), closed=at(number * 7 % 250))
    run = acme.poll("pull_requests_closed")
    assert len(run.keys) == 250
    # The watermark may lag behind, never run ahead: whatever was closed later than it was seen is asked for again.
    acme.request(400, at(-900), closed=at(250))
    assert (
        "polled:pr:r-1:400:merged:2026-03-02T12:10:00+00:00:pr_merged"
        in acme.poll("pull_requests_closed", run.position).keys
    )


def test_a_request_that_leaves_the_list_while_it_is_read_hides_no_other(acme: Organisation) -> None:
    requests = [acme.request(number + 1, at(-900), closed=at(number)) for number in range(250)]

    def reactivate() -> None:
        for request in requests[-5:]:
            request["status"] = "active"
            del request["closedDate"]

    acme.meanwhile = [reactivate]
    first = acme.poll("pull_requests_closed")
    assert {event.happening.split(":")[2] for event in first.events} >= {str(number) for number in range(1, 246)}


def test_a_request_that_is_open_again_is_not_told_as_closed(acme: Organisation) -> None:
    acme.request(1, at(-60), closed=at(5), status="active")
    assert acme.poll("pull_requests_closed").told == []


def test_a_request_is_one_happening_with_its_webhook_and_has_a_page(acme: Organisation) -> None:
    acme.request(2, at(6), closed=at(9))
    polled = [*acme.poll("pull_requests_created").events, *acme.poll("pull_requests_closed").events]
    resource = {"pullRequestId": 2, "repository": REPOSITORY, "creationDate": at(6)}
    closed = {**resource, "status": "completed", "closedDate": at(9)}
    hooks = [*pushed("git.pullrequest.created", resource), *pushed("git.pullrequest.updated", closed)]
    for one, other in zip(polled, hooks, strict=True):
        assert (one.happening, one.ordering_key) == (other.happening, other.ordering_key)
        assert one.signal_type == other.signal_type
        assert one.signal_type is not None
        signal = ADAPTER.normalise(one.signal_type, one.event_type, one.payload)
        assert str(signal.fields["url"]).endswith("/acme/Web%20Shop/_git/storefront/pullrequest/2")


# --- pushes ---


def test_a_push_tells_each_ref_as_its_webhook_does(acme: Organisation) -> None:
    refs = (
        ("refs/heads/basket", OLD, NEW),
        ("refs/heads/gone", OLD, ZERO),
        ("refs/tags/v1", ZERO, NEW),
        ("refs/tags/moved", OLD, NEW),
    )
    push = acme.push(31, 5, *refs)
    polled = acme.poll("pushes", partition=WHERE)
    assert polled.told == ["push", "branch_deleted", "tag_created"]
    hooks = [event for event in pushed("git.push", push) if event.signal_type]
    assert [(e.happening, e.ordering_key, e.signal_type) for e in polled.events] == [
        (e.happening, e.ordering_key, e.signal_type) for e in hooks
    ]


def test_pushes_are_read_down_to_where_the_last_run_began(acme: Organisation) -> None:
    for number in range(1, 251):
        acme.push(number, number, ("refs/heads/main", OLD, NEW))
    acme.meanwhile = [lambda: acme.push(900, 300, ("refs/heads/main", NEW, OLD))]
    first = acme.poll("pushes", partition=WHERE)
    assert len(first.keys) == 250
    assert [asked.get("$skip") for asked in first.asked] == [None, ["100"], ["200"]]
    assert acme.poll("pushes", first.position, partition=WHERE).told.count("push") >= 1
    run = acme.poll("pushes", first.position, partition=WHERE)
    assert run.asked[0]["searchCriteria.fromDate"] == ["2026-03-02T12:00:00.000Z"]
    assert any(event.happening.startswith("push:900:") for event in run.events)


def test_a_push_that_does_not_say_what_it_moved_is_a_fault(acme: Organisation) -> None:
    acme.lists.pushes.append({"pushId": 1, "date": at(1), "repository": REPOSITORY})
    with pytest.raises(ProviderFault):
        acme.poll("pushes", partition=WHERE)
    acme.lists.pushes[0]["refUpdates"] = []
    assert acme.poll("pushes", partition=WHERE).told == []


# --- refusals ---

HTML = {"content-type": "text/html; charset=utf-8"}
STREAMS = [(stream.name, WHERE if stream.name == "pushes" else "Web Shop") for stream in ADAPTER.streams]


@pytest.mark.parametrize(("stream", "partition"), STREAMS)
@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (SimulatedAnswer(203, HTML, b"<html>"), AuthFailed, "sign-in page"),
        (SimulatedAnswer(302, {**HTML, "location": "https://app.example/_signin"}, b""), AuthFailed, "sign-in page"),
        (SimulatedAnswer(401, {}, b""), AuthFailed, "scope vso."),
        (SimulatedAnswer(403, {"content-type": "application/json"}, b'{"message":"TF400813: x"}'), AuthFailed, "vso."),
        (SimulatedAnswer(404, {"content-type": "application/json"}, b"{}"), Rejected, "Web Shop"),
    ],
    ids=["203", "302", "401", "403", "404"],
)
def test_a_refusal_says_what_is_missing(
    acme: Organisation, stream: str, partition: str, answer: SimulatedAnswer, error: type[ProviderError], words: str
) -> None:
    acme.instead = answer
    with pytest.raises(error, match=words):
        acme.page(stream, {}, partition=partition)


def test_a_project_nobody_knows_is_named(acme: Organisation) -> None:
    with pytest.raises(Rejected, match="The project Ghosts does not exist"):
        acme.page("builds", {}, partition="Ghosts")
    with pytest.raises(Rejected, match="The repository Web Shop/ghost does not exist"):
        acme.page("pushes", {}, partition="Web Shop/ghost")
