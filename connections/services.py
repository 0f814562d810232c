"""What can be done to a connection, for the API and the admin alike.

Every function writes one history entry. Problems a caller can do something about raise ``ServiceError``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from django.conf import settings as deployment
from django.db import transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from connections import history, validation
from connections.errors import ServiceError
from connections.incidents import Cause, raise_incident
from connections.lifecycle import MOVES, require_move
from connections.models import ConnectionRoute, ConnectionStatus, IncidentSeverity, IntegrationConnection
from connections.runtime import adapter_for, client_for
from connections.secret_store import is_generated, put_credential, secret_store
from connections.turns import turn
from providers import registry
from providers.errors import ProviderError, QuotaSpent
from providers.models import IntegrationProvider, ProviderStatus
from providers.redaction import redact_text
from providers.spi import Adapter, Identity
from providers.verification import UnsignedScheme

# What a person can do about a failure, by its category.
_ADVICE = {
    "auth": "Check that the credential is complete, unexpired and has the scopes the provider's page lists.",
    "client": "Check the settings of the connection.",
    "rate_limit": "Wait and verify again.",
    "server": "The fault is the provider's; verify again later.",
    "network": "Check the base URL; if it is right, verify again later.",
    "config": "Correct the settings or the credential and verify again.",
}
_NOT_ROUTED = "Deliveries to a shared webhook are not routed here: the address is not the provider's own."


def create_connection(
    *,
    tenant_id: str,
    provider_id: str,
    display_name: str,
    credential: Mapping[str, Any] | None = None,
    auth_ref: str = "",
    enabled_capabilities: Mapping[str, Any] | None = None,
    metadata_tags: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    api_version: str = "",
    actor: str,
) -> IntegrationConnection:
    """A new connection, pending verification. A ``credential`` goes into the secret store at once.

    Without ``enabled_capabilities`` all the adapter can do is on, or receiving alone if there is neither
    credential nor ``auth_ref``.
    """
    provider, adapter = _provider(provider_id)
    if credential is not None and auth_ref:
        raise validation.invalid(validation.problem("/credential", "give either credential or auth_ref, not both"))
    has_credential = credential is not None or bool(auth_ref)
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
    }
    if auth_ref:
        validation.check_auth_ref(adapter, tenant_id, auth_ref)
    if credential is not None:
        validation.check_credential(adapter, credential)
    with transaction.atomic():
        if credential is not None:
            auth_ref = put_credential(tenant_id, dict(credential))
        connection = IntegrationConnection.objects.create(
            tenant_id=tenant_id, provider=provider, auth_ref=auth_ref, **values
        )
        history.record(connection, "created", actor=actor)
    return connection


def update_connection(connection: IntegrationConnection, *, actor: str, **changes: Any) -> IntegrationConnection:
    """Change what may be changed: name, capabilities, tags, settings, API version, status.

    Each given value replaces the old one whole. ``status`` may be ``active`` or ``suspended``. A changed
    address makes an active connection pending again: its credential was proven elsewhere. So does the first
    use for calls of a connection that was proven by a delivery alone.
    """
    with transaction.atomic():
        row = _locked(connection)
        adapter = _registered(row.provider_id)
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
            history.record(row, "updated", actor=actor, detail=f"Changed: {', '.join(changed)}.")
        if wanted_status is not None:
            _set_wanted_status(row, wanted_status, actor=actor)
    return row


def verify_connection(connection: IntegrationConnection, *, actor: str) -> IntegrationConnection:
    """Prove the credential with one real call to the provider: ``active`` or ``error``.

    The call runs outside any transaction, for at most ``PROVIDER_VERIFY_SECONDS`` (a few more where connecting is
    slow), and only while few others do (503).
    If the credential, the settings or the status changed while it ran, what it proved is about the past, and nothing
    is written (409).
    """
    seen = _present(connection)
    _require_verifiable(seen)
    with turn(deployment.PROVIDER_VERIFY_SECONDS):
        identity, remark = _try_credential(seen)
    with transaction.atomic():
        row = _locked(seen)
        _require_verifiable(row)
        if (row.auth_ref, row.settings, row.api_version) != (seen.auth_ref, seen.settings, seen.api_version):
            raise ServiceError("CONFLICT", "The connection changed while it was verified; verify again.", status=409)
        now = timezone.now()
        if identity is not None:
            row.status, row.account, row.last_error = ConnectionStatus.ACTIVE, identity.account[:200], ""
            row.last_verified_at = row.last_success_at = now
            row.consecutive_failures = 0
        else:
            row.status, row.last_error, row.last_error_at = ConnectionStatus.ERROR, remark, now
            row.consecutive_failures += 1
        row.streams_stale = True
        row.save()
        if identity is not None:
            _keep_routes(row, identity)
        outcome = "ok" if identity is not None else "failed"
        told = f"Account: {row.account}. {remark}".strip() if identity is not None else remark
        history.record(row, "verified", actor=actor, outcome=outcome, detail=told)
    return row


def suspend_connection(connection: IntegrationConnection, *, actor: str) -> IntegrationConnection:
    """Stop receiving, polling and acting; nothing is forgotten."""
    with transaction.atomic():
        row = _locked(connection)
        _set_wanted_status(row, ConnectionStatus.SUSPENDED, actor=actor)
    return row


def resume_connection(connection: IntegrationConnection, *, actor: str) -> IntegrationConnection:
    """Go on after a suspension: ``active``, or pending if the connection was never verified."""
    with transaction.atomic():
        row = _locked(connection)
        _set_wanted_status(row, ConnectionStatus.ACTIVE, actor=actor)
    return row


def delete_connection(connection: IntegrationConnection, *, actor: str) -> None:
    """Soft: the row and its events stay as evidence; its doors close and its secrets are removed.

    What was made at the provider is removed there first, as far as the provider lets us.
    """
    seen = _present(connection)
    for path in deployment.CONNECTION_LEAVERS:
        leave: Callable[..., None] = import_string(path)
        leave(seen, actor=actor)
    with transaction.atomic():
        row = _locked(connection)
        require_move(row.status, ConnectionStatus.DELETED)
        for path in deployment.CONNECTION_CLOSERS:
            close: Callable[..., None] = import_string(path)
            close(row, actor=actor)
        reference, row.auth_ref = row.auth_ref, ""
        row.status, row.streams_stale = ConnectionStatus.DELETED, True
        row.save()
        ConnectionRoute.objects.filter(connection=row).delete()
        shared = IntegrationConnection.objects.present().filter(tenant_id=row.tenant_id, auth_ref=reference)
        if is_generated(reference) and not shared.exists():
            secret_store().delete(row.tenant_id, reference)
        history.record(row, "deleted", actor=actor)


def waive_signatures(connection: IntegrationConnection, *, actor: str, reason: str) -> IntegrationConnection:
    """Accept by name that deliveries of this connection prove nothing beyond knowing the URL.

    Only doors of an unsigned scheme are concerned; signed ones stay as they are.
    """
    reason = reason.strip()
    if not 10 <= len(reason) <= 500:
        raise validation.invalid(validation.problem("/reason", "must say why, in 10 to 500 characters"))
    with transaction.atomic():
        row = _locked(connection)
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
        row = _locked(connection)
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
        row = _locked(connection)
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


def _require_verifiable(row: IntegrationConnection) -> None:
    if row.status == ConnectionStatus.SUSPENDED:
        raise ServiceError("INVALID_STATUS_CHANGE", "The connection is suspended; resume it first.", status=409)
    if receives_only(row):
        message = "The connection only receives webhooks; its first valid delivery verifies it."
        raise ServiceError("NOTHING_TO_VERIFY", message, status=409)


def _keep_routes(row: IntegrationConnection, identity: Identity) -> None:
    """What the provider said of the account decides which deliveries of a shared door are this connection's."""
    wanted = {route[:200] for route in identity.routes if route}
    kept = ConnectionRoute.objects.filter(connection=row)
    kept.exclude(route__in=wanted).delete()
    for route in wanted - set(kept.values_list("route", flat=True)):
        ConnectionRoute.objects.create(
            tenant_id=row.tenant_id, connection=row, provider_id=row.provider_id, route=route
        )


def _try_credential(connection: IntegrationConnection) -> tuple[Identity | None, str]:
    """Who the provider says the credential is, or what went wrong and what to do about it.

    A tenant may name any address the operator lets us call. Whose deliveries are whose only the provider's own says.
    Raises ``ServiceError`` (503) where the provider's quota does not allow to ask.
    """
    try:
        adapter = adapter_for(connection)
        with client_for(connection) as client:
            identity = adapter.verify(client)
            if not identity.routes or client.is_at(adapter.manifest.vendor_origins):
                return identity, ""
            return replace(identity, routes=()), _NOT_ROUTED
    except registry.UnknownProvider:
        return None, "This deployment no longer has the provider's adapter."
    except QuotaSpent as spent:
        # Nobody was asked, so nothing is known about the credential.
        details = {"retry_after_seconds": math.ceil(spent.retry_after_seconds or 0)}
        raise ServiceError("TEMPORARILY_UNAVAILABLE", f"{spent} Verify again later.", details, status=503) from None
    except ProviderError as error:
        return None, redact_text(f"{error} {_ADVICE[error.category]}")[:1000]


def _present(connection: IntegrationConnection) -> IntegrationConnection:
    row: IntegrationConnection | None = IntegrationConnection.objects.present().filter(pk=connection.pk).first()
    if row is None:
        raise ServiceError("NOT_FOUND", "The connection does not exist.", status=404)
    return row


def _locked(connection: IntegrationConnection) -> IntegrationConnection:
    row: IntegrationConnection | None = (
        IntegrationConnection.objects.present().select_for_update().filter(pk=connection.pk).first()
    )
    if row is None:
        raise ServiceError("NOT_FOUND", "The connection does not exist.", status=404)
    return row
