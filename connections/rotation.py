"""A new credential for a connection: proven by real calls before it replaces the old one."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from connections import history, validation
from connections.credentials import forget
from connections.errors import ServiceError
from connections.locking import locked, present
from connections.models import IntegrationConnection
from connections.receipts import emit_credential_change
from connections.runtime import adapter_for
from connections.secret_store import SecretUnavailable, credential_text, get_credential, keeping
from connections.turns import turn
from connections.verification import keep, mark_proven, require_provable, require_unchanged
from connections.verification_models import VerificationPurpose
from connections.verification_steps import Proof, prove
from providers import registry

OPERATION = "credential_replaced"


def replace_credential(
    connection: IntegrationConnection,
    *,
    credential: Mapping[str, Any] | None = None,
    auth_ref: str = "",
    credential_expires_at: datetime | None = None,
    allow_account_change: bool = False,
    actor: str,
) -> IntegrationConnection:
    """Try the new credential as this connection, and make it its own if it is good; else nothing changes.

    Give either ``credential`` or ``auth_ref``. ``credential_expires_at`` counts where the provider does not tell.
    The account must be the one that was verified before, unless ``allow_account_change``. A replaced credential of
    ours is deleted. Raises ``ServiceError``: 400 for what cannot be a credential, 409 where there is nothing to
    replace, another account answers or the connection changed meanwhile, 422 with the failed step where the new one
    is not good, 503 where nobody could be asked.
    """
    if (credential is None) == (not auth_ref):
        raise validation.invalid(validation.problem("/credential", "give either credential or auth_ref"))
    seen = present(connection)
    _require_replaceable(seen)
    _check(seen, credential, auth_ref)
    candidate = copy(seen)
    candidate.credential_expires_at = credential_expires_at
    own = credential_text(credential) if credential is not None else ""
    way_out = "" if allow_account_change else "Say allow_account_change if that is meant."
    # Kept before it is tried, because calls are made with references; forgotten if it is not taken.
    with keeping(seen.tenant_id, own) as (own_ref,):
        candidate.auth_ref = own_ref or auth_ref
        try:
            return switch_to(seen, candidate, actor=actor, other_account=way_out)
        except BaseException:
            if own_ref:
                # With what was made of it while it was tried.
                forget(seen.tenant_id, own_ref)
            raise


def switch_to(
    seen: IntegrationConnection,
    candidate: IntegrationConnection,
    *,
    actor: str,
    other_account: str,
    operation: str = OPERATION,
    detail: str = "",
) -> IntegrationConnection:
    """Prove ``candidate``, a copy of ``seen`` with another ``auth_ref`` and perhaps other settings, and make it so.

    ``other_account``: what a person can do where another account answers than before; empty: that is meant. The
    history names the ``operation`` and the ``detail``. What is forgotten is the old credential; the new one is the
    caller's until this has succeeded. Raises ``ServiceError``.
    """
    with turn(settings.PROVIDER_VERIFY_SECONDS):
        proof = prove(candidate)
    _require_good(seen, proof, actor=actor, other_account=other_account, operation=operation)
    return _switch(seen, candidate, proof, actor=actor, operation=operation, detail=detail)


def _require_replaceable(row: IntegrationConnection) -> None:
    if not row.auth_ref:
        message = "The connection only receives webhooks; it has no credential to replace."
        raise ServiceError("NOTHING_TO_ROTATE", message, status=409)
    require_provable(row)
    try:
        granted = "grant" in get_credential(row.tenant_id, row.auth_ref)
    except SecretUnavailable:
        return
    if granted:
        message = "The connection was authorised at the provider. Authorise it again instead of replacing its tokens."
        raise ServiceError("AUTHORISE_AGAIN", message, status=409)


def _check(row: IntegrationConnection, credential: Mapping[str, Any] | None, auth_ref: str) -> None:
    try:
        adapter = adapter_for(row)
    except registry.UnknownProvider:
        message = "This deployment no longer has the provider's adapter."
        raise ServiceError("PROVIDER_UNAVAILABLE", message, status=409) from None
    if credential is not None:
        validation.check_credential(adapter, credential)
    else:
        validation.check_auth_ref(adapter, row.tenant_id, auth_ref)


def _require_good(seen: IntegrationConnection, proof: Proof, *, actor: str, other_account: str, operation: str) -> None:
    failed = proof.failed
    if failed is not None:
        _note_refusal(seen, proof, proof.why, actor=actor, operation=operation)
        details = {"step": failed.name.value, "steps": [step.as_json() for step in proof.steps]}
        raise ServiceError("CREDENTIAL_NOT_PROVEN", f"{proof.why} The old credential stays.", details, status=422)
    if seen.account and proof.account != seen.account and other_account:
        message = f"The new credential is of the account {proof.account}, not of {seen.account}."
        _note_refusal(seen, proof, message, actor=actor, operation=operation)
        details = {"account": proof.account, "expected": seen.account, "step": "authenticate"}
        told = f"{message} {other_account} The old credential stays."
        raise ServiceError("OTHER_ACCOUNT", told, details, status=409)


def _note_refusal(seen: IntegrationConnection, proof: Proof, why: str, *, actor: str, operation: str) -> None:
    with transaction.atomic():
        row = locked(seen)
        keep(row, proof, VerificationPurpose.ROTATE, actor=actor)
        history.record(row, operation, actor=actor, outcome="failed", detail=f"{why} The old credential stays.")


def _switch(
    seen: IntegrationConnection,
    candidate: IntegrationConnection,
    proof: Proof,
    *,
    actor: str,
    operation: str,
    detail: str,
) -> IntegrationConnection:
    with transaction.atomic():
        row = locked(seen)
        require_unchanged(row, seen)
        before, old = row.status, row.auth_ref
        account = f"Account: {row.account or 'not known'}, now " if row.account != proof.account else "Account: "
        row.auth_ref, row.credential_expires_at = candidate.auth_ref, candidate.credential_expires_at
        row.settings = candidate.settings
        mark_proven(row, proof)
        if old != row.auth_ref:
            forget(row.tenant_id, old)
        proven = keep(row, proof, VerificationPurpose.ROTATE, actor=actor)
        told = " ".join(filter(None, (f"{account}{row.account}.", detail, proof.remark)))
        moved = "" if row.status == before else f" The connection was {before} and is {row.status}."
        history.record(row, operation, actor=actor, detail=f"{told}{moved}")
        emit_credential_change(row, operation, operation_id=proven.pk, actor=actor, rationale=told)
    return row
