"""Running actions through the API: one key, one action, one answer."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.conf import settings

from actions.models import NormalisedAction
from connections.models import Receipt
from connections.tenancy import SERVICE, TENANT_ADMIN
from tests.api import client_of, error_of, pointers_of
from tests.factories import ACME, GLOBEX
from tests.tracker import CREATE, Tracker, answer_lost, command, due_now, limited, running_tracker, work

EXECUTE = "/internal/integrations/actions/execute"

pytestmark = pytest.mark.django_db


@pytest.fixture
def tracker() -> Iterator[Tracker]:
    with running_tracker() as running:
        yield running


def run(body: dict[str, Any], tenant_id: str = ACME, query: str = "", **headers: str) -> Any:
    return client_of(tenant_id, SERVICE).post(EXECUTE + query, body, headers=headers)


def test_a_command_is_done_at_once_and_answered_with_what_was_made(tracker: Tracker) -> None:
    connection = tracker.connect()
    answer = run(command(connection, correlation_id="deploy-4711"))
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert body["status"] == "completed"
    assert body["result"] == {
        "reference": body["action_id"],
        "url": f"https://fake.example/issues/ACME-1#{body['action_id']}",
    }
    assert (body["attempts"], body["error"], body["correlation_id"]) == (1, "", "deploy-4711")
    assert tracker.effects() == [f"comment {body['action_id']} on ACME-1"]


def test_the_same_key_gives_the_first_result_and_no_second_effect(tracker: Tracker) -> None:
    """UT-IA-04: outbound idempotency."""
    connection = tracker.connect()
    first, second = run(command(connection)), run(command(connection, correlation_id="another"))
    assert second.status_code == 200
    assert second.json() == first.json()
    assert len(tracker.writes) == len(tracker.effects()) == 1


def test_the_same_key_with_another_body_is_refused(tracker: Tracker) -> None:
    """UT-IA-04: outbound idempotency."""
    connection = tracker.connect()
    first = run(command(connection)).json()
    error = error_of(run(command(connection, payload={"body": "Something else."})), 422)
    assert error["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert error["details"] == {"action_id": first["action_id"]}
    assert len(tracker.effects()) == 1


def test_the_same_key_while_the_first_runs_is_a_conflict(tracker: Tracker) -> None:
    connection = tracker.connect()
    first = run(command(connection), Prefer="respond-async, wait=5")
    assert first.status_code == 202
    assert first["Location"] == f"/v1/integrations/actions/{first.json()['action_id']}"
    error = error_of(run(command(connection)), 409)
    assert error["code"] == "ACTION_IN_PROGRESS"
    assert error["details"] == {"action_id": first.json()["action_id"], "status": "pending"}
    work()
    assert run(command(connection)).json()["status"] == "completed"
    assert len(tracker.effects()) == 1


def test_keys_of_two_connections_and_of_two_tenants_do_not_meet(tracker: Tracker) -> None:
    ours, other, theirs = tracker.connect(), tracker.connect(), tracker.connect(GLOBEX)
    assert run(command(ours)).json()["status"] == "completed"
    assert run(command(other)).json()["status"] == "completed"
    assert run(command(theirs), GLOBEX).json()["status"] == "completed"
    assert len(tracker.effects()) == 3


def test_the_connection_of_another_tenant_is_not_there(tracker: Tracker) -> None:
    """SEC-IA-02: tenant isolation."""
    connection = tracker.connect()
    error_of(run(command(connection), GLOBEX), 404)
    error_of(run(command(connection), GLOBEX, "?dry_run=true"), 404)
    error_of(run(command(connection, connection_id=str(uuid.uuid4()))), 404)
    assert tracker.server.asked == []


def test_only_services_run_actions(tracker: Tracker) -> None:
    connection = tracker.connect()
    error_of(client_of(ACME, TENANT_ADMIN).post(EXECUTE, command(connection)), 403)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"canonical_type": "post_chat_message"}, "/canonical_type"),
        ({"provider_id": "github"}, "/provider_id"),
        ({"target": {}}, "/target"),
        ({"target": {"issue_key": "ACME-1", "repository": "a/b"}}, "/target"),
        ({"payload": {"body": ""}}, "/payload/body"),
        ({"payload": {"body": 7}}, "/payload/body"),
        ({"payload": {"body": "x" * 60_001}}, "/payload/body"),
    ],
)
def test_a_command_that_cannot_be_is_refused_before_anything_is_kept(
    tracker: Tracker, change: dict[str, Any], pointer: str
) -> None:
    connection = tracker.connect()
    assert pointer in pointers_of(run(command(connection, **change)))
    assert not NormalisedAction.objects.exists()
    assert tracker.server.asked == []


def test_a_refusal_of_the_provider_is_told_in_its_own_words_and_not_tried_again(tracker: Tracker) -> None:
    connection = tracker.connect()
    body = run(command(connection, target={"issue_key": "ACME-999"})).json()
    assert (body["status"], body["error_category"], body["attempts"]) == ("failed", "client", 1)
    assert "there is no such issue" in body["error"]
    assert len(tracker.writes) == 1


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"status": "suspended"}, "CONNECTION_NOT_ACTIVE"),
        ({"status": "error"}, "CONNECTION_NOT_ACTIVE"),
        ({"enabled_capabilities": {"webhook": True, "polling": True, "outbound_actions": False}}, "CAPABILITY_OFF"),
    ],
)
def test_a_connection_that_takes_no_actions_says_why(tracker: Tracker, values: dict[str, Any], code: str) -> None:
    assert error_of(run(command(tracker.connect(**values))), 409)["code"] == code


def test_a_repetition_is_answered_even_if_the_connection_takes_no_actions_any_more(tracker: Tracker) -> None:
    connection = tracker.connect()
    first = run(command(connection)).json()
    type(connection).objects.update(status="suspended")
    assert run(command(connection)).json() == first


def test_what_is_not_over_in_time_is_accepted_and_goes_on(tracker: Tracker) -> None:
    connection = tracker.connect()
    tracker.vices = [limited]
    answer = run(command(connection))
    assert answer.status_code == 202
    assert (answer.json()["status"], answer.json()["error_category"]) == ("pending", "rate_limit")
    work()
    assert len(tracker.writes) == 1
    # The provider asked for 20 s; our own ledger of its quota holds everybody to that.
    redis.Redis.from_url(settings.REDIS_URL).flushdb()
    due_now()
    work()
    assert client_of().get(answer["Location"]).json()["status"] == "completed"
    assert len(tracker.writes) == 2


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(tracker: Tracker) -> None:
    connection = tracker.connect()
    answer = run(command(connection, **CREATE), query="?dry_run=true")
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert body["request"]["method"] == "POST"
    assert body["request"]["url"] == f"{tracker.server.url}/issues"
    assert body["request"]["headers"]["Authorization"] == "[redacted]"
    assert body["request"]["body"]["title"] == "Door sticks"
    assert body["permissions"] == ["issues:write"]
    assert body["one_effect"] == "marker"
    assert body["costs"] == [{"of": "integration.fake.action", "units": 1.0}, {"of": "requests", "units": 1.0}]
    assert tracker.server.asked == []
    assert not NormalisedAction.objects.exists()


@pytest.mark.parametrize("query", ["?dry_run=yes", "?dry_run=", "?dryrun=true"])
def test_a_misspelt_dry_run_is_no_real_one(tracker: Tracker, query: str) -> None:
    error_of(run(command(tracker.connect()), query=query), 400)
    assert tracker.server.asked == []


def test_an_action_leaves_one_receipt_whatever_it_took(tracker: Tracker) -> None:
    connection = tracker.connect()
    tracker.vices = [answer_lost]
    action_id = run(command(connection)).json()["action_id"]
    due_now()
    work()
    receipt = Receipt.objects.get()
    assert receipt.operation == "integration.action.fake.comment_on_issue"
    assert (receipt.operation_id, receipt.outcome) == (action_id, "completed")
