"""How work is shared out: claims of several workers, messages; and a ledger that cannot give what it did not keep."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connection as database

from events.models import AdapterEvent, DeliveryGap
from providers.adapters.gitlab.simulator import Simulator as GitLab
from providers.simulation import SimulatedAttempt, SimulatedDelivery
from tests.factories import make_connection, make_registration
from tests.lost_deliveries import asked, looked_after, lose, states
from tests.missed_world import World, world
from tests.simulated_time import simulated_time
from webhooks import ingress, reconciliation
from webhooks.models import MissedDelivery, WebhookRegistration
from webhooks.reconciliation import DOORS_A_MESSAGE, hand_over, reconcile_due, run_message
from webhooks.repair_lease import Claim, claim_due

pytestmark = pytest.mark.django_db


def doors(number: int, tenant: str = "acme") -> None:
    for _ in range(number):
        connection: Any = make_connection("github", tenant_id=tenant)
        make_registration(connection, provider_hooks={"acme/web": "1"})


class TestClaims:
    @pytest.mark.django_db(transaction=True)
    def test_workers_that_claim_at_the_same_moment_share_the_doors(self) -> None:
        doors(12)
        WebhookRegistration.objects.update(reconcile_at=datetime(2026, 1, 1, tzinfo=UTC))
        together, claims = threading.Barrier(3), list[list[Claim]]()

        def claim() -> None:
            together.wait(10)
            claims.append(claim_due(12))
            database.close()

        workers = [threading.Thread(target=claim) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        taken = [claim.registration_id for each in claims for claim in each]
        assert (len(taken), len(set(taken))) == (12, 12)

    def test_tenants_take_turns(self) -> None:
        doors(5)
        doors(1, tenant="globex")
        WebhookRegistration.objects.update(reconcile_at=datetime(2026, 1, 1, tzinfo=UTC))
        chosen = WebhookRegistration.objects.filter(pk__in=[claim.registration_id for claim in claim_due(2)])
        assert sorted(chosen.values_list("tenant_id", flat=True)) == ["acme", "globex"]


class TestMessages:
    @pytest.fixture
    def made(self, settings: Any) -> Iterator[World]:
        with looked_after(settings) as running:
            lose(running)
            running.time.pass_by(timedelta(minutes=4))
            ingress.beat()
            yield running

    def test_they_carry_ids_and_a_lease_a_few_at_a_time(self) -> None:
        token = uuid.uuid4()
        claims = [Claim(uuid.uuid4(), token) for _ in range(DOORS_A_MESSAGE + 1)]
        with patch.object(reconciliation.current_app, "send_task") as sent:
            assert hand_over(claims) == 2
        arguments = [call.kwargs["args"] for call in sent.call_args_list]
        assert [(len(ids), lease) for ids, lease in arguments] == [(DOORS_A_MESSAGE, str(token)), (1, str(token))]
        assert {key for ids, _ in arguments for key in ids} == {str(claim.registration_id) for claim in claims}

    def test_one_is_worked_off_once(self, made: World) -> None:
        (claim,) = claim_due(5)
        for _ in range(2):
            run_message([str(claim.registration_id)], str(claim.token))
        assert asked(made, "/attempts", "POST") == 1
        assert WebhookRegistration.objects.get().reconcile_token is None

    def test_doors_there_is_no_time_for_are_given_back(self, made: World) -> None:
        (claim,) = claim_due(5)
        before = len(made.server.asked)
        with patch.object(reconciliation, "MESSAGE_SECONDS", 0.0):
            assert run_message([str(claim.registration_id)], str(claim.token)) == 0
        assert len(made.server.asked) == before
        made.time.pass_by(timedelta(seconds=2))
        assert [again.registration_id for again in claim_due(5)] == [claim.registration_id]


class TestWhatTheLedgerDidNotKeep:
    """Of a delivery that was too large the simulated provider lists everything but the body."""

    @pytest.fixture
    def gitlab(self, settings: Any) -> Iterator[World]:
        def issue(simulator: Any) -> list[SimulatedDelivery]:
            simulator._now = datetime.now(UTC)
            return simulator._open_issue("zoe")

        with simulated_time() as time, world("gitlab", GitLab(seed=3, faults=False), time, issue, settings) as running:
            look(running)
            yield running

    def test_it_is_asked_for_and_arrives(self, gitlab: World) -> None:
        lost = lose_large(gitlab)
        look(gitlab)
        assert states() == ["asked"]
        (again,) = gitlab.simulator.asked_again()
        assert again.delivery.headers["idempotency-key"] == lost.delivery.headers["idempotency-key"]
        assert gitlab.post(SimulatedAttempt(lost.hook, lost.url, lost.secret, lost.delivery)) == 202
        look(gitlab)
        assert (states(), AdapterEvent.objects.count()) == (["arrived"], 1)

    def test_where_it_never_arrives_its_time_is_polled(self, gitlab: World) -> None:
        lose_large(gitlab)
        for _ in range(4):
            look(gitlab)
            gitlab.simulator.asked_again()
        assert states() == ["polled"]
        assert DeliveryGap.objects.get(cause="not_obtainable").repair == "poll"
        assert asked(gitlab, "/resend", "POST") == 2

    def test_no_more_is_asked_for_in_a_minute_than_the_provider_allows(self, gitlab: World) -> None:
        for _ in range(7):
            lose_large(gitlab)
        look(gitlab)
        assert states() == ["asked"] * 5 + ["missing"] * 2
        look(gitlab)
        assert {answer.status for answer in gitlab.server.answered} == {200, 201}

    def test_those_that_have_to_wait_are_not_looked_at_until_a_minute_has_passed(self, gitlab: World) -> None:
        for _ in range(7):
            lose_large(gitlab)
        look(gitlab)
        before = len(gitlab.server.asked)
        gitlab.time.pass_by(timedelta(seconds=40))
        assert reconcile_due() == []
        assert len(gitlab.server.asked) == before

    def test_while_no_web_process_runs_it_waits_and_spends_no_try(self, gitlab: World) -> None:
        lose_large(gitlab)
        for _ in range(3):
            gitlab.time.pass_by(timedelta(minutes=4))
            reconcile_due()
        assert asked(gitlab, "/resend", "POST") == 0
        assert MissedDelivery.objects.get().tries == 0
        look(gitlab)
        assert states() == ["asked"]


def lose_large(made: World) -> SimulatedAttempt:
    """An issue is opened, nobody answers, and its body is not kept."""
    made.time.pass_by(timedelta(seconds=1))
    ((attempt,),) = (made.simulator.attempts_of(delivery) for delivery in made.open_issue())
    made.simulator.attempted(attempt, 0)
    ledger = made.simulator.hooks.ledger
    ledger.kept[int(attempt.hook)][-1]["request_data"] = {"oversize": True}
    # The hook is not held back, whatever failed.
    ledger.failures.clear()
    ledger.paused_until.clear()
    lost: SimulatedAttempt = attempt
    return lost


def look(made: World) -> None:
    made.time.pass_by(timedelta(minutes=4))
    ingress.beat()
    reconcile_due()
