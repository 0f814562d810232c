"""Makes the rows a run needs, through the same services as everybody, and prints them as JSON."""

from __future__ import annotations

import json
import sys

import django


def main(number: int) -> None:
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)
    from connections.models import ConnectionStatus, IntegrationConnection
    from connections.services import create_connection
    from integration_adapters.bench.payloads import PROVIDER
    from webhooks.registrations import create_registration

    doors = []
    for n in range(number):
        connection = create_connection(
            tenant_id=f"bench-{n:03}", provider_id=PROVIDER, display_name="Bench", actor="system:bench"
        )
        # Its first delivery would prove it; here every delivery shall cost the same.
        IntegrationConnection.objects.filter(pk=connection.pk).update(status=ConnectionStatus.ACTIVE)
        issued = create_registration(connection, actor="system:bench")
        path = issued.public_url[issued.public_url.index("/v1/") :]
        doors.append((path, issued.secret))
    json.dump(doors, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]))
