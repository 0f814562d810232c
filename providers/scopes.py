"""What a credential must be allowed for what it is used for, as data, and what it lacks."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

# Vendors separate scopes by commas, spaces or both.
_SEPARATORS = re.compile(r"[\s,]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeNeed:
    """One thing a credential must be allowed; any of these scopes allows it.

    ``purpose``: what it is for, as the end of "is needed …". ``essential``: nothing of the capability works without.
    """

    any_of: tuple[str, ...]
    purpose: str
    essential: bool = False

    def met_by(self, granted: Collection[str]) -> bool:
        return any(scope in granted for scope in self.any_of)

    def __str__(self) -> str:
        return f"{' or '.join(self.any_of)} is needed {self.purpose}"


def scopes_in(told: str | None) -> tuple[str, ...] | None:
    """The scopes in a vendor's list; ``None`` where it names none, which many credentials have no list of."""
    found = tuple(sorted({scope for scope in _SEPARATORS.split(told or "") if scope}))
    return found or None


def lacking(needs: Iterable[ScopeNeed], granted: Collection[str]) -> list[ScopeNeed]:
    """The needs that are not met."""
    return [need for need in needs if not need.met_by(granted)]
