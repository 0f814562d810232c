"""Deliveries a provider's ledger shows that did not come in: noticed, asked for again or fetched, and counted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest

from connections.models import ConnectionStatus, IntegrationConnection
from events.models import AdapterEvent, DeliveryGap
from tests.lost_deliveries import API, WEB, asked, at, event_of, forget, id_of, issue, looked_after, lose, states, turn
from tests.missed_world import World
from webhooks import ingress
from webhooks.models import MissedDelivery, QuarantinedDelivery, WebhookRegistration
from webhooks.registrations import resume_registration, suspend_registration

pytestmark = pytest.mark.django_db


@pytest.fixture
def made(settings: Any) -> Iterator[World]:
    with looked_after(settings) as running:
        yield running


def test_a_delivery_nobody_answered_is_asked_for_again_and_arrives(made: World) -> None:
    (lost,) = lose(made)
    turn(made)
    missed = MissedDelivery.objects.get()
    assert (missed.delivery_id, missed.cause, missed.event_type) == (id_of(lost), "not_reached", "issues.opened")
    assert (missed.state, asked(made, "/attempts", "POST")) == ("asked", 1)
    assert DeliveryGap.objects.get().status == "filling"
    turn(made)
    assert states() == ["arrived"]
    assert event_of(lost).proof.startswith("hmac:1")
    gap = DeliveryGap.objects.get()
    assert (gap.status, gap.repair, gap.place, gap.cause) == ("filled", "ledger", WEB, "deliveries_failed")
    assert (gap.missing, gap.asked, gap.arrived, gap.fetched, gap.lost) == (1, 1, 1, 0, 0)
    assert gap.causes == {"not_reached": 1}
    assert gap.settled_at is not None


def test_a_quiet_hook_costs_two_requests_a_look_and_no_page_is_read_twice(made: World) -> None:
    lose(made)
    turn(made), turn(made), turn(made)
    before = len(made.server.asked)
    turn(made)
    told = [answer.status for answer in made.server.answered[before:]]
    assert sorted(told) == [200, 200, 304, 304]


def test_what_does_not_arrive_is_fetched_and_a_late_delivery_is_a_repetition(made: World) -> None:
    (lost,) = lose(made)
    turn(made, sends=False), turn(made)
    assert states() == ["fetched"]
    event = event_of(lost)
    assert (event.proof, event.source, event.signal_type) == ("hmac:ledger", "webhook", "issue_created")
    assert event.registration_id == WebhookRegistration.objects.get().pk
    assert made.post(lost) == 200
    assert AdapterEvent.objects.count() == 1
    gap = DeliveryGap.objects.get()
    assert (gap.status, gap.asked, gap.arrived, gap.fetched) == ("filled", 1, 0, 1)


def test_while_no_web_process_runs_nothing_is_asked_for_but_fetched_at_once(made: World) -> None:
    (lost,) = lose(made)
    made.web_runs = False
    turn(made)
    assert asked(made, "/attempts", "POST") == 0
    assert states() == ["fetched"]
    assert event_of(lost).proof == "hmac:ledger"


@pytest.mark.parametrize(
    ("status", "cause"),
    [(0, "not_reached"), (500, "our_fault"), (503, "our_fault"), (429, "put_off"), (401, "refused")],
)
def test_what_went_wrong_is_told_apart(made: World, status: int, cause: str) -> None:
    lose(made, status=status)
    turn(made)
    assert MissedDelivery.objects.get().cause == cause


def test_losses_that_follow_closely_are_one_window_of_the_report(made: World) -> None:
    lose(made, 2)
    turn(made)
    lose(made, status=503)
    turn(made), turn(made)
    gap = DeliveryGap.objects.get()
    assert (gap.missing, gap.arrived, gap.status, gap.causes) == (3, 3, "filled", {"not_reached": 2, "our_fault": 1})
    made.time.pass_by(timedelta(hours=1))
    lose(made)
    turn(made)
    assert DeliveryGap.objects.count() == 2


def test_what_becomes_no_signal_is_left_alone(made: World) -> None:
    """A star is no news here, so its body is not worth a request."""
    starred = made.simulator._deliver(WEB, "watch", {"action": "started"})
    for attempt in at(made, starred):
        made.simulator.attempted(attempt, 0)
    hooks = made.simulator.hooks.kept[WEB].values()
    for hook in hooks:
        hook["events"] = [*hook["events"], "watch"]
    for attempt in at(made, starred):
        made.simulator.attempted(attempt, 0)
    lose(made)
    turn(made)
    assert MissedDelivery.objects.count() == 1
    assert DeliveryGap.objects.get().irrelevant == 1


def test_what_was_not_asked_for_is_left_alone(made: World) -> None:
    WebhookRegistration.objects.update(events_subscribed=["push"])
    lose(made)
    turn(made)
    assert not MissedDelivery.objects.exists()


def test_what_came_in_under_another_key_or_was_kept_aside_is_not_missed(made: World) -> None:
    """A run's start is told twice and stored once; a body that could not be read lies in the quarantine."""
    for delivery in made.simulator._run(WEB):
        for attempt in at(made, delivery):
            made.simulator.attempted(attempt, made.post(attempt))
    with patch("providers.adapters.github.webhook.classify", side_effect=RuntimeError("on purpose")):
        for delivery in issue(made.simulator):
            for attempt in at(made, delivery):
                made.simulator.attempted(attempt, made.post(attempt))
    assert QuarantinedDelivery.objects.count() == 1
    turn(made)
    assert not MissedDelivery.objects.exists()


def test_what_the_provider_holds_for_delivered_but_is_not_here_is_fetched(made: World) -> None:
    """As after a restore of the database, or where something before us said 200."""
    (lost,) = lose(made, status=200)
    turn(made)
    assert MissedDelivery.objects.get().cause == "not_here"
    assert states() == ["fetched"]
    assert asked(made, "/attempts", "POST") == 0
    assert event_of(lost).signal_type == "issue_created"


def test_what_was_refused_on_purpose_is_no_loss(made: World) -> None:
    registration = WebhookRegistration.objects.get()
    suspend_registration(registration, actor="staff:ravi")
    made.time.pass_by(timedelta(minutes=10))
    for delivery in issue(made.simulator):
        for attempt in at(made, delivery):
            status = made.post(attempt)
            assert status == 404
            made.simulator.attempted(attempt, status)
    assert turn(made) == []
    made.time.pass_by(timedelta(minutes=10))
    resume_registration(registration, actor="staff:ravi")
    made.time.pass_by(timedelta(minutes=10))
    lose(made, status=404)
    turn(made)
    missed = MissedDelivery.objects.get()
    assert missed.cause == "refused"
    assert DeliveryGap.objects.get().deliberate == 1


def test_a_suspended_connection_is_not_called(made: World) -> None:
    lose(made)
    IntegrationConnection.objects.update(status=ConnectionStatus.SUSPENDED)
    before = len(made.server.asked)
    (done,) = turn(made)
    assert done.outcome == "stood_aside"
    assert len(made.server.asked) == before


class TestGivingUp:
    def test_what_the_ledger_has_no_more_is_polled(self, made: World) -> None:
        (lost,) = lose(made)
        forget(made, lost)
        turn(made)
        assert states() == ["polled"]
        (gap,) = DeliveryGap.objects.filter(cause="not_obtainable")
        (missed,) = MissedDelivery.objects.all()
        assert gap.repair == "poll"
        assert gap.since < missed.delivered_at < gap.until

    def test_where_it_cannot_be_polled_it_is_lost_and_the_report_says_so(self, made: World) -> None:
        IntegrationConnection.objects.update(enabled_capabilities={"webhook": True})
        (lost,) = lose(made)
        forget(made, lost)
        turn(made)
        gap = DeliveryGap.objects.get()
        assert (states(), gap.status, gap.lost) == (["lost"], "lost", 1)

    def test_what_the_ledger_forgot_before_anybody_read_it_is_polled(self, made: World) -> None:
        made.time.pass_by(timedelta(days=5))
        ingress.beat()
        turn(made)
        gaps = DeliveryGap.objects.filter(cause="ledger_ended")
        assert {gap.place for gap in gaps} == {WEB, API}
        for gap in gaps:
            assert gap.repair == "poll"
            assert timedelta(days=1, hours=23) < gap.until - gap.since < timedelta(days=2, hours=1)
        turn(made)
        assert DeliveryGap.objects.filter(cause="ledger_ended").count() == 2
