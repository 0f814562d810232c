"""Whether deliveries come all the way round: the last step of a verification, shown from what did arrive."""

from __future__ import annotations

from datetime import UTC, datetime

from connections.models import IntegrationConnection
from connections.verification_words import Finding, Outcome
from webhooks.diagnosis import State, diagnose_connection
from webhooks.models import RegistrationStatus, WebhookRegistration

REGISTRATIONS_TOLD = 10

_OUTCOMES = {
    State.OK: Outcome.OK,
    State.OFF: Outcome.SKIPPED,
    State.WAITING: Outcome.WARNING,
    State.ATTENTION: Outcome.WARNING,
    # A door that fails says nothing of the credential, which is what is being proven.
    State.FAILING: Outcome.WARNING,
}


def webhook_loop(connection: IntegrationConnection) -> Finding:
    """The last verified delivery of each webhook of the connection, and how they stand. Nobody is called."""
    doors = WebhookRegistration.objects.filter(connection=connection).exclude(status=RegistrationStatus.DELETED)
    rows = list(doors.order_by("-registration_id")[:REGISTRATIONS_TOLD])
    evidence = {f"webhook {row.pk}": _told(row.last_received_at) for row in rows}
    if not rows and connection.last_webhook_at is not None:
        evidence = {"shared webhook": _told(connection.last_webhook_at)}
        return Finding(Outcome.OK, "Deliveries to a shared webhook are this connection's.", evidence)
    if not rows:
        return Finding(Outcome.SKIPPED, "There is no webhook yet.", advice="Add one, or let polling do it alone.")
    found = diagnose_connection(connection)
    return Finding(_OUTCOMES[found.state], found.summary, evidence, found.advice)


def _told(at: datetime | None) -> str:
    if at is None:
        return "no verified delivery yet"
    return f"last verified delivery {at.astimezone(UTC).isoformat(timespec='minutes').replace('+00:00', 'Z')}"
