"""HTTP client of key management (M33).

| here | there |
|---|---|
| read | ``GET /v1/secrets/{secret_id}``: 404 not there, 403 another tenant's |
| write | ``PUT /v1/secrets/{secret_id}`` |
| renew | ``POST /v1/secrets/{secret_id}/refresh``: 409 it cannot be renewed |
| forget | a ``PUT`` of a word that stands for nothing: the service knows no removal |

``secret_id`` is the operator's name, or ``integration-adapters-<uuid>`` for a secret this service makes. Values are
remembered in the memory of the process, ``REMEMBERED_SECONDS`` at most. The token is the tenant's secret
``platform/kms`` in our own database, else ``PLATFORM_TOKEN``.
"""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import orjson
import uuid6
from cachetools import TTLCache
from django.conf import settings
from django.db.models.functions import Now

from connections.exchange import Answer, NoAnswer, exchange
from connections.models import ForgottenSecret
from connections.secret_port import REMEMBERED_SECONDS, SecretStore, SecretsUnreachable, SecretUnavailable
from providers.document import moment_of
from providers.known_secrets import remember

SCHEME = "kms:"
TOKEN_NAME = "platform/kms"

# After a failure nobody of this process asks for so long: many callers need not wait for the same time-out.
REST_SECONDS = 2.0

_FORGOTTEN = "[forgotten]"
_MAX_REMEMBERED = 10_000
_ID_PREFIX = "integration-adapters-"

_remembered: TTLCache[tuple[str, str, str], str | None] = TTLCache(_MAX_REMEMBERED, ttl=REMEMBERED_SECONDS)
_unanswered: TTLCache[str, str] = TTLCache(10, ttl=REST_SECONDS)
_lock = threading.Lock()


def forget_remembered() -> None:
    """Empty the memory of this process."""
    with _lock:
        _remembered.clear()
        _unanswered.clear()


class KmsSecretStore:
    """Key management for what is written from now on; what was kept in the database before stays readable there."""

    def __init__(self, base_url: str, timeout_seconds: float, before: SecretStore) -> None:
        self._base_url = base_url
        self._timeout = timeout_seconds
        self._before = before

    def put(self, tenant_id: str, value: str, *, name: str = "") -> str:
        if name == TOKEN_NAME:
            return self._before.put(tenant_id, value, name=name)
        reference = name or f"{SCHEME}{uuid6.uuid7()}"
        self._write(tenant_id, reference, value)
        if name:
            self._before.delete(tenant_id, name)
        return reference

    def get(self, tenant_id: str, reference: str, *, fresh: bool = False) -> str:
        if self._is_before(reference):
            return self._before.get(tenant_id, reference)
        value = self._read(tenant_id, reference, fresh=fresh)
        if value is not None:
            remember(value)
            return value
        if not reference.startswith(SCHEME):
            return self._before.get(tenant_id, reference)
        raise SecretUnavailable("The secret does not exist.")

    def replace(self, tenant_id: str, reference: str, value: str) -> None:
        if self._is_before(reference):
            self._before.replace(tenant_id, reference, value)
        elif self._read(tenant_id, reference, fresh=True) is None:
            if reference.startswith(SCHEME):
                raise SecretUnavailable("The secret does not exist.")
            self._before.replace(tenant_id, reference, value)
        else:
            self._write(tenant_id, reference, value)

    def refresh(self, tenant_id: str, reference: str) -> str | None:
        if self._is_before(reference):
            return None
        answer = self._call("POST", tenant_id, reference, "/refresh")
        self._drop(tenant_id, reference)
        if answer.status == 404:
            return None
        if answer.status == 409:
            raise SecretUnavailable("Key management can no longer renew the secret.")
        if answer.status != 200:
            raise _refused(answer)
        return self._taken_in(tenant_id, reference, answer)

    def delete(self, tenant_id: str, reference: str) -> None:
        if not reference.startswith(SCHEME):
            self._before.delete(tenant_id, reference)
            return
        row = ForgottenSecret(tenant_id=tenant_id, reference=reference, next_attempt_at=Now())
        ForgottenSecret.objects.bulk_create([row], ignore_conflicts=True)
        self._drop(tenant_id, reference)

    def forget(self, tenant_id: str, reference: str) -> None:
        """Overwrite a secret nobody needs any more, so that its current version holds nothing."""
        self._write(tenant_id, reference, _FORGOTTEN)

    def _is_before(self, reference: str) -> bool:
        return reference == TOKEN_NAME or reference.startswith("secret:")

    def _read(self, tenant_id: str, reference: str, *, fresh: bool) -> str | None:
        """``None``: it is not there."""
        key = (self._base_url, tenant_id, reference)
        with _lock:
            if not fresh and key in _remembered:
                return _remembered[key]
        answer = self._call("GET", tenant_id, reference)
        if answer.status == 200:
            return self._taken_in(tenant_id, reference, answer)
        # A name every tenant has: that it is another's says only that this one has none there.
        of_another = answer.status == 403 and reference.startswith("platform/")
        if answer.status != 404 and not of_another:
            raise _refused(answer)
        with _lock:
            _remembered[key] = None
        return None

    def _taken_in(self, tenant_id: str, reference: str, answer: Answer) -> str | None:
        """The value of an answer, remembered unless it ends before it would be forgotten."""
        document = answer.document()
        value = document.get("secret_value") if isinstance(document, dict) else None
        if isinstance(value, dict):  # a credential object that was kept as one
            value = orjson.dumps(value).decode()
        if not isinstance(value, str) or not value:
            raise SecretsUnreachable("The answer of the key management is not understood.")
        found = None if value == _FORGOTTEN else value
        ends_at = moment_of(document.get("expires_at"))
        if ends_at is None or ends_at > datetime.now(UTC) + timedelta(seconds=REMEMBERED_SECONDS):
            with _lock:
                _remembered[self._base_url, tenant_id, reference] = found
        return found

    def _write(self, tenant_id: str, reference: str, value: str) -> None:
        remember(value)
        self._drop(tenant_id, reference)
        answer = self._call("PUT", tenant_id, reference, body={"secret_value": value})
        # Somebody may have read the old one while the new one was on its way.
        self._drop(tenant_id, reference)
        if answer.status not in (200, 201, 204):
            raise SecretsUnreachable(f"Key management did not take the secret ({answer.status}).")

    def _drop(self, tenant_id: str, reference: str) -> None:
        with _lock:
            _remembered.pop((self._base_url, tenant_id, reference), None)

    def _call(self, method: str, tenant_id: str, reference: str, verb: str = "", *, body: Any = None) -> Answer:
        path = f"/v1/secrets/{quote(_secret_id(reference), safe='', errors='replace')}{verb}"
        with _lock:
            if (why := _unanswered.get(self._base_url)) is not None:
                raise SecretsUnreachable(why)
        headers = {"X-Tenant-ID": tenant_id}
        if token := self._token(tenant_id):
            headers["Authorization"] = f"Bearer {token}"
        try:
            return exchange(
                method, self._base_url + path, headers, body, timeout_seconds=self._timeout, service="key management"
            )
        except NoAnswer as error:
            if error.unreachable:
                with _lock:
                    _unanswered[self._base_url] = str(error)
            raise SecretsUnreachable(str(error)) from None

    def _token(self, tenant_id: str) -> str:
        try:
            return self._before.get(tenant_id, TOKEN_NAME)
        except SecretUnavailable:
            return settings.PLATFORM_TOKEN


def _secret_id(reference: str) -> str:
    if not reference.startswith(SCHEME):
        # Dots alone would lead elsewhere; what this service made has references of its own.
        if not reference.strip(".") or reference.startswith(_ID_PREFIX):
            raise SecretUnavailable("The reference is not one of this store.")
        return reference
    try:
        return f"{_ID_PREFIX}{uuid.UUID(reference.removeprefix(SCHEME))}"
    except ValueError:
        raise SecretUnavailable("The reference is not one of this store.") from None


def _refused(answer: Answer) -> Exception:
    """What a status means for the secret: only a clear word about it says that it cannot be read."""
    if answer.status == 403:
        return SecretUnavailable("Key management does not give this secret to this tenant.")
    return SecretsUnreachable(f"Key management cannot be asked now ({answer.status}).")
