"""What a person decides over an action: whether it was done, or that it is to be tried again."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from actions.endings import note, receipt, safe
from actions.models import ActionStatus, NormalisedAction
from connections.errors import ServiceError
from connections.incidents import from_now
from connections.models import ReceiptOutcome
from providers import registry
from providers.actions import OneEffect
from providers.redaction import redact

MAX_REASON = 500


def it_was_done(
    action_id: uuid.UUID, *, actor: str, reason: str, reference: str = "", url: str = ""
) -> NormalisedAction:
    """Somebody looked at the provider and found the effect. Raises ``ServiceError`` (409) unless it needs review."""
    with transaction.atomic():
        row = _locked(action_id, ActionStatus.NEEDS_REVIEW)
        row.result = {"reference": safe(reference)[:500], "url": safe(url)[:2000]}
        _decide(row, "it was done", actor, reason)
        _write(row, status=ActionStatus.COMPLETED, completed_at=Now(), result=row.result, payload=redact(row.payload))
        receipt(row, ReceiptOutcome.COMPLETED, actor=actor)
    return row


def it_was_not_done(action_id: uuid.UUID, *, actor: str, reason: str) -> NormalisedAction:
    """Somebody looked and found nothing, and it is to stay so. Raises ``ServiceError`` (409) unless it needs review."""
    with transaction.atomic():
        row = _locked(action_id, ActionStatus.NEEDS_REVIEW)
        _decide(row, "it was not done", actor, reason)
        row.error = f"Not done, says {actor}: {safe(reason)}"
        _write(row, status=ActionStatus.FAILED, completed_at=Now(), error=row.error)
        receipt(row, ReceiptOutcome.FAILED, actor=actor)
    return row


def try_again(action_id: uuid.UUID, *, actor: str, reason: str) -> NormalisedAction:
    """Have an action that failed, or that was not done, tried anew, with all the time it had at first.

    What may have been done is looked for before it is sent. Where the provider lets nobody look, this says that it was
    not done: if it was, there will be two. Raises ``ServiceError`` (409) for an action that is not over, or done.
    """
    with transaction.atomic():
        row = _locked(action_id, ActionStatus.FAILED, ActionStatus.NEEDS_REVIEW)
        _decide(row, "try again", actor, reason)
        _write(
            row,
            status=ActionStatus.PENDING,
            next_attempt_at=Now(),
            give_up_at=from_now(timedelta(seconds=settings.ACTION_GIVE_UP_SECONDS)),
            completed_at=None,
            in_doubt=row.in_doubt and not _unknowable(row),
            settles_at=row.settles_at,
        )
    return row


def _unknowable(row: NormalisedAction) -> bool:
    """Whether nobody can look for its effect. Without the adapter it stays in doubt."""
    try:
        action = registry.get(row.provider_id).action(row.canonical_type)
    except (KeyError, registry.UnknownProvider):
        return False
    return action.one_effect is OneEffect.UNKNOWABLE


def _locked(action_id: uuid.UUID, *statuses: str) -> NormalisedAction:
    row: NormalisedAction | None = (
        NormalisedAction.objects.select_for_update(of=("self",))
        .select_related("connection")
        .filter(pk=action_id)
        .first()
    )
    if row is None:
        raise ServiceError("NOT_FOUND", "The action does not exist.", status=404)
    if row.status not in statuses:
        message = f"The action is {row.status}; there is nothing to decide."
        raise ServiceError("NOTHING_TO_DECIDE", message, {"status": row.status}, status=409)
    return row


def _decide(row: NormalisedAction, verdict: str, actor: str, reason: str) -> None:
    """Keep who decided what, and why."""
    note(row, "reviewed", f"{verdict}, says {actor}: {reason[:MAX_REASON]}")
    row.rounds, row.reviewed_by = row.rounds + 1, actor[:200]


def _write(row: NormalisedAction, **values: Any) -> None:
    values = {
        "error": "",
        "error_category": "",
        "in_doubt": False,
        "settles_at": None,
        "evidence": row.evidence,
        "rounds": row.rounds,
        "reviewed_by": row.reviewed_by,
        "updated_at": Now(),
        **values,
    }
    NormalisedAction.objects.filter(pk=row.pk).update(**values)
