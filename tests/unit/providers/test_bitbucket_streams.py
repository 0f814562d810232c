"""Bitbucket's lists: what the contract suite cannot know of how they are read, and of what they tell."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from providers.adapters.bitbucket.simulator import REPOSITORIES, Simulator
from providers.canonical import JSON
from providers.client import ProviderClient
from providers.errors import AuthFailed, ProviderFault, Rejected
from providers.simulation import SimulatedAnswer
from providers.spi import ProviderEvent, WebhookRequest, Window
from tests.bitbucket_lists import (
    ADAPTER,
    LOOPBACK,
    MINA,
    REPOSITORY,
    RUNNING,
    UUID,
    ZOE,
    Bitbucket,
    approve,
    at,
    pipeline,
    serving_lists,
    signal,
    types,
    webhook,
)
from tests.contract.provider_server import serving


@pytest.fixture
def bitbucket() -> Iterator[Bitbucket]:
    with serving_lists() as made:
        yield made


# How lists are read


def test_every_state_is_asked_for_both_ways_and_the_time_is_not_rounded_up(bitbucket: Bitbucket) -> None:
    bitbucket.poll("pull_requests")
    states = ["OPEN", "MERGED", "DECLINED", "SUPERSEDED"]
    named = " OR ".join(f'state = "{state}"' for state in states)
    assert bitbucket.asked() == {
        "state": states,
        "q": [f"updated_on >= 2026-03-02T08:00:00+00:00 AND ({named})"],
        "sort": ["updated_on"],
        "pagelen": ["50"],
    }
    assert "2026-03-02T08%3A00%3A00%2B00%3A00" in bitbucket.server.asked[-1][1]
    bitbucket.page("pull_requests", {"watermark": "2026-03-02T09:00:00.900000+00:00"})
    assert bitbucket.asked()["q"][0].startswith("updated_on >= 2026-03-02T08:50:00+00:00 ")


def test_more_than_a_page_in_one_second_is_read_whole(bitbucket: Bitbucket) -> None:
    for index in range(130):
        bitbucket.pull(60 + index / 200)
    bitbucket.pull(90)
    assert bitbucket.poll("pull_requests").numbers == set(range(1, 132))


def test_long_list_is_read_by_time_with_one_request_a_page(bitbucket: Bitbucket) -> None:
    for index in range(120):
        bitbucket.pull(10 * index)
    run = bitbucket.poll("pull_requests")
    assert (len(run.numbers), run.pages) == (120, 3)
    assert "page" not in bitbucket.asked()


def test_pull_request_that_moves_to_the_end_while_pages_are_read_hides_no_other(bitbucket: Bitbucket) -> None:
    for index in range(120):
        bitbucket.pull(10 * index)
    first = bitbucket.page("pull_requests", {})
    bitbucket.pulls[3]["updated_on"] = at(9000)
    rest = bitbucket.poll("pull_requests", first.position)
    seen = {event.payload["pullrequest"]["id"] for event in first.events} | rest.numbers
    assert seen == set(range(1, 121))


def test_what_becomes_visible_late_is_found_within_ten_minutes(bitbucket: Bitbucket) -> None:
    bitbucket.pull(3600)
    first = bitbucket.poll("pull_requests")
    bitbucket.pull(3600 - 590)
    bitbucket.pull(3600 - 610)
    assert bitbucket.poll("pull_requests", first.position).numbers == {1, 2}


def test_log_is_read_down_to_the_last_run_and_no_further(bitbucket: Bitbucket) -> None:
    for index in range(200):
        approve(bitbucket, 100 * index)
    first = bitbucket.poll("pull_request_activity")
    # Each edge between its four pages is read twice.
    assert (len(first.keys), first.pages) == (200, 7)
    approve(bitbucket, 30_000)
    second = bitbucket.poll("pull_request_activity", first.position)
    assert (len(second.keys - first.keys), second.pages) == (1, 1)


def test_entry_that_goes_or_comes_while_the_log_is_read_hides_no_other(bitbucket: Bitbucket) -> None:
    for index in range(120):
        approve(bitbucket, 100 * index)
    first = bitbucket.page("pull_request_activity", {})
    gone = bitbucket.log.pop()
    rest = bitbucket.poll("pull_request_activity", first.position)
    keys = {event.dedupe_key for event in first.events} | rest.keys
    assert (len(keys), gone["approval"]["date"]) == (120, at(11_900))
    bitbucket.log.append(gone)
    approve(bitbucket, 11_950)
    assert len(keys | bitbucket.poll("pull_request_activity", rest.position).keys) == 121


def test_entry_of_an_unknown_kind_does_not_stop_the_log(bitbucket: Bitbucket) -> None:
    approve(bitbucket, 20)
    row = {"pull_request": {"id": 1}, "task": {"id": 3, "created_on": at(30)}}
    genuine = bitbucket.server.answer

    def with_a_task(*asked: Any) -> SimulatedAnswer:
        body = orjson.loads(genuine(*asked).body)
        return SimulatedAnswer(200, {}, orjson.dumps({**body, "values": [row, *body["values"]]}))

    bitbucket.server.answer = with_a_task
    assert types(bitbucket.poll("pull_request_activity").events) == ["pr_approved"]
    bitbucket.log.clear()
    with pytest.raises(ProviderFault, match="No entry"):
        bitbucket.poll("pull_request_activity")


def test_old_comment_that_was_edited_does_not_end_a_run(bitbucket: Bitbucket) -> None:
    """Whether the log is sorted by when a comment was written or edited is not documented."""
    approve(bitbucket, 20)
    approve(bitbucket, 10)
    old = {"id": 7, "user": ZOE, "created_on": at(-9000), "updated_on": at(30), "content": {"raw": "x"}}
    bitbucket.entry(comment=old)
    pages = {"1": bitbucket.log[2:], "2": bitbucket.log[:2]}

    def answer(_: str, path: str, query: dict[str, list[str]], *__: Any) -> SimulatedAnswer:
        number = query.get("page", ["1"])[0]
        following = {"next": f"{bitbucket.server.url}{path}?page=2"} if number == "1" else {}
        return SimulatedAnswer(200, {}, orjson.dumps({"values": pages[number], **following}))

    bitbucket.server.answer = answer
    told = types(bitbucket.poll("pull_request_activity").events)
    assert told.count("pr_approved") == 2
    assert "pr_comment_updated" in told


def test_pipeline_is_seen_to_end_twelve_hours_after_it_began(bitbucket: Bitbucket) -> None:
    bitbucket.lists.page_max = 2
    rows = [pipeline(bitbucket, number, 3600 * number, RUNNING) for number in range(30)]
    first = bitbucket.poll("pipelines")
    rows[18] |= {"state": {"name": "COMPLETED", "result": {"name": "FAILED"}}, "completed_on": at(3600 * 29)}
    second = bitbucket.poll("pipelines", first.position)
    assert second.keys - first.keys == {f"poll:status:acme/web:{'c' * 12}:18:FAILED:{at(3600 * 29)}"}
    assert second.pages < first.pages


def test_repositories_are_polled_once_however_they_are_written() -> None:
    stream = ADAPTER.stream("pull_requests")
    settings = {"repositories": ["acme/web", "Acme/Web", "acme/api"], "workspaces": ["acme"]}
    assert stream.partitions(settings) == ["acme/web", "acme/api"]
    assert stream.partitions({"workspaces": ["acme"]}) == []


# What items tell


def test_pull_request_tells_its_making_and_any_other_change(bitbucket: Bitbucket) -> None:
    bitbucket.pull(60, updated=61.5)
    bitbucket.pull(60, updated=63, draft=True)
    told = bitbucket.poll("pull_requests").events
    assert types(told) == ["pr_opened", "pr_opened", "pr_updated"]
    opened, updated = signal(told[0]), signal(told[2])
    assert (opened.actor_id, opened.fields["author"], opened.resource.repository) == (
        *(ZOE["account_id"], ZOE["account_id"], REPOSITORY),
    )
    assert (updated.actor_id, updated.fields["draft"], updated.occurred_at) == (None, True, told[2].occurred_at)


@pytest.mark.parametrize(
    ("state", "expected"), [("MERGED", "pr_merged"), ("DECLINED", "pr_closed"), ("SUPERSEDED", "pr_closed")]
)
def test_end_of_a_pull_request_is_told_once(bitbucket: Bitbucket, state: str, expected: str) -> None:
    pull = bitbucket.pull(60, updated=900, state=state, closed_by=MINA, merge_commit={"hash": "b" * 12})
    first = bitbucket.poll("pull_requests")
    assert types(first.events) == ["pr_opened", expected]
    assert signal(first.events[1]).actor_id == MINA["account_id"]
    pull["updated_on"] = at(1500)
    assert bitbucket.poll("pull_requests", first.position).keys <= first.keys


def test_log_tells_reviews_and_comments_with_their_own_times(bitbucket: Bitbucket) -> None:
    bitbucket.entry(update={"date": at(10), "state": "OPEN"})
    bitbucket.entry(approval={"date": at(20), "user": MINA})
    bitbucket.entry(changes_requested={"date": at(30), "user": MINA})
    words = {
        "user": MINA,
        "content": {"raw": "Why?"},
        "inline": {"path": "a.py"},
        "links": {"html": {"href": "https://x"}},
    }
    bitbucket.entry(comment={"id": 7, **words, "created_on": at(40), "updated_on": at(40.5)})
    bitbucket.entry(comment={"id": 8, **words, "created_on": at(50), "updated_on": at(90)})
    bitbucket.entry(comment={"id": 9, "created_on": at(60), "updated_on": at(95), "deleted": True})
    events = sorted(bitbucket.poll("pull_request_activity").events, key=lambda event: str(event.occurred_at))
    assert [(str(event.signal_type), event.occurred_at and event.occurred_at.isoformat()) for event in events] == [
        ("pr_approved", "2026-03-02T08:00:20+00:00"),
        ("pr_changes_requested", "2026-03-02T08:00:30+00:00"),
        ("pr_commented", "2026-03-02T08:00:40+00:00"),
        ("pr_commented", "2026-03-02T08:00:50+00:00"),
        ("pr_comment_updated", "2026-03-02T08:01:30+00:00"),
        ("pr_comment_deleted", "2026-03-02T08:01:35+00:00"),
    ]
    approved, commented = signal(events[0]), signal(events[2])
    assert (approved.fields["reviewer"], approved.resource.pr_id) == (MINA["account_id"], 12)
    assert (commented.fields["body"], commented.fields["file_path"], commented.resource.repository) == (
        *("Why?", "a.py", REPOSITORY),
    )


@pytest.mark.parametrize(
    ("state", "expected", "ended"),
    [
        (RUNNING, "check_started", False),
        ({"name": "COMPLETED", "result": {"name": "SUCCESSFUL"}}, "check_succeeded", True),
        ({"name": "COMPLETED", "result": {"name": "ERROR"}}, "check_failed", True),
        ({"name": "COMPLETED", "result": {"name": "EXPIRED"}}, None, True),
    ],
)
def test_pipeline_is_told_as_the_status_on_its_commit(
    bitbucket: Bitbucket, state: JSON, expected: str | None, ended: bool
) -> None:
    pipeline(bitbucket, 4, 60, state, completed_on=at(300) if ended else None)
    (told,) = bitbucket.poll("pipelines").events
    status = {"key": "4", "state": told.payload["commit_status"]["state"], "commit": {"hash": "c" * 40}}
    body = {"repository": {"full_name": REPOSITORY, "uuid": UUID}, "commit_status": status}
    pushed = webhook("repo:commit_status_updated", body)
    assert types([told]) == [expected]
    assert (told.happening, told.ordering_key) == (pushed.happening, pushed.ordering_key)
    assert told.occurred_at == datetime.fromisoformat(at(300 if ended else 60))
    if expected:
        assert signal(told).fields["name"] == "Pipeline #4 for main"


def test_pipeline_that_waits_or_has_no_commit_tells_nothing(bitbucket: Bitbucket) -> None:
    pipeline(bitbucket, 1, 60, {"name": "PENDING"})
    pipeline(bitbucket, 2, 60, RUNNING, target={"ref_name": "main"})
    assert bitbucket.poll("pipelines").events == []


# Names


def test_repository_named_by_ids_is_told_by_its_name(bitbucket: Bitbucket) -> None:
    partition = f"{{{'1' * 8}-{'1' * 4}-{'1' * 4}-{'1' * 4}-{'1' * 12}}}/{UUID}"
    bitbucket.lists.aliases[partition] = REPOSITORY
    approve(bitbucket, 60)
    (told,) = bitbucket.poll("pull_request_activity", partition=partition).events
    assert "/repositories/%7B11111111-" in bitbucket.server.asked[-1][1]
    review = {"approval": {"date": at(60), "user": MINA}, "pullrequest": {"id": 12}}
    pushed = webhook("pullrequest:approved", {**review, "repository": {"full_name": "Acme/Web", "uuid": UUID}})
    assert (told.happening, told.ordering_key) == (pushed.happening, pushed.ordering_key)
    assert signal(told).resource.repository == REPOSITORY


def test_everything_a_webhook_names_is_named_so_by_the_lists() -> None:
    """Except the start of a build, which is over when the list is read."""
    world, covered = Simulator(seed=5, faults=False), set()
    window = Window(since=datetime.now(UTC))
    with serving(world.handle) as server:
        settings = world.settings(server.url)
        with ProviderClient(ADAPTER.client_config(settings, world.credential, "2.0"), LOOPBACK) as client:
            for _ in range(70):
                deliveries = world.tick()
                polled: dict[str, ProviderEvent] = {}
                for stream in ADAPTER.streams:
                    for name in REPOSITORIES:
                        page = stream.page(client, partition=name, settings=settings, position={}, window=window)
                        polled |= {event.happening: event for event in page.events}
                for delivery in deliveries:
                    request = WebhookRequest(headers=dict(delivery.headers), body=delivery.body)
                    (pushed,) = ADAPTER.process_webhook(request)
                    if pushed.happening and str(pushed.signal_type) != "check_started":
                        assert polled[pushed.happening].signal_type is pushed.signal_type
                        assert polled[pushed.happening].ordering_key == pushed.ordering_key
                        covered.add(str(pushed.signal_type))
    assert covered >= {
        *("pr_opened", "pr_updated", "pr_merged", "pr_closed", "pr_approved", "pr_changes_requested", "pr_commented"),
        *("check_succeeded", "check_failed"),
    }


def test_long_names_keep_keys_within_their_length_and_apart(bitbucket: Bitbucket) -> None:
    for letter in "xy":
        bitbucket.entry(approval={"date": at(60), "user": {"account_id": letter * 200}})
    events = bitbucket.poll("pull_request_activity").events
    for names in ({event.dedupe_key for event in events}, {event.happening for event in events}):
        assert len(names) == 2
        assert max(map(len, names)) <= 200


# Refusals


@pytest.mark.parametrize(
    ("stream", "answer", "kind", "words"),
    [
        ("pull_requests", SimulatedAnswer(403, {}, b'{"type":"error"}'), AuthFailed, "read:pullrequest:bitbucket"),
        ("pipelines", SimulatedAnswer(403, {}, b'{"type":"error"}'), AuthFailed, "read:pipeline:bitbucket"),
        ("pipelines", SimulatedAnswer(404, {}, b'{"type":"error"}'), Rejected, "pipelines of acme/web"),
        ("pull_requests", SimulatedAnswer(400, {}, b'{"type":"error"}'), Rejected, "400"),
        ("pull_requests", SimulatedAnswer(200, {}, b'{"values":[{"id":1}]}'), ProviderFault, "no time"),
        ("pull_requests", SimulatedAnswer(200, {}, b'{"type":"error"}'), ProviderFault, "no list"),
    ],
)
def test_refusals_say_what_is_missing(
    bitbucket: Bitbucket, stream: str, answer: SimulatedAnswer, kind: type[Exception], words: str
) -> None:
    bitbucket.server.answer = lambda *_: answer
    with pytest.raises(kind, match=words):
        bitbucket.page(stream, {})


def test_item_that_identifies_nothing_is_a_fault(bitbucket: Bitbucket) -> None:
    bitbucket.pull(60, destination={"repository": {}})
    with pytest.raises(ProviderFault, match="names no repository"):
        bitbucket.page("pull_requests", {})
    bitbucket.log.append({"approval": {"date": at(60), "user": MINA}})
    with pytest.raises(ProviderFault, match="names no pull request"):
        bitbucket.page("pull_request_activity", {})
