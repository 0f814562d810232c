"""Proving a connection, and what follows from it: its status, its account, its evidence."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from connections import expiry, history, tokens
from connections.errors import ServiceError
from connections.incidents import Cause, raise_incident, resolve_incident
from connections.locking import locked, present
from connections.models import (
    ConnectionRoute,
    ConnectionStatus,
    ConnectionVerification,
    IncidentSeverity,
    IntegrationConnection,
    VerificationOutcome,
)
from connections.turns import turn
from connections.verification_models import VerificationPurpose
from connections.verification_steps import Proof, prove
from providers.errors import AuthFailed
from providers.spi import Identity

KEPT = 20


def verify_connection(connection: IntegrationConnection, *, actor: str) -> IntegrationConnection:
    """Prove the credential with real calls to the provider: ``active`` or ``error``.

    The calls run outside any transaction, for at most ``PROVIDER_VERIFY_SECONDS`` (a few more where connecting is
    slow), and only while few others do (503).
    If the credential, the settings or the status changed meanwhile, what they proved is about the past, and nothing
    is written (409).
    """
    seen = present(connection)
    require_provable(seen)
    tokens.try_again(seen)
    with turn(settings.PROVIDER_VERIFY_SECONDS):
        proof = prove(seen)
    with transaction.atomic():
        row = locked(seen)
        require_unchanged(row, seen)
        before = row.status
        if proof.proven:
            mark_proven(row, proof)
        else:
            _mark_refused(row, proof)
        keep(row, proof, VerificationPurpose.VERIFY, actor=actor)
        told = f"Account: {row.account}. {proof.remark}".strip() if proof.proven else proof.why
        history.record(
            row,
            "verified",
            actor=actor,
            outcome="ok" if proof.proven else "failed",
            detail=told if row.status == before else f"{told} The connection was {before} and is {row.status}.",
        )
    return row


def require_provable(row: IntegrationConnection) -> None:
    """Raises ``ServiceError`` (409) where no call may be made, or there is nothing to make one with."""
    if row.status == ConnectionStatus.SUSPENDED:
        raise ServiceError("INVALID_STATUS_CHANGE", "The connection is suspended; resume it first.", status=409)
    if not row.auth_ref:
        message = "The connection only receives webhooks; its first valid delivery verifies it."
        raise ServiceError("NOTHING_TO_VERIFY", message, status=409)


def require_unchanged(row: IntegrationConnection, seen: IntegrationConnection) -> None:
    """Raises ``ServiceError`` (409) if what was proven is not what there is now."""
    require_provable(row)
    if (row.auth_ref, row.settings, row.api_version) != (seen.auth_ref, seen.settings, seen.api_version):
        raise ServiceError("CONFLICT", "The connection changed meanwhile; try again.", status=409)


def mark_proven(row: IntegrationConnection, proof: Proof) -> None:
    """A locked row whose credential is good: it may be used, and trouble with the credential is over."""
    identity = proof.identity
    assert identity is not None  # noqa: S101 - proven
    row.status, row.account, row.last_error = ConnectionStatus.ACTIVE, proof.account, ""
    row.last_verified_at = row.last_success_at = timezone.now()
    row.consecutive_failures = row.consecutive_refusals = 0
    row.credential_expires_at = identity.expires_at or row.credential_expires_at
    row.streams_stale = True
    row.save()
    _keep_routes(row, identity)
    resolve_incident(row, Cause.CREDENTIAL_REFUSED, reason="The credential was verified.")
    expiry.look_at(row)


def keep(
    row: IntegrationConnection, proof: Proof, purpose: VerificationPurpose, *, actor: str
) -> ConnectionVerification:
    """Add the evidence, and drop what is too old."""
    kept = ConnectionVerification.objects.create(
        tenant_id=row.tenant_id,
        connection=row,
        purpose=purpose,
        outcome=proof.outcome.value,
        actor=actor[:200],
        account=proof.account,
        steps=[step.as_json() for step in proof.steps],
    )
    older = ConnectionVerification.objects.filter(connection=row).order_by("-verification_id")
    ConnectionVerification.objects.filter(pk__in=list(older.values_list("pk", flat=True)[KEPT:])).delete()
    return kept


def newest(connection: IntegrationConnection) -> ConnectionVerification | None:
    """The last verification; ``None`` where there was none."""
    rows = ConnectionVerification.objects.filter(connection=connection)
    last: ConnectionVerification | None = rows.order_by("-verification_id").first()
    return last


def last_told(connection: IntegrationConnection) -> dict[str, Any] | None:
    """The last verification in short: when, how it ended, and the step that failed, if one did."""
    last = newest(connection)
    if last is None:
        return None
    failed = next((step["step"] for step in last.steps if step["outcome"] == VerificationOutcome.FAILED), "")
    return {"outcome": last.outcome, "failed_step": failed, "at": last.created_at}


def _mark_refused(row: IntegrationConnection, proof: Proof) -> None:
    was_active = row.status == ConnectionStatus.ACTIVE
    refused = isinstance(proof.error, AuthFailed) and proof.error.of_the_credential
    row.status, row.last_error, row.last_error_at = ConnectionStatus.ERROR, proof.why, timezone.now()
    row.consecutive_failures += 1
    row.failures_total += 1
    row.consecutive_refusals += refused
    row.streams_stale = True
    row.save()
    if was_active and refused:
        raise_incident(
            row,
            Cause.CREDENTIAL_REFUSED,
            severity=IncidentSeverity.ERROR,
            summary=f"{row.display_name[:150]}: the provider refuses the credential",
            detail=f"{proof.why} Replace the credential, or verify again.",
        )


def _keep_routes(row: IntegrationConnection, identity: Identity) -> None:
    """What the provider said of the account decides which deliveries of a shared door are this connection's."""
    wanted = {route[:200] for route in identity.routes if route}
    kept = ConnectionRoute.objects.filter(connection=row)
    kept.exclude(route__in=wanted).delete()
    for route in wanted - set(kept.values_list("route", flat=True)):
        ConnectionRoute.objects.create(
            tenant_id=row.tenant_id, connection=row, provider_id=row.provider_id, route=route
        )
