"""How GitLab's lists are read: what is asked, what must not be missed, and what a refusal says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import unquote

import orjson
import pytest

from providers.adapters.gitlab import simulated_rows as rows
from providers.errors import AuthFailed, ProviderFault, Rejected
from providers.simulation import SimulatedAnswer
from providers.spi import Window
from tests.gitlab_lists import (
    ADAPTER,
    GROUP,
    PROJECT,
    START,
    GitLab,
    at,
    serving_lists,
    signal,
)


@pytest.fixture
def gitlab() -> Iterator[GitLab]:
    with serving_lists() as made:
        yield made


# How lists are read


def test_more_than_a_page_in_one_second_is_read_whole(gitlab: GitLab) -> None:
    wanted = {gitlab.put("merge_requests", at(60) + timedelta(milliseconds=3 * n))["id"] for n in range(250)}
    wanted.add(gitlab.put("merge_requests", at(90))["id"])
    assert gitlab.poll("merge_requests").ids == wanted


def test_long_list_is_read_by_time_with_one_request_a_page(gitlab: GitLab) -> None:
    wanted = {gitlab.put("issues", at(10 * n))["id"] for n in range(1, 251)}
    run = gitlab.poll("issues")
    assert run.ids == wanted
    assert [asked.get("page") for asked in run.asked] == [None, None, None]
    assert run.asked[1]["updated_after"] == [rows.api_time(at(999))]


def test_item_that_moves_to_the_end_while_pages_are_read_hides_no_other(gitlab: GitLab) -> None:
    items = [gitlab.put("issues", at(10 * n)) for n in range(1, 251)]
    first = gitlab.page("issues", {})
    assert first.more
    items[3]["updated_at"] = rows.api_time(at(9000))
    rest = gitlab.poll("issues", first.position)
    seen = {event.payload["object_attributes"]["id"] for event in first.events} | rest.ids
    assert seen == {item["id"] for item in items}


def test_what_becomes_visible_late_is_found_within_ten_minutes(gitlab: GitLab) -> None:
    gitlab.put("issues", at(3600))
    first = gitlab.poll("issues")
    late, too_late = gitlab.put("issues", at(3600 - 590)), gitlab.put("issues", at(3600 - 610))
    second = gitlab.poll("issues", first.position)
    assert late["id"] in second.ids
    assert too_late["id"] not in second.ids


def test_requests_say_the_time_to_the_millisecond_and_ask_for_every_state(gitlab: GitLab) -> None:
    gitlab.poll("merge_requests", window=Window(since=START + timedelta(microseconds=1999)))
    asked = {name: values[0] for name, values in gitlab.poll("merge_requests").asked[0].items()}
    assert asked == {
        "scope": "all",
        "state": "all",
        "order_by": "updated_at",
        "sort": "asc",
        "per_page": "100",
        "updated_after": "2026-03-02T08:00:00.000Z",
    }
    assert "2026-03-02T08%3A00%3A00.001Z" in gitlab.server.asked[0][1]


def test_a_group_is_one_list_and_its_projects_are_not_read_again(gitlab: GitLab) -> None:
    settings = {"groups": ["acme", "Acme"], "projects": ["Acme/web", "acme/web", "other/api", "4101", "acmes/x"]}
    assert ADAPTER.stream("issues").partitions(settings) == [GROUP, "other/api", "4101", "acmes/x"]
    # Lists no group has are read project by project.
    assert ADAPTER.stream("events").partitions(settings) == ["Acme/web", "other/api", "4101", "acmes/x"]
    gitlab.put("issues", at(60))
    (told,) = gitlab.poll("issues", partition=GROUP).events
    assert signal(told).resource.repository == PROJECT
    assert gitlab.server.asked[-1][1].startswith("/api/v4/groups/acme/issues?")


def test_confidential_issues_and_internal_notes_are_left_out(gitlab: GitLab) -> None:
    gitlab.put("issues", at(60), confidential=True)
    assert gitlab.poll("issues").events == []
    for mark in ("internal", "system"):
        note = rows.note(gitlab.put("issues", at(70)), 7, "Hush.", "zoe", at(70))
        gitlab.put("events", at(71), note={**note, mark: True})
    assert gitlab.poll("events").events == []


# Events: days


def test_days_are_asked_for_so_that_no_time_zone_loses_any(gitlab: GitLab) -> None:
    window = Window(since=at(0), until=at(3600))
    asked = gitlab.poll("events", window=window).asked[0]
    assert (asked["after"], asked["before"], asked["sort"]) == (["2026-02-28"], ["2026-03-04"], ["desc"])
    assert "before" not in gitlab.poll("events").asked[0]


def test_events_before_the_run_are_read_but_not_told(gitlab: GitLab) -> None:
    push = {"action": "pushed", "ref_type": "branch", "ref": "main", "commit_from": "1" * 40, "commit_to": "2" * 40}
    for seconds in (-7200, -60, 60):
        gitlab.put("events", at(seconds), push_data=push)
    run = gitlab.poll("events")
    assert [event.occurred_at for event in run.events] == [at(60)]


def test_short_and_empty_pages_do_not_end_a_run(gitlab: GitLab) -> None:
    gitlab.lists.page_max = 5
    push = {"action": "pushed", "ref_type": "branch", "ref": "main", "commit_from": "1" * 40, "commit_to": "2" * 40}
    made = [gitlab.put("events", at(60 + n), push_data=push) for n in range(23)]
    # The credential may not see a whole page in the middle, and some of another.
    gitlab.lists.hidden = {row["id"] for row in made[8:15]}
    keys = {f"poll:event:{row['id']}" for row in made if row["id"] not in gitlab.lists.hidden}
    assert gitlab.poll("events").keys == keys


def test_event_removed_while_pages_are_read_hides_no_other(gitlab: GitLab) -> None:
    gitlab.lists.page_max = 5
    push = {"action": "pushed", "ref_type": "branch", "ref": "main", "commit_from": "1" * 40, "commit_to": "2" * 40}
    made = [gitlab.put("events", at(60 + n), push_data=push) for n in range(12)]
    first = gitlab.page("events", {})
    gitlab.lists.rows["events"].remove(made[-1])
    rest = gitlab.poll("events", first.position)
    assert {event.dedupe_key for event in first.events} | rest.keys == {f"poll:event:{row['id']}" for row in made}


# Refusals


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (SimulatedAnswer(403, {}, b'{"error":"insufficient_scope","scope":"read_api"}'), AuthFailed, "read_api"),
        (SimulatedAnswer(404, {}, b'{"message":"404 Project Not Found"}'), Rejected, "issues of acme/web"),
        (SimulatedAnswer(200, {}, b'[{"id":1}]'), ProviderFault, "no time"),
        (SimulatedAnswer(200, {}, b'{"message":"so sorry"}'), ProviderFault, "no list"),
    ],
)
def test_refusals_say_what_is_missing(
    gitlab: GitLab, answer: SimulatedAnswer, kind: type[Exception], words: str
) -> None:
    gitlab.server.answer = lambda *_: answer
    with pytest.raises(kind, match=words) as caught:
        gitlab.page("issues", {})
    assert "insufficient_scope" not in str(caught.value)


def test_item_without_an_id_is_a_fault(gitlab: GitLab) -> None:
    for stream in ("issues", "events", "pipelines"):
        row = {"updated_at": rows.api_time(at(1)), "created_at": rows.api_time(at(1))}
        gitlab.server.answer = lambda *_, row=row: SimulatedAnswer(200, {}, orjson.dumps([row]))
        with pytest.raises(ProviderFault, match="no id"):
            gitlab.page(stream, {})


def test_project_paths_are_one_part_of_the_address(gitlab: GitLab) -> None:
    gitlab.poll("issues")
    path = gitlab.server.asked[-1][1].partition("?")[0]
    assert (path, unquote(path)) == ("/api/v4/projects/acme%2Fweb/issues", "/api/v4/projects/acme/web/issues")
