from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from connections.tenancy import ROLES, TENANT_ADMIN
from integration_adapters.authentication import issue_local_token

DEFAULT_TTL_SECONDS = 12 * 3600


class Command(BaseCommand):
    help = "Print a bearer token for development (IAM_MODE=local); nothing else is printed."
    # The token must stand alone on stdout, whatever the checks have to say.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="tenant_id of the token")
        parser.add_argument(
            "--role", action="append", choices=ROLES, help=f"may be given more than once; default {TENANT_ADMIN}"
        )
        parser.add_argument("--subject", default="developer", help="who the token says is asking")
        parser.add_argument("--ttl", type=int, default=DEFAULT_TTL_SECONDS, help="seconds until it expires")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant, subject, ttl = options["tenant"], options["subject"], options["ttl"]
        if not 0 < len(tenant) <= 100 or not 0 < len(subject) <= 100 or ttl < 1:
            raise CommandError("--tenant and --subject need 1 to 100 characters, --ttl at least one second")
        try:
            token = issue_local_token(
                tenant_id=tenant, roles=options["role"] or [TENANT_ADMIN], subject=subject, ttl_seconds=ttl
            )
        except ValueError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(token)
