"""Polling of a connection, and its health."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from connections import breaker
from connections.api import TenantViewSet, actor_of, principal_of
from connections.expiry import forecast
from connections.models import IntegrationConnection
from connections.tenancy import IsService
from connections.verification import last_told
from events.ledger import ledger
from polling.serializers import ConnectionHealth, PollAsked, PollingStatus
from polling.services import PollingService, poll_now
from polling.status import errors_of


@extend_schema(tags=["Polling"])
class PollingViewSet(TenantViewSet):
    """How far a connection has read, and reading on demand."""

    rows = IntegrationConnection.objects.present()
    serializer_class = PollingStatus

    @extend_schema(summary="Read the state of polling", operation_id="polling_read", responses={200: PollingStatus})
    def retrieve(self, request: Request, connection_id: Any) -> Response:
        connection = self.connection()
        status = PollingService().get_polling_status(connection.pk, principal_of(request).tenant_id)
        return Response(PollingStatus(status).data)

    @extend_schema(
        summary="Poll now",
        description="Makes every stream due; workers read them at once, inside the budget.",
        operation_id="polling_poll",
        request=None,
        responses={202: PollAsked},
    )
    def poll(self, request: Request, connection_id: Any) -> Response:
        connection = self.connection()
        due = poll_now(connection, actor=actor_of(request))
        return Response({"connection_id": connection.pk, "cursors_due": due}, status=202)


@extend_schema(tags=["Internal"])
class HealthViewSet(TenantViewSet):
    """What the platform's services ask about a connection."""

    rows = IntegrationConnection.objects.present()
    serializer_class = ConnectionHealth
    permission_classes = (IsService,)

    @extend_schema(
        summary="Read the health of a connection",
        description="Last success, error counts, circuit breaker, rate limits and lag, as they are now.",
        operation_id="connection_health",
    )
    def retrieve(self, request: Request, connection_id: Any) -> Response:
        connection = self.connection()
        counts = ledger(connection.pk)
        polling = PollingService().get_polling_status(connection.pk, connection.tenant_id)
        health = {
            **{name: getattr(connection, name) for name in _OWN_FACTS},
            "error_counts": errors_of(connection, counts, polling["streams"]),
            "credential": {"state": forecast(connection).value, "expires_at": connection.credential_expires_at},
            "verification": last_told(connection),
            "lag_seconds": polling["delivery"]["oldest_waits_seconds"],
            "backlog": counts.pending + counts.failed,
            "events": asdict(counts),
            "actions": import_string(settings.ACTION_COUNTS)(connection),
            "breaker": asdict(breaker.state_of(connection)),
            "rate_limit": polling["quotas"],
            "streams": polling["streams"],
        }
        return Response(ConnectionHealth(health).data)


_OWN_FACTS = (
    "connection_id",
    "status",
    "last_verified_at",
    "last_success_at",
    "last_webhook_at",
    "last_error",
    "last_error_at",
    "consecutive_failures",
)
