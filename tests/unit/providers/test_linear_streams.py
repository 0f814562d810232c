"""What Linear's lists tell, and what must not be missed in them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jsonschema_rs
import orjson
import pytest

from providers.adapters.linear import simulated_lists
from providers.canonical import JSON, Signal
from providers.errors import AuthFailed, LacksAccess, ProviderError, ProviderFault, RateLimited, Rejected
from providers.simulation import SimulatedAnswer
from providers.spi import ProviderEvent, WebhookRequest
from tests.contract.provider_server import serving
from tests.unit.providers.linear_workspace import ADAPTER, DONE, ENG, START, Workspace, at


@pytest.fixture
def acme() -> Iterator[Workspace]:
    workspace = Workspace()
    with serving(workspace.answer) as server:
        workspace.url = server.url
        yield workspace


def entry(minutes: float, **changed: Any) -> JSON:
    """Written a moment after the issue it is of."""
    return {"updatedAt": at(minutes, 40), "actorId": "zoe", **changed}


MOVED = {"fromStateId": "s-1", "toStateId": "s-2", "toState": DONE}


def signal(event: ProviderEvent) -> Signal:
    assert event.signal_type is not None
    return ADAPTER.normalise(event.signal_type, event.event_type, event.payload)


def pushed(kind: str, action: str, data: JSON, then: JSON | None = None) -> list[ProviderEvent]:
    body = {"type": kind, "action": action, "data": data, **({} if then is None else {"updatedFrom": then})}
    return ADAPTER.process_webhook(WebhookRequest(headers={"linear-delivery": "d-1"}, body=orjson.dumps(body)))


# --- how a list is read ---


def test_a_run_that_is_cut_short_moves_nothing(acme: Workspace) -> None:
    """The newest come first: the watermark is theirs only once the oldest are read."""
    for number in range(120):
        acme.issue(f"i-{number}", at(number / 10))
    first = acme.page("issues", {})
    assert first.more
    assert "watermark" not in first.position
    rest = acme.poll("issues", orjson.loads(orjson.dumps(first.position)))
    assert {event.dedupe_key for event in first.events} | rest.keys == {
        f"polled:issue:i-{number}:created:issue_created" for number in range(120)
    }
    assert rest.position["watermark"] == (START + timedelta(minutes=11.9)).isoformat()


@pytest.mark.parametrize("moved", [{3}, {3, 70}, {70, 119}], ids=["one unread", "and the cursor", "read already"])
def test_what_jumps_to_the_top_while_a_run_goes_on_is_told_by_the_next(acme: Workspace, moved: set[int]) -> None:
    """Also that it was made, which lies further back than the next run begins. The cursor is the id of number 70."""
    issues = [acme.issue(f"i-{number}", at(number / 10)) for number in range(120)]
    acme.meanwhile = [lambda: [issues[number].update(updatedAt=at(20 + number)) for number in moved]]
    first = acme.poll("issues")
    second = acme.poll("issues", first.position)
    told = first.keys | second.keys
    assert {f"polled:issue:i-{number}:created:issue_created" for number in range(120)} <= told
    assert {key.split(":")[2] for key in told if ":updated:" in key} == {f"i-{number}" for number in moved}
    assert second.pages == 1


def test_issues_of_one_millisecond_are_all_told(acme: Workspace) -> None:
    for number in range(130):
        acme.issue(f"i-{number}", at(5))
    run = acme.poll("issues")
    assert (run.pages, len(run.keys)) == (3, 130)
    assert acme.poll("issues", run.position).keys == run.keys


def test_a_quiet_list_is_one_request_from_a_little_before_the_last_change(acme: Workspace) -> None:
    acme.issue("i-1", at(5))
    run = acme.poll("issues")
    again = acme.poll("issues", run.position)
    assert (again.pages, again.keys) == (1, run.keys)
    assert [asked["filter"]["updatedAt"] for asked in acme.asked] == [{"gte": at(0)}, {"gte": at(3)}]


def test_the_teams_of_the_settings_share_one_request(acme: Workspace) -> None:
    acme.issue("i-1", at(5))
    acme.issue("i-2", at(6), team={"id": "t-2", "key": "OPS", "name": "Operations"})
    acme.settings = {"teams": ["ENG", "WEB"]}
    assert {event.happening for event in acme.poll("issues").events} == {"issue:i-1:created"}
    teams = {"key": {"in": ["ENG", "WEB"]}}
    assert acme.asked[-1]["filter"]["team"] == teams
    wanted: dict[str, JSON] = {
        "comments": {"issue": {"team": teams}},
        "projects": {"accessibleTeams": {"some": teams}},
        "project_updates": {"project": {"accessibleTeams": {"some": teams}}},
        "cycles": {"team": teams},
    }
    for stream, chosen in wanted.items():
        acme.poll(stream)
        assert {name: value for name, value in acme.asked[-1]["filter"].items() if name != "updatedAt"} == chosen


def test_no_query_costs_more_than_one_may(acme: Workspace) -> None:
    acme.settings = {"history": True}
    for stream in ADAPTER.streams:
        acme.poll(stream.name)
    assert max(acme.costs) < simulated_lists.DEAREST_QUERY
    acme.settings = {}
    acme.poll("issues")
    # At a poll a minute under a tenth of what an app has in an hour.
    assert acme.costs[-1] * 60 < 2_000_000 / 9


def test_more_without_a_cursor_is_a_fault_and_not_the_end(acme: Workspace) -> None:
    for number in range(60):
        acme.issue(f"i-{number}", at(1))
    acme.spoilt = lambda data: data["issues"]["pageInfo"].update(endCursor=None)
    with pytest.raises(ProviderFault):
        acme.page("issues", {})


# --- issues ---


def test_an_issue_made_and_changed_tells_both(acme: Workspace) -> None:
    acme.issue("i-1", at(5), at(9))
    assert acme.poll("issues").told == [("issue_created", "05"), ("issue_updated", "09")]


def test_the_time_of_making_may_be_written_twice(acme: Workspace) -> None:
    acme.issue("i-1", at(5), at(5, 12))
    assert acme.poll("issues").told == [("issue_created", "05")]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (MOVED, ["issue_transitioned"]),
        ({"fromAssigneeId": None, "toAssigneeId": "zoe"}, ["issue_assigned"]),
        ({"fromAssigneeId": "zoe", "toAssigneeId": None}, ["issue_unassigned"]),
        ({"addedLabelIds": ["l-1"]}, ["issue_labeled"]),
        ({"removedLabelIds": ["l-1"]}, ["issue_unlabeled"]),
        ({"fromPriority": 0, "toPriority": 2}, ["issue_priority_changed"]),
        ({"fromCycleId": "c-1", "toCycleId": None}, ["issue_sprint_changed"]),
        ({"fromTeamId": "t-2", "toTeamId": "t-1"}, ["issue_transferred"]),
        ({"archived": False}, ["issue_restored"]),
        ({"archived": False, "trashed": False}, ["issue_restored"]),
        ({"fromTitle": "Total", "toTitle": "Total is wrong"}, ["issue_updated"]),
        ({"updatedDescription": True}, ["issue_updated"]),
        ({**MOVED, "fromAssigneeId": None, "toAssigneeId": "zoe"}, ["issue_transitioned", "issue_assigned"]),
        ({}, ["issue_updated"]),
    ],
    ids=str,
)
def test_the_history_tells_what_made_the_last_version(acme: Workspace, changed: JSON, expected: list[str]) -> None:
    more = {"assignee": {"id": "zoe", "name": "Zoe"}} if changed.get("toAssigneeId") else {}
    acme.issue("i-1", at(-60), at(9), entry(3, fromTitle="a", toTitle="b"), entry(9, **changed), **more)
    run = acme.poll("issues")
    assert [name for name, _ in run.told] == expected
    for event in run.events:
        assert event.happening == f"issue:i-1:updated:{round((START.timestamp() + 540) * 1000)}"
        assert event.occurred_at == START + timedelta(minutes=9)
        assert signal(event).actor_id == "zoe"


def test_a_version_the_history_does_not_explain_is_told_vaguely(acme: Workspace) -> None:
    acme.issue("i-1", at(-60), at(9), entry(3, **MOVED))
    assert acme.poll("issues").told == [("issue_updated", "09")]


def test_a_closing_is_told_by_its_own_time_whatever_came_after(acme: Workspace) -> None:
    acme.issue("i-1", at(-60), at(9), entry(4, **MOVED), completedAt=at(4), state=DONE)
    run = acme.poll("issues")
    assert run.told == [("issue_closed", "04"), ("issue_updated", "09")]
    data = {"id": "i-1", "updatedAt": at(4, 3), "completedAt": at(4), "stateId": "s-2"}
    hooks = pushed("Issue", "update", data, {"stateId": "s-1", "completedAt": None})
    (closed,) = (event for event in hooks if str(event.signal_type) == "issue_closed")
    assert run.events[0].happening == closed.happening


def test_a_closing_alone_needs_no_vague_update_beside_it(acme: Workspace) -> None:
    acme.issue("i-1", at(-60), at(4, 7), completedAt=at(4), state=DONE)
    assert acme.poll("issues").told == [("issue_closed", "04")]


@pytest.mark.parametrize(("trashed", "expected"), [(True, "issue_deleted"), (None, "issue_archived")])
def test_what_was_put_away_is_listed_and_one_with_its_webhook(
    acme: Workspace, trashed: bool | None, expected: str
) -> None:
    flags = {"archived": True, "trashed": trashed}
    acme.issue("i-1", at(-60), at(4), entry(4, **flags), archivedAt=at(4), trashed=trashed)
    run = acme.poll("issues")
    assert run.told == [(expected, "04")]
    then = {"archivedAt": None, **({"trashed": None} if trashed else {})}
    data = {"id": "i-1", "archivedAt": at(4), "updatedAt": at(4), "trashed": trashed}
    assert [event.happening for event in pushed("Issue", "update", data, then)] == [run.events[0].happening]


def test_an_issue_and_its_webhooks_are_one_happening(acme: Workspace) -> None:
    acme.issue("i-1", at(5), at(9), entry(9, **MOVED), state=DONE)
    made, moved = acme.poll("issues").events
    (hook,) = pushed("Issue", "create", {"id": "i-1", "createdAt": at(5)})
    assert (made.happening, made.ordering_key) == (hook.happening, hook.ordering_key)
    (hook,) = pushed("Issue", "update", {"id": "i-1", "updatedAt": at(9), "stateId": "s-2"}, {"stateId": "s-1"})
    assert (moved.happening, moved.signal_type, moved.event_type) == (
        hook.happening,
        hook.signal_type,
        hook.event_type,
    )
    assert signal(moved).attributes["previous_state_id"] == "s-1"
    assert "history" not in moved.payload["data"]


def test_earlier_changes_are_told_if_the_settings_say_so_and_never_twice(acme: Workspace) -> None:
    entries = [
        entry(3, **MOVED),
        entry(6, fromAssigneeId=None, toAssigneeId="zoe"),
        entry(9, fromPriority=1, toPriority=2),
    ]
    issue = acme.issue("i-1", at(-60), at(9), *entries)
    assert acme.poll("issues").told == [("issue_priority_changed", "09")]
    acme.settings = {"history": True}
    run = acme.poll("issues")
    assert sorted(run.told) == [
        ("issue_assigned", "06"),
        ("issue_priority_changed", "09"),
        ("issue_transitioned", "03"),
    ]
    # Nothing says that such an entry is what a webhook told of.
    assert [bool(event.happening) for event in run.events] == [False, False, True]
    transition = next(event for event in run.events if str(event.signal_type) == "issue_transitioned")
    assert signal(transition).fields["state"] == "done"
    issue["updatedAt"] = at(15)
    later = acme.poll("issues", run.position)
    assert {key for key in later.keys - run.keys if "history" in key} == set()


def test_what_an_issue_was_made_with_is_no_change_of_it(acme: Workspace) -> None:
    acme.settings = {"history": True}
    acme.issue("i-1", at(5), at(9), entry(5, **MOVED))
    assert acme.poll("issues").told == [("issue_created", "05"), ("issue_updated", "09")]


def test_an_issue_that_came_back_and_went_again_tells_both(acme: Workspace) -> None:
    acme.settings = {"history": True}
    entries = [entry(3, archived=False), entry(9, archived=True)]
    acme.issue("i-1", at(-60), at(9), *entries, archivedAt=at(9))
    assert sorted(acme.poll("issues").told) == [("issue_archived", "09"), ("issue_restored", "03")]


# --- comments, projects, reports, cycles ---


def thing(key: str, made: float, updated: float, **more: Any) -> JSON:
    return {"id": key, "createdAt": at(made), "updatedAt": at(updated), "url": "https://linear.app/x", **more}


def test_a_comment_is_told_when_it_is_written_and_when_it_is_edited(acme: Workspace) -> None:
    issue = {"id": "i-1", "identifier": "ENG-7", "title": "Total is wrong", "team": ENG}
    comment = thing("c-1", 5, 5, body="Round down.", issueId="i-1", issue=issue, user={"id": "zoe", "name": "Zoe"})
    acme.lists["comments"] = [comment]
    (written,) = acme.poll("comments").events
    (hook,) = pushed("Comment", "create", {"id": "c-1", "issueId": "i-1", "createdAt": at(5)})
    assert (written.happening, written.ordering_key) == (hook.happening, hook.ordering_key)
    assert signal(written).canonical_keys["issue_key"] == "ENG-7"
    assert signal(written).actor_id == "zoe"
    # Somebody reacts to it.
    comment["updatedAt"] = at(8)
    assert acme.poll("comments").told == [("issue_commented", "05")]
    comment |= {"updatedAt": at(12), "editedAt": at(11)}
    run = acme.poll("comments")
    assert run.told == [("issue_commented", "05"), ("issue_comment_updated", "11")]
    data = {"id": "c-1", "issueId": "i-1", "updatedAt": at(11, 4), "editedAt": at(11)}
    assert run.events[1].happening == pushed("Comment", "update", data, {"body": "x"})[0].happening


def test_comments_elsewhere_are_told_by_what_they_are_on(acme: Workspace) -> None:
    acme.lists["comments"] = [
        thing("c-1", 1, 1, body="a", documentContentId="d-1"),
        thing("c-2", 2, 2, body="b", projectUpdateId="u-1", projectUpdate={"project": {"id": "p-1"}}),
        thing("c-3", 3, 3, body="on an initiative"),
    ]
    assert acme.poll("comments").told == [("page_commented", "01"), ("project_commented", "02")]


def test_a_cycle_is_closed_at_the_time_it_keeps(acme: Workspace) -> None:
    cycle = thing("y-1", 1, 9, number=4, startsAt=at(0), endsAt=at(900), completedAt=at(5), team=ENG)
    acme.lists["cycles"] = [cycle]
    run = acme.poll("cycles")
    assert run.told == [("sprint_created", "01"), ("sprint_closed", "05"), ("sprint_updated", "09")]
    cycle["updatedAt"] = at(5, 2)
    assert acme.poll("cycles").told == [("sprint_created", "01"), ("sprint_closed", "05")]
    data = {"id": "y-1", "updatedAt": at(5, 2), "completedAt": at(5)}
    assert run.events[1].happening == pushed("Cycle", "update", data, {"completedAt": None})[0].happening


def test_projects_and_their_reports_are_there_for_who_asks(acme: Workspace) -> None:
    project = thing("p-1", 1, 9, name="Basket", slugId="b", description="", status={"id": "s", "name": "Planned"})
    acme.lists["projects"] = [project]
    report = thing("u-1", 2, 2, body="Fine.", health="atRisk", user={"id": "zoe", "name": "Zoe"}, project=project)
    acme.lists["projectUpdates"] = [report]
    assert acme.poll("projects").told == [("project_created", "01"), ("project_updated", "09")]
    (posted,) = acme.poll("project_updates").events
    assert signal(posted).fields["health"] == "at_risk"
    assert posted.ordering_key == "project:p-1"
    assert [stream.name for stream in ADAPTER.streams if stream.enabled_by_default] == ["issues", "comments"]


# --- errors, settings ---


def refused(code: str, kind: str, status: int, **headers: str) -> SimulatedAnswer:
    error = {"message": "No.", "extensions": {"code": code, "type": kind}}
    body = {"errors": [error], "data": {"issues": {"nodes": [], "pageInfo": {"hasNextPage": False, "endCursor": None}}}}
    return SimulatedAnswer(status, {"content-type": "application/json", **headers}, orjson.dumps(body))


@pytest.mark.parametrize("stream", [stream.name for stream in ADAPTER.streams])
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refused("FORBIDDEN", "forbidden", 200), LacksAccess),
        (refused("AUTHENTICATION_ERROR", "authentication error", 400), AuthFailed),
        (refused("RATELIMITED", "ratelimited", 400), RateLimited),
        (refused("INTERNAL_SERVER_ERROR", "internal error", 200), ProviderFault),
        (refused("INPUT_ERROR", "invalid input", 200), Rejected),
    ],
    ids=["forbidden", "authentication", "rate", "internal", "input"],
)
def test_an_error_beside_data_is_an_error_and_no_page(
    acme: Workspace, stream: str, answer: SimulatedAnswer, error: type[ProviderError]
) -> None:
    acme.instead = answer
    with pytest.raises(error) as caught:
        acme.page(stream, {})
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("settings", "good"),
    [
        ({"streams": ["issues", "cycles"], "history": True, "poll_interval_seconds": 300}, True),
        ({"streams": ["documents"]}, False),
        ({"history": "all"}, False),
    ],
    ids=str,
)
def test_settings_choose_streams_and_how_much_is_told(settings: JSON, good: bool) -> None:
    assert jsonschema_rs.is_valid(ADAPTER.settings_schema, settings) is good
