"""What a secret store must offer, and how it fails."""

from __future__ import annotations

from typing import Protocol

from connections.errors import ServiceError

COME_BACK_SECONDS = 30
# How long a process may remember a secret that is kept elsewhere. What is made of one may be remembered as long again:
# no value is older than a minute.
REMEMBERED_SECONDS = 30.0


class SecretUnavailable(Exception):
    """The reference leads to nothing readable. The message never holds a secret."""


class SecretsUnreachable(ServiceError):
    """The store cannot be asked now; nothing is known about the secret. Whoever waits is told to come back (503)."""

    def __init__(self, message: str) -> None:
        super().__init__("TEMPORARILY_UNAVAILABLE", message, {"retry_after_seconds": COME_BACK_SECONDS}, status=503)


class SecretStore(Protocol):
    """Secrets of tenants by reference. A secret is bound to its tenant: asked for by another it is not there.

    Where secrets are kept elsewhere, ``put``, ``get``, ``replace`` and ``refresh`` use the network, so no transaction
    may be open, and raise ``SecretsUnreachable``.
    """

    def put(self, tenant_id: str, value: str, *, name: str = "") -> str:
        """Keep ``value`` and return its reference; a ``name`` replaces what was kept under it."""

    def get(self, tenant_id: str, reference: str, *, fresh: bool = False) -> str:
        """The value behind ``reference``; ``fresh``: not one remembered for seconds. Raises ``SecretUnavailable``."""

    def replace(self, tenant_id: str, reference: str, value: str) -> None:
        """Put another value behind ``reference``. Raises ``SecretUnavailable`` where there is nothing to replace.

        Other processes may read the old one for as long as they remember it (``get``); a new reference is read at once.
        """

    def refresh(self, tenant_id: str, reference: str) -> str | None:
        """Have the store renew the secret and return its new value; ``None``: it does not renew this one.

        Raises ``SecretUnavailable`` where it tried and the secret can no longer be renewed.
        """

    def delete(self, tenant_id: str, reference: str) -> None:
        """Forget the value, with the caller's transaction; forgetting twice is harmless."""
