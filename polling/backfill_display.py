"""How a backfill looks to staff: its bar, its state and what it waits for, brought up to date in the open page."""

from __future__ import annotations

from datetime import timedelta

from django.template.defaultfilters import pluralize
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from polling.backfill_pace import estimate
from polling.backfill_status import held_up, reading_now
from polling.models import UNFINISHED, Backfill, BackfillPurpose, BackfillStatus
from providers.console.display import EMPTY, age, error_line, label, moment, progress, span, words

STATUS_COLOURS: dict[str, str] = {
    BackfillStatus.PENDING: "info",
    BackfillStatus.RUNNING: "info",
    BackfillStatus.PAUSED: "warning",
    BackfillStatus.COMPLETED: "success",
    BackfillStatus.FAILED: "danger",
    BackfillStatus.CANCELLED: "",
}


def live(backfill: Backfill, what: str, shown: str | SafeString) -> SafeString:
    """``shown``, to be replaced by ``live.js`` for as long as the backfill goes on."""
    goes_on = "yes" if backfill.status in UNFINISHED else ""
    return format_html('<div data-live="{}-{}" data-goes-on="{}">{}</div>', backfill.pk, what, goes_on, shown)


def state(backfill: Backfill) -> SafeString:
    return live(backfill, "state", label(backfill.get_status_display(), STATUS_COLOURS[backfill.status]))


def window(backfill: Backfill) -> SafeString:
    """The window and its length; a repair is told apart from what people asked for."""
    length = span(backfill.until - backfill.since).replace(" ", "\N{NO-BREAK SPACE}")
    mark = format_html("<br>{}", words(["repair"])) if backfill.purpose == BackfillPurpose.REPAIR else ""
    return format_html("{} ({}){}", backfill, length, mark)


def due(backfill: Backfill) -> SafeString:
    """When it is read on; nothing while it is being read."""
    if backfill.status not in UNFINISHED or backfill.lease_token is not None:
        return live(backfill, "due", EMPTY)
    return live(backfill, "due", age(backfill.next_run_at) if backfill.next_run_at > timezone.now() else "now")


def bar(backfill: Backfill) -> SafeString:
    """How far it is, and when it will be done."""
    percent = backfill.progress_percent
    return live(backfill, "bar", progress(percent, f"{percent} %{_left(backfill)}"))


def counts(backfill: Backfill) -> SafeString:
    return live(backfill, "counts", f"{backfill.events_new:,} new of {backfill.events_found:,}")


def work(backfill: Backfill) -> SafeString:
    parts = f"{backfill.parts_done} of {backfill.parts_total} part{pluralize(backfill.parts_total)}"
    return live(backfill, "work", f"{parts}, {backfill.pages:,} page{pluralize(backfill.pages)}")


def where(backfill: Backfill) -> SafeString:
    """The slice it stands in."""
    now = reading_now(backfill)
    if now is None:
        return live(backfill, "where", EMPTY)
    part = f"{now['stream']} {now['partition']}".strip()
    return live(backfill, "where", f"{part}, {now['since']:%Y-%m-%d %H:%M} to {now['until']:%Y-%m-%d %H:%M}")


def expected(backfill: Backfill) -> SafeString:
    found = estimate(backfill, timezone.now())
    return live(backfill, "expected", moment(found.at) if found else EMPTY)


def trouble(backfill: Backfill) -> SafeString:
    """What holds it up, for a list: a pause, a wait, or the last failure."""
    return live(backfill, "trouble", _trouble(backfill))


def _trouble(backfill: Backfill) -> str | SafeString:
    reason = held_up(backfill)
    if backfill.last_error:
        return error_line(backfill.last_error)
    if not reason:
        return EMPTY
    due = backfill.status in UNFINISHED and backfill.next_run_at > timezone.now() + timedelta(seconds=1)
    again = format_html(" Again {}.", age(backfill.next_run_at)) if due else ""
    return format_html('<span class="console-muted">{}{}</span>', reason, again)


def _left(backfill: Backfill) -> str:
    if backfill.status not in UNFINISHED:
        return ""
    found = estimate(backfill, timezone.now())
    if found is None:
        return ", time left unknown" if backfill.status == BackfillStatus.RUNNING else ""
    return f", about {span(timedelta(seconds=found.seconds))} left"
