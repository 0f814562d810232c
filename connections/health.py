"""What calls to providers say of a connection, whatever road they were made on."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from connections import history
from connections.incidents import Cause, raise_incident
from connections.models import ConnectionStatus, IncidentSeverity, IntegrationConnection, record_failure
from providers.errors import AuthFailed, ProviderError

# Calls in a row, with no success between them, at which the credential itself was refused.
REFUSALS_UNTIL_ERROR = 3

_ADVICE = "Nothing calls the provider any more. Replace the credential, or verify the connection if it is good again."


def call_failed(connection: IntegrationConnection, error: ProviderError, *, actor: str, told: str = "") -> None:
    """Health: a call to the provider failed. ``connection`` is the row as it was when the call was made.

    ``told`` is what is shown of it, else the error's own words.

    An active connection whose credential is refused again and again becomes ``error``: calls on it only spend quota,
    and some providers lock an account out. That one place or one use is refused (403) does not count, nor does what
    was refused of a credential that has been replaced since.
    """
    refused = isinstance(error, AuthFailed) and error.of_the_credential
    credential = connection.auth_ref if refused else None
    counted = record_failure(connection.pk, timezone.now(), told or str(error), refused=credential)
    if refused and counted:
        _stop_if_refused(connection, error, actor)


def _stop_if_refused(connection: IntegrationConnection, error: ProviderError, actor: str) -> None:
    refused = IntegrationConnection.objects.filter(
        pk=connection.pk,
        status=ConnectionStatus.ACTIVE,
        auth_ref=connection.auth_ref,
        consecutive_refusals__gte=REFUSALS_UNTIL_ERROR,
    )
    with transaction.atomic():
        row = refused.select_for_update(no_key=True).first()
        if row is None:
            return
        row.status, row.streams_stale = ConnectionStatus.ERROR, True
        row.save(update_fields=["status", "streams_stale", "updated_at"])
        told = f"{error} The credential was refused {row.consecutive_refusals} times in a row. {_ADVICE}"
        history.record(row, "credential_refused", actor=actor, outcome="failed", detail=told)
        raise_incident(
            row,
            Cause.CREDENTIAL_REFUSED,
            severity=IncidentSeverity.ERROR,
            summary=f"{row.display_name[:150]}: the provider refuses the credential",
            detail=told,
        )
