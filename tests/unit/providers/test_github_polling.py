"""How issue lists are read: what is told, how often is asked, and what must not be missed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from providers.adapters.github.adapter import GitHubAdapter
from providers.canonical import JSON, SignalType
from providers.client import ProviderClient
from providers.errors import AuthFailed, ProviderFault, Rejected
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from providers.spi import Page, ProviderEvent, WebhookRequest, Window
from tests.contract.provider_server import Server, serving

ADAPTER = GitHubAdapter()
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
LIVE = Window(since=START)


def at(minutes: float = 0, seconds: float = 0) -> str:
    return f"{START + timedelta(minutes=minutes, seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


class Repository:
    """A list as GitHub gives it: filtered by ``since``, in pages of up to 100 with absolute links, with ETags."""

    def __init__(self) -> None:
        self.items: dict[int, JSON] = {}
        self.etags = True
        self.extra: dict[str, str] = {}
        self.conditions: list[str] = []
        self.server: Server

    def put(self, number: int, updated: str, *, created: str = "", **more: Any) -> JSON:
        self.items[number] = {
            "id": 7000 + number,
            "node_id": f"I_{number}",
            "number": number,
            "state": "open",
            "user": {"login": "zoe"},
            "repository_url": "https://api.github.com/repos/acme/web",
            "created_at": created or updated,
            "updated_at": updated,
            "closed_at": None,
            **more,
        }
        return self.items[number]

    def answer(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        self.conditions.append(headers.get("if-none-match", ""))
        size, page, since = int(query["per_page"][0]), int(query.get("page", ["1"])[0]), query["since"][0]
        rows = sorted(
            (item for item in self.items.values() if item["updated_at"] >= since),
            key=lambda item: (item["updated_at"], item["number"]),
        )
        shown = rows[(page - 1) * size : page * size]
        given = dict(self.extra)
        if page * size < len(rows):
            link = urlencode({**{name: values[0] for name, values in query.items()}, "page": page + 1})
            given["link"] = f'<{self.server.url}{path}?{link}>; rel="next", <{self.server.url}{path}>; rel="last"'
        if self.etags:
            given["etag"] = f'W/"{hashlib.sha256(orjson.dumps(shown)).hexdigest()}"'
            if headers.get("if-none-match") == given["etag"]:
                return SimulatedAnswer(304, given)
        return SimulatedAnswer(200, given, orjson.dumps(shown))

    def poll(self, position: JSON, window: Window = LIVE, stream: str = "issues") -> Run:
        run = Run(position)
        before = len(self.server.asked)
        with client(self.server) as connected:
            while True:
                page = self.page(connected, run.position, window, stream)
                assert not page.more or page.position != run.position
                run.events += page.events
                run.position = orjson.loads(orjson.dumps(page.position))
                if not page.more:
                    break
                assert len(self.server.asked) - before < 100, "the run has no end"
        run.asked = [path for _, path in self.server.asked[before:]]
        return run

    def page(self, connected: ProviderClient, position: JSON, window: Window = LIVE, stream: str = "issues") -> Page:
        return ADAPTER.stream(stream).page(
            connected, partition="acme/web", settings={}, position=position, window=window
        )


class Run:
    def __init__(self, position: JSON) -> None:
        self.position = position
        self.events: list[ProviderEvent] = []
        self.asked: list[str] = []

    @property
    def told(self) -> list[tuple[int, str]]:
        return [(event.payload["issue"]["number"], str(event.signal_type)) for event in self.events]

    @property
    def numbers(self) -> set[int]:
        return {number for number, _ in self.told}

    @property
    def keys(self) -> set[str]:
        return {event.dedupe_key for event in self.events}


def client(server: Server) -> ProviderClient:
    config = ADAPTER.client_config({"base_url": server.url}, {"token": "t"}, "")
    return ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"]))


@pytest.fixture
def repository() -> Iterator[Repository]:
    made = Repository()
    with serving(made.answer) as server:
        made.server = server
        yield made


def test_quiet_second_poll_is_one_conditional_request_without_events(repository: Repository) -> None:
    repository.put(1, at(1))
    repository.put(2, at(2))
    first = repository.poll({})
    assert first.told == [(1, "issue_created"), (2, "issue_created")]
    for _ in range(2):
        again = repository.poll(first.position)
        assert (again.asked, again.events, again.position) == (first.asked, [], first.position)
        assert repository.conditions[-1] == first.position["etag"]
        assert repository.server.answered[-1].status == 304


def test_next_change_is_told_and_what_is_long_past_is_not_told_again(repository: Repository) -> None:
    repository.put(1, at(1))
    repository.put(2, at(90))
    first = repository.poll({})
    repository.put(3, at(95))
    second = repository.poll(first.position)
    assert second.numbers == {2, 3}
    assert second.keys - first.keys == {e.dedupe_key for e in second.events if e.payload["issue"]["number"] == 3}


def test_long_list_is_read_whole_and_its_end_is_what_later_polls_ask_for(repository: Repository) -> None:
    for number in range(1, 251):
        repository.put(number, at(seconds=10 * number))
    first = repository.poll({})
    assert first.numbers == set(range(1, 251))
    assert len(first.asked) == 3
    second = repository.poll(first.position)
    assert len(second.asked) == 1
    assert second.keys < first.keys
    quiet = repository.poll(second.position)
    assert (len(quiet.asked), quiet.events) == (1, [])
    assert repository.server.answered[-1].status == 304


def test_record_that_becomes_visible_late_is_still_found(repository: Repository) -> None:
    for number in range(1, 251):
        repository.put(number, at(seconds=10 * number))
    first = repository.poll({})
    repository.put(300, at(seconds=10 * 250 - 540))
    repository.put(301, at(seconds=10 * 251))
    second = repository.poll(first.position)
    assert {300, 301} <= second.numbers


def test_change_while_pages_are_read_hides_no_other_item(repository: Repository) -> None:
    for number in range(1, 251):
        repository.put(number, at(seconds=10 * number))
    with client(repository.server) as connected:
        page = repository.page(connected, {})
    seen = {event.payload["issue"]["number"] for event in page.events}
    assert 101 not in seen
    repository.put(50, at(60), created=at(seconds=500))  # moves to the end: page 2 now starts one later
    assert seen | repository.poll(page.position).numbers == set(range(1, 251))


def test_more_than_a_page_in_one_second_is_read_by_links(repository: Repository) -> None:
    for number in range(1, 331):
        repository.put(number, at(1))
    repository.put(400, at(2))
    first = repository.poll({})
    assert first.numbers == {*range(1, 331), 400}
    assert any("page=3" in path for path in first.asked)
    assert repository.poll(first.position).keys <= first.keys


def test_run_stopped_between_pages_goes_on_where_it_was(repository: Repository) -> None:
    for number in range(1, 251):
        repository.put(number, at(seconds=10 * number))
    with client(repository.server) as connected:
        page = repository.page(connected, {})
    assert page.more
    rest = repository.poll(orjson.loads(orjson.dumps(page.position)))
    assert len(rest.asked) == 2
    assert rest.numbers >= set(range(101, 251))


def test_without_etags_a_quiet_poll_is_one_request_and_nothing_new(repository: Repository) -> None:
    repository.etags = False
    repository.put(1, at(1))
    repository.put(2, at(90))
    first = repository.poll({})
    again = repository.poll(first.position)
    assert len(again.asked) == 1
    assert again.keys < first.keys


def test_link_to_another_host_is_not_followed(repository: Repository) -> None:
    for number in range(150):
        repository.put(number + 1, at(1))
    evil = {"link": '<http://127.0.0.2:9/repos/acme/web/issues?page=2>; rel="next"'}
    first = repository.page(client(repository.server), {})
    repository.server.answer = lambda *given: SimulatedAnswer(200, evil, repository.answer(*given).body)
    page = repository.page(client(repository.server), first.position)
    with pytest.raises(ProviderFault, match="another host"):
        repository.page(client(repository.server), page.position)


def test_link_that_leads_to_itself_ends_the_run(repository: Repository) -> None:
    for number in range(150):
        repository.put(number + 1, at(1))
    position = repository.page(client(repository.server), {}).position
    position = repository.page(client(repository.server), position).position
    same = {"link": f'<{position["mark"]}>; rel="next"'}
    repository.server.answer = lambda *given: SimulatedAnswer(200, same, repository.answer(*given).body)
    with pytest.raises(ProviderFault, match="repeats"):
        repository.page(client(repository.server), position)


def test_backfill_tells_what_happened_in_its_window_whatever_came_after(repository: Repository) -> None:
    repository.put(1, at(10), created=at(-60))
    repository.put(2, at(500), created=at(20))
    repository.put(3, at(500))
    run = repository.poll({}, Window(since=START, until=START + timedelta(minutes=60)))
    assert run.told == [(1, "issue_updated"), (2, "issue_created")]


def test_items_tell_what_their_times_tell(repository: Repository) -> None:
    pull = {"pull_request": {"merged_at": None}}
    repository.put(1, at(5), created=at(-60))
    repository.put(2, at(6), created=at(-60), state="closed", closed_at=at(6), closed_by={"login": "mina"})
    repository.put(3, at(7), **pull)
    repository.put(4, at(8), created=at(-60), state="closed", closed_at=at(8), **pull)
    merged = {"pull_request": {"merged_at": at(9)}}
    repository.put(5, at(10), created=at(1), state="closed", closed_at=at(9), **merged)
    run = repository.poll({})
    # By item; they are handed on in the order of their times.
    run.events.sort(key=lambda event: event.payload["issue"]["number"])
    assert run.told == [
        (1, "issue_updated"),
        (2, "issue_closed"),
        (3, "pr_opened"),
        (4, "pr_closed"),
        (5, "pr_opened"),
        (5, "pr_merged"),
        (5, "pr_updated"),
    ]
    signals = [ADAPTER.normalise(e.signal_type, e.event_type, e.payload) for e in run.events if e.signal_type]
    assert [s.actor_id for s in signals] == [None, "mina", "zoe", None, "zoe", None, None]
    assert [s.resource.pr_id for s in signals] == [None, None, 3, 4, 5, 5, 5]
    assert {s.resource.repository for s in signals} == {"acme/web"}
    assert [s.occurred_at for s in signals] == [e.occurred_at for e in run.events]


def by_webhook(event: str, body: JSON) -> str:
    whole = {"repository": {"full_name": "Acme/Web"}, **body}
    request = WebhookRequest(headers={"x-github-event": event}, body=orjson.dumps(whole))
    return ADAPTER.process_webhook(request)[0].happening


def test_both_roads_give_a_change_the_same_name(repository: Repository) -> None:
    issue = repository.put(1, at(5), created=at(1), state="closed", closed_at=at(4))
    times = {"created_at": at(1), "closed_at": at(4), "updated_at": at(5), "merged_at": at(4), "merged": True}
    opened, closed, changed = (e.happening for e in repository.poll({}).events)
    assert by_webhook("issues", {"action": "opened", "issue": issue}) == opened
    assert by_webhook("issues", {"action": "closed", "issue": issue}) == closed
    for action in ("labeled", "edited", "reopened", "assigned"):
        assert by_webhook("issues", {"action": action, "issue": issue}) == changed
    comment = {"created_at": at(5), "updated_at": at(5)}
    assert by_webhook("issue_comment", {"action": "created", "issue": issue, "comment": comment}) == changed
    # The id of a pull request differs between the roads, its number does not.
    pull = {"id": 999, "number": 1, **times}
    assert by_webhook("pull_request", {"action": "opened", "pull_request": pull}) == opened
    assert by_webhook("pull_request", {"action": "closed", "pull_request": pull}) == closed
    assert by_webhook("pull_request", {"action": "synchronize", "pull_request": pull}) == changed


def test_comments_are_told_for_issues_and_pull_requests(repository: Repository) -> None:
    on_issue = {"issue_url": "https://api.github.com/repos/acme/web/issues/7", "html_url": "https://x/issues/7#c"}
    on_pull = {"issue_url": "https://api.github.com/repos/acme/web/issues/8", "html_url": "https://x/pull/8#c"}
    repository.put(1, at(1), body="Seen.", **on_issue)
    repository.put(2, at(3), created=at(2), body="Mended.", **on_pull)
    run = repository.poll({}, stream="issue_comments")
    assert run.told == [(7, "issue_commented"), (8, "pr_commented"), (8, "pr_comment_updated")]
    first, second, _ = (ADAPTER.normalise(e.signal_type, e.event_type, e.payload) for e in run.events if e.signal_type)
    assert (first.canonical_keys["issue_key"], first.actor_id) == ("acme/web#7", "zoe")
    assert (second.resource.pr_id, second.fields["body"]) == (8, "Mended.")
    assert second.signal_type is SignalType.PR_COMMENTED


def test_githubs_wish_for_the_next_poll_is_passed_on(repository: Repository) -> None:
    repository.extra = {"x-poll-interval": "90"}
    assert repository.page(client(repository.server), {}).poll_after_seconds == 90


def test_repository_renamed_since_is_told_by_its_present_name(repository: Repository) -> None:
    repository.put(1, at(1), repository_url="https://api.github.com/repos/acme/shop")
    assert repository.poll({}).events[0].payload["repository"]["full_name"] == "acme/shop"


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (403, AuthFailed, "read access to issues"),
        (404, Rejected, "not visible"),
        (410, Rejected, "switched off"),
        (401, AuthFailed, "401"),
        (422, Rejected, "422"),
    ],
)
def test_refusals_say_what_to_do(repository: Repository, status: int, kind: type[Exception], words: str) -> None:
    repository.server.answer = lambda *_: SimulatedAnswer(status, {}, b'{"message":"body of the provider"}')
    with pytest.raises(kind, match=words) as caught:
        repository.poll({})
    assert "body of the provider" not in str(caught.value)
