"""How the trash is read: what it can tell of deletions, and what it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pytest

from providers.canonical import JSON, SignalType
from providers.errors import AuthFailed, ProviderError, Rejected
from providers.simulation import SimulatedAnswer
from providers.spi import Window
from tests.contract.provider_server import serving
from tests.unit.providers.confluence_site import START, Site, after


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    with serving(made.handle) as server:
        made.server = server
        yield made


def trashed(site: Site, title: str, at: datetime, space: str = "ENG") -> JSON:
    content = site.page(title, at, space=space)
    content["status"] = "trashed"
    return content


def test_trash_is_told_newest_change_first_and_page_after_page_in_that_order(site: Site) -> None:
    for number in range(25):
        trashed(site, f"Page {number}", after(number))
    run = site.run("trash")
    assert run.titles == {f"Page {number}" for number in range(25)}
    assert {(run.parameters(i)["sort"], run.parameters(i)["status"]) for i in range(len(run.asked))} == {
        ("-modified-date", "trashed")
    }
    assert {event.occurred_at for event in run.events} == {None}
    quiet = site.run("trash", run.position)
    assert {event.dedupe_key for event in quiet.events} <= {event.dedupe_key for event in run.events}


def test_what_was_last_changed_before_polling_began_is_not_told_as_deleted_now(site: Site) -> None:
    trashed(site, "Long ago", START - timedelta(days=3))
    trashed(site, "Now", after(10))
    assert site.run("trash").titles == {"Now"}
    past = Window(since=START - timedelta(days=4), until=START)
    assert site.run("trash", window=past).titles == {"Long ago"}


def test_page_that_was_quiet_for_days_is_seen_when_it_is_deleted(site: Site) -> None:
    quiet = site.page("Quiet", after(1))
    trashed(site, "Busy", after(60 * 24 * 10))
    first = site.run("trash")
    quiet["status"] = "trashed"
    second = site.run("trash", first.position)
    assert "Quiet" in second.titles - first.titles
    [event] = [event for event in second.events if event.payload["page"]["title"] == "Quiet"]
    assert (event.dedupe_key, event.signal_type) == (f"page:{quiet['id']}:deleted:1", SignalType.PAGE_DELETED)


def test_numbers_of_the_spaces_are_asked_once_and_again_when_the_settings_change(site: Site) -> None:
    trashed(site, "Here", after(1))
    trashed(site, "There", after(2), space="OPS")
    first = site.run("trash", spaces=["ENG"])
    assert [urlsplit(path).path for path in first.asked] == ["/wiki/api/v2/spaces", "/wiki/api/v2/pages"]
    assert first.titles == {"Here"}
    assert first.events[0].payload["page"]["spaceKey"] == "ENG"
    assert len(site.run("trash", first.position, spaces=["ENG"]).asked) == 1
    both = site.run("trash", first.position, spaces=["ENG", "OPS"])
    assert len(both.asked) == 2
    assert both.titles == {"Here", "There"}
    assert len(site.run("trash", both.position).asked) == 2


def test_space_that_is_not_there_is_named(site: Site) -> None:
    with pytest.raises(Rejected, match="GONE"):
        site.run("trash", spaces=["ENG", "GONE"])


@pytest.mark.parametrize(("status", "error"), [(401, AuthFailed), (403, AuthFailed), (404, Rejected)])
def test_refused_trash_names_the_scope_also_where_it_is_told_as_nothing_there(
    site: Site, status: int, error: type[ProviderError]
) -> None:
    site.server.answer = lambda *_: SimulatedAnswer(status, {}, b"{}")
    with pytest.raises(error, match="read:page:confluence"):
        site.run("trash")
    with pytest.raises(error, match="read:space:confluence"):
        site.run("trash", spaces=["ENG"])
