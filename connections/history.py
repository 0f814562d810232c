"""Evidence of what was done to a connection."""

from __future__ import annotations

from django.conf import settings

from connections.models import ConnectionHistory, IntegrationConnection
from providers.redaction import redact_text

MAX_DETAIL_LENGTH = 2000


def record(
    connection: IntegrationConnection, operation: str, *, actor: str, outcome: str = "ok", detail: str = ""
) -> None:
    """Add one entry. ``outcome`` is ``ok`` or ``failed``; the detail is redacted here."""
    ConnectionHistory.objects.create(
        tenant_id=connection.tenant_id,
        connection=connection,
        operation=operation,
        actor=actor[:200],
        outcome=outcome,
        detail=redact_text(detail, emails=settings.REDACT_EMAILS)[:MAX_DETAIL_LENGTH],
    )
