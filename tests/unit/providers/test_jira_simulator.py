"""The simulated Jira is as strict as the real one."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from providers.adapters.jira.simulator import Simulator
from providers.simulation import SimulatedAnswer

PAIR = f"{Simulator.credential['email']}:{Simulator.credential['token']}"
SIGNED_IN = {"authorization": "Basic " + base64.b64encode(PAIR.encode()).decode()}
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
GOOD = 'project in ("DEMO", "OPS") AND updated >= 0 ORDER BY updated ASC, key ASC'


def at(moment: datetime = NOW) -> Any:
    return lambda: moment


def search(simulator: Simulator, **query: Any) -> SimulatedAnswer:
    body = orjson.dumps({"jql": GOOD, "fields": ["updated"], **query})
    return simulator.handle("POST", "/rest/api/3/search/jql", {}, SIGNED_IN, body)


def test_the_same_seed_and_clock_give_the_same_world() -> None:
    one, two, other = (Simulator(seed=seed, faults=True, clock=at()) for seed in (5, 5, 6))
    first, second, third = ([one.tick() for _ in range(50)], [two.tick() for _ in range(50)], other.tick())
    assert first == second
    assert first[0] != third


def test_a_world_started_again_tells_of_new_happenings() -> None:
    one, two = (Simulator(seed=5, faults=False, clock=at(NOW + timedelta(minutes=n))) for n in (0, 1))
    first, second = ({delivery.headers["x-atlassian-webhook-identifier"] for delivery in s.tick()} for s in (one, two))
    assert not first & second


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Basic bm9ib2R5Om5vdGhpbmc="}, {"authorization": "Bearer x"}]
)
def test_nobody_gets_in_without_the_credential(headers: dict[str, str]) -> None:
    simulator = Simulator(seed=1, faults=False)
    assert simulator.handle("GET", "/rest/api/3/myself", {}, headers, b"").status == 401


@pytest.mark.parametrize(
    "jql",
    [
        "",
        "ORDER BY updated ASC, key ASC",
        'project in ("DEMO") ORDER BY updated ASC, key ASC',
        "updated >= '2026-01-01' ORDER BY updated ASC, key ASC",
        "updated >= 0 ORDER BY updated DESC",
        'project in ("NOPE") AND updated >= 0 ORDER BY updated ASC, key ASC',
    ],
)
def test_a_query_jira_would_refuse_is_refused(jql: str) -> None:
    assert search(Simulator(seed=1, faults=False), jql=jql).status == 400


def test_pages_follow_each_other_and_their_token_belongs_to_the_query() -> None:
    simulator = Simulator(seed=1, faults=False)
    keys, token, pages = [], None, 0
    while True:
        answer = orjson.loads(search(simulator, fields=["updated"], nextPageToken=token).body)
        keys += [(issue["fields"]["updated"], issue["key"]) for issue in answer["issues"]]
        pages += 1
        if answer["isLast"]:
            assert "nextPageToken" not in answer
            break
        token = answer["nextPageToken"]
    assert pages > 1
    assert len(set(keys)) == len(keys) == 110
    assert [updated for updated, _ in keys] == sorted(updated for updated, _ in keys)
    assert search(simulator, jql=GOOD.replace(">= 0", ">= 1"), nextPageToken=token).status == 400
    assert search(simulator, nextPageToken="made up").status == 400


def test_without_fields_only_ids_are_answered() -> None:
    issues = orjson.loads(search(Simulator(seed=1, faults=False), fields=[]).body)["issues"]
    assert {name for issue in issues for name in issue} == {"id"}


def test_the_old_search_is_gone() -> None:
    answer = Simulator(seed=1, faults=False).handle("GET", "/rest/api/3/search", {}, SIGNED_IN, b"")
    assert answer.status == 410


def test_faults_are_the_documented_ones_and_come_only_when_asked_for() -> None:
    calm, rough = Simulator(seed=1, faults=False), Simulator(seed=1, faults=True)
    assert {search(calm).status for _ in range(200)} == {200}
    answers = [search(rough) for _ in range(200)]
    assert {answer.status for answer in answers} == {200, 429, 500}
    throttled = next(answer for answer in answers if answer.status == 429)
    assert {"retry-after", "x-ratelimit-reset", "ratelimit-reason"} <= throttled.headers.keys()


def test_a_repeated_delivery_keeps_its_identifier_and_body() -> None:
    simulator = Simulator(seed=1, faults=True)
    deliveries = [delivery for _ in range(200) for delivery in simulator.tick()]
    repeated = [delivery for delivery in deliveries if "x-atlassian-webhook-retry" in delivery.headers]
    assert repeated
    for delivery in repeated:
        original = {k: v for k, v in delivery.headers.items() if k != "x-atlassian-webhook-retry"}
        assert any((d.headers, d.body) == (original, delivery.body) for d in deliveries)
