import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from connections.secret_store import secret_store


class Command(BaseCommand):
    help = "Keep a secret read from standard input and print its reference. The value is never shown."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, help="Tenant the secret belongs to.")
        parser.add_argument("--name", default="", help="Well-known name, such as platform/pm3; replaces what it held.")

    def handle(self, *args: Any, **options: Any) -> None:
        value = sys.stdin.read().strip("\r\n")
        if not value:
            raise CommandError("Nothing was given on standard input.")
        self.stdout.write(secret_store().put(options["tenant"], value, name=options["name"]))
