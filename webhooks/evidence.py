"""What is kept of deliveries that became no event: refusals as counts, unreadable ones as redacted copies."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, urlencode

import structlog
from django.conf import settings
from django.db.models import F
from django.db.models.functions import Greatest, Now
from django.utils import timezone

from events.compression import pack
from providers.console.filters import first_key_at
from providers.document import parse_json
from providers.known_secrets import hidden
from providers.redaction import REDACTED, cut_doors, is_secret_key, redact_text, redacted_json
from providers.spi import WebhookRequest
from providers.verification import Verified
from webhooks.lookup import Door
from webhooks.models import QuarantinedDelivery, RejectedDelivery

log = structlog.get_logger(__name__)

MAX_HEADER_NAMES = 60
MAX_HEADER_NAME_LENGTH = 100
MAX_KEPT_VALUE = 500
MAX_FORM_FIELDS = 100
FLUSH_SECONDS = 1.0
PURGED_A_BATCH = 1000
# Headers that prove the sender, or belong to the way here, are of no use for reading the body again.
_PROVING = ("authorization", "cookie", "signature", "token", "secret", "password", "forwarded", "client-ip")


@dataclass(slots=True)
class _Count:
    """What a process has counted: ``number`` not written yet, ``written`` so far."""

    number: int = 0
    written: int = 0
    written_at: float = 0.0


_counts: dict[tuple[str, str, datetime], _Count] = {}
_counts_lock = threading.Lock()


def note_refusal(door: Door, reason: str, headers: Mapping[str, str], body_bytes: int | None) -> None:
    """Count a refusal. Written once a second a process, door and reason, or when the count has doubled.

    A flood of forged requests must cost a counter here, not a row or a lock in the database. What a flood leaves
    uncounted when it ends is less than was written.
    """
    now = timezone.now()
    hour = now.replace(minute=0, second=0, microsecond=0)
    key = (door.registration.pk.hex, reason, hour)
    with _counts_lock:
        if len(_counts) > 10_000:
            _counts.clear()
        count = _counts.setdefault(key, _Count())
        count.number += 1
        if count.number < count.written and time.monotonic() - count.written_at < FLUSH_SECONDS:
            return
        number, count.number, count.written_at = count.number, 0, time.monotonic()
        count.written += number
    _write_refusals(door, reason, hour, now, number, _names(headers), body_bytes)


def _write_refusals(
    door: Door, reason: str, hour: datetime, now: datetime, number: int, names: list[str], body_bytes: int | None
) -> None:
    key = {"registration": door.registration, "reason": reason[:40], "hour": hour}
    first = {
        "tenant_id": door.registration.tenant_id,
        "connection": door.connection,
        "number": 0,
        "first_at": now,
        "last_at": now,
    }
    row, _ = RejectedDelivery.objects.get_or_create(**key, defaults=first)
    RejectedDelivery.objects.filter(pk=row.pk).update(
        number=F("number") + number,
        last_at=Greatest("last_at", now),
        header_names=names,
        body_bytes=body_bytes,
        updated_at=now,
    )


def _names(headers: Mapping[str, str]) -> list[str]:
    return sorted(redact_text(name[:MAX_HEADER_NAME_LENGTH]) for name in list(headers)[:MAX_HEADER_NAMES])


def quarantine(
    door: Door, request: WebhookRequest, verified: Verified | None, *, reason: str, detail: str, proof: str
) -> bool:
    """Keep a verified delivery that could not be read. Returns whether there was room.

    A repetition of the same body is kept once and counts as kept.
    """
    body_hash = hashlib.sha256(request.body).digest()
    # Room is counted a reason: what no adapter can read must not be crowded out by what no connection owns.
    kept = QuarantinedDelivery.objects.filter(registration=door.registration, reason=reason)
    if not kept.filter(body_hash=body_hash).exists() and kept.count() >= settings.WEBHOOK_QUARANTINE_SIZE:
        return False
    text, note = _redacted(request)
    text = hidden(text)
    row = QuarantinedDelivery(
        tenant_id=door.registration.tenant_id,
        registration=door.registration,
        connection=door.connection,
        reason=reason,
        detail=f"{redact_text(detail)[:400]} {note}".strip(),
        body_hash=body_hash,
        signature_hash=verified.fingerprint if verified is not None else None,
        proof=proof,
        headers=_kept(request.headers.items()),
        query=_kept(request.query.items()),
        body=pack(text),
        body_bytes=len(request.body),
    )
    QuarantinedDelivery.objects.bulk_create([row], ignore_conflicts=True)
    return True


def _redacted(request: WebhookRequest) -> tuple[str, str]:
    """The body as it may be kept, and a remark for people.

    Secrets are told by the names beside them, so only what has names is kept: JSON, and forms.
    """
    emails = settings.REDACT_EMAILS
    try:
        return redacted_json(parse_json(request.body), emails=emails).decode(), ""
    except (ValueError, TypeError):
        pass
    if request.header("content-type").startswith("application/x-www-form-urlencoded"):
        try:
            fields = parse_qsl(request.body.decode(), strict_parsing=True, max_num_fields=MAX_FORM_FIELDS)
        except ValueError:
            fields = []
        if fields:
            return urlencode([(name, _redacted_field(name, value, emails=emails)) for name, value in fields]), ""
    return "", "Neither JSON nor a form, so the body is not kept."


def _redacted_field(name: str, value: str, *, emails: bool) -> str:
    if is_secret_key(name):
        return REDACTED
    try:
        parsed = parse_json(value.encode())
    except ValueError:
        parsed = value
    is_document = isinstance(parsed, dict | list)
    return redacted_json(parsed, emails=emails).decode() if is_document else redact_text(value, emails=emails)


def _kept(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {
        name[:MAX_HEADER_NAME_LENGTH].replace("\x00", ""): _shown(value[:MAX_KEPT_VALUE])
        for name, value in list(pairs)[:MAX_HEADER_NAMES]
        if not is_secret_key(name) and not any(word in name for word in _PROVING)
    }


def _shown(value: str) -> str:
    """A proxy may repeat the address of the door, and a sender the secret it signs with."""
    return hidden(cut_doors(redact_text(value))).replace("\x00", "")


def purge_evidence() -> int:
    """Remove a batch of refusals older than ``WEBHOOK_EVIDENCE_DAYS`` and return how many."""
    before = Now() - timedelta(days=settings.WEBHOOK_EVIDENCE_DAYS)
    old = RejectedDelivery.objects.filter(last_at__lt=before).order_by("last_at").values_list("pk", flat=True)
    return RejectedDelivery.objects.filter(pk__in=list(old[:PURGED_A_BATCH])).delete()[0]


def purge_quarantine() -> int:
    """Remove a batch of unread deliveries older than events are kept and return how many."""
    retention = timedelta(days=settings.EVENT_RETENTION_DAYS)
    # Keys are made by a host's clock, so they only find the rows; the database's own time decides.
    old = QuarantinedDelivery.objects.filter(
        pk__lt=first_key_at(timezone.now() - retention), created_at__lt=Now() - retention
    ).order_by("pk")
    keys = list(old.values_list("pk", flat=True)[:PURGED_A_BATCH])
    removed, _ = QuarantinedDelivery.objects.filter(pk__in=keys).delete()
    if removed:
        log.warning("webhook.quarantine_purged", number=removed)
    return removed
