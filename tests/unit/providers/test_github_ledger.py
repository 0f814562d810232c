"""GitHub's list of deliveries: what it costs, what it leaves open, and answers that are not what they should be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from providers.adapters.github.adapter import GitHubAdapter
from providers.adapters.github.ledger import GitHubLedger
from providers.adapters.github.simulator import Simulator
from providers.client import ProviderClient
from providers.errors import AuthFailed, Misconfigured, ProviderError, ProviderFault
from providers.ledgers import LedgerPage
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from tests.contract.provider_server import Server, serving

LEDGER = GitHubLedger()
ADAPTER = GitHubAdapter()
AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
WHERE = {"target": "acme/web", "hook_id": "7"}


def delivery(**changes: Any) -> dict[str, Any]:
    """A delivery as the list shows it, in the words of GitHub's page."""
    return {
        "id": 12345678,
        "guid": "0b989ba4-242f-11e5-81e1-c7b6966d2516",
        "delivered_at": AT.isoformat().replace("+00:00", "Z"),
        "redelivery": False,
        "duration": 0.27,
        "status": "OK",
        "status_code": 200,
        "event": "issues",
        "action": "opened",
        "installation_id": 123,
        "repository_id": 456,
        **changes,
    }


@contextmanager
def github(*answers: SimulatedAnswer) -> Iterator[tuple[Server, ProviderClient, list[dict[str, str]]]]:
    """A provider that gives these answers in turn, and the headers it was asked with."""
    told, sent = iter(answers), []

    def answer(method: str, path: str, query: object, headers: dict[str, str], body: bytes) -> SimulatedAnswer:
        sent.append(headers)
        return next(told)

    with serving(answer) as server:
        config = ADAPTER.client_config(Simulator.settings(server.url), Simulator.credential, "")
        with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as client:
            yield server, client, sent


def answered(found: object, status: int = 200, **headers: str) -> SimulatedAnswer:
    return SimulatedAnswer(status, {"content-type": "application/json", **headers}, json.dumps(found).encode())


def read(client: ProviderClient, position: dict[str, Any] | None = None) -> LedgerPage:
    return LEDGER.attempts(client, position=position or {}, since=AT - timedelta(hours=1), **WHERE)


def one(**changes: Any) -> Any:
    with github(answered([delivery(**changes)])) as (_, client, _):
        return read(client).entries[0]


def test_unchanged_list_is_asked_for_with_its_mark_and_read_no_further() -> None:
    with github(answered([delivery()], etag='W/"a1"'), SimulatedAnswer(304, {"etag": 'W/"a1"'})) as (_, client, sent):
        first = read(client)
        second = read(client, first.position)
    assert "if-none-match" not in sent[0]
    assert sent[1]["if-none-match"] == 'W/"a1"'
    assert (second.entries, second.more, second.position) == ((), False, first.position)


def test_mark_of_the_first_page_is_kept_while_older_ones_are_read() -> None:
    pages = (
        answered([delivery()], etag='W/"first"', link='<https://api/x?cursor=v1_9>; rel="next"'),
        answered([delivery(id=9)], etag='W/"second"'),
    )
    with github(*pages) as (server, client, sent):
        first = read(client)
        second = read(client, first.position)
    assert first.more
    assert "if-none-match" not in sent[1]
    assert server.asked[1][1].endswith("/repos/acme/web/hooks/7/deliveries?per_page=100&cursor=v1_9")
    assert (second.more, second.position) == (False, {"etag": 'W/"first"'})


def test_address_of_the_next_page_is_not_followed_but_its_mark() -> None:
    elsewhere = '<http://169.254.169.254/latest?cursor=v1_9&per_page=1>; rel="next"'
    with github(answered([delivery()], link=elsewhere), answered([])) as (server, client, _):
        read(client, read(client).position)
    assert [path.partition("?")[0] for _, path in server.asked] == ["/repos/acme/web/hooks/7/deliveries"] * 2


@pytest.mark.parametrize("cursor", ["", "a%0d%0ab", "x" * 301, "%C3%A9"])
def test_mark_that_cannot_be_one_ends_the_list(cursor: str) -> None:
    with github(answered([delivery()], link=f'<https://api/x?cursor={cursor}>; rel="next"')) as (_, client, _):
        page = read(client)
    assert (page.more, len(page.entries)) == (False, 1)


def test_nothing_older_than_asked_for_is_read() -> None:
    old = delivery(delivered_at=(AT - timedelta(hours=2)).isoformat())
    with github(answered([delivery(), old], link='<https://api/x?cursor=v1_9>; rel="next"')) as (_, client, _):
        assert not read(client).more


@pytest.mark.parametrize(
    ("event", "action", "matters"),
    [
        ("issues", "opened", True),
        ("push", None, True),
        # Asked of the body: merged or given up.
        ("pull_request", "closed", True),
        ("ping", None, False),
        ("issues", "an_action_of_next_year", False),
        ("an_event_of_next_year", "created", False),
    ],
)
def test_only_what_may_become_a_signal_matters(event: str, action: str | None, *, matters: bool) -> None:
    entry = one(event=event, action=action)
    assert (entry.matters, entry.event_type) == (matters, f"{event}.{action}" if action else event)


@pytest.mark.parametrize(
    ("code", "ok", "status"), [(204, True, 204), (302, False, 302), (0, False, 0), (None, False, 0)]
)
def test_delivered_is_what_was_answered_with_success(code: int | None, status: int, *, ok: bool) -> None:
    entry = one(status_code=code)
    assert (entry.ok, entry.status) == (ok, status)


@pytest.mark.parametrize(
    "change",
    [{"id": "../9"}, {"guid": "a b"}, {"guid": "x" * 101}, {"event": "a/b"}, {"delivered_at": "once"}, {"id": None}],
)
def test_what_is_no_delivery_is_githubs_fault(change: dict[str, Any]) -> None:
    with github(answered([delivery(), delivery(**change)])) as (_, client, _), pytest.raises(ProviderFault):
        read(client)


def test_fetched_delivery_carries_only_the_headers_that_mean_something() -> None:
    sent = {"X-GitHub-Event": "push", "Authorization": "Bearer x", "Host": "elsewhere"}
    kept = {**delivery(), "request": {"headers": sent, "payload": {"action": "opened"}}}
    with github(answered(kept)) as (_, client, _):
        request = LEDGER.fetch(client, attempt_id="12345678", **WHERE)
    assert request is not None
    assert dict(request.headers) == {
        "content-type": "application/json",
        "x-github-event": "issues",
        "x-github-delivery": kept["guid"],
    }
    assert json.loads(request.body) == {"action": "opened"}


@pytest.mark.parametrize("payload", [None, {}, "", []])
def test_body_that_is_no_longer_kept_is_told_as_gone(payload: object) -> None:
    with github(answered({**delivery(), "request": {"headers": {}, "payload": payload}})) as (_, client, _):
        assert LEDGER.fetch(client, attempt_id="1", **WHERE) is None


def test_number_of_an_attempt_stays_one_step_of_the_path() -> None:
    with github(answered({}, 202)) as (server, client, _):
        LEDGER.redeliver(client, attempt_id="../../keys", **WHERE)
    assert server.asked == [("POST", "/repos/acme/web/hooks/7/deliveries/..%2F..%2Fkeys/attempts")]


@pytest.mark.parametrize(
    ("status", "expected", "words"), [(403, AuthFailed, "Webhooks"), (404, Misconfigured, "acme/web")]
)
def test_refusal_says_which_right_is_missing(status: int, expected: type[ProviderError], words: str) -> None:
    with github(answered({"message": "no"}, status)) as (_, client, _), pytest.raises(expected, match=words):
        read(client)
