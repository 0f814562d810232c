"""Evidence: every change of a connection is written down, and every action has one receipt; both without secrets."""

from __future__ import annotations

import hashlib
import json
import uuid

import pytest

from connections import history, services
from connections.errors import ServiceError
from connections.lifecycle import MOVES, require_move
from connections.models import ConnectionHistory, ConnectionStatus, IntegrationConnection, Receipt, ReceiptOutcome
from connections.receipts import ActorType, receipt_id_of
from connections.rotation import replace_credential
from providers.adapters.fake.simulator import Simulator
from providers.catalogue import sync_providers
from tests.contract.provider_server import serving
from tests.factories import ACME, make_connection, make_registration
from tests.receipts import ASKED, COMMENT, emit
from webhooks import registrations

pytestmark = pytest.mark.django_db


def entries(connection: IntegrationConnection) -> list[tuple[str, str, str]]:
    rows = ConnectionHistory.objects.filter(connection=connection).order_by("entry_id")
    return [(row.operation, row.actor, row.outcome) for row in rows]


def test_a_life_of_a_connection_can_be_read_from_its_history() -> None:
    sync_providers()
    connection = services.create_connection(
        tenant_id=ACME,
        provider_id="fake",
        display_name="Acme",
        credential={"token": "t"},
        settings={"base_url": "http://127.0.0.1:1"},
        actor="api:zoe",
    )
    services.verify_connection(connection, actor="api:zoe")
    services.suspend_connection(connection, actor="staff:ravi")
    services.resume_connection(connection, actor="staff:ravi")
    services.update_connection(connection, actor="api:zoe", display_name="New")
    issued = registrations.create_registration(connection, actor="api:zoe")
    registrations.rotate_secret(issued.registration, actor="staff:ravi")
    services.delete_connection(connection, actor="api:zoe")
    assert entries(connection) == [
        ("created", "api:zoe", "ok"),
        ("verified", "api:zoe", "failed"),
        ("suspended", "staff:ravi", "ok"),
        ("resumed", "staff:ravi", "ok"),
        ("updated", "api:zoe", "ok"),
        ("webhook_created", "api:zoe", "ok"),
        ("webhook_secret_rotated", "staff:ravi", "ok"),
        ("webhook_deleted", "api:zoe", "ok"),
        ("deleted", "api:zoe", "ok"),
    ]
    assert set(ConnectionHistory.objects.values_list("tenant_id", flat=True)) == {ACME}


def test_what_changes_nothing_is_not_written_down() -> None:
    connection = make_connection()
    services.update_connection(connection, actor="api:zoe", display_name=connection.display_name, status="active")
    assert entries(connection) == []


def test_an_entry_is_redacted_and_bounded() -> None:
    connection = make_connection()
    history.record(connection, "verified", actor="x" * 300, detail="Bearer abcdefghijklmnop zoe@example.com " * 200)
    entry = ConnectionHistory.objects.get()
    assert len(entry.actor) == 200
    assert len(entry.detail) <= 2000
    assert "abcdefghijklmnop" not in entry.detail
    assert "zoe@example.com" not in entry.detail


def test_a_refused_change_leaves_no_entry_and_no_change() -> None:
    connection = make_connection(status=ConnectionStatus.ERROR)
    with pytest.raises(ServiceError):
        services.update_connection(connection, actor="api:zoe", display_name="New", status="active")
    connection.refresh_from_db()
    assert connection.display_name != "New"
    assert entries(connection) == []


def test_a_deleted_connection_can_no_longer_be_changed() -> None:
    connection = make_connection()
    registration, _, _ = make_registration(connection)
    services.delete_connection(connection, actor="api:zoe")
    for change in (
        lambda: services.update_connection(connection, actor="api:zoe", display_name="New"),
        lambda: services.verify_connection(connection, actor="api:zoe"),
        lambda: services.suspend_connection(connection, actor="api:zoe"),
        lambda: services.delete_connection(connection, actor="api:zoe"),
        lambda: registrations.create_registration(connection, actor="api:zoe"),
        lambda: registrations.rotate_secret(registration, actor="api:zoe"),
    ):
        with pytest.raises(ServiceError) as refused:
            change()
        assert refused.value.status == 404


@pytest.mark.parametrize("current", ConnectionStatus.values)
@pytest.mark.parametrize("wanted", ConnectionStatus.values)
def test_only_the_moves_of_the_table_are_allowed(current: str, wanted: str) -> None:
    allowed = wanted == current or wanted in MOVES[current]
    if allowed:
        require_move(current, wanted)
    else:
        with pytest.raises(ServiceError) as refused:
            require_move(current, wanted)
        assert refused.value.status == 409
    assert not (current == ConnectionStatus.DELETED and wanted != current and allowed)


CANARIES = ("s3cret-of-the-caller", "ghp_" + "a" * 36, "zoe@example.com")
ASKING = {
    "canonical_type": "comment_on_issue",
    "target": {"issue_key": "WEB-1", "api_token": CANARIES[0]},
    "payload": {"body": f"Use {CANARIES[1]} or write to {CANARIES[2]}."},
}


def test_a_receipt_holds_what_was_asked_how_it_ended_and_who_asked() -> None:
    connection = make_connection()
    row = emit(connection, "a-1", actor_type=ActorType.HUMAN, repository="acme/web", rationale="Made.")
    assert row.body == {
        "receipt_id": str(row.receipt_id),
        "gate_id": COMMENT,
        "policy_version_ids": [],
        "snapshot_hash": row.snapshot_hash,
        "timestamp_utc": row.body["timestamp_utc"],
        "timestamp_monotonic_ms": row.body["timestamp_monotonic_ms"],
        "evaluation_point": "post-deploy",
        "inputs": {
            "tenant_id": ACME,
            "connection_id": str(connection.pk),
            "provider_id": "fake",
            "request_metadata": {
                "canonical_type": "comment_on_issue",
                "target": {"issue_key": "WEB-1"},
                "operation_id": "a-1",
                "requested_by": "api:zoe",
            },
            "correlation_id": "trace-1",
        },
        "decision": {"status": "pass", "rationale": "Made.", "badges": []},
        "result": {"status": "completed", "status_code": 201, "provider_ref": "c1"},
        "actor": {"repo_id": "acme/web", "type": "human"},
        "evidence_handles": [],
        "degraded": False,
        "signature": None,
        "schema_version": "1.0.0",
    }
    assert row.request == ASKED


def test_a_receipt_never_holds_a_secret_or_an_address() -> None:
    row = emit(
        make_connection(),
        request=ASKING,
        actor=f"api:{CANARIES[2]}",
        rationale=f"Bearer {CANARIES[1]}",
        provider_ref=CANARIES[1],
        correlation_id=CANARIES[2],
        repository=CANARIES[1],
    )
    stored = json.dumps(Receipt.objects.values().get(pk=row.pk), default=str)
    assert not [canary for canary in CANARIES if canary in stored]
    assert "[redacted]" in stored


def test_content_stays_here_and_only_its_hash_is_told() -> None:
    row = emit(make_connection(), request={**ASKED, "payload": {"body": "Between us."}})
    assert "Between us." not in json.dumps(row.body)
    assert row.request["payload"] == {"body": "Between us."}


def test_the_hash_is_that_of_the_redacted_request_whatever_its_order() -> None:
    connection = make_connection()
    row = emit(connection, request=ASKING)
    canonical = json.dumps(row.request, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert row.snapshot_hash == hashlib.sha256(canonical).hexdigest()
    turned = dict(reversed(ASKING.items()))
    assert emit(connection, request=turned).snapshot_hash == row.snapshot_hash
    assert emit(connection, request={**ASKING, "target": {}}).snapshot_hash != row.snapshot_hash


def test_an_operation_has_one_receipt_however_often_it_is_told() -> None:
    connection, operation = make_connection(), uuid.uuid4()
    first = emit(connection, operation)
    again = emit(connection, operation, outcome=ReceiptOutcome.FAILED, rationale="Told late.")
    assert (again.pk, again.body) == (first.pk, first.body)
    assert receipt_id_of(connection, COMMENT, operation) == first.receipt_id
    others = {
        emit(connection, uuid.uuid4()).receipt_id,
        emit(connection, f"{operation}:reviewed").receipt_id,
        emit(make_connection(), operation).receipt_id,
    }
    assert len(others - {first.receipt_id}) == 3


@pytest.mark.parametrize(
    ("outcome", "status", "degraded"),
    [
        (ReceiptOutcome.COMPLETED, "pass", False),
        (ReceiptOutcome.NEEDS_REVIEW, "warn", True),
        (ReceiptOutcome.FAILED, "soft_block", False),
        (ReceiptOutcome.REFUSED, "hard_block", False),
    ],
)
def test_how_it_ended_is_told_in_the_words_of_the_evidence_service(
    outcome: ReceiptOutcome, status: str, degraded: bool
) -> None:
    body = emit(make_connection(), outcome=outcome).body
    assert (body["decision"]["status"], body["result"]["status"], body["degraded"]) == (status, outcome, degraded)


def test_a_credential_that_takes_anothers_place_has_a_receipt_that_tells_nothing_of_it() -> None:
    with serving(Simulator(seed=1, faults=False).handle) as server:
        connection = make_connection(settings={"base_url": server.url})
        replace_credential(connection, credential=dict(Simulator.credential), actor="staff:ravi")
    row = Receipt.objects.get()
    assert (row.operation, row.outcome) == ("integration.credential.fake.credential_replaced", "completed")
    assert row.body["actor"]["type"] == "human"
    stored = json.dumps(Receipt.objects.values().get(), default=str)
    assert not [secret for secret in Simulator.credential.values() if secret in stored]
