"""How a backfill stands, for API, staff and the command line."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from polling.backfill_pace import estimate
from polling.models import UNFINISHED, Backfill, BackfillStatus

_OWN_FACTS = (
    "purpose",
    "status",
    "since",
    "until",
    "streams",
    "notice",
    "requested_by",
    "paused_by",
    "paused_at",
    "progress_percent",
    "parts_done",
    "parts_total",
    "pages",
    "events_found",
    "events_new",
    "waiting_for",
    "last_error",
    "next_run_at",
    "started_at",
    "completed_at",
    "created_at",
)


def backfill_status(backfill: Backfill, now: datetime) -> dict[str, Any]:
    """Progress of one backfill. ``eta_*`` are ``None`` while it is unknown how long it will take."""
    expected = estimate(backfill, now)
    return {
        "backfill_id": str(backfill.pk),
        "connection_id": str(backfill.connection_id),
        **{name: getattr(backfill, name) for name in _OWN_FACTS},
        "reading": reading_now(backfill),
        "eta_seconds": expected.seconds if expected else None,
        "eta_at": expected.at if expected else None,
    }


def reading_now(backfill: Backfill) -> dict[str, Any] | None:
    """The slice it stands in; ``None`` before the first page and after the last."""
    position = backfill.position
    if backfill.status not in (BackfillStatus.RUNNING, BackfillStatus.PAUSED) or "stream" not in position:
        return None
    return {
        "stream": position["stream"],
        "partition": position["partition"],
        "since": datetime.fromisoformat(position["since"]) if "since" in position else backfill.since,
        "until": datetime.fromisoformat(position["until"]) if "until" in position else backfill.until,
    }


def held_up(backfill: Backfill) -> str:
    """Why it is not read at this moment, in words; empty if it is, or has ended."""
    if backfill.status == BackfillStatus.PAUSED:
        return f"Paused by {backfill.paused_by}."
    return backfill.waiting_for if backfill.status in UNFINISHED else ""
