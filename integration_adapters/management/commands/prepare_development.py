import io
import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Migrate, make the staff login of STAFF_USER and STAFF_PASSWORD work, and issue a token for a tenant."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True)
        parser.add_argument("--token-file", type=Path, required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=1, interactive=False)
        if settings.IS_PRODUCTION:
            call_command("collectstatic", verbosity=0, interactive=False)
        self._ensure_staff(os.environ["STAFF_USER"], os.environ["STAFF_PASSWORD"])
        token = ""
        if settings.IAM_MODE == "local":
            output = io.StringIO()
            call_command("issue_token", "--tenant", options["tenant"], "--role", "tenant_admin", stdout=output)
            token = output.getvalue()
        options["token_file"].touch(mode=0o600)
        options["token_file"].write_text(token)

    def _ensure_staff(self, name: str, password: str) -> None:
        """The printed password must be the one that works, whatever was changed since the last start."""
        user, _ = get_user_model().objects.get_or_create(username=name)
        if not user.check_password(password):
            user.set_password(password)
        user.is_active = user.is_staff = user.is_superuser = True
        user.save()
