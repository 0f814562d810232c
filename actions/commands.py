"""An action's row as the command its adapter takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actions.models import NormalisedAction
from connections.validation import invalid, problem, schema_problems
from providers import registry
from providers.actions import Command, OutboundAction


def action_of(provider_id: str, canonical_type: str) -> OutboundAction:
    """What the provider's adapter does for this command. Raises ``ServiceError`` (400) where it does nothing."""
    adapter = registry.get(provider_id)
    try:
        return adapter.action(canonical_type)
    except KeyError:
        offered = ", ".join(sorted(action.type.value for action in adapter.actions)) or "no actions"
        raise invalid(problem("/canonical_type", f"{adapter.label} offers {offered}")) from None


def check(action: OutboundAction, target: Mapping[str, Any], payload: Mapping[str, Any]) -> None:
    """Raises ``ServiceError`` (400) with every fault; the values themselves are not repeated."""
    found = [
        *schema_problems(action.target_schema, target, "/target"),
        *schema_problems(action.payload_schema, payload, "/payload"),
    ]
    if found:
        raise invalid(*found)


def command_of(row: NormalisedAction) -> Command:
    return Command(
        target=row.target,
        payload=row.payload,
        mark=str(row.pk),
        since=row.created_at,
        settings=row.connection.settings,
    )
