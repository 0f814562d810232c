"""Verbs of the admin: each is pressed, each asks first, each is logged, and an auditor can press none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db.models import Model
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from connections.models import ConnectionHistory, ConnectionStatus, IntegrationConnection
from events.models import AdapterEvent, DeliveryStatus
from polling.models import Backfill, BackfillStatus, PollingCursor
from providers.adapters.fake.simulator import Simulator
from providers.models import IntegrationProvider, ProviderStatus
from tests.contract.provider_server import Server, serving
from tests.factories import make_connection, make_event, make_registration
from tests.integration.test_admin_lists import make_backfill, make_cursor
from tests.staff import auditor, list_of, operator, page_of, said, select
from webhooks.models import RegistrationStatus, WebhookRegistration

pytestmark = pytest.mark.django_db


@pytest.fixture
def provider() -> Iterator[Server]:
    with serving(Simulator(seed=1, faults=False).handle) as server:
        yield server


def press(row: Model, verb: str, **fields: str) -> Any:
    """Open the verb's page, see that it only asks, and confirm."""
    client = operator()
    before = type(row)._default_manager.filter(pk=row.pk).values().get()
    asked = client.get(page_of(row, verb))
    assert asked.status_code == 200
    assert 'id="confirm"' in asked.content.decode()
    assert type(row)._default_manager.filter(pk=row.pk).values().get() == before
    return client.post(page_of(row, verb), fields)


def logged(row: Model) -> str:
    return LogEntry.objects.filter(object_id=str(row.pk)).latest("action_time").change_message


def test_verify_calls_the_provider_and_makes_the_connection_active(provider: Server) -> None:
    connection = make_connection(
        status=ConnectionStatus.PENDING_VERIFICATION,
        credential=dict(Simulator.credential),
        settings={"base_url": provider.url},
    )
    response = press(connection, "verify")
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.ACTIVE
    assert provider.asked[0] == ("GET", "/me")
    assert "active" in said(response)[0]
    assert ConnectionHistory.objects.get(connection=connection).actor == "staff:operator-zoe"
    assert logged(connection) == "Verify."


def test_verify_with_a_refused_credential_says_what_the_provider_said(provider: Server) -> None:
    connection = make_connection(credential={"token": "wrong"}, settings={"base_url": provider.url})
    response = press(connection, "verify")
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.ERROR
    assert connection.last_error
    assert connection.last_error in said(response)[0]
    assert connection.last_error[:60] in operator().get(list_of(IntegrationConnection)).content.decode()


def test_suspend_and_resume_a_connection() -> None:
    connection = make_connection()
    press(connection, "suspend")
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.SUSPENDED
    press(connection, "resume")
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.ACTIVE
    assert logged(connection) == "Resume."


def test_a_selection_is_confirmed_before_it_is_suspended_and_leaves_out_what_cannot_be() -> None:
    active, suspended = make_connection(), make_connection(status=ConnectionStatus.SUSPENDED)
    client = operator()
    asked = select(client, [active, suspended], "suspend")
    active.refresh_from_db()
    assert asked.status_code == 200
    assert active.status == ConnectionStatus.ACTIVE
    done = select(client, [active, suspended], "suspend", confirmed="yes")
    active.refresh_from_db()
    assert active.status == ConnectionStatus.SUSPENDED
    assert done.status_code == 302


def test_a_selection_larger_than_the_verb_allows_does_nothing() -> None:
    rows = [make_connection(status=ConnectionStatus.ERROR) for _ in range(11)]
    response = select(operator(), rows, "verify", confirmed="yes")
    assert "at most 10" in said(response)[0]
    assert not ConnectionHistory.objects.exists()


def test_delete_is_soft_and_removes_the_credential() -> None:
    connection = make_connection()
    registration, _, _ = make_registration(connection)
    press(connection, "remove")
    connection.refresh_from_db()
    registration.refresh_from_db()
    assert connection.status == ConnectionStatus.DELETED
    assert connection.auth_ref == ""
    assert registration.status == RegistrationStatus.DELETED
    assert operator().get(page_of(connection)).status_code == 200


def test_poll_now_makes_the_cursors_due() -> None:
    connection = make_connection()
    cursor = make_cursor(connection, next_poll_at=timezone.now() + timedelta(hours=1))
    press(connection, "poll")
    cursor.refresh_from_db()
    assert cursor.next_poll_at <= timezone.now()


def test_poll_now_from_a_cursor() -> None:
    cursor = make_cursor(make_connection(), next_poll_at=timezone.now() + timedelta(hours=1))
    press(cursor, "poll-connection")
    cursor.refresh_from_db()
    assert cursor.next_poll_at <= timezone.now()


def test_replay_makes_a_dead_event_due_and_keeps_its_signal_id() -> None:
    event = make_event(make_connection(), delivery_status=DeliveryStatus.DEAD, attempts=9)
    signal_id = event.signal_id
    press(event, "replay-events")
    event.refresh_from_db()
    assert event.delivery_status == DeliveryStatus.PENDING
    assert event.signal_id == signal_id
    assert logged(event) == "Replay."


def test_replay_of_a_selection_tells_how_many_and_leaves_ignored_events_alone() -> None:
    connection = make_connection()
    dead = [make_event(connection, delivery_status=DeliveryStatus.DEAD) for _ in range(3)]
    ignored = make_event(connection, delivery_status=DeliveryStatus.IGNORED)
    response = select(operator(), [*dead, ignored], "replay_events")
    assert "Replay: done for 3." in said(response)
    assert AdapterEvent.objects.filter(delivery_status=DeliveryStatus.PENDING).count() == 3
    ignored.refresh_from_db()
    assert ignored.delivery_status == DeliveryStatus.IGNORED


def test_suspend_resume_and_delete_a_registration() -> None:
    registration, _, _ = make_registration(make_connection())
    for verb, status in (
        ("suspend", RegistrationStatus.SUSPENDED),
        ("resume", RegistrationStatus.ACTIVE),
        ("remove", RegistrationStatus.DELETED),
    ):
        press(registration, verb)
        registration.refresh_from_db()
        assert registration.status == status


def test_a_backfill_is_started_shown_and_cancelled() -> None:
    connection = make_connection()
    client = operator()
    response = client.post(
        list_of(Backfill, "add"),
        {
            "connection": str(connection.pk),
            "since_0": "2026-01-01",
            "since_1": "00:00:00",
            "until_0": "2026-01-02",
            "until_1": "00:00:00",
        },
    )
    assert response.status_code == 302, response.context["adminform"].form.errors
    backfill = Backfill.objects.get()
    assert backfill.connection_id == connection.pk
    assert backfill.requested_by == "staff:operator-zoe"
    assert "console-progress" in client.get(list_of(Backfill)).content.decode()
    press(backfill, "cancel")
    backfill.refresh_from_db()
    assert backfill.status == BackfillStatus.CANCELLED


def test_a_backfill_that_cannot_be_is_refused_in_the_form() -> None:
    connection = make_connection(status=ConnectionStatus.SUSPENDED)
    fields = {"since_0": "2026-01-03", "since_1": "00:00", "until_0": "2026-01-02", "until_1": "00:00"}
    response = operator().post(list_of(Backfill, "add"), {"connection": str(connection.pk), **fields})
    assert response.status_code == 200
    assert response.context["adminform"].form.errors
    assert not Backfill.objects.exists()


def test_staff_change_the_status_of_a_provider_and_nothing_else() -> None:
    make_connection()
    row = IntegrationProvider.objects.get(pk="fake")
    operator().post(page_of(row), {"status": "deprecated", "name": "Other", "api_version": "9"})
    row.refresh_from_db()
    assert (row.status, row.name, row.api_version) == (ProviderStatus.DEPRECATED, "Fake", "1")


def test_a_periodic_task_is_disabled_enabled_and_run() -> None:
    task = PeriodicTask.objects.get(task="events.purge")
    press(task, "disable")
    task.refresh_from_db()
    assert not task.enabled
    press(task, "enable")
    task.refresh_from_db()
    assert task.enabled
    assert "handed to a worker" in said(press(task, "run-now"))[0]


def verbs_of_every_page() -> Iterator[tuple[Model, str]]:
    connection = make_connection()
    for verb in ("verify", "suspend", "resume", "poll", "remove", "add-webhook", "backfill", "hold-breaker-open"):
        yield connection, verb
    registration, _, _ = make_registration(connection)
    for verb in ("rotate", "suspend", "resume", "remove"):
        yield registration, verb
    yield make_event(connection, delivery_status=DeliveryStatus.DEAD), "replay-events"
    yield make_cursor(connection), "poll-connection"
    yield make_backfill(connection), "cancel"
    task = PeriodicTask.objects.get(task="events.purge")
    for verb in ("run-now", "enable", "disable"):
        yield task, verb


def test_an_auditor_can_press_no_verb_and_make_nothing() -> None:
    client = auditor()
    for row, verb in verbs_of_every_page():
        assert client.get(page_of(row, verb)).status_code == 403, (row, verb)
        assert client.post(page_of(row, verb)).status_code == 403, (row, verb)
        assert page_of(row, verb) not in client.get(page_of(row)).content.decode(), (row, verb)
    for model in (IntegrationConnection, WebhookRegistration, Backfill, PeriodicTask):
        assert client.get(list_of(model, "add")).status_code == 403
    connection, event = IntegrationConnection.objects.get(), AdapterEvent.objects.get()
    select(client, [connection], "suspend", confirmed="yes")
    select(client, [event], "replay_events", confirmed="yes")
    client.post(page_of(connection), {"display_name": "Changed"})
    connection.refresh_from_db()
    event.refresh_from_db()
    assert connection.status == ConnectionStatus.ACTIVE
    assert connection.display_name != "Changed"
    assert event.delivery_status == DeliveryStatus.DEAD
    assert not LogEntry.objects.exists()
    assert not PollingCursor.objects.filter(next_poll_at__lt=timezone.now() - timedelta(minutes=1)).exists()


def test_a_page_offers_only_the_verbs_that_make_sense() -> None:
    connection = make_connection(status=ConnectionStatus.SUSPENDED)
    page = operator().get(page_of(connection)).content.decode()
    assert page_of(connection, "resume") in page
    assert page_of(connection, "suspend") not in page
    assert page_of(connection, "verify") not in page


def test_the_history_page_counts_what_is_there() -> None:
    connection = make_connection()
    press(connection, "suspend")
    page = operator().get(page_of(connection, "history")).content.decode()
    assert "9999999999" not in page
    assert "1 entry" in page


def test_a_replay_of_all_that_match_is_logged() -> None:
    make_event(make_connection(), delivery_status=DeliveryStatus.DEAD)
    operator().post("/admin/events/adapterevent/replay-matching/?status=dead")
    entry = LogEntry.objects.get(content_type__model="replay")
    assert entry.change_message == "Replay all that match."


def test_a_verb_on_a_row_that_is_not_there_is_not_found() -> None:
    connection = make_connection()
    address = page_of(connection, "suspend")
    connection.delete()
    assert operator().post(address).status_code == 404
