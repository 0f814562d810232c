"""What can be done to a connection, for the API and the admin alike.

Every function writes one history entry. Problems a caller can do something about raise ``ServiceError``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.conf import settings as deployment
from django.db import transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from connections import expiry, history, validation
from connections.credentials import forget
from connections.errors import ServiceError
from connections.incidents import Cause, raise_incident
from connections.lifecycle import MOVES, require_move
from connections.locking import locked, present
from connections.models import ConnectionRoute, ConnectionStatus, IncidentSeverity, IntegrationConnection
from connections.secret_store import credential_text, keeping
from connections.verification import verify_connection as verify_connection
from providers import registry
from providers.models import IntegrationProvider, ProviderStatus
from providers.redaction import redact_text
from providers.spi import Adapter
from providers.verification import UnsignedScheme


def create_connection(
    *,
    tenant_id: str,
    provider_id: str,
    display_name: str,
    credential: Mapping[str, Any] | None = None,
    auth_ref: str = "",
    granted_ref: str = "",
    enabled_capabilities: Mapping[str, Any] | None = None,
    metadata_tags: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    api_version: str = "",
    credential_expires_at: datetime | None = None,
    actor: str,
) -> IntegrationConnection:
    """A new connection, pending verification. A ``credential`` goes into the secret store at once.

    ``granted_ref`` leads to what a person granted to this service itself (``connections.tokens.keep_granted``).
    Without ``enabled_capabilities`` all the adapter can do is on, or receiving alone if there is neither
    credential nor ``auth_ref``.
    """
    provider, adapter = _provider(provider_id)
    if credential is not None and auth_ref:
        raise validation.invalid(validation.problem("/credential", "give either credential or auth_ref, not both"))
    has_credential = credential is not None or bool(auth_ref or granted_ref)
    if enabled_capabilities is None:
        enabled_capabilities = adapter.capabilities() if has_credential else {"webhook": adapter.webhook is not None}
    capabilities = validation.checked_capabilities(adapter, enabled_capabilities)
    _require_credential(capabilities, has_credential=has_credential)
    settings = dict(settings or {})
    validation.check_settings(adapter, settings)
    values = {
        "display_name": validation.checked_name(display_name),
        "enabled_capabilities": capabilities,
        "metadata_tags": validation.checked_tags(metadata_tags or {}),
        "settings": settings,
        "api_version": validation.checked_version(adapter, api_version),
        "credential_expires_at": credential_expires_at,
    }
    if auth_ref:
        validation.check_auth_ref(adapter, tenant_id, auth_ref)
    if credential is not None:
        validation.check_credential(adapter, credential)
    own = credential_text(credential) if credential is not None else ""
    with keeping(tenant_id, own) as (own_ref,), transaction.atomic():
        connection = IntegrationConnection.objects.create(
            tenant_id=tenant_id, provider=provider, auth_ref=own_ref or auth_ref or granted_ref, **values
        )
        history.record(connection, "created", actor=actor)
    return connection


def update_connection(connection: IntegrationConnection, *, actor: str, **changes: Any) -> IntegrationConnection:
    """Change what may be changed: name, capabilities, tags, settings, API version, day of expiry, status.

    Each given value replaces the old one whole. ``status`` may be ``active`` or ``suspended``. A changed
    address makes an active connection pending again: its credential was proven elsewhere. So does the first
    use for calls of a connection that was proven by a delivery alone.
    """
    with transaction.atomic():
        row = locked(connection)
        adapter, before = _registered(row.provider_id), row.status
        wanted_status = changes.pop("status", None)
        new = _checked_changes(row, adapter, changes)
        changed = sorted(name for name, value in new.items() if getattr(row, name) != value)
        moved = "settings" in changed and validation.origin(new["settings"]) != validation.origin(row.settings)
        only_received = row.only_receives
        for name in changed:
            setattr(row, name, new[name])
        # A delivery proved its sender, not a credential that no call was made with.
        unproven = moved or (only_received and not row.only_receives and not row.account)
        if unproven and row.auth_ref and row.status in (ConnectionStatus.ACTIVE, ConnectionStatus.ERROR):
            row.status = ConnectionStatus.PENDING_VERIFICATION
        if unproven:
            row.last_verified_at = None
        if changed:
            row.streams_stale = True
            row.save()
            pending = " It has to be verified again." if row.status != before else ""
            history.record(row, "updated", actor=actor, detail=f"Changed: {', '.join(changed)}.{pending}")
        if "credential_expires_at" in changed:
            expiry.look_at(row)
        if wanted_status is not None:
            _set_wanted_status(row, wanted_status, actor=actor)
    return row


def suspend_connection(connection: IntegrationConnection, *, actor: str) -> IntegrationConnection:
    """Stop receiving, polling and acting; nothing is forgotten."""
    with transaction.atomic():
        row = locked(connection)
        _set_wanted_status(row, ConnectionStatus.SUSPENDED, actor=actor)
    return row


def resume_connection(connection: IntegrationConnection, *, actor: str) -> IntegrationConnection:
    """Go on after a suspension: ``active``, or pending if the connection was never verified."""
    with transaction.atomic():
        row = locked(connection)
        _set_wanted_status(row, ConnectionStatus.ACTIVE, actor=actor)
    return row


def delete_connection(connection: IntegrationConnection, *, actor: str) -> None:
    """Soft: the row and its events stay as evidence; its doors close and its secrets are removed.

    What was made at the provider is removed there first, as far as the provider lets us.
    """
    seen = present(connection)
    for path in deployment.CONNECTION_LEAVERS:
        leave: Callable[..., None] = import_string(path)
        leave(seen, actor=actor)
    with transaction.atomic():
        row = locked(connection)
        require_move(row.status, ConnectionStatus.DELETED)
        for path in deployment.CONNECTION_CLOSERS:
            close: Callable[..., None] = import_string(path)
            close(row, actor=actor)
        reference, row.auth_ref = row.auth_ref, ""
        row.status, row.streams_stale = ConnectionStatus.DELETED, True
        row.save()
        ConnectionRoute.objects.filter(connection=row).delete()
        forget(row.tenant_id, reference)
        history.record(row, "deleted", actor=actor)


def waive_signatures(connection: IntegrationConnection, *, actor: str, reason: str) -> IntegrationConnection:
    """Accept by name that deliveries of this connection prove nothing beyond knowing the URL.

    Only doors of an unsigned scheme are concerned; signed ones stay as they are.
    """
    reason = reason.strip()
    if not 10 <= len(reason) <= 500:
        raise validation.invalid(validation.problem("/reason", "must say why, in 10 to 500 characters"))
    with transaction.atomic():
        row = locked(connection)
        webhook = _registered(row.provider_id).webhook
        if webhook is None or not any(isinstance(scheme, UnsignedScheme) for scheme in webhook.schemes.values()):
            message = "Every delivery of this provider proves its sender; there is nothing to waive."
            raise ServiceError("NOTHING_TO_WAIVE", message, status=409)
        row.unsigned_waiver_by, row.unsigned_waiver_reason = actor[:200], redact_text(reason)
        row.unsigned_waiver_at = timezone.now()
        row.save()
        history.record(row, "signatures_waived", actor=actor, detail=reason)
    return row


def withdraw_waiver(connection: IntegrationConnection, *, actor: str) -> IntegrationConnection:
    """Refuse unsigned deliveries again."""
    with transaction.atomic():
        row = locked(connection)
        if row.waives_signatures:
            row.unsigned_waiver_by = row.unsigned_waiver_reason = ""
            row.unsigned_waiver_at = None
            row.save()
            history.record(row, "waiver_withdrawn", actor=actor)
    return row


def authorisation_ended(connection: IntegrationConnection, *, actor: str) -> None:
    """The provider says that the credential is revoked or the app removed: calls are over until a person acts."""
    message = "The provider says that this authorisation has ended. Authorise again, then verify."
    with transaction.atomic():
        row = locked(connection)
        if ConnectionStatus.ERROR not in MOVES[row.status]:
            return
        row.status, row.last_error, row.last_error_at = ConnectionStatus.ERROR, message, timezone.now()
        row.last_verified_at, row.streams_stale = None, True
        row.save()
        ConnectionRoute.objects.filter(connection=row).delete()
        history.record(row, "authorisation_ended", actor=actor, outcome="failed", detail=message)
        summary = f"{row.display_name[:150]}: the provider has ended the authorisation"
        severity = IncidentSeverity.ERROR
        raise_incident(row, Cause.CREDENTIAL_REFUSED, severity=severity, summary=summary, detail=message)


def receives_only(connection: IntegrationConnection) -> bool:
    """Whether there is nothing to call the provider with: its first valid delivery is its verification."""
    return not connection.auth_ref


def _provider(provider_id: str) -> tuple[IntegrationProvider, Adapter]:
    provider = IntegrationProvider.objects.filter(provider_id=provider_id, registered=True).first()
    try:
        adapter = registry.get(provider_id)
    except registry.UnknownProvider:
        provider = None
    if provider is None:
        raise validation.invalid(validation.problem("/provider_id", "is not a known provider"))
    if provider.status == ProviderStatus.DEPRECATED:
        raise ServiceError("PROVIDER_DEPRECATED", f"{provider.name} takes no new connections.", status=409)
    return provider, adapter


def _registered(provider_id: str) -> Adapter:
    try:
        return registry.get(provider_id)
    except registry.UnknownProvider:
        raise ServiceError(
            "PROVIDER_UNAVAILABLE", "This deployment no longer has the provider's adapter.", status=409
        ) from None


def _require_credential(capabilities: Mapping[str, bool], *, has_credential: bool) -> None:
    if not has_credential and (capabilities["polling"] or capabilities["outbound_actions"]):
        reason = "credential or auth_ref is needed unless the connection only receives webhooks"
        raise validation.invalid(validation.problem("/credential", reason))


def _checked_changes(row: IntegrationConnection, adapter: Adapter, changes: Mapping[str, Any]) -> dict[str, Any]:
    new: dict[str, Any] = {}
    for name, value in changes.items():
        match name:
            case "display_name":
                new[name] = validation.checked_name(value)
            case "enabled_capabilities":
                new[name] = validation.checked_capabilities(adapter, value)
                _require_credential(new[name], has_credential=bool(row.auth_ref))
            case "metadata_tags":
                new[name] = validation.checked_tags(value)
            case "settings":
                validation.check_settings(adapter, value)
                new[name] = dict(value)
            case "credential_expires_at":
                new[name] = value
            case "api_version":
                new[name] = validation.checked_version(adapter, value)
            case _:
                raise TypeError(f"{name} of a connection cannot be changed")
    return new


def _set_wanted_status(row: IntegrationConnection, wanted: str, *, actor: str) -> None:
    """Suspend or resume a locked row; asking for what already is changes nothing."""
    if wanted == row.status:
        return
    if wanted == ConnectionStatus.ACTIVE:
        if row.status != ConnectionStatus.SUSPENDED:
            message = f"A connection that is {row.status} becomes active by being verified."
            raise ServiceError("INVALID_STATUS_CHANGE", message, {"status": row.status, "wanted": wanted}, status=409)
        wanted = ConnectionStatus.ACTIVE if row.last_verified_at else ConnectionStatus.PENDING_VERIFICATION
    require_move(row.status, wanted)
    operation = "suspended" if wanted == ConnectionStatus.SUSPENDED else "resumed"
    if row.status == ConnectionStatus.ERROR:
        # A credential that failed is not proven by a pause: resuming makes it pending. The history keeps the time.
        row.last_verified_at = None
    row.status, row.streams_stale = wanted, True
    row.save(update_fields=["status", "last_verified_at", "streams_stale", "updated_at"])
    history.record(row, operation, actor=actor)
