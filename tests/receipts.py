"""Receipts for tests."""

from __future__ import annotations

import uuid
from typing import Any

from connections import receipts
from connections.models import IntegrationConnection, Receipt, ReceiptOutcome

COMMENT = "integration.action.fake.comment_on_issue"
ASKED: dict[str, Any] = {
    "canonical_type": "comment_on_issue",
    "target": {"issue_key": "WEB-1"},
    "payload": {"body": "Seen."},
}


def emit(connection: IntegrationConnection, operation_id: uuid.UUID | str = "", **given: Any) -> Receipt:
    """The receipt of a comment that was made."""
    values: dict[str, Any] = {
        "outcome": ReceiptOutcome.COMPLETED,
        "request": ASKED,
        "status_code": 201,
        "provider_ref": "c1",
        "actor": "api:zoe",
        "correlation_id": "trace-1",
        **given,
    }
    made = receipts.emit(connection, COMMENT, operation_id=operation_id or uuid.uuid4(), **values)
    return Receipt.objects.get(receipt_id=made)
