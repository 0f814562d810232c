import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from connections.secret_store import SecretsUnreachable, is_generated, secret_store

MAX_LENGTH = 100


class Command(BaseCommand):
    help = "Keep a secret read from standard input and print its reference. The value is never shown."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, help="Tenant the secret belongs to.")
        parser.add_argument("--name", default="", help="Well-known name, such as platform/pm3; replaces what it held.")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant, name = options["tenant"], options["name"]
        value = sys.stdin.read().strip("\r\n")
        if not value:
            raise CommandError("Nothing was given on standard input.")
        if not _is_utf8(value):
            raise CommandError("What was given on standard input is not UTF-8 text.")
        if not 0 < len(tenant) <= MAX_LENGTH or len(name) > MAX_LENGTH:
            raise CommandError(f"--tenant needs 1 to {MAX_LENGTH} characters, --name at most as many.")
        if is_generated(name):
            raise CommandError("--name must not look like a generated reference.")
        try:
            self.stdout.write(secret_store().put(tenant, value, name=name))
        except SecretsUnreachable as error:
            raise CommandError(error.message) from None


def _is_utf8(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
