"""The port to secrets: everything else holds references only.

A reference is ``secret:<uuid>``. The embedded store keeps Fernet ciphertext in the database
(``cryptography``'s MultiFernet: the first key of ``SECRETS_KEYS`` writes, every key reads). A secret is
bound to its tenant: asked for by another tenant it is not there.
"""

from __future__ import annotations

import uuid
from functools import cache
from typing import Protocol

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from connections.models import StoredSecret

_SCHEME = "secret:"


class SecretUnavailable(Exception):
    """The reference leads to nothing readable. The message never holds a secret."""


class SecretStore(Protocol):
    """What a secret store must offer."""

    def put(self, tenant_id: str, value: str) -> str:
        """Keep ``value`` and return its reference."""

    def get(self, tenant_id: str, reference: str) -> str:
        """The value behind ``reference``. Raises ``SecretUnavailable``."""

    def delete(self, tenant_id: str, reference: str) -> None:
        """Forget the value; forgetting twice is harmless."""


class EmbeddedSecretStore:
    """Encrypted rows in our own database."""

    def put(self, tenant_id: str, value: str) -> str:
        row = StoredSecret.objects.create(tenant_id=tenant_id, ciphertext=_cipher().encrypt(value.encode()))
        return f"{_SCHEME}{row.secret_id}"

    def get(self, tenant_id: str, reference: str) -> str:
        row = StoredSecret.objects.filter(secret_id=_id_of(reference), tenant_id=tenant_id).first()
        if row is None:
            raise SecretUnavailable("The secret does not exist.")
        try:
            return _cipher().decrypt(bytes(row.ciphertext)).decode()
        except InvalidToken:
            raise SecretUnavailable("The secret cannot be read with any configured key.") from None

    def delete(self, tenant_id: str, reference: str) -> None:
        StoredSecret.objects.filter(secret_id=_id_of(reference), tenant_id=tenant_id).delete()


def secret_store() -> SecretStore:
    """The configured store."""
    return EmbeddedSecretStore()


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


def _id_of(reference: str) -> uuid.UUID:
    try:
        return uuid.UUID(reference.removeprefix(_SCHEME)) if reference.startswith(_SCHEME) else uuid.UUID(int=0)
    except ValueError:
        raise SecretUnavailable("The reference is not one of this store.") from None
