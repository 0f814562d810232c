"""Reading a window of the past beside live polling: asked for, paused, resumed and cancelled.

A backfill has its own position and never touches a cursor. It goes through the same budget, the same dedupe keys and
the same kind of lease; whoever holds the lease stops at the next commit once it is paused or cancelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.db.models import Case, Value, When
from django.db.models.functions import Now
from django.utils import timezone

from connections import history
from connections.errors import ServiceError
from connections.models import IntegrationConnection
from connections.runtime import adapter_for
from polling import backfill_plan, reading
from polling.cursors import Part
from polling.models import OPEN, UNFINISHED, Backfill, BackfillPurpose, BackfillStatus
from providers import registry
from providers.errors import Misconfigured
from providers.spi import Adapter

UNFINISHED_A_CONNECTION = 10
# A client's clock may be a little ahead of ours.
CLOCK_SKEW = timedelta(seconds=60)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


def start_backfill(
    connection: IntegrationConnection,
    since: datetime,
    until: datetime,
    *,
    actor: str,
    purpose: BackfillPurpose = BackfillPurpose.ASKED,
    streams: Sequence[str] | None = None,
) -> Backfill:
    """Ask for everything from ``since`` to ``until``, both in the past and with a time zone; ``until`` is not inside.

    ``streams``: only these, also if live polling leaves them out; otherwise those the connection is polled for.
    Where the provider does not keep all of the window, ``notice`` of the row says from when it is read.
    Raises ``ServiceError``: 400 for a window that cannot be, 409 if the connection cannot be polled.
    """
    if not reading.may_poll(connection):
        message = "Only an active connection with polling switched on can be backfilled."
        raise ServiceError("CONNECTION_NOT_ACTIVE", message, {"status": connection.status}, status=409)
    now = timezone.now()
    since, until = _window(since, until, now)
    adapter = _adapter(connection)
    parts = _parts(adapter, connection, streams or ())
    notice = backfill_plan.notice(adapter, parts, since, until, now)
    if not any(backfill_plan.begin_of(adapter.stream(name), since, now) < until for name, _ in parts):
        raise _refused("/until", notice.rstrip("."), notice)
    with transaction.atomic():
        _lock(connection)
        unfinished = Backfill.objects.filter(connection=connection, purpose=purpose, status__in=OPEN)
        if unfinished.count() >= UNFINISHED_A_CONNECTION:
            message = f"The connection has {UNFINISHED_A_CONNECTION} unfinished backfills; wait or cancel one."
            raise ServiceError("TOO_MANY_BACKFILLS", message, status=409)
        backfill: Backfill = Backfill.objects.create(
            tenant_id=connection.tenant_id,
            connection=connection,
            purpose=purpose,
            since=since,
            until=until,
            streams=list(streams or ()),
            requested_by=actor[:200],
            parts_total=len(parts),
            notice=notice,
            planned_at=now,
            next_run_at=now,
        )
        detail = f"{since.isoformat()} to {until.isoformat()} {notice}".strip()
        history.record(connection, "backfill_started", actor=actor, detail=detail)
    return backfill


def pause_backfill(backfill: Backfill, *, actor: str) -> None:
    """Stop it where it is, to go on there later. Raises ``ServiceError`` (409) if it is paused or has ended."""
    with transaction.atomic():
        _lock(backfill.connection)
        _change(
            backfill,
            UNFINISHED,
            status=BackfillStatus.PAUSED,
            paused_by=actor[:200],
            paused_at=Now(),
            waiting_for="",
        )
        history.record(backfill.connection, "backfill_paused", actor=actor, detail=str(backfill))


def resume_backfill(backfill: Backfill, *, actor: str) -> None:
    """Go on where it was paused. Raises ``ServiceError`` (409) if it is not paused.

    What the provider keeps is reckoned again: it may be less now.
    """
    now, connection = timezone.now(), backfill.connection
    try:
        notice = backfill_plan.notice_of(backfill, now)
    except (registry.UnknownProvider, Misconfigured):
        # Its next run says so.
        notice = backfill.notice
    with transaction.atomic():
        _lock(connection)
        _change(
            backfill,
            (BackfillStatus.PAUSED,),
            status=Case(
                When(started_at=None, then=Value(BackfillStatus.PENDING)), default=Value(BackfillStatus.RUNNING)
            ),
            paused_by="",
            paused_at=None,
            next_run_at=Now(),
            planned_at=now,
            notice=notice,
            pace=[],
        )
        history.record(connection, "backfill_resumed", actor=actor, detail=str(backfill))


def cancel_backfill(backfill: Backfill, *, actor: str) -> None:
    """Stop it for good; what was read stays. Raises ``ServiceError`` (409) if it has ended already."""
    with transaction.atomic():
        _lock(backfill.connection)
        _change(
            backfill,
            OPEN,
            status=BackfillStatus.CANCELLED,
            completed_at=Now(),
            paused_by="",
            paused_at=None,
            waiting_for="",
        )
        history.record(backfill.connection, "backfill_cancelled", actor=actor, detail=str(backfill))


def _change(backfill: Backfill, allowed: Sequence[BackfillStatus], **values: object) -> None:
    """Write a person's decision, if the row is in a state that allows it; a run that holds it loses its lease."""
    row = Backfill.objects.filter(pk=backfill.pk)
    if row.filter(status__in=allowed).update(**{**values, "lease_token": None, "updated_at": Now()}):
        return
    status = row.values_list("status", flat=True).get()
    details = {"status": status}
    if status not in OPEN:
        raise ServiceError("BACKFILL_ENDED", f"The backfill has already ended: {status}.", details, status=409)
    if status == BackfillStatus.PAUSED:
        raise ServiceError("BACKFILL_PAUSED", "The backfill is paused already.", details, status=409)
    raise ServiceError("BACKFILL_NOT_PAUSED", "The backfill is not paused.", details, status=409)


def _lock(connection: IntegrationConnection) -> None:
    """Connection before backfill, as everywhere; it also makes counting and creating one step."""
    IntegrationConnection.objects.select_for_update(no_key=True).get(pk=connection.pk)


def _window(since: datetime, until: datetime, now: datetime) -> tuple[datetime, datetime]:
    if timezone.is_naive(since) or timezone.is_naive(until):
        raise ServiceError("VALIDATION_FAILED", "since and until need a time zone.")
    if until > now + CLOCK_SKEW:
        raise _refused("/until", "must not be in the future")
    until = min(until, now)
    if since < EARLIEST:
        raise _refused("/since", f"must not be before the year {EARLIEST.year}")
    if since >= until:
        raise _refused("/since", "must be before until")
    return since, until


def _adapter(connection: IntegrationConnection) -> Adapter:
    try:
        return adapter_for(connection)
    except registry.UnknownProvider:
        message = "This deployment has no adapter for the provider."
        raise ServiceError("CONNECTION_NOT_ACTIVE", message, status=409) from None


def _parts(adapter: Adapter, connection: IntegrationConnection, streams: Sequence[str]) -> set[Part]:
    known = [stream.name for stream in adapter.streams]
    if unknown := sorted(set(streams) - set(known)):
        raise _refused("/streams", f"must be among {', '.join(known)}; {unknown[0][:60]!r} is not")
    try:
        return backfill_plan.parts_to_read(adapter, connection, streams)
    except Misconfigured as error:
        raise _refused("/streams", str(error).rstrip("."), str(error)) from None


def _refused(pointer: str, reason: str, message: str = "") -> ServiceError:
    problems = [{"pointer": pointer, "reason": reason}]
    return ServiceError("VALIDATION_FAILED", message or f"{pointer[1:]} {reason}.", {"problems": problems})
