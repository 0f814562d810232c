"""Backfills in a terminal: a bar that follows one, and a table of many. Without a terminal: plain lines."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.template.defaultfilters import pluralize
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Column, Table

from polling.backfill_status import backfill_status, held_up
from polling.models import UNFINISHED, Backfill, BackfillStatus

LOOK_SECONDS = 1.0
# How long a worker may take to begin before it is worth a word.
TAKEN_UP_WITHIN = timedelta(seconds=30)
NOBODY = "No worker has begun it yet; is one running?"


def follow(backfill: Backfill, console: Console, *, every: float = LOOK_SECONDS) -> None:
    """Show it until it is neither pending nor running any more; the row is then as it ended."""
    if console.is_terminal:
        _with_a_bar(backfill, console, every)
    else:
        _line_by_line(backfill, console, every)


def listing(backfills: Iterable[Backfill], console: Console) -> None:
    """One line each; in a terminal as a table."""
    now = timezone.now()
    heads = ("backfill", "status", "done", "window (UTC)", "connection", "events", "time left", "waits for")
    rows = [_row(backfill, now) for backfill in backfills]
    if not rows:
        console.print("There is none.")
    elif console.is_terminal:
        # An id that is cut short is of no use.
        table = Table(Column(heads[0], no_wrap=True, min_width=36), *heads[1:], box=None, header_style="bold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    else:
        for row in rows:
            console.print("  ".join(row), markup=False, highlight=False, soft_wrap=True)


def told(backfill: Backfill, now: datetime) -> str:
    """How it stands, in one line."""
    state = backfill_status(backfill, now)
    parts = [
        f"{backfill.get_status_display().lower()} {state['progress_percent']} %",
        _pages(backfill),
        f"{backfill.events_new} new of {backfill.events_found} events",
    ]
    if state["reading"]:
        parts.append(f"{state['reading']['stream']} {state['reading']['partition']}".strip())
    if state["eta_seconds"] is not None:
        parts.append(f"about {clock(state['eta_seconds'])} left")
    return ", ".join([*parts, *filter(None, [_why(backfill, now)])])


def clock(seconds: int) -> str:
    """``1:02:03``, or ``2 d 03:00`` for what takes days."""
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    if days:
        return f"{days} d {hours:02}:{rest // 60:02}"
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"


def _with_a_bar(backfill: Backfill, console: Console, every: float) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("{task.fields[counts]}"),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=console, expand=True) as progress:
        bar = progress.add_task("", total=100, counts="", left="")
        said = ""
        while True:
            now = timezone.now()
            state = backfill_status(backfill, now)
            left = f"{clock(state['eta_seconds'])} left" if state["eta_seconds"] is not None else "time left unknown"
            progress.update(
                bar,
                description=backfill.get_status_display(),
                completed=state["progress_percent"],
                counts=f"{_pages(backfill)}, {backfill.events_new} new of {backfill.events_found}",
                left=left if backfill.status in UNFINISHED else "",
            )
            why = _why(backfill, now)
            if why and why != said:
                progress.console.print(why, markup=False, highlight=False)
            said = why
            if backfill.status not in UNFINISHED:
                return
            time.sleep(every)
            backfill.refresh_from_db()


def _line_by_line(backfill: Backfill, console: Console, every: float) -> None:
    said = ""
    while True:
        line = told(backfill, timezone.now())
        if line != said:
            console.print(line, markup=False, highlight=False, soft_wrap=True)
            said = line
        if backfill.status not in UNFINISHED:
            return
        time.sleep(every)
        backfill.refresh_from_db()


def _pages(backfill: Backfill) -> str:
    return f"{backfill.pages} page{pluralize(backfill.pages)}"


def _why(backfill: Backfill, now: datetime) -> str:
    """What holds it up."""
    if backfill.last_error:
        return backfill.last_error
    late = now - backfill.created_at > TAKEN_UP_WITHIN
    if backfill.status == BackfillStatus.PENDING and backfill.last_run_at is None and late:
        return NOBODY
    return held_up(backfill)


def _row(backfill: Backfill, now: datetime) -> tuple[str, ...]:
    state: dict[str, Any] = backfill_status(backfill, now)
    left = clock(state["eta_seconds"]) if state["eta_seconds"] is not None else "-"
    return (
        str(backfill.pk),
        backfill.status,
        f"{state['progress_percent']} %",
        str(backfill),
        str(backfill.connection),
        f"{backfill.events_new} new of {backfill.events_found}",
        left,
        _why(backfill, now) or "-",
    )
