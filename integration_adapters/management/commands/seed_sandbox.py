from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from connections.errors import ServiceError
from integration_adapters.management.sandbox_command import chosen_slugs, refuse_in_production
from integration_adapters.sandbox.seeding import seed


class Command(BaseCommand):
    help = "Create demonstration connections to a running sandbox. What exists already is kept."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", required=True, help="address of the sandbox, such as http://127.0.0.1:8100")
        parser.add_argument("--providers", default="", help="slugs, comma-separated; default: all that are simulated")

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_in_production()
        try:
            seed(options["url"], chosen_slugs(options["providers"]), self.stdout.write)
        except ServiceError as error:
            raise CommandError(f"{error} {error.details or ''}") from None
