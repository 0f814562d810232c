"""What the items of GitLab's lists tell, and that it has the names webhooks give."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from providers.adapters.gitlab import simulated_rows as rows
from providers.adapters.gitlab.mapping_changes import merge_request_meanings
from providers.adapters.gitlab.places import project
from providers.adapters.gitlab.polling_events import SEVERAL_REFS
from providers.adapters.gitlab.simulator import Simulator
from providers.canonical import JSON
from providers.client import ProviderClient
from providers.document import Document
from providers.outbound import OutboundPolicy
from providers.spi import ProviderEvent, Window
from tests.contract.provider_server import serving
from tests.gitlab_lists import (
    ADAPTER,
    PROJECT,
    START,
    GitLab,
    at,
    serving_lists,
    signal,
    types,
    webhook,
)


@pytest.fixture
def gitlab() -> Iterator[GitLab]:
    with serving_lists() as made:
        yield made


# What items tell


def test_merge_request_tells_its_opening_and_merge_with_their_own_times(gitlab: GitLab) -> None:
    merged = {"state": "merged", "merged_at": rows.api_time(at(1800)), "merge_user": rows.person("ravi")}
    told = gitlab.told("merge_requests", **merged, merge_commit_sha="b" * 40, updated_at=rows.api_time(at(1801)))
    assert [(str(event.signal_type), event.occurred_at) for event in told] == [
        ("pr_opened", at(60)),
        ("pr_merged", at(1800)),
    ]
    opened, end = map(signal, told)
    assert (opened.actor_id, opened.fields["author"]) == ("zoe", "zoe")
    assert (end.actor_id, end.fields["merged_by"], end.fields["author"]) == ("ravi", "ravi", "zoe")
    assert (end.resource.commit, end.resource.repository, end.resource.pr_id) == ("b" * 40, PROJECT, 101)
    assert end.canonical_keys == {"repository_id": 4101, "pr_number": 101}
    assert end.occurred_at == at(1800)


def test_another_change_is_told_as_an_update_and_the_next_one_as_well(gitlab: GitLab) -> None:
    row = gitlab.put("merge_requests", at(60), updated_at=rows.api_time(at(63)), labels=["bug"])
    first = gitlab.poll("merge_requests")
    assert types(first.events) == ["pr_opened", "pr_updated"]
    assert signal(first.events[1]).fields["labels"] == ["bug"]
    assert signal(first.events[1]).actor_id is None
    row["updated_at"] = rows.api_time(at(64))
    second = gitlab.poll("merge_requests", first.position)
    assert second.keys - first.keys == {f"poll:merge_request:{row['id']}:updated:{rows.api_time(at(64))}"}


def test_writes_of_the_same_change_are_no_update(gitlab: GitLab) -> None:
    assert types(gitlab.told("issues", updated_at=rows.api_time(at(61.9)))) == ["issue_created"]


def test_closed_and_reopened_item_tells_its_close_only_while_it_is_closed(gitlab: GitLab) -> None:
    times = {"closed_at": rows.api_time(at(120)), "updated_at": rows.api_time(at(120.2))}
    row = gitlab.put("issues", at(60), state="closed", closed_by=rows.person("mina"), **times)
    told = gitlab.poll("issues").events
    assert types(told) == ["issue_created", "issue_closed"]
    assert (signal(told[1]).actor_id, signal(told[1]).occurred_at) == ("mina", at(120))
    row |= {"state": "opened", "updated_at": rows.api_time(at(180))}
    assert types(gitlab.poll("issues").events) == ["issue_created", "issue_updated"]


def test_issue_types_are_named_as_webhooks_name_them(gitlab: GitLab) -> None:
    (told,) = gitlab.told("issues", issue_type="test_case", type="TEST_CASE")
    assert signal(told).fields["issue_type"] == "Test Case"
    assert signal(told).canonical_keys["issue_key"] == "acme/web#101"


@pytest.mark.parametrize(
    ("data", "signal_type", "ends"),
    [
        ({"action": "created", "commit_from": None, "commit_to": "2" * 40}, "branch_created", ("0" * 40, "2" * 40)),
        ({"action": "removed", "commit_from": "1" * 40, "commit_to": None}, "branch_deleted", ("1" * 40, "0" * 40)),
        ({"action": "pushed", "commit_from": "1" * 40, "commit_to": "2" * 40}, "push", ("1" * 40, "2" * 40)),
    ],
)
def test_push_event_becomes_what_its_webhook_becomes(
    gitlab: GitLab, data: JSON, signal_type: str, ends: tuple[str, str]
) -> None:
    data = {**data, "ref_type": "branch", "ref": "fix/basket", "commit_count": 3, "commit_title": "Mended"}
    (told,) = gitlab.told("events", push_data=data)
    body = {"object_kind": "push", "project_id": 4101, "ref": "refs/heads/fix/basket"}
    (pushed,) = webhook({**body, "before": ends[0], "after": ends[1]})
    assert (str(told.signal_type), told.happening, told.ordering_key) == (
        signal_type,
        pushed.happening,
        pushed.ordering_key,
    )
    assert signal(told).actor_id == "zoe"
    assert (signal(told).resource.branch, signal(told).resource.repository) == ("fix/basket", PROJECT)


def test_push_of_several_refs_names_none_and_is_kept_as_ignored(gitlab: GitLab) -> None:
    data = {"action": "pushed", "ref_type": "branch", "ref": None, "ref_count": 5, "commit_from": None}
    (told,) = gitlab.told("events", push_data=data)
    assert (told.signal_type, told.happening) == (None, "")
    assert told.ignored_reason == SEVERAL_REFS


def test_moved_tag_is_ignored_as_by_webhook(gitlab: GitLab) -> None:
    data = {"action": "pushed", "ref_type": "tag", "ref": "v1", "commit_from": "1" * 40, "commit_to": "2" * 40}
    (told,) = gitlab.told("events", push_data=data)
    (pushed,) = webhook({"object_kind": "tag_push", "before": "1" * 40, "after": "2" * 40, "ref": "refs/tags/v1"})
    assert (told.signal_type, told.ignored_reason) == (None, pushed.ignored_reason)


def test_comments_of_events_have_an_address_and_what_they_are_about(gitlab: GitLab) -> None:
    about = rows.merge_request(rows.item(900, 12, "Basket", "zoe", at(0), "merge_requests"), "a" * 40)
    note = rows.note(about, 77, "Looks right.", "mina", at(59))
    (told,) = gitlab.told("events", note=note, target_title="Basket", author=rows.person("mina"))
    made = signal(told)
    assert (told.event_type, str(told.signal_type)) == ("note.mergerequest.create", "pr_commented")
    assert (made.fields["body"], made.fields["author"], made.fields["title"]) == ("Looks right.", "mina", "Basket")
    assert made.fields["url"] == f"{gitlab.server.url}/acme/web/-/merge_requests/12#note_77"
    assert (made.resource.pr_id, made.canonical_keys["comment_id"]) == (12, "77")


def test_other_events_tell_nothing(gitlab: GitLab) -> None:
    for action, target in (("joined", None), ("opened", "Issue"), ("approved", "Issue"), ("accepted", "MergeRequest")):
        gitlab.put("events", at(60), action_name=action, target_type=target)
    assert gitlab.poll("events").events == []


def pipeline(status: str, **more: Any) -> JSON:
    times = {"created_at": rows.api_time(at(60)), "updated_at": rows.api_time(at(300))}
    address = "https://gitlab.example.com/acme/web/-/pipelines/31"
    run = {"id": 31, "iid": 4, "project_id": 4101, "ref": "main", "sha": "a" * 40, "web_url": address}
    return {**run, "status": status, **times, **more}


@pytest.mark.parametrize(
    ("status", "signal_types"),
    [
        ("running", ["pipeline_started"]),
        ("success", ["pipeline_succeeded"]),
        ("failed", ["pipeline_failed"]),
        ("canceled", ["pipeline_cancelled"]),
        ("skipped", ["pipeline_completed"]),
        ("pending", []),
        ("manual", []),
        ("of the future", []),
    ],
)
def test_pipeline_tells_its_present_state(gitlab: GitLab, status: str, signal_types: list[str]) -> None:
    gitlab.lists.rows["pipelines"].append(pipeline(status))
    told = gitlab.poll("pipelines").events
    assert types(told) == signal_types
    assert [(event.occurred_at, signal(event).occurred_at) for event in told] == [(at(300), at(300))] * len(told)


def test_pipeline_that_ends_again_is_told_again_and_one_that_only_goes_on_running_is_not(gitlab: GitLab) -> None:
    row = pipeline("running")
    gitlab.lists.rows["pipelines"].append(row)
    keys: list[str] = []
    for status, seconds in (("running", 330), ("failed", 400), ("running", 500), ("failed", 600)):
        row |= {"status": status, "updated_at": rows.api_time(at(seconds))}
        keys += gitlab.poll("pipelines").keys
    assert len(set(keys)) == 3


def test_pipeline_of_a_merge_request_names_it_and_no_branch(gitlab: GitLab) -> None:
    gitlab.lists.rows["pipelines"].append(pipeline("success", ref="refs/merge-requests/12/head"))
    made = signal(gitlab.poll("pipelines").events[0])
    assert (made.resource.branch, made.resource.pr_id, made.canonical_keys["run_id"]) == (None, 12, "31")


def test_windows_of_runs_are_cut_at_both_ends_by_gitlab(gitlab: GitLab) -> None:
    gitlab.lists.rows["pipelines"] += [
        pipeline("success"),
        pipeline("failed", id=32, updated_at=rows.api_time(at(4000))),
    ]
    window = Window(since=START, until=at(3600))
    for stream in ("pipelines", "deployments"):
        run = gitlab.poll(stream, window=window)
        assert run.asked[0]["updated_before"] == ["2026-03-02T09:00:00.000Z"]
        assert ADAPTER.stream(stream).slice
    assert types(gitlab.poll("pipelines", window=window).events) == ["pipeline_succeeded"]
    # Of a merge request that changed later the opening may lie in the window.
    assert "updated_before" not in gitlab.poll("merge_requests", window=window).asked[0]


def test_deployment_without_a_job_is_told_with_its_commit(gitlab: GitLab) -> None:
    times = {"created_at": rows.api_time(at(60)), "updated_at": rows.api_time(at(90))}
    made_by_api = {"id": 41, "iid": 1, "ref": "main", "sha": "b" * 40, "status": "failed", "deployable": None}
    gitlab.lists.rows["deployments"].append({**made_by_api, **times, "environment": {"id": 9, "name": "production"}})
    (told,) = gitlab.poll("deployments").events
    made = signal(told)
    assert (made.resource.commit, made.resource.environment, made.resource.repository) == (
        "b" * 40,
        "production",
        PROJECT,
    )


def test_release_that_is_dated_back_is_told_and_one_made_anew_again(gitlab: GitLab) -> None:
    address = "https://gitlab.example.com/acme/web/-/releases/v1"
    row = {"tag_name": "v1", "name": "One", "created_at": rows.api_time(at(60)), "_links": {"self": address}}
    gitlab.lists.rows["releases"].append(
        {**row, "released_at": "2019-01-01T00:00:00.000Z", "author": rows.person("zoe")}
    )
    first = gitlab.poll("releases")
    made = signal(first.events[0])
    assert (made.fields["tag"], made.fields["url"], made.actor_id) == ("v1", address, "zoe")
    gitlab.lists.rows["releases"] = [
        {**row, "created_at": rows.api_time(at(600)), "released_at": rows.api_time(at(600))}
    ]
    assert len(gitlab.poll("releases", first.position).keys | first.keys) == 2


# Names


def test_everything_a_webhook_names_is_named_so_by_the_lists() -> None:
    """Except a pipeline's start, which is over when the list is read."""
    world, covered = Simulator(seed=3, faults=False), set()
    with serving(world.handle) as server:
        settings = world.settings(server.url)
        config = ADAPTER.client_config(settings, world.credential, "4")
        window = Window(since=datetime.now(UTC))
        with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as client:
            for _ in range(100):
                deliveries = [webhook_of(delivery.body) for delivery in world.tick()]
                polled: dict[str, ProviderEvent] = {}
                for stream in ADAPTER.streams:
                    page = stream.page(client, partition=PROJECT, settings=settings, position={}, window=window)
                    polled |= {event.happening: event for event in page.events}
                for pushed in (event for told in deliveries for event in told if event.happening):
                    if str(pushed.signal_type) == "pipeline_started":
                        continue
                    twin = polled[pushed.happening]
                    assert twin.ordering_key == pushed.ordering_key
                    vague = str(twin.signal_type).endswith("_updated")
                    assert vague or twin.signal_type is pushed.signal_type
                    covered.add(str(pushed.signal_type))
    assert covered >= {
        *("pr_opened", "pr_merged", "pr_closed", "pr_approved", "pr_commented"),
        *("issue_created", "issue_closed", "issue_labeled", "issue_commented"),
        *("push", "pipeline_succeeded", "pipeline_failed", "deployment_succeeded", "release_published"),
    }


def webhook_of(body: bytes) -> list[ProviderEvent]:
    return webhook(orjson.loads(body))


def test_times_of_two_writes_of_one_change_give_one_name(gitlab: GitLab) -> None:
    """``closed_at`` and the list's ``updated_at`` of a pipeline are written after what the webhook shows."""
    seconds = {"closed_at": rows.api_time(at(301.002)), "updated_at": rows.api_time(at(300.99))}
    row = gitlab.put("merge_requests", at(60), state="closed", **seconds)
    closed = gitlab.poll("merge_requests").events[1]
    told = {"object_kind": "merge_request", "object_attributes": {**rows.attributes(row), "action": "close"}}
    assert closed.happening == webhook(told)[0].happening
    gitlab.lists.rows["pipelines"].append(pipeline("failed", updated_at=rows.api_time(at(301.002))))
    run = {"id": 31, "status": "failed", "finished_at": rows.hook_time(rows.api_time(at(300.99)))}
    (ended,) = webhook({"object_kind": "pipeline", "object_attributes": run})
    assert gitlab.poll("pipelines").events[0].happening == ended.happening


def test_several_meanings_of_one_update_share_its_name_and_a_test_delivery_has_none() -> None:
    attributes = {"iid": 12, "target_project_id": 4101, "action": "update", "updated_at": "2026-03-02 08:01:00 UTC"}
    changes = {
        "labels": {"previous": [], "current": [{"title": "bug"}]},
        "draft": {"previous": True, "current": False},
    }
    body = {"object_kind": "merge_request", "object_attributes": attributes, "changes": changes}
    assert len(merge_request_meanings(Document(body))) == 2
    assert {event.happening for event in webhook(body)} == {"pr:4101:12:updated:2026-03-02T08:01:00"}
    # Nothing told, but the poll of that version has nothing to add.
    (nothing,) = webhook({**body, "changes": {}})
    assert (nothing.signal_type, nothing.happening) == (None, "pr:4101:12:updated:2026-03-02T08:01:00")
    (tried,) = webhook({**body, "object_attributes": {**attributes, "action": None}})
    assert (tried.signal_type, tried.happening) == (None, "")


def test_names_that_would_be_too_long_are_hashed() -> None:
    body = {"object_kind": "push", "project_id": 4101, "before": "1" * 40, "after": "2" * 40}
    (long,) = webhook({**body, "ref": f"refs/heads/{'x' * 240}"})
    assert long.happening.startswith("sha256:")
    assert len(long.happening) < 100


@pytest.mark.parametrize(
    ("base_url", "partition", "address", "expected"),
    [
        (None, "acme/web", None, ("acme/web", "https://gitlab.com/acme/web")),
        ("https://git.acme.example/api/v4", "4101", None, (None, None)),
        ("https://git.acme.example/api/v4/", "acme/web", None, ("acme/web", "https://git.acme.example/acme/web")),
        # Another name since the settings were written; an instance below a path of its host.
        (
            "https://acme.example/gitlab/api/v4",
            "acme/old",
            "https://acme.example/gitlab/acme/new/-/issues/1",
            ("acme/new", "https://acme.example/gitlab/acme/new"),
        ),
    ],
)
def test_project_is_named_by_its_address_else_by_the_settings(
    gitlab: GitLab, base_url: str | None, partition: str, address: str | None, expected: tuple[str | None, str | None]
) -> None:
    found = project({"base_url": base_url} if base_url else {}, partition, 4101, address)
    assert (found.get("path_with_namespace"), found.get("web_url")) == expected
