"""What an attempt comes to: the action is over, or due again. Each is one transaction with its evidence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Least, Now
from django.utils import timezone

from actions.leases import Held, write
from actions.metrics import ACTIONS, ACTIONS_RETRIED
from actions.models import ActionStatus, NormalisedAction
from connections import receipts
from connections.incidents import from_now
from connections.models import ReceiptOutcome
from providers.actions import Done
from providers.errors import ProviderError
from providers.redaction import redact, redact_text

log = structlog.get_logger(__name__)

MAX_EVIDENCE = 20
_MAX_TEXT = 1000
_RECEIPTS = {
    ActionStatus.COMPLETED: ReceiptOutcome.COMPLETED,
    ActionStatus.FAILED: ReceiptOutcome.FAILED,
    ActionStatus.NEEDS_REVIEW: ReceiptOutcome.NEEDS_REVIEW,
}


def complete(held: Held, done: Done, *, how: str) -> None:
    """It is done; ``how`` says by which evidence. What was said is kept redacted from now on."""
    row = held.row
    note(row, "completed", how)
    row.result = {"reference": safe(done.reference)[:500], "url": safe(done.url)[:2000]}
    row.payload = redact(row.payload)
    _end(row, ActionStatus.COMPLETED, result=row.result, payload=row.payload)


def fail(held: Held, error: ProviderError) -> None:
    """It was not done and will not be."""
    note(held.row, "failed", explained(error), error)
    _end(held.row, ActionStatus.FAILED, error=explained(error), error_category=error.category)


def give_up(held: Held, reason: str, *, in_doubt: bool, error: ProviderError | None = None) -> None:
    """The time for it is over: it was not done, or, in doubt, a person must look."""
    if in_doubt:
        to_review(held, reason, error)
        return
    note(held.row, "gave up", reason, error)
    _end(held.row, ActionStatus.FAILED, error=reason, error_category=error.category if error else "")


def to_review(held: Held, reason: str, error: ProviderError | None = None) -> None:
    """Whether it was done cannot be told from here."""
    note(held.row, "needs review", reason, error)
    category = error.category if error else "network"
    _end(held.row, ActionStatus.NEEDS_REVIEW, error=reason, error_category=category)


def later(
    held: Held, seconds: float, reason: str, *, in_doubt: bool, error: ProviderError | None = None, **more: Any
) -> None:
    """Due again after so long, unless the time for it is over by then."""
    row, reason = held.row, safe(reason)
    if seconds > held.time_left:
        give_up(held, f"Given up: {reason}", in_doubt=in_doubt, error=error)
        return
    note(row, "later", reason, error)
    write(
        row,
        status=ActionStatus.PENDING,
        lease_token=None,
        next_attempt_at=from_now(timedelta(seconds=seconds)),
        in_doubt=in_doubt,
        error=reason,
        error_category=error.category if error else "",
        evidence=row.evidence,
        **more,
    )
    row.status, row.error = ActionStatus.PENDING, reason
    ACTIONS_RETRIED.labels(row.provider_id, row.tenant_id, error.category if error else "doubt").inc()


def put_off_others(row: NormalisedAction, seconds: float) -> None:
    """What hinders this action hinders all of its connection: none of them is tried sooner, but each ends in time."""
    NormalisedAction.objects.filter(
        connection_id=row.connection_id, status=ActionStatus.PENDING, next_attempt_at__lte=Now()
    ).update(next_attempt_at=Least(from_now(timedelta(seconds=seconds)), F("give_up_at")), updated_at=Now())


def explained(error: ProviderError) -> str:
    """Our sentence, and the provider's own words where it gave any."""
    return safe(f"{error} The provider says: {error.told}" if error.told else str(error))[:_MAX_TEXT]


def safe(text: str) -> str:
    return redact_text(text.replace("\x00", ""))


def note(row: NormalisedAction, event: str, message: str, error: ProviderError | None = None) -> None:
    """Add to the evidence, which keeps its beginning and its end."""
    entry: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "attempt": row.attempts,
        "event": event,
        "message": safe(message)[:_MAX_TEXT],
    }
    if error is not None:
        entry |= {"category": error.category, "status": error.status, "sent": error.sent}
    row.evidence = [*row.evidence, entry]
    if len(row.evidence) > MAX_EVIDENCE:
        row.evidence = [*row.evidence[:5], *row.evidence[-(MAX_EVIDENCE - 5) :]]


def receipt(row: NormalisedAction, outcome: ReceiptOutcome, *, actor: str) -> None:
    """Evidence of this end, in the caller's transaction; an action that a person took up again ends once more."""
    receipts.emit(
        row.connection,
        f"integration.action.{row.provider_id}.{row.canonical_type}",
        operation_id=f"{row.pk}/{row.rounds}" if row.rounds else str(row.pk),
        outcome=outcome,
        request={"canonical_type": row.canonical_type, "target": row.target, "payload": row.payload},
        status_code=next((entry["status"] for entry in reversed(row.evidence) if entry.get("status")), None),
        provider_ref=str(row.result.get("reference") or ""),
        rationale=row.error or "Done.",
        actor=actor,
        repository=str(row.target.get("repository") or ""),
        correlation_id=row.correlation_id,
    )


def _end(row: NormalisedAction, status: ActionStatus, **values: Any) -> None:
    # The row is told to the caller as it stands here, so nothing of it is left to the database to fill in.
    values = {
        "error": "",
        "error_category": "",
        "status": status,
        "lease_token": None,
        "next_attempt_at": None,
        "in_doubt": status == ActionStatus.NEEDS_REVIEW,
        "completed_at": None if status == ActionStatus.NEEDS_REVIEW else timezone.now(),
        "evidence": row.evidence,
        **values,
    }
    with transaction.atomic():
        write(row, **values)
        for name, value in values.items():
            setattr(row, name, value)
        receipt(row, _RECEIPTS[status], actor=row.requested_by)
    ACTIONS.labels(row.provider_id, row.tenant_id, row.canonical_type, status).inc()
    log.info(
        "action_over",
        action_id=str(row.pk),
        tenant_id=row.tenant_id,
        provider_id=row.provider_id,
        connection_id=str(row.connection_id),
        canonical_type=row.canonical_type,
        status=str(status),
        attempts=row.attempts,
        correlation_id=row.correlation_id,
        error=values["error"],
    )
