"""What a credential is allowed, against what the connection is used for."""

from __future__ import annotations

from collections.abc import Sequence

from connections.models import IntegrationConnection
from connections.verification_words import Finding, Outcome
from providers.scopes import ScopeNeed, lacking
from providers.spi import Adapter

_CALLS = ("polling", "outbound_actions")
_ADVICE = "Give the credential what is missing at the provider, or replace it; until then the calls that need it fail."
# A hook that a person made needs nothing of the credential.
_HOOKS = "A hook made at the provider by hand needs none of it."


def judged_scopes(adapter: Adapter, connection: IntegrationConnection, granted: Sequence[str] | None) -> Finding:
    """A warning for what is missing; a failure only where nothing the connection is used for could work."""
    if granted is None:
        return Finding(Outcome.SKIPPED, "The provider does not tell what this credential is allowed.")
    evidence = {"granted": ", ".join(granted) or "nothing"}
    missing = {name: lacking(adapter.required_scopes.get(name, ()), granted) for name in (*_CALLS, "webhook")}
    used = {name: needs for name, needs in missing.items() if needs and connection.uses(name)}
    if not used:
        return Finding(Outcome.OK, "The credential is allowed what the connection is used for.", evidence)
    evidence |= {f"missing_for_{name}": _told(needs) for name, needs in used.items()}
    calls = [name for name in _CALLS if connection.uses(name)]
    if calls and all(any(need.essential for need in missing[name]) for name in calls):
        return Finding(
            Outcome.FAILED, "The credential is allowed nothing of what the connection is used for.", evidence, _ADVICE
        )
    if set(used) == {"webhook"}:
        return Finding(Outcome.WARNING, "Hooks cannot be made through the provider's API.", evidence, _HOOKS)
    return Finding(Outcome.WARNING, "The credential lacks scopes.", evidence, _ADVICE)


def _told(needs: Sequence[ScopeNeed]) -> str:
    return "; ".join(map(str, needs))
