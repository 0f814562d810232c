"""Whether anything could be delivered to us at all: a clock that the web processes keep going, and its silences.

Each web process writes the database's time every few seconds. Where none has for much longer, no process ran, or none
could reach the database, and then nothing could be stored: that window is an outage. It is noticed by the tick of a
worker while it lasts, and by the first beat after it.

What a connection missed meanwhile is in its provider's ledger, if it has one; for the others the window is a gap.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, transaction
from django.db import connection as database
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now

from connections.lifecycle import TAKES_EVENTS
from connections.models import ConnectionRoute, IntegrationConnection
from events.gap_models import GapCause
from events.gaps import Found, end_gaps, note_gaps
from events.models import DeliveryGap
from providers import registry
from providers.registry import UnknownProvider
from webhooks.lookup import OPEN_REGISTRATIONS
from webhooks.models import IngressClock, IngressOutage, WebhookRegistration
from webhooks.repair_lease import make_due

log = structlog.get_logger(__name__)

BEAT_SECONDS = 10.0
# A few beats may be late; a release that restarts the processes in turn is no silence.
SILENCE = timedelta(seconds=45)
CONNECTIONS_A_BATCH = 500
OUTAGES_A_BATCH = 1000


def beat() -> IngressOutage | None:
    """A web process runs and reaches the database. Returns the outage this ends, if it is one."""
    with transaction.atomic():
        IngressClock.objects.bulk_create([IngressClock(beaten_at=Now())], ignore_conflicts=True)
        clock = IngressClock.objects.select_for_update().annotate(now=Now()).get()
        outage = _ended(clock.beaten_at, clock.now) if clock.now - clock.beaten_at > SILENCE else None
        IngressClock.objects.update(beaten_at=clock.now)
    return outage


def is_open() -> bool:
    """Whether a web process runs, as far as the clock tells."""
    return IngressClock.objects.filter(beaten_at__gte=Now() - SILENCE).exists()


def notice_silence() -> IngressOutage | None:
    """An outage that has begun and still lasts; the tick of a worker notices it."""
    with transaction.atomic():
        clock = IngressClock.objects.select_for_update().annotate(now=Now()).first()
        if clock is None or clock.now - clock.beaten_at <= SILENCE:
            return None
        outage, is_new = IngressOutage.objects.get_or_create(since=clock.beaten_at)
    if is_new:
        log.error("ingress_silent", since=clock.beaten_at.isoformat())
    return outage


def _ended(since: datetime, until: datetime) -> IngressOutage:
    outage, is_new = IngressOutage.objects.get_or_create(since=since, defaults={"until": until})
    if not is_new:
        outage.until = until
        outage.save(update_fields=["until", "updated_at"])
    log.warning("ingress_was_silent", since=since.isoformat(), until=until.isoformat())
    return outage


def tell_connections(seconds: float) -> int:
    """Go on noting what outages mean for each connection, for so long; returns how many were told."""
    ends_at, told = time.monotonic() + seconds, 0
    for outage in IngressOutage.objects.filter(told_at=None).order_by("since"):
        while time.monotonic() < ends_at:
            number = _tell_batch(outage)
            told += number
            if number < CONNECTIONS_A_BATCH:
                _told(outage)
                break
    return told


def _tell_batch(outage: IngressOutage) -> int:
    """The next connections that could have missed something. A batch that is told twice is noted once."""
    concerned = _concerned().filter(pk__gt=outage.told_until) if outage.told_until else _concerned()
    batch = list(concerned.order_by("pk")[:CONNECTIONS_A_BATCH])
    doors: dict[uuid.UUID, list[WebhookRegistration]] = {}
    for door in WebhookRegistration.objects.filter(connection__in=batch, status__in=OPEN_REGISTRATIONS):
        doors.setdefault(door.connection_id, []).append(door)
    with_ledger = [c for c in batch if _all_in_ledgers(c, doors.get(c.pk, []))]
    make_due([door.pk for connection in with_ledger for door in doors[connection.pk]])
    others = [connection for connection in batch if connection not in with_ledger]
    note_gaps([_gap(outage, connection) for connection in others])
    if batch:
        outage.told_until, outage.connections = batch[-1].pk, outage.connections + len(batch)
        outage.save(update_fields=["told_until", "connections", "updated_at"])
    return len(batch)


def _told(outage: IngressOutage) -> None:
    """All there are have been told; of one that is over, also when it ended."""
    ended = IngressOutage.objects.filter(pk=outage.pk, until__isnull=False)
    until = ended.values_list("until", flat=True).first()
    if until is not None:
        end_gaps(DeliveryGap.objects.filter(key=_key(outage)), until)
        ended.update(told_at=Now(), updated_at=Now())


def _concerned() -> QuerySet[IntegrationConnection]:
    """Connections that receive webhooks, at doors of their own or at one they share."""
    open_doors = WebhookRegistration.objects.filter(status__in=OPEN_REGISTRATIONS)
    own = open_doors.filter(connection=OuterRef("pk"))
    shared = ConnectionRoute.objects.filter(connection=OuterRef("pk")).filter(
        Exists(open_doors.filter(connection=None, provider=OuterRef("provider")))
    )
    receiving = IntegrationConnection.objects.filter(status__in=TAKES_EVENTS, enabled_capabilities__webhook=True)
    concerned: QuerySet[IntegrationConnection] = receiving.filter(Exists(own) | Exists(shared))
    return concerned


def _all_in_ledgers(connection: IntegrationConnection, doors: Sequence[WebhookRegistration]) -> bool:
    """Whether whatever was meant for these doors stands in a ledger that is read."""
    try:
        webhook = registry.get(connection.provider_id).webhook
    except UnknownProvider:
        return False
    has_ledger = webhook is not None and webhook.ledger is not None
    return has_ledger and bool(doors) and all(door.provider_hooks for door in doors)


def _key(outage: IngressOutage) -> str:
    return f"outage:{outage.pk}"


def _gap(outage: IngressOutage, connection: IntegrationConnection) -> Found:
    return Found(
        connection=connection,
        key=_key(outage),
        cause=GapCause.DOOR_DOWN,
        explanation="No web process of this service ran, or none reached the database, so nothing could be taken.",
        since=outage.since,
        until=outage.until,
    )


def purge_outages() -> int:
    """Remove a batch of outages as old as events that are no longer kept, and return how many."""
    old = IngressOutage.objects.filter(told_at__lt=Now() - timedelta(days=settings.EVENT_RETENTION_DAYS))
    keys = list(old.order_by("pk").values_list("pk", flat=True)[:OUTAGES_A_BATCH])
    return IngressOutage.objects.filter(pk__in=keys).delete()[0]


_started = threading.Lock()


def keep_beating() -> None:
    """Have this process say that it runs, from a thread of its own; asked again, nothing more happens."""
    if _started.acquire(blocking=False):
        threading.Thread(target=_beat_for_ever, name="ingress-beat", daemon=True).start()


def _beat_for_ever(pause: Callable[[float], object] = time.sleep) -> None:
    while True:
        try:
            beat()
        except (DatabaseError, InterfaceError) as error:
            # Nothing can be stored either: the silence is told when the database is back.
            log.warning("ingress_beat_failed", error=type(error).__name__)
        finally:
            # It would be held for nothing meanwhile, and an idle one may be cut.
            database.close()
        pause(BEAT_SECONDS)
