"""Overwriting secrets in key management that nobody needs any more (``connections.outbox``)."""

from __future__ import annotations

import uuid

import structlog

from connections import outbox
from connections.models import ForgottenSecret
from connections.outbox import NotTaken, Sent
from connections.secret_kms import KmsSecretStore
from connections.secret_store import SecretsUnreachable, SecretUnavailable, secret_store

log = structlog.get_logger(__name__)

SECRETS_A_RUN = 100


def forget_due() -> Sent:
    """Overwrite what is due, a bounded number and for a bounded time. Without key management nothing is done."""
    store = secret_store()
    if not isinstance(store, KmsSecretStore):
        return Sent()
    token = uuid.uuid4()
    return outbox.send_each(
        outbox.claim(ForgottenSecret.objects.all(), token, limit=SECRETS_A_RUN),
        token,
        tell=lambda row: _forget(store, row, token),
        failed=lambda row, error: _mark_failed(row, token, error),
    )


def _forget(store: KmsSecretStore, row: ForgottenSecret, token: uuid.UUID) -> int:
    try:
        store.forget(row.tenant_id, row.reference)
    except SecretsUnreachable as error:
        raise NotTaken(error.message) from None
    except SecretUnavailable as error:
        raise NotTaken(str(error)) from None
    return ForgottenSecret.objects.filter(pk=row.pk, lease_token=token).delete()[0]


def _mark_failed(row: ForgottenSecret, token: uuid.UUID, error: NotTaken) -> None:
    ForgottenSecret.objects.filter(pk=row.pk, lease_token=token).update(
        last_send_error=str(error)[:500], lease_token=None, next_attempt_at=outbox.next_try(row, error)
    )
    log.warning("secret_not_forgotten", tenant_id=row.tenant_id, attempts=row.attempts, error=str(error))
