"""The system-wide check of all ledgers, a few hundred connections at a time, and what it found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

import structlog
from django.db.models import F, Min, Sum
from django.db.models.functions import Abs
from django.utils import timezone

from connections.models import IntegrationConnection
from events.ledger import Ledger, ledgers
from events.models import LedgerCheck

log = structlog.get_logger(__name__)

CONNECTIONS_A_BATCH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Conservation:
    """All connections' ledgers in one, as of their last checks, the oldest of which was at ``since``."""

    total: Ledger
    broken: int
    since: datetime


def check_ledgers(*, unless_since: datetime | None = None) -> tuple[int, int]:
    """Add up the ledgers of up to 100 connections, those first whose last check is longest ago.

    Leaves out those that were checked since then. Returns how many were checked and how many of them do not
    add up; each of those is an error in the log.
    """
    rows = IntegrationConnection.objects.all()
    if unless_since is not None:
        rows = rows.exclude(ledger_check__checked_at__gte=unless_since)
    oldest_first = rows.order_by(F("ledger_check__checked_at").asc(nulls_first=True), "pk")
    owners = dict(oldest_first.values_list("pk", "tenant_id")[:CONNECTIONS_A_BATCH])
    at = timezone.now()
    checks = []
    for key, accounts in ledgers(list(owners)).items():
        checks.append(
            LedgerCheck(
                connection_id=key,
                tenant_id=owners[key],
                checked_at=at,
                unaccounted=accounts.unaccounted,
                **asdict(accounts),
            )
        )
        if accounts.unaccounted:
            log.error(
                "ledger.does_not_add_up",
                connection_id=str(key),
                tenant_id=owners[key],
                unaccounted=accounts.unaccounted,
                **asdict(accounts),
            )
    checks.sort(key=lambda check: check.connection_id)
    fields = ["checked_at", "unaccounted", *Ledger.__dataclass_fields__]
    LedgerCheck.objects.bulk_create(
        checks, update_conflicts=True, unique_fields=["connection_id"], update_fields=[*fields, "updated_at"]
    )
    return len(checks), sum(1 for check in checks if check.unaccounted)


def conservation() -> Conservation | None:
    """What the last checks said of all connections together; ``None`` before the first one."""
    names = list(Ledger.__dataclass_fields__)
    sums = LedgerCheck.objects.aggregate(since=Min("checked_at"), **{name: Sum(name) for name in names})
    since = sums.pop("since")
    if since is None:
        return None
    return Conservation(total=Ledger(**sums), broken=LedgerCheck.objects.exclude(unaccounted=0).count(), since=since)


def unaccounted_by_provider() -> dict[str, int]:
    """Events that do not add up, by provider and as of the last checks. Missing ones and surplus ones add."""
    broken = LedgerCheck.objects.exclude(unaccounted=0).order_by()
    numbers = broken.values_list("connection__provider_id").annotate(number=Sum(Abs("unaccounted")))
    return {provider_id: int(number) for provider_id, number in numbers}


def oldest_check() -> datetime | None:
    """When the connection was checked whose check is longest ago."""
    oldest: datetime | None = LedgerCheck.objects.aggregate(at=Min("checked_at"))["at"]
    return oldest
