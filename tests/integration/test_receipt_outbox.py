"""Sending receipts: each once, whatever fails between, against a real HTTP service that checks what it gets."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client

from connections import outbox, receipt_outbox, receipts
from connections.checks import check_receipts
from connections.models import Receipt, ReceiptStatus
from connections.outbox import LEASE_SECONDS, Sent
from connections.receipt_eris import EvidenceService
from connections.receipt_outbox import send_due
from connections.secret_store import secret_store
from integration_adapters.roles import AUDITOR
from tests.evidence_service import EvidenceStub, error
from tests.factories import ACME, GLOBEX, make_connection
from tests.receipts import emit
from tests.staff import operator, page_of, signed_in

pytestmark = pytest.mark.django_db


def later(length: timedelta) -> None:
    """Time passes over what is due."""
    Receipt.objects.update(next_attempt_at=F("next_attempt_at") - length)


def test_a_receipt_is_sent_once_with_the_token_of_its_tenant(evidence: EvidenceStub) -> None:
    ours, theirs = emit(make_connection()), emit(make_connection(tenant_id=GLOBEX))
    assert send_due() == Sent(claimed=2, taken=2)
    assert send_due() == Sent()
    assert evidence.arrivals == {str(ours.receipt_id): 1, str(theirs.receipt_id): 1}
    assert evidence.kept[str(ours.receipt_id)]["inputs"]["tenant_id"] == ACME
    ours.refresh_from_db()
    assert (ours.status, ours.attempts, ours.next_attempt_at, ours.lease_token) == ("sent", 0, None, None)
    assert ours.sent_at is not None


def test_without_an_evidence_service_the_table_is_the_evidence() -> None:
    emit(make_connection())
    assert send_due() == Sent()
    assert Receipt.objects.get().status == ReceiptStatus.PENDING


def test_receipts_from_before_there_was_a_service_are_sent_once_there_is_one(
    settings: Any, evidence: EvidenceStub
) -> None:
    settings.ERIS_SERVICE_URL, url = "", settings.ERIS_SERVICE_URL
    emit(make_connection())
    assert send_due() == Sent()
    settings.ERIS_SERVICE_URL = url
    assert send_due().taken == 1


def test_an_operation_that_is_rolled_back_leaves_no_receipt() -> None:
    connection = make_connection()
    with transaction.atomic():
        emit(connection)
        transaction.set_rollback(True)
    assert not Receipt.objects.exists()


def test_an_answer_that_was_lost_makes_no_second_receipt(evidence: EvidenceStub) -> None:
    row = emit(make_connection())
    evidence.take_then_drop = True
    assert send_due() == Sent(claimed=1, failed=1)
    later(timedelta(minutes=1))
    assert send_due().taken == 1
    assert evidence.arrivals == {str(row.receipt_id): 2}
    assert list(evidence.kept) == [str(row.receipt_id)]


@pytest.mark.parametrize("outage", [500, 503, 429])
def test_an_outage_over_there_costs_nothing_but_time(evidence: EvidenceStub, outage: int) -> None:
    emit(make_connection())
    evidence.outage = outage
    waits = []
    for number in range(1, 9):
        assert send_due() == Sent(claimed=1, failed=1)
        row = Receipt.objects.annotate(left=F("next_attempt_at") - Now()).get()
        assert (row.attempts, row.status) == (number, "pending")
        assert str(outage) in row.last_send_error
        waits.append(row.left.total_seconds())
        assert send_due() == Sent()
        later(timedelta(hours=1))
    assert all(2 <= wait <= 600 for wait in waits)
    assert waits[-1] > 4 * waits[0]
    evidence.outage = 0
    assert send_due().taken == 1
    assert Receipt.objects.get().last_send_error == ""


def test_a_time_the_service_asks_for_is_kept_for_all(evidence: EvidenceStub) -> None:
    for _ in range(3):
        emit(make_connection())
    evidence.outage, evidence.extra_headers = 429, {"Retry-After": "900"}
    assert send_due() == Sent(claimed=3, failed=1, put_off=2)
    later(timedelta(seconds=890))
    assert send_due() == Sent()


def test_a_service_that_is_not_there_is_asked_once_a_run(settings: Any) -> None:
    settings.ERIS_SERVICE_URL = "http://127.0.0.1:9"  # nothing listens on the discard port
    emit(make_connection())
    emit(make_connection())
    assert send_due() == Sent(claimed=2, failed=1, put_off=1)
    assert sorted(Receipt.objects.values_list("attempts", flat=True)) == [0, 1]


@pytest.mark.parametrize("code", ["VALIDATION_ERROR", "TENANT_ID_MISSING"])
def test_a_refusal_for_good_is_kept_for_a_person_and_holds_up_nobody(evidence: EvidenceStub, code: str) -> None:
    connection = make_connection()
    bad, good = emit(connection, "bad"), emit(connection, "good")
    evidence.answers["bad"] = (400, error(code, "No such member.", retryable=False))
    assert send_due() == Sent(claimed=2, taken=1, failed=1)
    bad.refresh_from_db()
    assert (bad.status, bad.next_attempt_at, bad.lease_token) == ("refused", None, None)
    assert code in bad.last_send_error
    later(timedelta(days=1))
    assert send_due() == Sent()
    good.refresh_from_db()
    assert good.status == "sent"


def test_a_refusal_that_says_it_may_be_tried_again_is_not_for_good(evidence: EvidenceStub) -> None:
    emit(make_connection(), "x")
    evidence.answers["x"] = (400, error("VALIDATION_ERROR", "schema is loading", retryable=True))
    assert send_due().failed == 1
    assert Receipt.objects.get().status == "pending"


def test_a_fault_over_one_receipt_does_not_stop_the_others(evidence: EvidenceStub) -> None:
    connection = make_connection()
    for name in ("poison", "a", "b"):
        emit(connection, name)
    evidence.answers["poison"] = (500, {"detail": "boom"})
    assert send_due() == Sent(claimed=3, taken=2, failed=1)


def test_a_token_that_is_not_accepted_stops_its_tenant_only_and_is_never_the_last_word(
    evidence: EvidenceStub,
) -> None:
    secret_store().put(ACME, "another token", name="platform/eris")
    ours = make_connection()
    for _ in range(3):
        emit(ours)
    emit(make_connection(tenant_id=GLOBEX))
    assert send_due() == Sent(claimed=4, taken=1, failed=1, put_off=2)
    assert set(Receipt.objects.filter(tenant_id=ACME).values_list("status", flat=True)) == {"pending"}
    secret_store().put(ACME, evidence.tokens[ACME], name="platform/eris")
    later(timedelta(minutes=1))
    assert send_due().taken == 3


@pytest.mark.parametrize("answer", [{}, [], "ok", {"receipt_id": None}, {"receipt_id": str(uuid.uuid4())}])
def test_an_answer_that_is_not_understood_is_no_success(evidence: EvidenceStub, answer: Any) -> None:
    emit(make_connection(), "x")
    evidence.answers["x"] = (201, answer)
    assert send_due().failed == 1
    assert "not understood" in Receipt.objects.get().last_send_error


def test_what_the_service_says_of_an_error_is_redacted(evidence: EvidenceStub) -> None:
    emit(make_connection(), "x")
    evidence.answers["x"] = (
        400,
        error("VALIDATION_ERROR", "bad Bearer abcdefghijklmnop zoe@example.com", retryable=False),
    )
    send_due()
    told = Receipt.objects.get().last_send_error
    assert "abcdefghijklmnop" not in told
    assert "zoe@example.com" not in told


def test_what_a_sender_that_died_had_begun_another_one_sends(evidence: EvidenceStub) -> None:
    row = emit(make_connection())
    late = uuid.uuid4()
    (held,) = receipt_outbox._claim(late)
    assert send_due() == Sent()
    later(timedelta(seconds=LEASE_SECONDS + 1))
    token = uuid.uuid4()
    (again,) = receipt_outbox._claim(token)
    service = EvidenceService(evidence.url, 5.0)
    # The first one was only slow: what it learns now changes nothing.
    assert receipt_outbox._send(service, held, late) == 0
    row.refresh_from_db()
    assert (row.status, row.lease_token) == ("pending", token)
    assert receipt_outbox._send(service, again, token) == 1
    assert len(evidence.kept) == 1


def test_tenants_take_turns_and_a_run_is_bounded(evidence: EvidenceStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipt_outbox, "RECEIPTS_A_RUN", 5)
    ours = make_connection()
    for _ in range(8):
        emit(ours)
    later(timedelta(hours=1))
    theirs = emit(make_connection(tenant_id=GLOBEX))
    assert send_due() == Sent(claimed=5, taken=5)
    assert str(theirs.receipt_id) in evidence.kept
    monkeypatch.setattr(outbox, "RUN_SECONDS", 0.0)
    assert send_due() == Sent(claimed=4, put_off=4)


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_the_service_is_asked(
    evidence: EvidenceStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    ingest = EvidenceService.ingest

    def watched(self: EvidenceService, receipt: Receipt) -> None:
        seen.append(database.in_atomic_block)
        ingest(self, receipt)

    monkeypatch.setattr(EvidenceService, "ingest", watched)
    emit(make_connection())
    assert send_due().taken == 1
    assert seen == [False]


def aged(days: int, **values: Any) -> None:
    """A receipt made so long ago."""
    row = emit(make_connection())
    old = uuid.UUID(int=row.pk.int - (days * 86_400_000 << 80))
    Receipt.objects.filter(pk=row.pk).update(row_id=old, created_at=Now() - timedelta(days=days), **values)


def test_old_receipts_go_and_what_the_service_has_not_taken_stays(settings: Any) -> None:
    settings.RECEIPT_RETENTION_DAYS = 30
    settings.ERIS_SERVICE_URL = "http://127.0.0.1:9"
    sent = {"status": "sent", "next_attempt_at": None}
    aged(29, **sent)
    aged(31, **sent)
    aged(31)
    aged(31, status="refused", next_attempt_at=None)
    assert receipts.purge_receipts() == 1
    settings.ERIS_SERVICE_URL = ""
    assert receipts.purge_receipts() == 2
    assert Receipt.objects.count() == 1


def test_staff_send_a_refused_receipt_again(evidence: EvidenceStub) -> None:
    row = emit(make_connection(), "x")
    evidence.answers["x"] = (400, error("VALIDATION_ERROR", "no", retryable=False))
    send_due()
    client = operator()
    page = client.get(page_of(row)).content.decode()
    assert "VALIDATION_ERROR" in page
    assert "Send again" in page
    evidence.answers.clear()
    assert client.post(page_of(row, "send-again"), {"confirmed": "yes"}).status_code == 302
    assert send_due() == Sent(claimed=1, taken=1)
    assert str(row.receipt_id) in evidence.kept


def test_an_auditor_sees_receipts_and_cannot_send_them(evidence: EvidenceStub) -> None:
    row = emit(make_connection())
    client = signed_in(AUDITOR)
    assert client.get(page_of(row)).status_code == 200
    assert client.post(page_of(row, "send-again"), {"confirmed": "yes"}).status_code == 403


def test_a_receipt_on_its_way_is_not_made_due_again(evidence: EvidenceStub) -> None:
    row = emit(make_connection())
    receipt_outbox._claim(uuid.uuid4())
    assert not receipts.send_again(row)


def test_the_metrics_say_how_far_the_service_is_behind(evidence: EvidenceStub) -> None:
    connection = make_connection()
    emit(connection, "bad")
    emit(connection, "late")
    evidence.answers["bad"] = (400, error("VALIDATION_ERROR", "no", retryable=False))
    evidence.answers["late"] = (500, {})
    send_due()
    Receipt.objects.update(created_at=Now() - timedelta(minutes=10))
    text = Client().get("/metrics").content.decode()
    assert "integration_receipts_backlog 1.0" in text
    assert "integration_receipts_refused 1.0" in text
    (oldest,) = [line for line in text.splitlines() if line.startswith("integration_receipts_oldest_seconds ")]
    assert float(oldest.split()[1]) >= 600
    assert 'integration_receipts_sent_total{outcome="refused",tenant="acme"}' in text


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("ERIS_SERVICE_URL", "eris.example.com", "connections.E003"),
        ("ERIS_TIMEOUT_SECONDS", 0.0, "connections.E004"),
        ("ERIS_TIMEOUT_SECONDS", 60.0, "connections.E004"),
        ("RECEIPT_RETENTION_DAYS", 0, "connections.E005"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_boot(settings: Any, name: str, value: Any, problem: str) -> None:
    settings.ERIS_SERVICE_URL = "https://eris.example.com"
    assert check_receipts() == []
    setattr(settings, name, value)
    assert [found.id for found in check_receipts()] == [problem]
