"""Deliver many events again: says first how many, of which status and cause, and asks."""

from __future__ import annotations

import getpass
import time
import uuid
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from connections.errors import ServiceError
from connections.models import IntegrationConnection
from events.models import DeliveryStatus, ReplayStatus
from events.replays import preview, run_batch, start_replay

_REPLAYABLE = [value for value in DeliveryStatus.values if value != DeliveryStatus.IGNORED]


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", default="", help="events of this tenant")
        parser.add_argument("--connection", type=uuid.UUID, help="events of this connection")
        parser.add_argument("--status", choices=_REPLAYABLE, help="events of this status")
        parser.add_argument("--cause", help="events whose last error has this code, such as MAPPING_FAILED")
        parser.add_argument("--since", type=_moment, help="received at or after (ISO 8601; UTC if it names no zone)")
        parser.add_argument("--until", type=_moment, help="received before")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:
        given = {
            "connection_id": options["connection"],
            "status": options["status"],
            "last_error_code": options["cause"],
            "since": options["since"],
            "until": options["until"],
        }
        conditions = {name: value for name, value in given.items() if value is not None}
        if not conditions and not options["tenant"]:
            raise CommandError("Give at least one condition; --help lists them.")
        if options["connection"] and not IntegrationConnection.objects.filter(pk=options["connection"]).exists():
            raise CommandError("There is no such connection.")
        found = preview(options["tenant"], conditions)
        for line in found:
            self.stdout.write(f"{line.number:>10}  {line.status:<10} {line.cause}")
        total = sum(line.number for line in found)
        self.stdout.write(f"{total:>10}  events would be delivered again")
        if not total:
            return
        if not options["yes"] and not _agreed():
            self.stdout.write("Nothing was done.")
            return
        try:
            asked = start_replay(options["tenant"], conditions, actor=f"command:{getpass.getuser()}")
        except ServiceError as error:
            raise CommandError(error.message) from None
        while asked.status == ReplayStatus.RUNNING:
            if run_batch(asked.pk) is None:
                time.sleep(0.5)  # a worker is at it
            asked.refresh_from_db()
            self.stdout.write(f"{asked.replayed} of {asked.matched}")
        self.stdout.write(f"{asked.replayed} events are due for delivery.")


def _agreed() -> bool:
    try:
        return input("Replay them? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        raise CommandError("There is no terminal to ask at; give --yes to replay them.") from None


def _moment(word: str) -> datetime:
    try:
        at = datetime.fromisoformat(word)
    except ValueError:
        raise ArgumentTypeError(f"{word!r} is no ISO 8601 time") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
