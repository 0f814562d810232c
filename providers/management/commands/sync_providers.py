from typing import Any

from django.core.management.base import BaseCommand

from providers.catalogue import sync_providers


class Command(BaseCommand):
    help = "Make the table of providers follow the adapters registered in code."

    def handle(self, *args: Any, **options: Any) -> None:
        for slug in sync_providers():
            self.stdout.write(slug)
