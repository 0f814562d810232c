from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from events.catalogue import documents


class Command(BaseCommand):
    requires_system_checks: list[str] = []
    documents = staticmethod(documents)
    help = "Write docs/signals.md and the envelope's JSON Schema from code."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="Only say whether the files are current.")

    def handle(self, *args: Any, **options: Any) -> None:
        for path, content in self.documents().items():
            target = Path(settings.BASE_DIR) / path
            if options["check"]:
                if not target.exists() or target.read_text() != content:
                    raise CommandError(f"{path} is not what the code says; make it anew.")
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(content)
                self.stdout.write(path)
