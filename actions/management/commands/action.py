"""Runs an action through a connection, says what it would do, or shows and settles actions."""

from __future__ import annotations

import getpass
import json
import uuid
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import IO, Any, cast

import uuid6
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from actions import review
from actions.dispatcher import execute
from actions.dry_run import preview
from actions.intake import Wish
from actions.models import NormalisedAction
from actions.serializers import Action
from connections.errors import ServiceError
from connections.models import IntegrationConnection
from connections.parsing import storable_object

LISTED = 20
MAX_KEY = 200
VERDICTS: dict[str, Callable[..., NormalisedAction]] = {
    "done": review.it_was_done,
    "not-done": review.it_was_not_done,
    "retry": review.try_again,
}


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("connection", nargs="?", type=uuid.UUID, help="id of the connection to act as")
        parser.add_argument("type", nargs="?", help="canonical type, such as comment_on_issue (docs/actions.md)")
        parser.add_argument(
            "--target", type=_object, default={}, help="""what it is done to: '{"issue_key": "WEB-1"}'"""
        )
        parser.add_argument("--payload", type=_object, default={}, help="""what is said or set: '{"body": "Seen."}'""")
        parser.add_argument("--key", type=_key, default="", help="idempotency key; a new one, if left out")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be sent")
        parser.add_argument("--no-wait", action="store_true", help="leave it to the workers")
        parser.add_argument("--tenant", default="", help="only if it is this tenant's")
        instead = parser.add_mutually_exclusive_group()
        instead.add_argument("--list", action="store_true", help=f"the newest {LISTED}, of the connection if given")
        instead.add_argument("--show", type=uuid.UUID, metavar="ID", help="one action and what was tried")
        for verdict in VERDICTS:
            instead.add_argument(f"--{verdict}", type=uuid.UUID, metavar="ID", help=f"decide over an action: {verdict}")
        parser.add_argument("--reason", default="", help="why you decide so")

    def handle(self, *args: Any, **options: Any) -> None:
        # Rich ends its lines itself.
        self.stdout.ending = ""
        self._console = Console(file=cast("IO[str]", self.stdout), highlight=False)
        rows = NormalisedAction.objects.select_related("connection")
        if options["tenant"]:
            rows = rows.for_tenant(options["tenant"])
        try:
            self._do(rows, options)
        except ServiceError as error:
            problems = "".join(f"\n  {p['pointer']}: {p['reason']}" for p in error.details.get("problems", ()))
            raise CommandError(f"{error.message}{problems}") from None

    def _do(self, rows: Any, options: dict[str, Any]) -> None:
        if options["list"]:
            listed = rows.filter(connection=options["connection"]) if options["connection"] else rows
            self._console.print(_table(listed.order_by("-action_id")[:LISTED]))
            return
        if options["show"]:
            self._show(_found(rows, options["show"]))
            return
        for verdict, decide in VERDICTS.items():
            chosen = options[verdict.replace("-", "_")]
            if chosen:
                if not options["reason"]:
                    raise CommandError("Say why with --reason; it is kept as evidence.")
                action = _found(rows, chosen)
                decide(action.pk, actor=_actor(), reason=options["reason"])
                self._show(_found(rows, chosen))
                return
        self._run(options)

    def _run(self, options: dict[str, Any]) -> None:
        if options["connection"] is None or not options["type"]:
            raise CommandError(f"Give a connection and a type; or --list, --show, --{', --'.join(VERDICTS)}.")
        present = IntegrationConnection.objects.present().select_related("provider")
        if options["tenant"]:
            present = present.for_tenant(options["tenant"])
        connection = present.filter(pk=options["connection"]).first()
        if connection is None:
            raise CommandError("There is no such connection.")
        wish = Wish(
            provider_id=connection.provider_id,
            canonical_type=options["type"],
            target=options["target"],
            payload=options["payload"],
            idempotency_key=options["key"] or f"manage-{uuid6.uuid7()}",
        )
        if options["dry_run"]:
            self._console.print_json(data=preview(connection, wish))
            return
        self._show(execute(connection, wish, actor=_actor(), wait=not options["no_wait"]))

    def _show(self, action: NormalisedAction) -> None:
        self._console.print_json(data=json.loads(json.dumps(Action(action).data, default=str)))


def _object(text: str) -> dict[str, Any]:
    try:
        return storable_object(text.encode())
    except UnicodeError:
        raise ArgumentTypeError("is no text") from None
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _key(text: str) -> str:
    if len(text) > MAX_KEY or not text.isprintable():
        raise ArgumentTypeError(f"must be printable text of at most {MAX_KEY} characters")
    return text


def _found(rows: Any, action_id: uuid.UUID) -> NormalisedAction:
    action: NormalisedAction | None = rows.filter(pk=action_id).first()
    if action is None:
        raise CommandError("There is no such action.")
    return action


def _actor() -> str:
    return f"manage:{getpass.getuser()}"


def _table(actions: Any) -> Table:
    table = Table(box=None)
    for heading in ("action", "command", "status", "attempts", "asked"):
        # Shortened, an id is of no use to anybody.
        table.add_column(heading, no_wrap=True, min_width=36 if heading == "action" else None)
    table.add_column("connection")
    table.add_column("error")
    for action in actions:
        table.add_row(
            str(action.pk),
            action.canonical_type,
            action.status,
            str(action.attempts),
            f"{action.created_at:%Y-%m-%d %H:%M}",
            action.connection.display_name,
            action.error[:60],
        )
    return table
