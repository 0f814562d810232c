"""Sending receipts to the evidence service (``connections.outbox``).

What the service can never take is set aside, with its reason, for a person to look at; it holds up nothing.
"""

from __future__ import annotations

import uuid

import structlog
from django.db.models.functions import Now

from connections import outbox
from connections.metrics import RECEIPTS_SENT
from connections.models import Receipt, ReceiptStatus
from connections.outbox import NotTaken, Sent
from connections.receipt_eris import EvidenceService, evidence_service

log = structlog.get_logger(__name__)

RECEIPTS_A_RUN = 500


def send_due() -> Sent:
    """Send what is due, a bounded number and for a bounded time. Without an evidence service nothing is sent."""
    service = evidence_service()
    if service is None:
        return Sent()
    token = uuid.uuid4()
    return outbox.send_each(
        _claim(token),
        token,
        tell=lambda row: _send(service, row, token),
        failed=lambda row, error: _mark_failed(row, token, error),
    )


def _claim(token: uuid.UUID) -> list[Receipt]:
    return outbox.claim(Receipt.objects.defer("request"), token, limit=RECEIPTS_A_RUN)


def _send(service: EvidenceService, row: Receipt, token: uuid.UUID) -> int:
    service.ingest(row)
    taken = Receipt.objects.filter(pk=row.pk, lease_token=token).update(
        status=ReceiptStatus.SENT,
        sent_at=Now(),
        attempts=0,
        last_send_error="",
        lease_token=None,
        next_attempt_at=None,
        updated_at=Now(),
    )
    RECEIPTS_SENT.labels(row.tenant_id, "sent").inc(taken)
    return taken


def _mark_failed(row: Receipt, token: uuid.UUID, error: NotTaken) -> None:
    held = Receipt.objects.filter(pk=row.pk, lease_token=token)
    told = {"last_send_error": str(error)[:500], "lease_token": None, "updated_at": Now()}
    if error.final:
        held.update(status=ReceiptStatus.REFUSED, next_attempt_at=None, **told)
    else:
        held.update(next_attempt_at=outbox.next_try(row, error), **told)
    RECEIPTS_SENT.labels(row.tenant_id, "refused" if error.final else "failed").inc()
    log.warning(
        "receipt_not_sent",
        tenant_id=row.tenant_id,
        receipt_id=str(row.receipt_id),
        final=error.final,
        attempts=row.attempts,
        error=str(error),
    )
