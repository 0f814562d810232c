"""Doors of a connection: opening, closing, and changing their locks."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from connections import history, validation
from connections.errors import ServiceError
from connections.models import ConnectionStatus, IntegrationConnection
from connections.runtime import adapter_for
from connections.secret_store import SecretUnavailable, is_generated, secret_store
from providers.registry import UnknownProvider
from providers.spi import Webhook
from webhooks.models import RegistrationStatus, WebhookRegistration

TOKEN_BYTES = 32
MIN_SECRET_LENGTH = 8
MAX_SECRET_LENGTH = 1000
MAX_REGISTRATIONS = 50

_MOVES: dict[str, frozenset[str]] = {
    RegistrationStatus.PENDING: frozenset({"active", "suspended", "deleted"}),
    RegistrationStatus.ACTIVE: frozenset({"suspended", "deleted"}),
    RegistrationStatus.SUSPENDED: frozenset({"active", "deleted"}),
    RegistrationStatus.DELETED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class IssuedRegistration:
    """A registration with what is told only now. ``secret`` is empty where the caller gave a reference."""

    registration: WebhookRegistration
    public_url: str = field(repr=False)
    secret: str = field(repr=False)


def create_registration(
    connection: IntegrationConnection,
    *,
    actor: str,
    events_subscribed: Sequence[str] = (),
    secret: str = "",
    secret_ref: str = "",
    scheme: str = "",
) -> IssuedRegistration:
    """A new door with a URL of its own. Without ``secret`` or ``secret_ref`` the signing secret is made here."""
    webhook = _webhook(connection)
    if secret and secret_ref:
        raise validation.invalid(validation.problem("/secret", "give either secret or secret_ref, not both"))
    scheme = scheme or next(iter(webhook.schemes))
    if scheme not in webhook.schemes:
        raise validation.invalid(validation.problem("/scheme", f"must be one of {', '.join(webhook.schemes)}"))
    unknown = sorted(set(events_subscribed) - set(webhook.event_types)) if webhook.event_types else []
    if unknown:
        raise validation.invalid(validation.problem("/events_subscribed", "names events the provider does not send"))
    if secret_ref:
        _check_secret_ref(connection.tenant_id, secret_ref)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    url = f"{settings.PUBLIC_BASE_URL}/v1/integrations/webhooks/{connection.provider_id}/{token}"
    issued = "" if secret_ref else _checked_secret(secret)
    store = secret_store()
    with transaction.atomic():
        # The connection's row is locked so that a deletion cannot pass between the check and the insert.
        owner = IntegrationConnection.objects.select_for_update().get(pk=connection.pk)
        if owner.status == ConnectionStatus.DELETED:
            raise ServiceError("NOT_FOUND", "The connection does not exist.", status=404)
        open_doors = WebhookRegistration.objects.filter(connection=owner).exclude(status=RegistrationStatus.DELETED)
        if open_doors.count() >= MAX_REGISTRATIONS:
            message = f"A connection has at most {MAX_REGISTRATIONS} webhook registrations."
            raise ServiceError("LIMIT_REACHED", message, status=409)
        registration = WebhookRegistration.objects.create(
            tenant_id=connection.tenant_id,
            connection=owner,
            token_hash=hashlib.sha256(token.encode()).digest(),
            url_ref=store.put(connection.tenant_id, url),
            scheme=scheme,
            secret_ref=secret_ref or store.put(connection.tenant_id, issued),
            events_subscribed=list(dict.fromkeys(events_subscribed)),
        )
        history.record(owner, "webhook_created", actor=actor, detail=f"Registration {registration.pk}.")
    return IssuedRegistration(registration, url, issued)


def rotate_secret(registration: WebhookRegistration, *, actor: str, secret: str = "") -> IssuedRegistration:
    """A new signing secret; the old one verifies until the grace ends (``WEBHOOK_SECRET_GRACE_SECONDS``)."""
    issued = _checked_secret(secret)
    store = secret_store()
    with transaction.atomic():
        row = _locked(registration)
        outdated = row.previous_secret_ref
        row.previous_secret_ref = row.secret_ref
        row.previous_secret_until = timezone.now() + timedelta(seconds=settings.WEBHOOK_SECRET_GRACE_SECONDS)
        row.secret_ref = store.put(row.tenant_id, issued)
        row.save()
        _forget(row.tenant_id, [outdated])
        history.record(row.connection, "webhook_secret_rotated", actor=actor, detail=f"Registration {row.pk}.")
    return IssuedRegistration(row, public_url(row), issued)


def suspend_registration(registration: WebhookRegistration, *, actor: str) -> WebhookRegistration:
    """The door answers as if it were not there."""
    return _move(registration, RegistrationStatus.SUSPENDED, "webhook_suspended", actor=actor)


def resume_registration(registration: WebhookRegistration, *, actor: str) -> WebhookRegistration:
    """Open a suspended door again."""
    return _move(registration, RegistrationStatus.ACTIVE, "webhook_resumed", actor=actor)


def delete_registration(registration: WebhookRegistration, *, actor: str) -> None:
    """Soft: the row stays as evidence; its URL and secrets are removed for good."""
    _move(registration, RegistrationStatus.DELETED, "webhook_deleted", actor=actor)


def close_all(connection: IntegrationConnection, *, actor: str) -> None:
    """Delete every registration of a connection that is being deleted."""
    for registration in WebhookRegistration.objects.filter(connection=connection).exclude(
        status=RegistrationStatus.DELETED
    ):
        delete_registration(registration, actor=actor)


def public_url(registration: WebhookRegistration) -> str:
    """The whole URL, token included: for those who manage the connection. Empty once it is deleted."""
    if not registration.url_ref:
        return ""
    try:
        return secret_store().get(registration.tenant_id, registration.url_ref)
    except SecretUnavailable:
        return ""


def masked_url(registration: WebhookRegistration) -> str:
    """The URL with its token hidden: for those who may only look."""
    return f"{settings.PUBLIC_BASE_URL}/v1/integrations/webhooks/{registration.connection.provider_id}/********"


def _webhook(connection: IntegrationConnection) -> Webhook:
    try:
        webhook = adapter_for(connection).webhook
    except UnknownProvider:
        webhook = None
    if webhook is None or not connection.uses("webhook"):
        message = "The connection does not use webhooks; switch the capability on first."
        raise ServiceError("CAPABILITY_DISABLED", message, {"capability": "webhook"}, status=409)
    return webhook


def _checked_secret(secret: str) -> str:
    if not secret:
        return secrets.token_urlsafe(TOKEN_BYTES)
    if not MIN_SECRET_LENGTH <= len(secret) <= MAX_SECRET_LENGTH:
        reason = f"must have {MIN_SECRET_LENGTH} to {MAX_SECRET_LENGTH} characters"
        raise validation.invalid(validation.problem("/secret", reason))
    return secret


def _check_secret_ref(tenant_id: str, secret_ref: str) -> None:
    if len(secret_ref) > 300 or secret_ref.startswith(validation.RESERVED_REFERENCES):
        raise validation.invalid(validation.problem("/secret_ref", "is not a reference a registration can use"))
    try:
        value = secret_store().get(tenant_id, secret_ref)
    except SecretUnavailable as error:
        raise validation.invalid(validation.problem("/secret_ref", str(error))) from None
    if len(value) < MIN_SECRET_LENGTH:
        raise validation.invalid(validation.problem("/secret_ref", "leads to a secret that is too short"))


def _move(
    registration: WebhookRegistration, wanted: RegistrationStatus, operation: str, *, actor: str
) -> WebhookRegistration:
    with transaction.atomic():
        row = _locked(registration)
        if row.status == wanted:
            return row
        if wanted not in _MOVES[row.status]:
            message = f"A registration that is {row.status} cannot become {wanted}."
            raise ServiceError("INVALID_STATUS_CHANGE", message, {"status": row.status, "wanted": wanted}, status=409)
        row.status = wanted
        if wanted == RegistrationStatus.DELETED:
            references = [row.url_ref, row.secret_ref, row.previous_secret_ref]
            row.url_ref = row.secret_ref = row.previous_secret_ref = ""
            row.previous_secret_until = None
            row.save()
            _forget(row.tenant_id, references)
        else:
            row.save(update_fields=["status", "updated_at"])
        history.record(row.connection, operation, actor=actor, detail=f"Registration {row.pk}.")
    return row


def _locked(registration: WebhookRegistration) -> WebhookRegistration:
    row: WebhookRegistration | None = (
        WebhookRegistration.objects.exclude(status=RegistrationStatus.DELETED)
        .select_for_update()
        .filter(pk=registration.pk)
        .first()
    )
    if row is None:
        raise ServiceError("NOT_FOUND", "The webhook registration does not exist.", status=404)
    return row


def _forget(tenant_id: str, references: Iterable[str]) -> None:
    """Remove secrets nothing else refers to: a reference given by the caller may be shared."""
    for reference in filter(is_generated, references):
        doors = Q(secret_ref=reference) | Q(previous_secret_ref=reference) | Q(url_ref=reference)
        used = (
            WebhookRegistration.objects.filter(doors, tenant_id=tenant_id).exists()
            or IntegrationConnection.objects.filter(auth_ref=reference, tenant_id=tenant_id).exists()
        )
        if not used:
            secret_store().delete(tenant_id, reference)
