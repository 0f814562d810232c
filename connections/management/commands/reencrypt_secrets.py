from typing import Any

from django.core.management.base import BaseCommand, CommandError

from connections.secret_store import reencrypt


class Command(BaseCommand):
    help = "Write every secret in the database anew with the first of SECRETS_KEYS, so that older keys can go."

    def handle(self, *args: Any, **options: Any) -> None:
        done, unreadable = reencrypt()
        self.stdout.write(f"{done} secrets were written anew.")
        if unreadable:
            raise CommandError(f"{unreadable} secrets can be read with none of SECRETS_KEYS; they are as they were.")
