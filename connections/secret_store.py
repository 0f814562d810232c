"""The port to secrets: everything else holds references only.

A reference is ``secret:<uuid>``, or the well-known name of a secret set by an operator (``platform/pm3``).
The embedded store keeps Fernet ciphertext in the database (``cryptography``'s MultiFernet: the first key of
``SECRETS_KEYS`` writes, every key reads). A secret is bound to its tenant: asked for by another tenant it
is not there.
"""

from __future__ import annotations

import uuid
from functools import cache
from typing import Protocol

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db.models import QuerySet

from connections.models import StoredSecret

_SCHEME = "secret:"


class SecretUnavailable(Exception):
    """The reference leads to nothing readable. The message never holds a secret."""


class SecretStore(Protocol):
    """What a secret store must offer."""

    def put(self, tenant_id: str, value: str, *, name: str = "") -> str:
        """Keep ``value`` and return its reference; a ``name`` replaces what was kept under it."""

    def get(self, tenant_id: str, reference: str) -> str:
        """The value behind ``reference``. Raises ``SecretUnavailable``."""

    def delete(self, tenant_id: str, reference: str) -> None:
        """Forget the value; forgetting twice is harmless."""


class EmbeddedSecretStore:
    """Encrypted rows in our own database."""

    def put(self, tenant_id: str, value: str, *, name: str = "") -> str:
        ciphertext = _cipher().encrypt(value.encode())
        if name:
            StoredSecret.objects.update_or_create(tenant_id=tenant_id, name=name, defaults={"ciphertext": ciphertext})
            return name
        return f"{_SCHEME}{StoredSecret.objects.create(tenant_id=tenant_id, ciphertext=ciphertext).secret_id}"

    def get(self, tenant_id: str, reference: str) -> str:
        row = self._rows(tenant_id, reference).first()
        if row is None:
            raise SecretUnavailable("The secret does not exist.")
        try:
            return _cipher().decrypt(bytes(row.ciphertext)).decode()
        except InvalidToken:
            raise SecretUnavailable("The secret cannot be read with any configured key.") from None

    def delete(self, tenant_id: str, reference: str) -> None:
        self._rows(tenant_id, reference).delete()

    def _rows(self, tenant_id: str, reference: str) -> QuerySet[StoredSecret]:
        rows = StoredSecret.objects.filter(tenant_id=tenant_id)
        if not reference.startswith(_SCHEME):
            return rows.filter(name=reference).exclude(name="")
        try:
            return rows.filter(secret_id=uuid.UUID(reference.removeprefix(_SCHEME)))
        except ValueError:
            raise SecretUnavailable("The reference is not one of this store.") from None


def secret_store() -> SecretStore:
    """The configured store."""
    return EmbeddedSecretStore()


def is_generated(reference: str) -> bool:
    """Whether this service made the reference; a secret with a well-known name belongs to its operator."""
    return reference.startswith(_SCHEME)


def put_credential(tenant_id: str, credential: dict[str, str]) -> str:
    """Keep a credential object and return its reference."""
    return secret_store().put(tenant_id, orjson.dumps(credential).decode())


def get_credential(tenant_id: str, reference: str) -> dict[str, str]:
    """The credential object behind a reference; ``{}`` for an empty reference (receive-only connections)."""
    if not reference:
        return {}
    try:
        value = orjson.loads(secret_store().get(tenant_id, reference))
    except orjson.JSONDecodeError:
        raise SecretUnavailable("The secret is not a credential object.") from None
    if not isinstance(value, dict):
        raise SecretUnavailable("The secret is not a credential object.")
    return value


@cache
def _cipher() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.SECRETS_KEYS])
