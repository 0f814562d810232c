"""GitLab's list of deliveries: older versions, bodies it did not keep, and answers that are not what they should be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from providers.adapters.gitlab.adapter import GitLabAdapter
from providers.adapters.gitlab.ledger import MAX_PAGE
from providers.adapters.gitlab.simulator import Simulator
from providers.adapters.gitlab.webhook import GitLabWebhook
from providers.client import ProviderClient
from providers.errors import ProviderFault
from providers.ledgers import LedgerPage
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from tests.contract.provider_server import Server, serving

LEDGER = GitLabWebhook.ledger
ADAPTER = GitLabAdapter()
AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
KEY = "f5e5f430-f57b-4e6e-9fac-d9128cd7232f"
WHERE = {"target": "project:acme/web", "hook_id": "7"}


def body() -> dict[str, Any]:
    """A push, as it was sent."""
    world = Simulator(seed=3, faults=False)
    while True:
        for delivery in world.tick():
            found: dict[str, Any] = json.loads(delivery.body)
            if found["object_kind"] == "push":
                return found


def delivery(**changes: Any) -> dict[str, Any]:
    """A delivery as the list shows it, in the words of GitLab's page."""
    return {
        "id": 1,
        "url": "https://example.net/",
        "trigger": "push_hooks",
        "request_headers": {
            "Content-Type": "application/json",
            "X-Gitlab-Event": "Push Hook",
            "X-Gitlab-Token": "[REDACTED]",
            "Idempotency-Key": KEY,
            "X-Gitlab-Event-UUID": "13792a34-cac6-4fda-95a8-c58e00a3954e",
        },
        "request_data": body(),
        "response_headers": {"Date": "Mon, 02 Mar 2026 09:30:00 GMT"},
        "response_body": "",
        "execution_duration": 0.2,
        "response_status": "200",
        "created_at": AT.isoformat(),
        **changes,
    }


@contextmanager
def gitlab(found: object, **headers: str) -> Iterator[tuple[Server, ProviderClient]]:
    kind = {"content-type": "application/json", **headers}
    with serving(lambda *_: SimulatedAnswer(200, kind, json.dumps(found).encode())) as server:
        config = ADAPTER.client_config(Simulator.settings(server.url), Simulator.credential, "4")
        with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as client:
            yield server, client


def read(client: ProviderClient, position: dict[str, Any] | None = None, **where: str) -> LedgerPage:
    return LEDGER.attempts(client, position=position or {}, since=AT - timedelta(hours=1), **{**WHERE, **where})


def entries(*found: dict[str, Any]) -> Any:
    with gitlab(list(found)) as (_, client):
        return read(client).entries


def test_delivery_is_read_as_the_webhook_would_read_it() -> None:
    (entry,) = entries(delivery())
    assert (entry.delivery_id, entry.attempt_id, entry.delivered_at) == (KEY, "1", AT)
    assert (entry.matters, entry.request is not None) == (True, True)
    assert all(KEY in key for key in entry.dedupe_keys)


def test_only_the_headers_that_mean_something_are_kept() -> None:
    (entry,) = entries(delivery())
    assert set(entry.request.headers) == {"content-type", "idempotency-key", "x-gitlab-event", "x-gitlab-event-uuid"}


def test_version_without_its_time_of_delivery_leaves_that_of_our_answer() -> None:
    shown = delivery()
    del shown["created_at"]
    assert entries(shown)[0].delivered_at == AT


def test_delivery_without_any_time_is_as_old_as_its_newer_neighbour() -> None:
    untimed = delivery(id=2, response_headers={}, created_at=None)
    newer, older = entries(delivery(id=3, created_at=(AT + timedelta(minutes=1)).isoformat()), untimed)
    assert older.delivered_at == newer.delivered_at == AT + timedelta(minutes=1)


def test_version_that_gives_a_delivery_no_key_is_left_out() -> None:
    assert not entries(delivery(request_headers={"X-Gitlab-Event": "Push Hook"}))


@pytest.mark.parametrize("kept", [{"oversize": True}, None, {}, "text"])
def test_delivery_without_its_body_may_be_any(kept: object) -> None:
    (entry,) = entries(delivery(request_data=kept))
    assert (entry.request, entry.matters, entry.event_type) == (None, True, "push")
    sent = delivery()["request_data"]
    (whole,) = entries(delivery(request_data=sent))
    assert set(whole.dedupe_keys) <= set(entry.dedupe_keys)


def test_body_that_cannot_be_read_is_not_passed_over() -> None:
    (entry,) = entries(delivery(request_data={"object_kind": "push", "project": "none"}))
    assert (entry.matters, entry.request is not None) == (True, True)


def test_kind_that_becomes_no_signal_does_not_matter() -> None:
    (entry,) = entries(delivery(request_data={**body(), "object_kind": "a_kind_of_next_year"}))
    assert not entry.matters


@pytest.mark.parametrize(
    ("shown", "ok", "status"),
    [("202", True, 202), ("301", True, 301), ("404", False, 404), ("internal error", False, 0), (None, False, 0)],
)
def test_delivered_is_what_gitlab_holds_for_delivered(shown: str | None, status: int, *, ok: bool) -> None:
    (entry,) = entries(delivery(response_status=shown))
    assert (entry.ok, entry.status) == (ok, status)


@pytest.mark.parametrize("number", ["../9", None, "x", "9" * 21])
def test_what_is_no_delivery_is_gitlabs_fault(number: object) -> None:
    with pytest.raises(ProviderFault):
        entries(delivery(), delivery(id=number))


@pytest.mark.parametrize(
    ("page", "following", "more"),
    [(1, "2", True), (1, "", False), (3, "3", False), (3, "2", False), (1, "²", False), (1, f"{MAX_PAGE + 1}", False)],
)
def test_pages_only_lead_on(page: int, following: str, *, more: bool) -> None:
    with gitlab([delivery()], **{"x-next-page": following}) as (_, client):
        assert read(client, {"page": page}).more is more


def test_hook_of_a_group_is_read_at_the_group() -> None:
    with gitlab([]) as (server, client):
        read(client, target="group:acme/team")
    assert server.asked == [("GET", "/api/v4/groups/acme%2Fteam/hooks/7/events?per_page=20&page=1")]
