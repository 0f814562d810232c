"""How the search is read: by the provider's own clock, whatever moves, hides or comes late."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from providers.adapters.confluence.simulated_lists import HIDDEN_SPACE, SITE
from providers.canonical import JSON, SignalType
from providers.client import ProviderClient
from providers.errors import AuthFailed, ProviderError, ProviderFault, Rejected, StaleMark
from providers.simulation import SimulatedAnswer
from providers.spi import ProviderEvent, WebhookRequest
from tests.contract.provider_server import serving
from tests.contract.subject import altered, places, shape
from tests.unit.providers.confluence_site import ADAPTER, AINO, BRAM, LIVE, LOOPBACK, START, Site, after


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    with serving(made.handle) as server:
        made.server = server
        yield made


def test_span_is_counted_in_minutes_from_the_providers_clock(site: Site) -> None:
    site.now = after(60.5)
    first = site.run()
    assert [urlsplit(path).path for path in first.asked] == ["/wiki/rest/api/user/current", "/wiki/rest/api/search"]
    # An hour and a half minute, rounded down as the vendor does, and two to spare.
    assert first.minutes == [62]
    assert first.parameters(1)["cql"] == (
        'lastmodified >= now("-62m") and type in (page, blogpost, comment) order by lastmodified asc'
    )


def test_later_poll_is_one_request_and_covers_what_was_changed_since(site: Site) -> None:
    site.page("Runbook", after(30))
    position = site.run().position
    for minutes in (65, 90, 110):
        site.now = after(minutes)
        site.page(f"At {minutes}", after(minutes - 0.5))
        again = site.run(position=position)
        assert len(again.asked) == 1
        assert f"At {minutes}" in again.titles
        position = again.position


def test_poll_after_a_long_pause_asks_again_and_skips_nothing(site: Site) -> None:
    site.page("Runbook", after(30))
    first = site.run()
    site.now = after(60 * 24)
    site.page("While nobody looked", after(200))
    site.page("Just now", after(60 * 24 - 1))
    again = site.run(position=first.position)
    assert len(again.asked) == 2
    assert {"While nobody looked", "Just now"} <= again.titles
    assert again.minutes[0] < 24 * 60 - 200 < again.minutes[1]


@pytest.mark.parametrize("stream_position", [{}, {"clock": START.isoformat()}], ids=["who", "search"])
def test_answer_without_a_date_is_a_fault_since_the_next_span_would_be_a_guess(
    site: Site, stream_position: JSON
) -> None:
    site.tells_time = False
    with pytest.raises(ProviderFault, match="date"):
        site.run(position=stream_position)


def test_credential_that_is_not_accepted_is_refused_although_the_answer_is_200(site: Site) -> None:
    site.who = {"type": "anonymous", "displayName": "Anonymous"}
    with pytest.raises(AuthFailed, match="anonymous"):
        site.run()


def test_bulk_change_of_more_than_a_page_in_one_instant_is_told_whole(site: Site) -> None:
    for number in range(35):
        site.page(f"Imported {number}", after(30))
    site.page("Later", after(40))
    assert site.run().titles == {*(f"Imported {number}" for number in range(35)), "Later"}


def test_pages_that_are_short_or_empty_are_not_the_end(site: Site) -> None:
    for number in range(30):
        site.page(f"Hidden {number}", after(30), space=HIDDEN_SPACE)
    site.page("Seen", after(30.2))
    assert site.run().titles == {"Seen"}


def test_what_moves_while_a_run_goes_on_is_told_and_hides_nothing(site: Site) -> None:
    contents = [site.page(f"Page {number}", after(30 + number * 0.01)) for number in range(45)]
    moving = iter(contents[:20])

    def move() -> None:
        content = next(moving, None)
        if content:
            site.wiki.change(content, AINO, site.now)

    site.meanwhile = move
    first = site.run()
    site.meanwhile = lambda: None
    second = site.run(position=first.position)
    told = {*first.titles, *second.titles}
    assert told == {content["title"] for content in contents}
    changed = {content["title"] for content in contents if content["version"] > 1}
    assert {(title, "page_updated") for title in changed} <= {*first.told, *second.told}


def test_what_the_index_shows_late_is_told_within_the_overlap(site: Site) -> None:
    site.page("Runbook", after(50))
    first = site.run()
    site.page("Late", after(36))
    site.page("Too late", after(20))
    assert site.run(position=first.position).titles == {"Runbook", "Late"}


def test_first_version_is_the_making_and_a_later_one_the_change(site: Site) -> None:
    page = site.page("Runbook", after(10))
    blog = site.page("News", after(20), kind="blogpost")
    site.wiki.change(blog, AINO, after(30))
    old = site.page("Old", START - timedelta(days=400))
    site.wiki.change(old, AINO, after(40))
    comment = site.page("Re: Runbook", after(50), kind="comment", container=page["id"])
    site.wiki.change(comment, BRAM, after(51))
    run = site.run(site_url=SITE)
    assert run.told == [
        ("Runbook", "page_created"),
        ("News", "blog_created"),
        ("News", "blog_updated"),
        ("Old", "page_updated"),
        ("Re: Runbook", "page_commented"),
        ("Re: Runbook", "page_comment_updated"),
    ]
    by_type = {str(event.signal_type): event for event in run.events}
    edited = ADAPTER.normalise(SignalType.BLOG_UPDATED, "blog_updated", by_type["blog_updated"].payload)
    assert (edited.actor_id, edited.fields["author"], edited.occurred_at) == (AINO, BRAM, after(30))
    assert edited.canonical_keys["page_version"] == 2
    assert edited.fields["url"] == f"{SITE}/spaces/ENG/blog/{blog['id']}/News"
    commented = ADAPTER.normalise(SignalType.PAGE_COMMENTED, "comment_created", by_type["page_commented"].payload)
    assert commented.canonical_keys["page_id"] == commented.fields["page_id"] == page["id"]
    assert commented.fields["comment_id"] == comment["id"]


def test_link_is_left_out_where_only_the_gateway_is_known(site: Site) -> None:
    site.page("Runbook", after(10))
    [event] = site.run().events
    assert event.payload["page"]["self"].startswith(site.server.url)
    settings = {"base_url": "https://api.atlassian.com/ex/confluence/1/wiki"}
    config = ADAPTER.client_config({"base_url": f"{site.server.url}/wiki"}, {"token": "t" * 8}, "")
    with ProviderClient(config, LOOPBACK) as client:
        [event] = ADAPTER.stream("content").page(
            client, partition="", settings=settings, position={"clock": site.now.isoformat()}, window=LIVE
        ).events  # fmt: skip
    assert "self" not in event.payload["page"]


@pytest.mark.parametrize("form", ["{next}", "/wiki{next}", "https://harbor.atlassian.example/wiki{next}"])
def test_next_page_is_found_below_the_base_however_its_address_is_written(site: Site, form: str) -> None:
    for number in range(25):
        site.page(f"Page {number}", after(30))

    def rewrite(answer: JSON) -> None:
        links = answer.get("_links", {})
        if "next" in links:
            links["next"] = form.format(next=links["next"])

    site.change_answer = rewrite
    run = site.run(base="/ex/confluence/1234/wiki")
    assert len(run.titles) == 25
    assert {urlsplit(path).path for path in run.asked[1:]} == {"/ex/confluence/1234/wiki/rest/api/search"}


def test_cursor_that_is_never_known_leaves_a_position_that_still_knows_the_time(site: Site) -> None:
    for number in range(25):
        site.page(f"Page {number}", after(30))
    genuine = site.server.answer

    def forgetful(method: str, path: str, query: dict[str, list[str]], *rest: Any) -> SimulatedAnswer:
        return genuine(method, path, {**query, "cursor": ["!"]} if "cursor" in query else query, *rest)

    site.server.answer = forgetful
    with pytest.raises(StaleMark) as stale:
        site.run()
    site.server.answer = genuine
    again = site.run(position=dict(stale.value.position))
    assert not any("user/current" in path for path in again.asked)
    assert len(again.titles) == 25


@pytest.mark.parametrize("pause", [6, 20, 300])
@pytest.mark.parametrize("before", range(1, 14))
def test_pause_between_two_pages_hides_nothing(site: Site, before: int, pause: float) -> None:
    for number in range(45):
        site.page(f"Imported {number}", after(1 + number / 15))
    for number in range(25):
        site.page(f"Edited {number}", after(5 + number))
    pages = iter(range(100))

    def wait() -> None:
        if next(pages) == before:
            site.now += timedelta(minutes=pause)

    site.now = after(31)
    site.meanwhile = wait
    assert len(site.run().titles) == 70


def test_bulk_import_read_slowly_comes_to_an_end(site: Site) -> None:
    for number in range(95):
        site.page(f"Imported {number}", after(30))

    def slowly() -> None:
        site.now += timedelta(seconds=25)

    site.meanwhile = slowly
    assert len(site.run().titles) == 95


def test_space_in_the_settings_can_never_become_syntax(site: Site) -> None:
    with pytest.raises(Rejected, match="space in the settings"):
        site.run(spaces=['ENG") or ("\\'])
    asked = parse_qs(urlsplit(site.server.asked[-1][1]).query)["cql"][0]
    assert 'space in ("ENG\\") or (\\"\\\\")' in asked
    site.page("Runbook", after(10))
    site.page("Elsewhere", after(10), space="OPS")
    assert site.run(spaces=["ENG"]).titles == {"Runbook"}


def test_poll_and_webhook_of_the_same_version_are_one_happening(site: Site) -> None:
    page = site.page("Runbook", after(10))
    site.wiki.change(page, AINO, after(20))
    comment = site.page("Re", after(21), kind="comment", container=page["id"])
    run = site.run()

    def pushed(event: str, **about: Any) -> ProviderEvent:
        body = orjson.dumps({"event": event, "timestamp": 1772439600000, "userAccountId": AINO, **about})
        [told] = ADAPTER.process_webhook(WebhookRequest(headers={}, body=body, scheme="hmac"))
        return told

    webhooks = [
        pushed("page_created", page={"idAsString": page["id"], "id": int(page["id"]), "version": 1}),
        pushed("page_updated", page={"id": int(page["id"]), "version": 2}),
        pushed("comment_created", comment={"id": int(comment["id"])}),
    ]
    for polled, told in zip(run.events, webhooks, strict=True):
        for name in ("signal_type", "happening", "dedupe_key", "ordering_key"):
            assert getattr(polled, name) == getattr(told, name) != ""


@pytest.mark.parametrize("status", [401, 403])
def test_refused_search_names_the_scope(site: Site, status: int) -> None:
    site.server.answer = lambda *_: SimulatedAnswer(status, {}, b"{}")
    with pytest.raises(AuthFailed, match=f"{status}.*search:confluence"):
        site.run(position={"clock": START.isoformat()})


@pytest.mark.parametrize(("stream", "first"), [("content", "/rest/api/search"), ("trash", "/api/v2/pages")])
def test_item_with_a_part_of_another_kind_is_a_page_or_a_fault(site: Site, stream: str, first: str) -> None:
    page = site.page("Runbook", after(10))
    site.page("Re", after(11), kind="comment", container=page["id"])
    if stream == "trash":
        page["status"] = "trashed"
    site.run(stream)
    answer = next(a for (_, path), a in zip(site.server.asked, site.server.answered, strict=True) if first in path)
    document = orjson.loads(answer.body)
    for path in {shape(path): path for path in places(document)}.values():
        strange: tuple[Any, ...] = (None, "x", 7, [None], {})
        for new in strange:
            body = altered(document, path, new)
            site.server.answer = lambda *_, body=body: SimulatedAnswer(200, answer.headers, body)
            try:
                events = site.run(stream, {"clock": site.now.isoformat()}).events
            except ProviderError:
                continue
            for event in events:
                assert event.dedupe_key
                assert event.signal_type
                assert ADAPTER.normalise(event.signal_type, event.event_type, event.payload)


def test_long_list_costs_a_bounded_number_of_requests(site: Site) -> None:
    site.now = after(400)
    for number in range(300):
        site.page(f"Page {number}", after(number))
    run = site.run()
    assert len(run.titles) == 300
    # Thirty pages of ten, each read at most twice and a half on the average.
    assert len(run.asked) <= 80
