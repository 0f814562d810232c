"""The port to secrets: everything else holds references only.

| reference | made by | lives |
|---|---|---|
| ``secret:<uuid>`` | this service | encrypted in our database |
| ``kms:<uuid>`` | this service, with ``KMS_SERVICE_URL`` set | in key management |
| a name (``platform/pm3``) | an operator | in key management where that is used and knows it, else in our database |

The embedded store keeps Fernet ciphertext (``cryptography``'s MultiFernet: the first key of ``SECRETS_KEYS`` writes,
every key reads).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from connections.models import StoredSecret
from connections.secret_kms import SCHEME as KMS_SCHEME
from connections.secret_kms import KmsSecretStore
from connections.secret_port import SecretStore
from connections.secret_port import SecretsUnreachable as SecretsUnreachable
from connections.secret_port import SecretUnavailable as SecretUnavailable
from providers.known_secrets import remember

_SCHEME = "secret:"


class EmbeddedSecretStore:
    """Encrypted rows in our own database, written in the caller's transaction."""

    def put(self, tenant_id: str, value: str, *, name: str = "") -> str:
        remember(value)
        ciphertext = _cipher().encrypt(value.encode())
        if name:
            StoredSecret.objects.update_or_create(tenant_id=tenant_id, name=name, defaults={"ciphertext": ciphertext})
            return name
        return f"{_SCHEME}{StoredSecret.objects.create(tenant_id=tenant_id, ciphertext=ciphertext).secret_id}"

    def get(self, tenant_id: str, reference: str, *, fresh: bool = False) -> str:
        row = self._rows(tenant_id, reference).first()
        if row is None:
            raise SecretUnavailable("The secret does not exist.")
        try:
            value = _cipher().decrypt(bytes(row.ciphertext)).decode()
        except InvalidToken:
            raise SecretUnavailable("The secret cannot be read with any configured key.") from None
        remember(value)
        return value

    def replace(self, tenant_id: str, reference: str, value: str) -> None:
        ciphertext = _cipher().encrypt(value.encode())
        if not self._rows(tenant_id, reference).update(ciphertext=ciphertext, updated_at=Now()):
            raise SecretUnavailable("The secret does not exist.")

    def refresh(self, tenant_id: str, reference: str) -> str | None:
        return None

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
    if not settings.KMS_SERVICE_URL:
        return EmbeddedSecretStore()
    return KmsSecretStore(settings.KMS_SERVICE_URL, settings.KMS_TIMEOUT_SECONDS, EmbeddedSecretStore())


def is_generated(reference: str) -> bool:
    """Whether this service made the reference; a secret with a well-known name belongs to its operator."""
    return reference.startswith((_SCHEME, KMS_SCHEME))


def is_kept_here(reference: str) -> bool:
    """Whether what is behind the reference changes with our own rows only."""
    return reference.startswith(_SCHEME)


@contextmanager
def keeping(tenant_id: str, *values: str) -> Iterator[list[str]]:
    """References of new secrets, kept before the block begins its transaction; forgotten if the block fails.

    An empty value has an empty reference.
    """
    store, references = secret_store(), []
    try:
        for value in values:
            reference = store.put(tenant_id, value) if value else ""
            references.append(reference)
        yield references
    except BaseException:
        for reference in filter(None, references):
            store.delete(tenant_id, reference)
        raise


def credential_text(credential: Mapping[str, Any]) -> str:
    """A credential object as it is kept."""
    return orjson.dumps(dict(credential)).decode()


def put_credential(tenant_id: str, credential: dict[str, str]) -> str:
    """Keep a credential object and return its reference."""
    return secret_store().put(tenant_id, credential_text(credential))


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


def reencrypt(*, batch: int = 500) -> tuple[int, int]:
    """Write every stored secret anew with the first of ``SECRETS_KEYS``; returns how many, and how many no key reads.

    What is changed meanwhile was written with the first key already, and is left as it is.
    """
    done = unreadable = 0
    newest, after = Fernet(settings.SECRETS_KEYS[0]), uuid.UUID(int=0)
    while rows := list(StoredSecret.objects.filter(pk__gt=after).order_by("pk")[:batch]):
        after = rows[-1].pk
        for row in rows:
            written = bytes(row.ciphertext)
            if _reads(newest, written):
                continue
            try:
                ciphertext = _cipher().rotate(written)
            except InvalidToken:
                unreadable += 1
                continue
            with transaction.atomic():
                same = StoredSecret.objects.select_for_update().filter(pk=row.pk).first()
                if same is not None and bytes(same.ciphertext) == written:
                    StoredSecret.objects.filter(pk=row.pk).update(ciphertext=ciphertext)
                    done += 1
    return done, unreadable


def _reads(key: Fernet, ciphertext: bytes) -> bool:
    try:
        key.decrypt(ciphertext)
    except InvalidToken:
        return False
    return True


@cache
def _cipher() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.SECRETS_KEYS])
