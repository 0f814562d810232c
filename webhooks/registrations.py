"""Doors of a connection: opening, closing, and changing their locks."""

from __future__ import annotations

import hashlib
import secrets as random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from connections import history, validation
from connections.errors import ServiceError
from connections.models import ConnectionStatus, IntegrationConnection
from connections.runtime import adapter_for
from connections.secret_store import SecretsUnreachable, SecretUnavailable, is_generated, keeping, secret_store
from connections.tenancy import SHARED_TENANT
from providers import registry
from providers.registry import UnknownProvider
from providers.spi import Webhook
from providers.verification import UnsignedScheme
from webhooks.locks import Lock, checked_secret, new_lock
from webhooks.models import RegistrationStatus, WebhookRegistration

log = structlog.get_logger(__name__)

TOKEN_BYTES = 32
MAX_REGISTRATIONS = 50
SECRET_UNTOLD = "The provider has not been told the new secret yet."
HOOKS_LEFT = "The hooks at the provider have not been removed yet."

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
    made_through_api: bool = False,
) -> IssuedRegistration:
    """A new door with a URL of its own. Without ``secret`` or ``secret_ref`` the signing secret is made here.

    A scheme that proves nothing needs the connection's waiver, and has no secret. ``made_through_api``: the
    provider will be told URL and secret by us, not by a person.
    """
    lock = new_lock(
        webhook_of(connection),
        connection.tenant_id,
        scheme,
        secret=secret,
        secret_ref=secret_ref,
        made_through_api=made_through_api,
    )
    _check_events(lock.webhook, events_subscribed)
    if isinstance(lock.scheme, UnsignedScheme) and not connection.waives_signatures:
        message = "Such deliveries prove nothing; the connection needs a waiver that says who accepts that and why."
        raise ServiceError("WAIVER_REQUIRED", message, {"scheme": lock.name}, status=409)
    with _new_door(connection.provider_id, connection.tenant_id, lock) as door, transaction.atomic():
        # The connection's row is locked so that a deletion cannot pass between the check and the insert.
        owner = IntegrationConnection.objects.select_for_update().get(pk=connection.pk)
        if owner.status == ConnectionStatus.DELETED:
            raise ServiceError("NOT_FOUND", "The connection does not exist.", status=404)
        open_doors = WebhookRegistration.objects.filter(connection=owner).exclude(status=RegistrationStatus.DELETED)
        if open_doors.count() >= MAX_REGISTRATIONS:
            message = f"A connection has at most {MAX_REGISTRATIONS} webhook registrations."
            raise ServiceError("LIMIT_REACHED", message, status=409)
        issued = _issue(connection.provider_id, owner, lock, door, events_subscribed)
        detail = f"Registration {issued.registration.pk}, scheme {lock.name}."
        history.record(owner, "webhook_created", actor=actor, detail=detail)
    return issued


def create_shared_registration(
    provider_id: str, *, actor: str, secret: str = "", scheme: str = ""
) -> IssuedRegistration:
    """The one door of an app that many tenants have installed; each delivery is routed by what it says."""
    try:
        webhook = registry.get(provider_id).webhook
    except UnknownProvider:
        webhook = None
    if webhook is None or not webhook.routed:
        raise validation.invalid(validation.problem("/provider_id", "has no app with one URL for many accounts"))
    lock = new_lock(webhook, SHARED_TENANT, scheme, secret=secret, secret_ref="")
    if isinstance(lock.scheme, UnsignedScheme):
        raise validation.invalid(validation.problem("/scheme", "must prove the sender at a shared door"))
    with _new_door(provider_id, SHARED_TENANT, lock) as door:
        issued = _issue(provider_id, None, lock, door, ())
    log.info("webhook.shared_created", registration_id=str(issued.registration.pk), actor=actor)
    return issued


def _check_events(webhook: Webhook, events_subscribed: Sequence[str]) -> None:
    unknown = sorted(set(events_subscribed) - set(webhook.event_types)) if webhook.event_types else []
    if unknown:
        reason = f"names events the provider does not send: {', '.join(unknown)}; it knows "
        reason += ", ".join(webhook.event_types)
        raise validation.invalid(validation.problem("/events_subscribed", reason))


@dataclass(frozen=True, slots=True)
class _NewDoor:
    """What has to be in the secret store before there is a row that refers to it."""

    token_hash: bytes
    url: str = field(repr=False)
    url_ref: str
    secret_ref: str


@contextmanager
def _new_door(provider_id: str, tenant_id: str, lock: Lock) -> Iterator[_NewDoor]:
    token = random.token_urlsafe(TOKEN_BYTES)
    url = f"{settings.PUBLIC_BASE_URL}/v1/integrations/webhooks/{provider_id}/{token}"
    with keeping(tenant_id, url, lock.secret) as (url_ref, own_ref):
        yield _NewDoor(hashlib.sha256(token.encode()).digest(), url, url_ref, lock.secret_ref or own_ref)


def _issue(
    provider_id: str,
    connection: IntegrationConnection | None,
    lock: Lock,
    door: _NewDoor,
    events_subscribed: Sequence[str],
) -> IssuedRegistration:
    registration = WebhookRegistration.objects.create(
        tenant_id=connection.tenant_id if connection is not None else SHARED_TENANT,
        provider_id=provider_id,
        connection=connection,
        token_hash=door.token_hash,
        url_ref=door.url_ref,
        scheme=lock.name,
        secret_ref=door.secret_ref,
        secret_since=timezone.now(),
        events_subscribed=list(dict.fromkeys(events_subscribed)),
    )
    return IssuedRegistration(registration, door.url, lock.secret)


def rotate_secret(registration: WebhookRegistration, *, actor: str, secret: str = "") -> IssuedRegistration:
    """A new signing secret; the old one verifies until the grace ends (``WEBHOOK_SECRET_GRACE_SECONDS``).

    A new secret that nobody has used yet is replaced, and the one before it keeps what is left of its grace: the
    provider may still have that one, where the answer to the first rotation was lost or nobody acted on it.
    Where hooks were made at the provider, telling them is due from now on (``webhooks.provider_hooks``); until they
    all know it, and while another process is busy with them, there is no further one: ``ServiceError`` (409).
    """
    webhook = registry.get(registration.provider_id).webhook
    if webhook is None or registration.scheme not in webhook.schemes:
        raise ServiceError("PROVIDER_UNAVAILABLE", "This deployment no longer has the signature scheme.", status=409)
    if isinstance(webhook.schemes[registration.scheme], UnsignedScheme):
        raise ServiceError("NOTHING_TO_ROTATE", "Deliveries to this door are not signed.", status=409)
    must_be_given = registration.scheme in webhook.secret_from_provider and not registration.provider_hooks
    issued = checked_secret(webhook.schemes[registration.scheme].secret_form, secret, must_be_given=must_be_given)
    now = timezone.now()
    with keeping(registration.tenant_id, issued) as (new_ref,), transaction.atomic():
        row = locked(registration)
        require_hooks_free(row)
        if row.is_untold:
            message = "The provider does not know the last new secret yet; rotate without a secret to tell it again."
            raise ServiceError("ROTATION_UNFINISHED", message, status=409)
        if _is_spare(row, now):
            outdated = row.secret_ref
            row.previous_secret_version = row.previous_secret_version or row.secret_version - 1
        else:
            outdated = row.previous_secret_ref
            row.previous_secret_ref, row.previous_secret_version = row.secret_ref, row.secret_version
            row.previous_secret_until = now + timedelta(seconds=settings.WEBHOOK_SECRET_GRACE_SECONDS)
            row.previous_secret_used_at, row.secret_used_at = row.secret_used_at, None
        row.secret_ref, row.secret_since = new_ref, now
        row.secret_version += 1
        row.hooks_told = None
        if row.provider_hooks:
            row.hook_attempts, row.hook_retry_at, row.hook_error = 0, now, SECRET_UNTOLD
        row.save()
        _forget(row.tenant_id, [outdated])
        _tell(row, "webhook_secret_rotated", actor=actor)
    return IssuedRegistration(row, public_url(row), issued)


def _is_spare(row: WebhookRegistration, now: datetime) -> bool:
    """Whether nobody needs the current secret yet, while the one before it still verifies.

    Hooks at the provider were told it.
    """
    in_grace = row.previous_secret_until is not None and row.previous_secret_until > now
    return in_grace and row.secret_used_at is None and not row.provider_hooks


def require_hooks_free(row: WebhookRegistration) -> None:
    """Raises ``ServiceError`` (409) while a process is busy with the door's hooks at the provider."""
    if row.hooks_are_held:
        message = "Somebody else is making, telling or removing the hooks of this webhook; try again shortly."
        raise ServiceError("HOOKS_BUSY", message, status=409)


def drop_previous_secret(registration: WebhookRegistration, *, actor: str) -> WebhookRegistration:
    """End the grace of a rotation now: what the old secret signs is refused from now on."""
    with transaction.atomic():
        row = locked(registration)
        if not row.previous_secret_ref:
            raise ServiceError("NOTHING_TO_DROP", "There is no secret before the current one.", status=409)
        reference, row.previous_secret_ref = row.previous_secret_ref, ""
        row.previous_secret_until = row.previous_secret_used_at = row.previous_secret_version = None
        row.save()
        _forget(row.tenant_id, [reference])
        _tell(row, "webhook_secret_dropped", actor=actor)
    return row


def suspend_registration(registration: WebhookRegistration, *, actor: str) -> WebhookRegistration:
    """The door answers as if it were not there."""
    return _move(registration, RegistrationStatus.SUSPENDED, "webhook_suspended", actor=actor)


def resume_registration(registration: WebhookRegistration, *, actor: str) -> WebhookRegistration:
    """Open a suspended door again."""
    return _move(registration, RegistrationStatus.ACTIVE, "webhook_resumed", actor=actor)


def delete_registration(registration: WebhookRegistration, *, actor: str) -> None:
    """Soft: the row stays as evidence; its URL and secrets are removed for good.

    Hooks at the provider are due for removal from now on (``webhooks.provider_hooks``).
    """
    _move(registration, RegistrationStatus.DELETED, "webhook_deleted", actor=actor)


def close_all(connection: IntegrationConnection, *, actor: str) -> None:
    """Delete every registration of a connection that is being deleted."""
    for registration in WebhookRegistration.objects.filter(connection=connection).exclude(
        status=RegistrationStatus.DELETED
    ):
        delete_registration(registration, actor=actor)


def public_url(registration: WebhookRegistration) -> str:
    """The whole URL, token included: for those who manage the connection. Empty where it cannot be read."""
    if not registration.url_ref:
        return ""
    try:
        return secret_store().get(registration.tenant_id, registration.url_ref)
    except (SecretUnavailable, SecretsUnreachable):
        return ""


def masked_url(registration: WebhookRegistration) -> str:
    """The URL with its token hidden: for those who may only look."""
    return f"{settings.PUBLIC_BASE_URL}/v1/integrations/webhooks/{registration.provider_id}/********"


def webhook_of(connection: IntegrationConnection) -> Webhook:
    """The push road of the connection's provider. Raises ``ServiceError`` (409) where it is not used."""
    try:
        webhook = adapter_for(connection).webhook
    except UnknownProvider:
        webhook = None
    if webhook is None or not connection.uses("webhook"):
        message = "The connection does not use webhooks; switch the capability on first."
        raise ServiceError("CAPABILITY_DISABLED", message, {"capability": "webhook"}, status=409)
    return webhook


def _move(
    registration: WebhookRegistration, wanted: RegistrationStatus, operation: str, *, actor: str
) -> WebhookRegistration:
    with transaction.atomic():
        row = locked(registration)
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
            row.hook_attempts, row.hook_error = 0, HOOKS_LEFT if row.provider_hooks else ""
            row.hook_retry_at = timezone.now() if row.provider_hooks else None
            row.save()
            _forget(row.tenant_id, references)
        else:
            row.save(update_fields=["status", "updated_at"])
        _tell(row, operation, actor=actor)
    return row


def _tell(row: WebhookRegistration, operation: str, *, actor: str) -> None:
    if row.connection is not None:
        history.record(row.connection, operation, actor=actor, detail=f"Registration {row.pk}.")
    log.info(f"webhook.{operation}", registration_id=str(row.pk), actor=actor)


def locked(registration: WebhookRegistration) -> WebhookRegistration:
    """The row as it is now, locked for the caller's transaction. Raises ``ServiceError`` (404) once it is deleted."""
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
