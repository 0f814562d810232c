"""Which status may follow which. Nothing else decides."""

from __future__ import annotations

from connections.errors import ServiceError
from connections.models import ConnectionStatus

_PENDING, _ACTIVE = ConnectionStatus.PENDING_VERIFICATION, ConnectionStatus.ACTIVE
_SUSPENDED, _ERROR, _DELETED = ConnectionStatus.SUSPENDED, ConnectionStatus.ERROR, ConnectionStatus.DELETED

# A suspended connection comes back as pending if it was never verified. Pending also follows a change of
# where the credential is sent: what was proven before says nothing about the new address.
MOVES: dict[str, frozenset[str]] = {
    _PENDING: frozenset({_ACTIVE, _ERROR, _SUSPENDED, _DELETED}),
    _ACTIVE: frozenset({_PENDING, _ERROR, _SUSPENDED, _DELETED}),
    _ERROR: frozenset({_PENDING, _ACTIVE, _SUSPENDED, _DELETED}),
    _SUSPENDED: frozenset({_PENDING, _ACTIVE, _DELETED}),
    _DELETED: frozenset(),
}

# Pending or in error says that we cannot call the provider, not that it cannot call us.
TAKES_EVENTS = (_PENDING, _ACTIVE, _ERROR)


def require_move(current: str, wanted: str, *, because: str = "") -> None:
    """Raises ``ServiceError`` (409) unless ``wanted`` may follow ``current``; staying is always allowed."""
    if wanted == current or wanted in MOVES[current]:
        return
    message = because or f"A connection that is {current} cannot become {wanted}."
    raise ServiceError("INVALID_STATUS_CHANGE", message, {"status": current, "wanted": wanted}, status=409)
