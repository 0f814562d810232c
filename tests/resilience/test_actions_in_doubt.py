"""Actions whose answer is lost: found, sent again only when it is safe, or shown to a person. Never two effects."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from actions import runner, schedule
from actions.leases import begin
from actions.models import ActionStatus, NormalisedAction
from connections.models import Receipt
from connections.tenancy import SERVICE
from tests.api import client_of
from tests.factories import ACME
from tests.tracker import (
    CREATE,
    Tracker,
    Vice,
    answer_lost,
    command,
    due_now,
    fails_afterwards,
    fails_before,
    running_tracker,
    says_nothing_readable,
    settled,
    work,
)

pytestmark = pytest.mark.django_db

COMMENT: dict[str, Any] = {}
UPDATE = {"canonical_type": "update_issue", "target": {"issue_key": "ACME-1"}, "payload": {"title": "Door jams"}}
BUILD = {"canonical_type": "trigger_pipeline", "target": {"project": "ACME"}, "payload": {"branch": "main"}}
UNCLEAR = [answer_lost, fails_afterwards, says_nothing_readable]


@pytest.fixture
def tracker() -> Iterator[Tracker]:
    with running_tracker() as running:
        yield running


def ask(tracker: Tracker, **values: Any) -> NormalisedAction:
    answer = client_of(ACME, SERVICE).post(
        "/internal/integrations/actions/execute", command(tracker.connect(), **values)
    )
    assert answer.status_code in (200, 202), answer.content
    return NormalisedAction.objects.get()


def again(action: NormalisedAction) -> NormalisedAction:
    due_now()
    work()
    action.refresh_from_db()
    return action


@pytest.mark.parametrize("vice", UNCLEAR)
@pytest.mark.parametrize("asked", [CREATE, COMMENT, UPDATE], ids=["marker", "chosen id", "natural key"])
def test_an_effect_whose_answer_was_lost_is_completed_and_stays_single(
    tracker: Tracker, vice: Vice, asked: dict[str, Any]
) -> None:
    tracker.vices = [vice]
    action = ask(tracker, **asked)
    assert (action.status, action.in_doubt) == (ActionStatus.PENDING, True)
    action = again(action)
    assert action.status == ActionStatus.COMPLETED
    assert action.result["reference"]
    assert len(tracker.effects()) == 1


@pytest.mark.parametrize("asked", [CREATE, COMMENT, UPDATE], ids=["marker", "chosen id", "natural key"])
def test_what_was_not_done_is_done_once_that_is_certain(tracker: Tracker, asked: dict[str, Any]) -> None:
    tracker.vices = [fails_before]
    action = ask(tracker, **asked)
    settled()
    action = again(action)
    assert action.status == ActionStatus.COMPLETED
    assert len(tracker.effects()) == 1


def test_a_new_issue_that_does_not_show_yet_is_waited_for(tracker: Tracker) -> None:
    tracker.vices = [answer_lost]
    tracker.world.writes.visible_after_seconds = 3600
    action = again(ask(tracker, **CREATE))
    assert (action.status, action.in_doubt, len(tracker.writes)) == (ActionStatus.PENDING, True, 1)
    tracker.world.writes.visible_after_seconds = 0
    tracker.world.writes.show_all()
    action = again(action)
    assert action.status == ActionStatus.COMPLETED
    assert (len(tracker.writes), len(tracker.effects())) == (1, 1)


def test_not_being_able_to_look_is_not_having_looked(tracker: Tracker) -> None:
    tracker.vices = [answer_lost]
    action = ask(tracker, **CREATE)
    settled()
    tracker.reads_fail = True
    action = again(action)
    assert (action.status, action.in_doubt, len(tracker.writes)) == (ActionStatus.PENDING, True, 1)
    tracker.reads_fail = False
    assert again(action).status == ActionStatus.COMPLETED
    assert len(tracker.effects()) == 1


@pytest.mark.parametrize("vice", UNCLEAR)
def test_where_nothing_can_be_looked_up_a_person_is_asked(tracker: Tracker, vice: Vice) -> None:
    tracker.vices = [vice]
    action = ask(tracker, **BUILD)
    assert action.status == ActionStatus.NEEDS_REVIEW
    assert action.evidence[-1]["event"] == "needs review"
    assert Receipt.objects.get().outcome == "needs_review"
    work()
    assert len(tracker.writes) == 1


def test_doubt_that_lasts_until_the_time_is_over_is_for_a_person(tracker: Tracker) -> None:
    tracker.vices = [answer_lost]
    action = ask(tracker, **CREATE)
    tracker.reads_fail = True
    NormalisedAction.objects.update(give_up_at=action.created_at)
    action = again(action)
    assert action.status == ActionStatus.NEEDS_REVIEW


def test_what_was_certainly_not_done_in_time_has_failed(tracker: Tracker) -> None:
    tracker.vices = [fails_before]
    action = ask(tracker, **CREATE)
    settled()
    NormalisedAction.objects.update(in_doubt=False, give_up_at=action.created_at)
    action = again(action)
    assert action.status == ActionStatus.FAILED
    assert tracker.effects() == []


def test_a_process_that_dies_after_sending_leaves_doubt_and_no_second_effect(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The intent is committed before the request: whoever takes the action up looks first."""
    connection = tracker.connect()
    client_of(ACME, SERVICE).post(
        "/internal/integrations/actions/execute", command(connection, **CREATE), headers={"Prefer": "respond-async"}
    )
    (claim,) = schedule.claim_due()
    with monkeypatch.context() as dying:
        dying.setattr(runner.endings, "complete", _die)
        with pytest.raises(SystemExit):
            schedule.run_claimed([str(claim.action_ids[0])], str(claim.token))
    action = NormalisedAction.objects.get()
    assert (action.status, action.in_doubt) == (ActionStatus.PROCESSING, True)
    NormalisedAction.objects.update(next_attempt_at=action.created_at)
    work()
    action.refresh_from_db()
    assert action.status == ActionStatus.COMPLETED
    assert len(tracker.effects()) == 1


def _die(*_args: Any, **_named: Any) -> None:
    raise SystemExit


def test_whoever_wakes_after_its_lease_ended_writes_nothing(tracker: Tracker) -> None:
    connection = tracker.connect()
    client_of(ACME, SERVICE).post(
        "/internal/integrations/actions/execute", command(connection), headers={"Prefer": "respond-async"}
    )
    (claim,) = schedule.claim_due()
    NormalisedAction.objects.update(next_attempt_at=NormalisedAction.objects.get().created_at)
    work()
    assert NormalisedAction.objects.get().status == ActionStatus.COMPLETED
    assert begin(claim.action_ids[0], claim.token) is None
    assert begin(claim.action_ids[0], uuid.uuid4()) is None
    assert len(tracker.effects()) == 1
