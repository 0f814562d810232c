"""What was refused is visible: reason, time, header names, never a body or a value, and bounded under a flood."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from connections.tenancy import TENANT_READER
from events.models import AdapterEvent
from tests.api import CONNECTIONS, client_of, error_of
from tests.factories import ACME, GLOBEX, make_connection, make_registration, make_rejection
from tests.hub_provider import Hub, hub_connection, post
from webhooks import evidence
from webhooks.evidence import purge_evidence
from webhooks.models import RejectedDelivery, WebhookRegistration
from webhooks.reasons import REASONS, explained
from webhooks.registrations import drop_previous_secret, rotate_secret

pytestmark = pytest.mark.django_db

CANARY = "ghp_" + "c4nary" * 6


@pytest.fixture(autouse=True)
def _fresh_counts() -> None:
    evidence._counts.clear()


def test_a_refusal_is_kept_with_its_reason_and_header_names_and_nothing_else(hub: Hub) -> None:
    connection = hub_connection(hub)
    row, token, _ = make_registration(connection)
    body = b'{"note": "%s"}' % CANARY.encode()
    answer = post((row, token, "another secret"), body, **{"x-note": "v4lue", f"x-{CANARY}": "1"})
    assert answer.status_code == 401
    kept = RejectedDelivery.objects.get()
    assert (kept.reason, kept.number, kept.body_bytes) == ("signature_mismatch", 1, len(body))
    assert (kept.connection_id, kept.tenant_id, kept.registration_id) == (connection.pk, ACME, row.pk)
    assert "x-note" in kept.header_names
    assert "x-hub-signature" in kept.header_names
    stored = repr(RejectedDelivery.objects.values().get())
    assert "v4lue" not in stored
    assert CANARY not in stored
    assert not AdapterEvent.objects.exists()


def test_refusals_of_one_hour_are_one_row_a_reason(hub: Hub) -> None:
    door = make_registration(hub_connection(hub))
    forged = (door[0], door[1], "another secret")
    for _ in range(3):
        post(forged, {"kind": "made"})
    post(door, {"kind": "made"}, scheme="unsigned")
    assert dict(RejectedDelivery.objects.values_list("reason", "number")) == {
        "signature_mismatch": 2,  # the third waits for the next write: the number is a floor
        "signature_missing": 1,
    }


def test_a_flood_costs_few_writes_and_at_least_half_of_it_is_counted(hub: Hub) -> None:
    door = make_registration(hub_connection(hub))
    forged = (door[0], door[1], "another secret")
    with CaptureQueriesContext(database) as captured:
        for _ in range(40):
            post(forged, {"kind": "made"})
    writes = [query for query in captured.captured_queries if 'UPDATE "rejected_deliveries"' in (query["sql"] or "")]
    assert len(writes) < 20
    assert 20 <= RejectedDelivery.objects.get().number <= 40


def test_many_header_names_of_any_length_are_bounded(hub: Hub) -> None:
    row, token, _ = make_registration(hub_connection(hub))
    headers = {f"x-{n}-{'n' * 300}": "1" for n in range(150)}
    post((row, token, "another secret"), {"kind": "made"}, **headers)
    names = RejectedDelivery.objects.get().header_names
    assert len(names) == evidence.MAX_HEADER_NAMES
    assert max(map(len, names)) <= evidence.MAX_HEADER_NAME_LENGTH


def test_evidence_is_purged_by_age_in_batches_and_what_is_young_stays(settings: Any, monkeypatch: Any) -> None:
    settings.WEBHOOK_EVIDENCE_DAYS = 14
    registration, _, _ = make_registration(make_connection())
    now = timezone.now()
    for days in (40, 30, 15):
        make_rejection(registration, at=now - timedelta(days=days))
    young = make_rejection(registration, at=now - timedelta(days=13))
    monkeypatch.setattr(evidence, "PURGED_A_BATCH", 2)
    assert [purge_evidence(), purge_evidence(), purge_evidence()] == [2, 1, 0]
    assert RejectedDelivery.objects.get() == young


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_every_reason_has_words_and_advice(reason: str) -> None:
    assert explained(reason).words[0].islower()
    assert explained(reason).advice.endswith(".")


def test_the_api_lists_refusals_of_a_registration_with_what_to_do() -> None:
    connection = make_connection()
    registration, _, _ = make_registration(connection)
    make_rejection(registration)
    make_rejection(make_registration(connection)[0])
    address = f"{CONNECTIONS}/{connection.pk}/webhooks/{registration.pk}/rejections"
    (told,) = client_of(ACME, TENANT_READER).get(address).json()["results"]
    assert (told["reason"], told["number"]) == ("signature_mismatch", 3)
    assert told["explanation"].startswith("Refused because their signature was made with another secret")
    assert told["advice"].startswith("Rotate the secret")
    assert told["header_names"] == ["content-type", "x-hub-signature"]
    error_of(client_of(GLOBEX).get(address), 404)
    error_of(client_of().get(address.replace(str(registration.pk), str(connection.pk))), 404)


def test_which_secret_deliveries_use_is_noted_and_the_old_one_can_be_dropped(hub: Hub) -> None:
    connection = hub_connection(hub)
    row, token, old = make_registration(connection)
    post((row, token, old), {"kind": "made", "id": "1"})
    row.refresh_from_db()
    first_used = row.secret_used_at
    assert first_used is not None
    issued = rotate_secret(row, actor="staff:ravi")
    address = f"{CONNECTIONS}/{connection.pk}/webhooks/{row.pk}"
    told = client_of().get(address).json()
    assert (told["secret_version"], told["secret_used_at"]) == (2, None)
    assert told["previous_secret_used_at"] is not None
    post((row, token, issued.secret), {"kind": "made", "id": "2"})
    told = client_of().get(address).json()
    assert told["secret_used_at"] is not None
    assert told["diagnosis"]["advice"].endswith("wait a while before it goes.")
    earlier = timezone.now() - timedelta(minutes=31)
    WebhookRegistration.objects.update(previous_secret_used_at=earlier, secret_since=earlier, created_at=earlier)
    assert client_of().get(address).json()["diagnosis"]["advice"].endswith("for 31 min: it can go.")
    assert set(AdapterEvent.objects.values_list("dedupe_key", "proof")) == {("1", "hmac:1"), ("2", "hmac:2")}
    assert client_of().delete(f"{address}/previous_secret").status_code == 204
    assert client_of().get(address).json()["previous_secret_until"] is None
    assert post((row, token, old), {"kind": "made", "id": "3"}).status_code == 401
    assert post((row, token, issued.secret), {"kind": "made", "id": "4"}).status_code == 202
    assert error_of(client_of().delete(f"{address}/previous_secret"), 409)["code"] == "NOTHING_TO_DROP"
    error_of(client_of(GLOBEX).delete(f"{address}/previous_secret"), 404)


def test_the_old_secret_used_after_the_rotation_is_told_and_named_in_the_proof(hub: Hub) -> None:
    connection = hub_connection(hub)
    row, token, old = make_registration(connection)
    rotate_secret(row, actor="staff:ravi")
    post((row, token, old), {"kind": "made", "id": "1"})
    told = client_of().get(f"{CONNECTIONS}/{connection.pk}/webhooks/{row.pk}").json()
    assert told["diagnosis"]["code"] == "old_secret_used"
    assert told["secret_used_at"] is None
    assert AdapterEvent.objects.get().proof == "hmac:1"


def test_a_process_that_remembers_the_door_from_before_a_rotation_notes_nothing_for_the_new_secret(
    hub: Hub, settings: Any
) -> None:
    from providers.verification import Verified
    from webhooks.lookup import open_door
    from webhooks.opening import opened

    row, _, _ = make_registration(hub_connection(hub))
    remembered = open_door(WebhookRegistration.objects.select_related("connection").get())
    assert remembered is not None
    drop_previous_secret(rotate_secret(row, actor="staff:ravi").registration, actor="staff:ravi")
    opened(remembered, Verified(0))
    assert WebhookRegistration.objects.get().secret_used_at is None
