"""Jira's search: what is asked, what is told, and how a run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from providers.adapters.jira.adapter import JiraAdapter
from providers.adapters.jira.polling import IssuesStream
from providers.adapters.jira.simulator import Simulator
from providers.client import ProviderClient
from providers.errors import ProviderFault, Rejected, StaleMark
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from providers.spi import Page, ProviderEvent, WebhookRequest, Window
from tests.contract.provider_server import serving

START = datetime(2026, 1, 1, tzinfo=UTC)
START_MS = 1767225600000
MINUTE = 60_000
LIVE = Window(since=START)


def text(moment_ms: int) -> str:
    moment = START + timedelta(milliseconds=moment_ms - START_MS)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment_ms % 1000:03d}+0000"


def found(number: int, updated_ms: int, created_ms: int = START_MS - MINUTE) -> dict[str, Any]:
    fields = {"updated": text(updated_ms), "created": text(created_ms), "summary": f"Issue {number}"}
    return {"id": str(number), "key": f"DEMO-{number}", "fields": fields}


def result(*issues: Any, token: str | None = None) -> SimulatedAnswer:
    body = {"issues": list(issues), "isLast": token is None, **({"nextPageToken": token} if token else {})}
    return SimulatedAnswer(200, {"content-type": "application/json"}, orjson.dumps(body))


class Asking:
    """One stream against scripted answers; keeps what was asked."""

    def __init__(self, client: ProviderClient, asked: list[dict[str, Any]]) -> None:
        self.client, self.asked = client, asked

    def page(self, position: dict[str, Any], window: Window = LIVE, **settings: Any) -> Page:
        return IssuesStream().page(
            self.client, partition="", settings=settings, position=orjson.loads(orjson.dumps(position)), window=window
        )


@contextmanager
def scripted(*answers: SimulatedAnswer) -> Iterator[Asking]:
    remaining, asked = list(answers), []

    def answer(method: str, path: str, query: Any, headers: Any, body: bytes) -> SimulatedAnswer:
        assert (method, path) == ("POST", "/rest/api/3/search/jql")
        asked.append(orjson.loads(body))
        return remaining.pop(0)

    with serving(answer) as server, _client(server.url) as client:
        yield Asking(client, asked)
    assert not remaining, "fewer requests than expected"


def _client(url: str, credential: dict[str, str] | None = None) -> ProviderClient:
    config = JiraAdapter().client_config({"base_url": url}, credential or Simulator.credential, "3")
    return ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"]))


def iso(moment_ms: int) -> str:
    return (START + timedelta(milliseconds=moment_ms - START_MS)).isoformat()


def under_way(token: str) -> dict[str, Any]:
    return {"watermark": iso(START_MS), "since": iso(START_MS), "floor": iso(START_MS), "mark": token}


def keys(page: Page) -> list[str]:
    return [event.dedupe_key for event in page.events]


def test_the_first_query_is_bounded_exact_and_names_its_fields() -> None:
    with scripted(result()) as asking:
        asking.page({}, projects=["DEMO", "OPS"])
    (query,) = asking.asked
    assert query["jql"] == (f'project in ("DEMO", "OPS") AND updated >= {START_MS} ORDER BY updated ASC, key ASC')
    assert query["maxResults"] == 100
    assert {"summary", "status", "updated", "created"} <= set(query["fields"])
    assert "nextPageToken" not in query


def test_without_projects_the_query_is_bounded_by_time() -> None:
    with scripted(result()) as asking:
        asking.page({})
    assert asking.asked[0]["jql"] == f"updated >= {START_MS} ORDER BY updated ASC, key ASC"


def test_a_project_key_can_never_become_syntax() -> None:
    with scripted(result()) as asking:
        asking.page({}, projects=['X") OR project = "Y', "Z\\"])
    assert asking.asked[0]["jql"].startswith('project in ("X\\") OR project = \\"Y", "Z\\\\") AND ')


def test_the_watermark_moves_with_the_last_page_only() -> None:
    first, second = found(1, START_MS + MINUTE), found(2, START_MS + 2 * MINUTE)
    with scripted(result(first, token="p2"), result(second)) as asking:
        page = asking.page({"watermark": iso(START_MS)})
        assert page.more
        assert page.position["watermark"] == iso(START_MS)
        last = asking.page(page.position)
    assert (last.more, last.position) == (False, {"watermark": iso(START_MS + 2 * MINUTE)})
    assert asking.asked[1] == {**asking.asked[0], "nextPageToken": "p2"}


def test_the_newest_issue_counts_though_it_came_on_an_earlier_page() -> None:
    with scripted(result(found(1, START_MS + 9 * MINUTE), token="p2"), result(found(2, START_MS + MINUTE))) as asking:
        last = asking.page(asking.page({}).position)
    assert last.position == {"watermark": iso(START_MS + 9 * MINUTE)}


def test_each_run_reads_five_minutes_again_but_nothing_before_its_window() -> None:
    with scripted(result(), result()) as asking:
        asking.page({"watermark": iso(START_MS + 60 * MINUTE)})
        # As it was kept before.
        asking.page({"watermark": START_MS + 2 * MINUTE})
    assert [query["jql"].split()[2] for query in asking.asked] == [str(START_MS + 55 * MINUTE), str(START_MS)]


def test_a_quiet_run_leaves_the_watermark_where_it_was() -> None:
    with scripted(result()) as asking:
        page = asking.page({"watermark": iso(START_MS + 60 * MINUTE)})
    assert (page.events, page.more, page.position) == ([], False, {"watermark": iso(START_MS + 60 * MINUTE)})


def test_what_is_read_again_has_the_same_keys() -> None:
    issue = found(1, START_MS + MINUTE)
    with scripted(result(issue), result(issue)) as asking:
        first = asking.page({})
        second = asking.page(first.position)
    assert keys(first) == keys(second) == [f"issue:1:updated:{START_MS + MINUTE}"]


@pytest.mark.parametrize(
    ("created_ms", "updated_ms", "signals"),
    [
        pytest.param(START_MS, START_MS, ["issue_created"], id="new"),
        pytest.param(START_MS, START_MS + 1, ["issue_created", "issue_updated"], id="new-and-changed"),
        pytest.param(START_MS - 1, START_MS + 1, ["issue_updated"], id="old-and-changed"),
    ],
)
def test_an_issue_is_told_as_new_only_in_the_span_it_was_made_in(
    created_ms: int, updated_ms: int, signals: list[str]
) -> None:
    with scripted(result(found(1, updated_ms, created_ms))) as asking:
        page = asking.page({})
    assert [str(event.signal_type) for event in page.events] == signals
    assert all(event.happening == event.dedupe_key for event in page.events)


def test_each_event_has_the_time_of_what_it_tells() -> None:
    with scripted(result(found(1, START_MS + MINUTE, START_MS))) as asking:
        page = asking.page({})
    for event, moment in zip(page.events, (START, START + timedelta(minutes=1)), strict=True):
        assert event.signal_type
        assert event.occurred_at == moment
        assert JiraAdapter().normalise(event.signal_type, event.event_type, event.payload).occurred_at == moment


def test_a_backfill_asks_for_what_was_made_or_changed_in_its_window_and_tells_no_more() -> None:
    end_ms = START_MS + 60 * MINUTE
    changed_later = found(1, end_ms + MINUTE, START_MS + MINUTE)
    just_outside = found(3, end_ms, end_ms)
    with scripted(result(changed_later, found(2, START_MS + MINUTE), just_outside)) as asking:
        page = asking.page({}, Window(since=START, until=START + timedelta(hours=1)))
    made, changed = (f"({name} >= {START_MS} AND {name} < {end_ms})" for name in ("created", "updated"))
    assert asking.asked[0]["jql"] == f"({changed} OR {made}) ORDER BY updated ASC, key ASC"
    assert keys(page) == ["issue:1:created", f"issue:2:updated:{START_MS + MINUTE}"]


def test_a_dead_page_token_begins_the_run_again() -> None:
    with scripted(SimulatedAnswer(400, {}, b"{}"), result(found(1, START_MS + MINUTE), token="p2")) as asking:
        page = asking.page(under_way("dead"))
        assert (page.more, page.events) == (True, ())
        page = asking.page(page.position)
    assert [query.get("nextPageToken") for query in asking.asked] == ["dead", None]
    assert (page.more, page.position["mark"]) == (True, "p2")


def test_tokens_that_keep_dying_are_an_error_that_says_where_to_begin_again() -> None:
    answers = [SimulatedAnswer(400, {}, b"{}"), result(found(1, START_MS + MINUTE), token="p2")] * 4
    with scripted(*answers[:7]) as asking:
        position = under_way("dead")
        for _ in range(6):
            position = asking.page(position).position
        with pytest.raises(StaleMark) as caught:
            asking.page(position)
    assert "mark" not in caught.value.position
    assert caught.value.position["since"] == iso(START_MS)


def test_a_refused_query_is_an_error_and_not_no_events() -> None:
    with scripted(SimulatedAnswer(400, {}, b"{}")) as asking, pytest.raises(Rejected):
        asking.page({})


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(result(found(1, START_MS), token="p1"), id="the-same-page-again"),
        pytest.param(SimulatedAnswer(200, {}, b'{"isLast": true}'), id="no-list"),
        pytest.param(SimulatedAnswer(200, {}, b'[{"issues": []}]'), id="no-object"),
        pytest.param(result({"id": "1"}), id="ids-only"),
        pytest.param(result(None), id="no-issue"),
    ],
)
def test_an_answer_that_cannot_be_one_is_the_providers_fault(answer: SimulatedAnswer) -> None:
    with scripted(answer) as asking, pytest.raises(ProviderFault):
        asking.page(under_way("p1"))


def test_links_of_polled_issues_lead_to_the_given_site() -> None:
    issue = {**found(1, START_MS), "self": "https://api.atlassian.com/ex/jira/0a1b/rest/api/3/issue/1"}
    with scripted(result(issue)) as asking:
        (event,) = asking.page({}, site_url="https://acme.atlassian.net").events
    assert event.signal_type
    signal = JiraAdapter().normalise(event.signal_type, event.event_type, event.payload)
    assert signal.fields["url"] == "https://acme.atlassian.net/browse/DEMO-1"


@contextmanager
def simulated(simulator: Simulator) -> Iterator[Callable[[dict[str, Any]], Page]]:
    with serving(simulator.handle) as server, _client(server.url) as client:
        settings = simulator.settings(server.url)
        window = Window(since=datetime(2001, 1, 1, tzinfo=UTC))
        yield lambda position: IssuesStream().page(
            client, partition="", settings=settings, position=position, window=window
        )


def test_issues_that_change_while_a_run_pages_are_not_lost() -> None:
    simulator = Simulator(seed=11, faults=False)
    seen: set[str] = set()
    happened: set[str] = set()
    with simulated(simulator) as page_at:
        position: dict[str, Any] = {}
        for run in range(4):
            while True:
                page = page_at(position)
                seen |= set(keys(page))
                position = page.position
                if run < 3:
                    happened |= {event.happening for event in _told(simulator) if event.happening}
                if not page.more:
                    break
        everything = page_at({})
        latest = set(keys(everything))
        while everything.more:
            everything = page_at(everything.position)
            latest |= set(keys(everything))
    assert latest <= seen
    assert happened & seen


def test_every_version_that_is_polled_was_told_by_webhook_under_the_same_name() -> None:
    simulator = Simulator(seed=12, faults=False)
    with simulated(simulator) as page_at:
        position: dict[str, Any] = {}
        before: set[str] = set()
        while True:
            page = page_at(position)
            before |= set(keys(page))
            position = page.position
            if not page.more:
                break
        pushed = {event.happening for _ in range(15) for event in _told(simulator)}
        polled = set(keys(page_at(position))) - before
    assert polled
    assert polled <= pushed


def _told(simulator: Simulator) -> list[ProviderEvent]:
    return [
        event
        for delivery in simulator.tick()
        for event in JiraAdapter().process_webhook(WebhookRequest(headers=dict(delivery.headers), body=delivery.body))
    ]
