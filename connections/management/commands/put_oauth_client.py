import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from connections.errors import ServiceError
from connections.oauth_clients import put_client, redirect_uri, split_scopes
from connections.tenancy import SHARED_TENANT


class Command(BaseCommand):
    help = "Enter an app registered at a provider, or change it. Its secret is read from standard input."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("provider", help="Provider the app is registered at.")
        parser.add_argument("--client-id", required=True, help="Public id the provider gave the app.")
        parser.add_argument("--tenant", default=SHARED_TENANT, help="Tenant that may use it; without it: every tenant.")
        parser.add_argument(
            "--origin", default="", help="Address of a self-managed server, such as https://git.acme.eu."
        )
        parser.add_argument("--scopes", default="", help="Scopes to ask for; without it: the adapter's.")
        parser.add_argument("--no-secret", action="store_true", help="The app has none, or the one kept here stays.")

    def handle(self, *args: Any, **options: Any) -> None:
        secret = "" if options["no_secret"] else sys.stdin.read().strip()
        if not secret and not options["no_secret"]:
            raise CommandError("Nothing was given on standard input.")
        try:
            put_client(
                provider_id=options["provider"],
                tenant_id=options["tenant"],
                origin=options["origin"],
                client_id=options["client_id"],
                client_secret=secret,
                scopes=split_scopes(options["scopes"]),
            )
        except ServiceError as error:
            problems = error.details.get("problems", ())
            told = " ".join(f"{problem['pointer'].lstrip('/')} {problem['reason']}." for problem in problems)
            raise CommandError(told or error.message) from None
        self.stdout.write(f"Register this redirect address at the provider: {redirect_uri()}")
