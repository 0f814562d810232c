"""What people see of what was missed: the API, the admin, the diagnosis, the metrics and the incidents."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from connections.models import Incident
from events.gaps import forget_losses
from events.models import DeliveryGap
from integration_adapters.schedule import ENTRIES
from providers.simulation import SimulatedAnswer
from tests.api import CONNECTIONS, client_of, error_of
from tests.factories import ACME, GLOBEX, make_connection, make_gap, make_missed, make_registration, make_watched_hook
from tests.lost_deliveries import WEB, looked_after, lose, turn
from tests.missed_world import World
from tests.staff import list_of, operator, page_of
from webhooks.diagnosis import diagnose
from webhooks.hook_standing import end_trouble
from webhooks.models import IngressOutage, MissedDelivery, WatchedHook, WebhookRegistration
from webhooks.registrations import delete_registration

pytestmark = pytest.mark.django_db


@pytest.fixture
def made(settings: Any) -> Iterator[World]:
    with looked_after(settings) as running:
        yield running


def gaps_of(connection: Any) -> str:
    return f"{CONNECTIONS}/{connection.pk}/gaps"


class TestApi:
    def test_a_tenant_reads_what_its_connection_missed(self) -> None:
        connection = make_connection()
        older, newer = make_gap(connection), make_gap(connection, status="open", settled_at=None, until=None)
        make_gap(make_connection())
        body = client_of().get(gaps_of(connection)).json()
        assert [row["gap_id"] for row in body["results"]] == [str(newer.pk), str(older.pk)]
        row = body["results"][1]
        assert (row["cause"], row["repair"], row["status"]) == ("deliveries_failed", "ledger", "filled")
        assert [row[name] for name in ("missing", "asked", "arrived", "fetched", "lost")] == [3, 2, 2, 1, 0]
        assert row["causes"] == {"our_fault": 3}
        assert body["results"][0]["until"] is None

    def test_pages_and_filters(self) -> None:
        connection = make_connection()
        for number in range(5):
            make_gap(
                connection, status="lost" if number % 2 else "filled", cause="door_down" if number else "hook_gone"
            )
        first = client_of().get(gaps_of(connection), {"page_size": 3}).json()
        second = client_of().get(first["next"]).json()
        assert len({row["gap_id"] for page in (first, second) for row in page["results"]}) == 5
        assert len(client_of().get(gaps_of(connection), {"status": "lost"}).json()["results"]) == 2
        assert len(client_of().get(gaps_of(connection), {"cause": "hook_gone"}).json()["results"]) == 1
        error_of(client_of().get(gaps_of(connection), {"status": "mended"}), 400)

    def test_another_tenants_connection_is_not_there(self) -> None:
        connection = make_connection()
        make_gap(connection)
        error_of(client_of(GLOBEX).get(gaps_of(connection)), 404)
        assert client_of(ACME).get(gaps_of(connection)).status_code == 200


class TestAdmin:
    def test_a_gap_leads_to_its_deliveries_its_connection_and_its_webhook(self) -> None:
        connection = make_connection()
        registration, _, _ = make_registration(connection)
        watch = make_watched_hook(registration)
        gap = make_gap(connection, registration_id=registration.pk)
        missed = make_missed(watch, gap=gap)
        make_missed(watch)
        page = operator().get(page_of(gap)).content.decode()
        for other in (connection, registration):
            assert page_of(other) in page
        listing = f"{list_of(MissedDelivery)}?gap={gap.pk}"
        assert listing in page
        rows = operator().get(listing).context["cl"].result_list
        assert [row.pk for row in rows] == [missed.pk]

    def test_connection_and_registration_lead_to_the_gaps(self) -> None:
        connection = make_connection()
        registration, _, _ = make_registration(connection)
        watch = make_watched_hook(registration, standing="disabled")
        gap = make_gap(connection)
        assert page_of(gap) in operator().get(page_of(connection)).content.decode()
        page = operator().get(page_of(registration)).content.decode()
        assert f"{list_of(DeliveryGap)}?connection={connection.pk}" in page
        assert page_of(watch) in page
        assert "Switched off" in page

    def test_filters(self) -> None:
        connection = make_connection()
        lost = make_gap(connection, status="lost", repair="poll")
        make_gap(connection)
        for query in ({"status": "lost"}, {"repair": "poll"}):
            assert [row.pk for row in operator().get(list_of(DeliveryGap), query).context["cl"].result_list] == [
                lost.pk
            ]

    def test_an_outage_that_lasts_says_so(self) -> None:
        outage = IngressOutage.objects.create(since=timezone.now() - timedelta(minutes=5))
        assert "still lasts" in operator().get(page_of(outage)).content.decode()
        assert "still lasts" in operator().get(list_of(IngressOutage)).content.decode()


class TestDiagnosis:
    def test_a_hook_that_delivers_nothing_is_the_first_thing_said(self) -> None:
        registration, _, _ = make_registration(make_connection())
        make_watched_hook(registration, standing="disabled", last_error="GitHub refuses (403).")
        found = diagnose([registration])[registration.pk]
        assert (found.state, found.code, found.advice) == ("failing", "hook_off", "GitHub refuses (403).")
        assert "acme/web" in found.summary

    def test_a_ledger_that_cannot_be_read_is_told_once_it_is_no_accident(self) -> None:
        registration, _, _ = make_registration(make_connection(), last_received_at=timezone.now())
        watch = make_watched_hook(registration, failures=2, last_error="Refused.")
        assert diagnose([registration])[registration.pk].code == "fine"
        WatchedHook.objects.filter(pk=watch.pk).update(failures=3)
        assert diagnose([registration])[registration.pk].code == "not_looked_after"

    def test_losses_are_told_for_a_day(self) -> None:
        registration, _, _ = make_registration(make_connection(), last_received_at=timezone.now())
        gap = make_gap(registration.connection, registration_id=registration.pk, status="lost", lost=4)
        found = diagnose([registration])[registration.pk]
        assert (found.code, found.summary) == ("lost", "4 deliveries were lost within the last day.")
        DeliveryGap.objects.filter(pk=gap.pk).update(settled_at=timezone.now() - timedelta(days=2))
        assert diagnose([registration])[registration.pk].code == "fine"


class TestIncidents:
    def test_a_hook_that_cannot_be_put_right_is_one_and_ends_when_it_delivers(self, made: World) -> None:
        hooks, usual = made.simulator.hooks.kept[WEB], made.server.answer

        def refusing(method: str, path: str, *rest: Any) -> SimulatedAnswer:
            return SimulatedAnswer(403, {}, b"{}") if method == "PATCH" else usual(method, path, *rest)

        made.server.answer = refusing
        hooks[480001]["active"] = False
        turn(made)
        assert not Incident.objects.exists(), "it may be put right in the same minute"
        for _ in range(5):
            turn(made)
        incident = Incident.objects.get()
        assert (incident.cause, incident.status) == ("hook_off", "open")
        assert WEB in incident.summary
        assert "Webhooks: write" in incident.detail
        made.server.answer = usual
        for _ in range(6):
            turn(made)
        incident.refresh_from_db()
        assert incident.status == "resolved"

    def test_one_of_a_hook_nobody_wants_any_more_ends_too(self, made: World) -> None:
        usual = made.server.answer
        made.server.answer = lambda method, *rest: (
            SimulatedAnswer(403, {}, b"{}") if method == "PATCH" else usual(method, *rest)
        )
        made.simulator.hooks.kept[WEB][480001]["active"] = False
        for _ in range(6):
            turn(made)
        assert end_trouble() == 0
        delete_registration(WebhookRegistration.objects.get(), actor="staff:ravi")
        assert end_trouble() == 1
        assert Incident.objects.get().status == "resolved"

    def test_a_loss_is_one_and_is_old_news_after_a_day(self, made: World) -> None:
        made.connection.enabled_capabilities = {"webhook": True}
        made.connection.save()
        lose(made)
        usual = made.server.answer
        made.server.answer = lambda method, path, *rest: (
            SimulatedAnswer(404, {}, b"{}") if "/deliveries/" in path else usual(method, path, *rest)
        )
        turn(made)
        incident = Incident.objects.get()
        assert (incident.cause, incident.status) == ("events_lost", "open")
        assert forget_losses() == 0
        made.time.pass_by(timedelta(hours=25))
        assert forget_losses() == 1


def test_metrics_tell_what_was_missed_repaired_and_lost_and_what_is_open(made: World) -> None:
    lose(made, 2)
    turn(made)
    text = Client().get("/metrics").content.decode()
    assert 'integration_gaps_kept{cause="deliveries_failed",provider="github",status="filling"} 1.0' in text
    assert 'integration_gap_oldest_seconds{cause="deliveries_failed",provider="github"}' in text
    assert 'integration_hooks{provider="github",standing="enabled"} 2.0' in text
    turn(made)
    after = Client().get("/metrics").content.decode()
    assert arrived(after) - arrived(text) == 2
    assert 'integration_gaps_kept{cause="deliveries_failed",provider="github",status="filled"} 1.0' in after
    assert "integration_gap_oldest_seconds{" not in after
    for outcome, number in {"missing": 2, "arrived": 2, "lost": 0}.items():
        labels = f'cause="deliveries_failed",outcome="{outcome}",provider="github"'
        assert f"integration_gap_deliveries{{{labels}}} {number}.0" in after
    for name in ("gaps", "missed_deliveries", "repaired_deliveries", "lost_deliveries"):
        assert f"# HELP integration_{name}_total" in text


def arrived(text: str) -> float:
    """How many deliveries have arrived after they were asked for, whatever had become of them."""
    lines = (line for line in text.splitlines() if line.startswith("integration_repaired_deliveries_total{"))
    return sum(float(line.rpartition(" ")[2]) for line in lines if 'how="arrived"' in line)


def test_everything_is_on_the_schedule() -> None:
    tasks = {entry.task for entry in ENTRIES}
    assert tasks >= {"webhooks.reconcile_due_doors", "webhooks.watch_ingress", "polling.fill_gaps"}
