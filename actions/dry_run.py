"""What a command would do: the request as it would be sent, what it needs and what it costs. Nothing is changed."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from actions import intake
from connections import quota_ledger
from connections.budget_port import resource_type
from connections.errors import ServiceError
from connections.models import IntegrationConnection
from connections.runtime import adapter_for, client_for
from connections.turns import turn
from providers.actions import Command, Done, OutboundAction, WriteRequest
from providers.client import ProviderClient
from providers.errors import ProviderError
from providers.quotas import Traffic

# Where the real one would carry the mark of its action.
SAMPLE_MARK = "00000000-0000-4000-8000-000000000000"


def preview(connection: IntegrationConnection, wish: intake.Wish) -> dict[str, Any]:
    """Checks everything and reads what must be read, such as the id behind a name; writes nothing, here or there.

    Raises ``ServiceError``: what ``intake.take`` refuses, and 502 where the provider refuses or cannot be asked.
    """
    intake.check_provider(connection, wish)
    action = intake.usable(connection, wish)
    known = intake.known(connection, wish.idempotency_key)
    command = Command(
        target=wish.target,
        payload=wish.payload,
        mark=SAMPLE_MARK,
        since=connection.updated_at,
        settings=connection.settings,
    )
    with turn(settings.ACTION_SYNC_SECONDS):
        try:
            with client_for(connection) as client:
                asked = action.request(client, command)
                request = None if isinstance(asked, Done) else _shown(client, asked)
        except ProviderError as error:
            details = {"category": error.category, "provider_says": error.told}
            raise ServiceError("PROVIDER_FAILED", str(error), details, status=502) from None
    return {
        "dry_run": True,
        "request": request,
        "nothing_to_do": isinstance(asked, Done),
        "one_effect": action.one_effect.value,
        "permissions": list(action.permissions),
        "costs": _costs(connection, asked),
        "known_action_id": str(known.pk) if known else None,
        "notes": _notes(action),
    }


def _shown(client: ProviderClient, asked: WriteRequest) -> dict[str, Any]:
    url, headers = client.preview(asked.path, asked.headers)
    return {"method": asked.method, "url": url, "headers": headers, "body": asked.json}


def _costs(connection: IntegrationConnection, asked: WriteRequest | Done) -> list[dict[str, Any]]:
    """Units of the platform's budget and of each quota of the provider that the request would take."""
    kind = resource_type(connection.provider_id, Traffic.ACTION)
    costs: list[dict[str, Any]] = [{"of": kind, "units": 1}]
    if isinstance(asked, WriteRequest):
        quotas = quota_ledger.holding(adapter_for(connection).manifest.quotas, connection.settings)
        path = f"{asked.path}#{asked.lane}" if asked.lane else asked.path
        costs += [
            {"of": charge.quota.name, "units": charge.units}
            for charge in quota_ledger.charges(quotas, asked.method, path)
        ]
    return costs


def _notes(action: OutboundAction) -> list[str]:
    return [action.notes] if action.notes else []
