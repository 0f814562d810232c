"""The port to receipts: one piece of evidence for each operation, never lost and never told as two.

``emit`` writes a row inside the caller's transaction and calls nobody, so what was done and the evidence of it are
committed together. The row is the message: where ``ERIS_SERVICE_URL`` is set, ``connections.receipt_outbox`` sends it;
without it the table is the evidence.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

import orjson
from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone

from connections.models import IntegrationConnection, Receipt, ReceiptOutcome, ReceiptStatus
from providers.console.filters import first_key_at
from providers.redaction import redact_text, redacted_json

SCHEMA_VERSION = "1.0.0"
EVALUATION_POINT = "post-deploy"
ROWS_A_BATCH = 500

_NAMESPACE = uuid.UUID("6f0a3a0e-58e4-5d0b-9f36-5d7c2a9f4b11")
_MAX_TEXT = 500
_CONTENT = "payload"
_DECISIONS: dict[str, str] = {
    ReceiptOutcome.COMPLETED: "pass",
    ReceiptOutcome.NEEDS_REVIEW: "warn",
    ReceiptOutcome.FAILED: "soft_block",
    ReceiptOutcome.REFUSED: "hard_block",
}


class ActorType(StrEnum):
    """Who acts."""

    HUMAN = "human"
    AI_AGENT = "ai_agent"
    SERVICE = "service"


def emit(
    connection: IntegrationConnection,
    operation: str,
    *,
    operation_id: uuid.UUID | str,
    outcome: ReceiptOutcome,
    request: Mapping[str, Any],
    status_code: int | None = None,
    provider_ref: str = "",
    rationale: str = "",
    actor: str,
    actor_type: ActorType | None = None,
    repository: str = "",
    correlation_id: str = "",
) -> uuid.UUID:
    """Keep the receipt of an operation that is over, in the caller's transaction, and return its id.

    The id follows from connection, ``operation`` and ``operation_id``: the receipt of the same operation again
    changes nothing. An operation that ends twice, such as one a person reviewed, names its second end by an
    ``operation_id`` of its own.

    ``operation`` is ``integration.action.<provider>.<type>``. ``request`` is the canonical request as JSON values; it
    is redacted before it is stored, and hashed as it is stored. What lies under its key ``payload`` stays in our
    table; the rest is told to the evidence service. ``status_code`` and ``provider_ref`` are the provider's answer,
    ``rationale`` says in words why it ended so, ``actor`` who asked for it, ``repository`` where it was done. Without
    ``actor_type`` staff are people, and everybody else is a service.
    Raises ``TypeError`` for a request that is no JSON.
    """
    receipt_id = receipt_id_of(connection, operation, operation_id)
    kept = orjson.loads(redacted_json(dict(request), emails=settings.REDACT_EMAILS))
    row = Receipt(
        receipt_id=receipt_id,
        tenant_id=connection.tenant_id,
        connection=connection,
        operation=operation,
        operation_id=str(operation_id),
        outcome=outcome,
        actor=_text(actor)[:200],
        request=kept,
        snapshot_hash=snapshot_hash(kept),
        next_attempt_at=Now(),
    )
    row.body = {
        "receipt_id": str(receipt_id),
        "gate_id": operation,
        "policy_version_ids": [],
        "snapshot_hash": row.snapshot_hash,
        "timestamp_utc": timezone.now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "timestamp_monotonic_ms": time.monotonic_ns() // 1_000_000,
        "evaluation_point": EVALUATION_POINT,
        "inputs": {
            "tenant_id": connection.tenant_id,
            "connection_id": str(connection.pk),
            "provider_id": connection.provider_id,
            "request_metadata": {
                **{key: value for key, value in kept.items() if key != _CONTENT},
                "operation_id": row.operation_id,
                "requested_by": row.actor,
            },
            "correlation_id": _text(correlation_id),
        },
        "decision": {"status": _DECISIONS[outcome], "rationale": _text(rationale), "badges": []},
        "result": {"status": str(outcome), "status_code": status_code, "provider_ref": _text(provider_ref)},
        "actor": {"repo_id": _text(repository) or str(connection.pk), "type": str(actor_type or _type_of(actor))},
        "evidence_handles": [],
        "degraded": outcome == ReceiptOutcome.NEEDS_REVIEW,
        "signature": None,
        "schema_version": SCHEMA_VERSION,
    }
    Receipt.objects.bulk_create([row], ignore_conflicts=True)
    return receipt_id


def emit_credential_change(
    connection: IntegrationConnection, operation: str, *, operation_id: uuid.UUID, actor: str, rationale: str
) -> uuid.UUID:
    """The receipt of a credential that took another's place, or was granted; as ``emit``, and nothing of it is told."""
    return emit(
        connection,
        f"integration.credential.{connection.provider_id}.{operation}",
        operation_id=operation_id,
        outcome=ReceiptOutcome.COMPLETED,
        request={"operation": operation, "account": connection.account},
        rationale=rationale,
        actor=actor,
    )


def receipt_id_of(connection: IntegrationConnection, operation: str, operation_id: uuid.UUID | str) -> uuid.UUID:
    """The id of the receipt of this operation, whether there is one or not."""
    return uuid.uuid5(_NAMESPACE, f"{connection.pk}/{operation}/{operation_id}")


def snapshot_hash(redacted: Mapping[str, Any]) -> str:
    """SHA-256, in hexadecimal, of a redacted request as canonical JSON: keys sorted, no spaces, UTF-8."""
    return hashlib.sha256(orjson.dumps(redacted, option=orjson.OPT_SORT_KEYS)).hexdigest()


def send_again(receipt: Receipt) -> bool:
    """Make a receipt due, whatever became of it; ``False`` while it is on its way."""
    free = Receipt.objects.filter(pk=receipt.pk, lease_token=None)
    return bool(
        free.update(
            status=ReceiptStatus.PENDING, next_attempt_at=Now(), attempts=0, last_send_error="", updated_at=Now()
        )
    )


def purge_receipts() -> int:
    """Remove a batch of receipts older than ``RECEIPT_RETENTION_DAYS`` and return how many.

    Where there is an evidence service, what it has not taken stays.
    """
    retention = timedelta(days=settings.RECEIPT_RETENTION_DAYS)
    # Keys only find the rows, the database's time decides.
    newest = first_key_at(timezone.now() - retention)
    old = Receipt.objects.filter(pk__lt=newest, created_at__lt=Now() - retention, lease_token=None)
    if settings.ERIS_SERVICE_URL:
        old = old.filter(status=ReceiptStatus.SENT)
    keys = list(old.order_by("pk").values_list("pk", flat=True)[:ROWS_A_BATCH])
    return Receipt.objects.filter(pk__in=keys).delete()[0]


def _type_of(actor: str) -> ActorType:
    return ActorType.HUMAN if actor.startswith("staff:") else ActorType.SERVICE


def _text(text: str) -> str:
    return redact_text(text[: 2 * _MAX_TEXT].replace("\x00", ""), emails=settings.REDACT_EMAILS)[:_MAX_TEXT]
