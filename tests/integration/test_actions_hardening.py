"""Actions when luck or input is bad: one effect, the true outcome, a row that comes to an end, no fault of ours."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.db.models.functions import Now

from actions import endings, review, runner, schedule
from actions.leases import begin
from actions.models import ActionStatus, NormalisedAction
from actions.runner import run
from connections import breaker
from connections.budget import Decision
from connections.models import Receipt
from connections.tenancy import SERVICE
from providers.adapters.fake.actions import CommentOnIssue, CreateIssue
from providers.errors import Rejected
from providers.simulation import SimulatedAnswer
from tests.api import client_of, error_of
from tests.factories import ACME, make_action, make_connection
from tests.staff import operator
from tests.tracker import CREATE, Tracker, answer_lost, command, due_now, running_tracker, settled, work

pytestmark = pytest.mark.django_db
EXECUTE = "/internal/integrations/actions/execute"
BUILD = {"canonical_type": "trigger_pipeline", "target": {"project": "ACME"}, "payload": {"branch": "main"}}


@pytest.fixture
def tracker() -> Iterator[Tracker]:
    with running_tracker() as running:
        yield running


def ask(tracker: Tracker, *, later: Any = False, **values: Any) -> NormalisedAction:
    headers = {"Prefer": "respond-async"} if later else {}
    answer = client_of(ACME, SERVICE).post(EXECUTE, command(tracker.connect(), **values), headers=headers)
    assert answer.status_code in (200, 202), answer.content
    return NormalisedAction.objects.get()


def again(action: NormalisedAction) -> NormalisedAction:
    due_now()
    work()
    action.refresh_from_db()
    return action


def test_a_message_that_arrives_twice_is_one_attempt(tracker: Tracker) -> None:
    ask(tracker, later=True, **BUILD)
    (claim,) = schedule.claim_due()
    assert begin(claim.action_ids[0], claim.token) is not None
    assert begin(claim.action_ids[0], claim.token) is None


def test_whoever_wakes_while_another_runs_the_action_sends_nothing(tracker: Tracker) -> None:
    ask(tracker, later=True, **BUILD)
    held = []
    for _ in range(2):
        (claim,) = schedule.claim_due()
        held.append(begin(claim.action_ids[0], claim.token))
        NormalisedAction.objects.update(next_attempt_at=Now())
    late, present = held
    assert late is not None
    assert present is not None
    run(late)
    assert tracker.writes == []
    run(present)
    assert NormalisedAction.objects.get().status == ActionStatus.COMPLETED
    assert len(tracker.effects()) == 1


def test_whoever_wakes_after_another_ended_the_action_changes_nothing(tracker: Tracker) -> None:
    ask(tracker, later=True, **BUILD)
    (claim,) = schedule.claim_due()
    late = begin(claim.action_ids[0], claim.token)
    assert late is not None
    NormalisedAction.objects.update(next_attempt_at=Now())
    work()
    run(late)
    assert NormalisedAction.objects.get().attempts == 2
    assert len(tracker.writes) == Receipt.objects.count() == 1


def test_a_budget_may_refuse_in_any_words(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def ask(self, *_args: str) -> Decision:
            return Decision(allowed=False, retry_after_seconds=5, reason="No\x00t now.")

    monkeypatch.setattr(runner, "budget", Refusing)
    action = ask(tracker)
    assert (action.status, action.error) == (ActionStatus.PENDING, "Not now.")


def test_a_long_wait_puts_no_other_action_off_beyond_its_own_time(tracker: Tracker) -> None:
    of = tracker.connect()
    first = make_action(of, status="pending", next_attempt_at=Now(), give_up_at=Now() + timedelta(hours=1))
    other = make_action(of, status="pending", next_attempt_at=Now(), give_up_at=Now() + timedelta(hours=1))
    endings.put_off_others(first, 86400.0)
    other.refresh_from_db()
    assert other.next_attempt_at == other.give_up_at


def test_connections_that_are_busy_hide_no_other(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "CONNECTIONS_A_TICK", 1)
    busy, idle = make_connection(), make_connection()
    for _ in range(schedule.IN_FLIGHT):
        make_action(busy, status="processing", next_attempt_at=Now() + timedelta(minutes=1))
    make_action(busy, status="pending", next_attempt_at=Now() - timedelta(minutes=1))
    waiting = make_action(idle, status="pending", next_attempt_at=Now())
    assert [claim.action_ids for claim in schedule.claim_due()] == [[waiting.pk]]


def test_a_provider_that_works_longer_than_anybody_waits_does_it_once(
    tracker: Tracker, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ACTION_SYNC_SECONDS = 0.2
    monkeypatch.setattr(CreateIssue, "visible_within_seconds", 0)
    go_on, done = threading.Event(), threading.Event()

    def slow(do: Callable[[], SimulatedAnswer]) -> SimulatedAnswer:
        go_on.wait(5)
        answer = do()
        done.set()
        return answer

    tracker.vices = [slow]
    action = ask(tracker, **CREATE)
    action = again(action)
    go_on.set()
    assert done.wait(5)
    action = again(action)
    assert action.status == ActionStatus.COMPLETED
    assert len(tracker.effects()) == 1


def test_a_chosen_id_that_does_not_show_yet_is_not_told_as_failed(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as hidden:
        hidden.setattr(CommentOnIssue, "find", lambda *_: None)
        tracker.vices = [answer_lost]
        action = ask(tracker)
        settles_at = action.settles_at
        action = again(action)
        assert (action.status, action.in_doubt) == (ActionStatus.PENDING, True)
        # The request that was refused begins no doubt of its own, or it would never end.
        assert action.settles_at == settles_at
    assert again(action).status == ActionStatus.COMPLETED


def test_a_chosen_id_that_is_somebody_elses_fails_once_that_is_certain(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CommentOnIssue, "find", lambda *_: None)
    tracker.vices = [answer_lost]
    action = again(ask(tracker))
    settled()
    action = again(action)
    assert (action.status, action.error_category) == (ActionStatus.FAILED, "client")


def test_an_answer_of_success_that_says_it_was_not_done_is_a_refusal(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> Any:
        raise Rejected("Nobody of them can be assigned.", status=201)

    monkeypatch.setattr(CommentOnIssue, "done", refused)
    action = ask(tracker)
    assert (action.status, action.error_category, len(tracker.writes)) == (ActionStatus.FAILED, "client", 1)


def test_trying_again_looks_first_where_there_is_a_way_to_look(tracker: Tracker) -> None:
    tracker.vices = [answer_lost]
    action = ask(tracker, **CREATE)
    NormalisedAction.objects.update(give_up_at=Now())
    action = again(action)
    assert action.status == ActionStatus.NEEDS_REVIEW
    review.try_again(action.pk, actor="staff:zoe", reason="I saw nothing.")
    work()
    action.refresh_from_db()
    assert action.status == ActionStatus.COMPLETED
    assert len(tracker.effects()) == len(tracker.writes) == 1


def test_staff_are_told_what_cannot_be_kept(tracker: Tracker) -> None:
    staff, form = (
        operator(),
        {
            "connection": str(tracker.connect().pk),
            "canonical_type": "comment_on_issue",
            "target": '{"issue_key": "ACME-1"}',
            "payload": '{"body": "Seen."}',
            "idempotency_key": "staff-1",
        },
    )
    for wrong in (
        {"target": '{"issue_key": "ACME-1", "pr_number": 99999999999999999999999}'},
        {"payload": '{"body": "a\\u0000b"}'},
        {"payload": '{"body": "\\ud800"}'},
        {"payload": '{"body": NaN}'},
        {"payload": '{"body": ' + "[" * 400 + "]" * 400 + "}"},
        {"payload": "7"},
        {"payload": ""},
        {"idempotency_key": "a\x00b"},
    ):
        assert staff.post("/admin/actions/normalisedaction/add/", {**form, **wrong}).status_code == 200, wrong
    assert not NormalisedAction.objects.exists()


@pytest.mark.parametrize(
    "words",
    [
        ("--payload", '{"body": "a\\u0000b"}'),
        ("--payload", '{"body": "\\ud800"}'),
        ("--payload", '{"body": NaN}'),
        ("--target", '{"issue_key": "ACME-1", "pr_number": 99999999999999999999999}'),
        ("--key", "k" * 201),
        ("--key", "\ud800"),
    ],
)
def test_the_command_line_tells_what_cannot_be_kept(tracker: Tracker, words: tuple[str, str]) -> None:
    given = {"--target": '{"issue_key": "ACME-1"}', "--payload": '{"body": "Seen."}', **dict([words])}
    with pytest.raises(CommandError):
        call_command("action", str(tracker.connect().pk), "comment_on_issue", *itertools.chain(*given.items()))
    assert not NormalisedAction.objects.exists()


def test_a_repeated_dry_run_is_no_real_one(tracker: Tracker) -> None:
    answer = client_of(ACME, SERVICE).post(EXECUTE + "?dry_run=true&dry_run=false", command(tracker.connect()))
    error_of(answer, 400)
    assert tracker.server.asked == []


def test_what_our_own_time_ended_is_no_failure_of_the_provider(tracker: Tracker, settings: Any) -> None:
    settings.ACTION_SYNC_SECONDS = 0.0
    action = ask(tracker)
    assert action.status == ActionStatus.PENDING
    action.connection.refresh_from_db()
    assert action.connection.consecutive_failures == 0


def test_an_outcome_is_kept_even_if_nothing_else_can_be(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(tracker, later=True, **BUILD)

    def fails(*_args: Any) -> None:
        raise OperationalError

    monkeypatch.setattr(breaker, "succeeded", fails)
    with pytest.raises(OperationalError):
        work()
    assert NormalisedAction.objects.get().status == ActionStatus.COMPLETED


@pytest.mark.django_db(transaction=True)
def test_many_that_ask_at_once_with_one_key_get_one_action(tracker: Tracker) -> None:
    body = command(tracker.connect())
    together = threading.Barrier(8)

    def one(_number: int) -> int:
        try:
            together.wait(5)
            return int(client_of(ACME, SERVICE).post(EXECUTE, body).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as callers:
        told = list(callers.map(one, range(8)))
    work()
    assert set(told) <= {200, 202, 409}
    assert NormalisedAction.objects.count() == len(tracker.writes) == len(tracker.effects()) == 1
