"""Reads a window of a connection's past: starts it and follows it, or lists, pauses, resumes and cancels."""

from __future__ import annotations

import getpass
import uuid
from argparse import ArgumentTypeError, BooleanOptionalAction
from collections.abc import Callable
from datetime import datetime
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.template.defaultfilters import pluralize
from django.utils import timezone
from rich.console import Console

from connections.errors import ServiceError
from connections.models import IntegrationConnection
from polling.backfill import cancel_backfill, pause_backfill, resume_backfill, start_backfill
from polling.backfill_terminal import follow, listing
from polling.models import Backfill, BackfillStatus

LISTED = 20
CHANGES: dict[str, tuple[Callable[..., None], str]] = {
    "pause": (pause_backfill, "is paused where it is"),
    "resume": (resume_backfill, "goes on"),
    "cancel": (cancel_backfill, "is cancelled; what was read stays"),
}
GOES_ON = """It goes on without this window.
  see     ./script/manage backfill --watch {0}
  pause   ./script/manage backfill --pause {0}
  cancel  ./script/manage backfill --cancel {0}"""


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("connection", nargs="?", type=uuid.UUID, help="id of the connection to read as")
        parser.add_argument("--since", type=_moment, help="start of the window, itself inside (2026-01-01T00:00:00Z)")
        parser.add_argument("--until", type=_moment, help="end of the window, itself outside; now, if left out")
        parser.add_argument(
            "--stream", action="append", default=[], help="only this stream; may be given several times"
        )
        parser.add_argument("--follow", action=BooleanOptionalAction, default=True, help="show it until it ends")
        parser.add_argument("--tenant", default="", help="only if it is this tenant's")
        instead = parser.add_mutually_exclusive_group()
        instead.add_argument("--list", action="store_true", help=f"the newest {LISTED}, of the connection if given")
        instead.add_argument("--watch", type=uuid.UUID, metavar="ID", help="follow one that was started")
        for name in CHANGES:
            instead.add_argument(f"--{name}", type=uuid.UUID, metavar="ID", help=f"{name} a backfill")

    def handle(self, *args: Any, **options: Any) -> None:
        # Rich ends its lines itself.
        self.stdout.ending = ""
        self._console = Console(file=cast("IO[str]", self.stdout), highlight=False)
        rows = Backfill.objects.select_related("connection")
        if options["tenant"]:
            rows = rows.for_tenant(options["tenant"])
        if options["list"]:
            listed = rows.filter(connection=options["connection"]) if options["connection"] else rows
            listing(listed.order_by("-backfill_id")[:LISTED], self._console)
            return
        for name, (change, outcome) in CHANGES.items():
            if options[name]:
                self._change(_found(rows, options[name]), change, outcome)
                return
        backfill = _found(rows, options["watch"]) if options["watch"] else self._start(options)
        if options["follow"]:
            self._follow(backfill)

    def _start(self, options: dict[str, Any]) -> Backfill:
        if options["connection"] is None or options["since"] is None:
            raise CommandError("Give a connection and --since; or --list, --watch, --pause, --resume or --cancel.")
        present = IntegrationConnection.objects.present()
        if options["tenant"]:
            present = present.for_tenant(options["tenant"])
        connection = present.filter(pk=options["connection"]).first()
        if connection is None:
            raise CommandError("There is no such connection.")
        until = options["until"] or timezone.now()
        try:
            backfill = start_backfill(connection, options["since"], until, actor=_actor(), streams=options["stream"])
        except ServiceError as error:
            raise CommandError(error.message) from None
        parts = f"{backfill.parts_total} part{pluralize(backfill.parts_total)}"
        self._say(f"Backfill {backfill.pk} of {connection}: {backfill} UTC, {parts}.")
        if backfill.notice:
            self._say(backfill.notice)
        return backfill

    def _follow(self, backfill: Backfill) -> None:
        try:
            follow(backfill, self._console)
        except KeyboardInterrupt:
            self._say(GOES_ON.format(backfill.pk))
            return
        if backfill.status == BackfillStatus.FAILED:
            raise CommandError(backfill.last_error)
        if backfill.status == BackfillStatus.CANCELLED:
            raise CommandError(backfill.last_error or "It was cancelled.")
        if backfill.status == BackfillStatus.PAUSED:
            self._say(f"Resume it with ./script/manage backfill --resume {backfill.pk}")

    def _change(self, backfill: Backfill, change: Callable[..., None], outcome: str) -> None:
        try:
            change(backfill, actor=_actor())
        except ServiceError as error:
            raise CommandError(error.message) from None
        self._say(f"The backfill {backfill.pk} {outcome}.")

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)


def _found(rows: Any, key: uuid.UUID) -> Backfill:
    backfill: Backfill | None = rows.filter(pk=key).first()
    if backfill is None:
        raise CommandError("There is no such backfill.")
    return backfill


def _actor() -> str:
    return f"command:{getpass.getuser()}"


def _moment(word: str) -> datetime:
    try:
        at = datetime.fromisoformat(word)
    except ValueError:
        raise ArgumentTypeError(f"{word!r} is no ISO 8601 time") from None
    if at.tzinfo is None:
        raise ArgumentTypeError(f"{word!r} names no time zone, such as Z in 2026-01-01T00:00:00Z")
    return at
