"""Connections: /v1/integrations/connections."""

from __future__ import annotations

from typing import Any

import django_filters
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from connections import services
from connections.api import ProviderFilter, StrictFilters, TenantViewSet, actor_of, principal_of, validated
from connections.models import IntegrationConnection
from connections.serializers import (
    PRESENT_STATUSES,
    Connection,
    ConnectionCreate,
    ConnectionUpdate,
    WaiverCreate,
)

_CREATE_EXAMPLE = OpenApiExample(
    "A connection with a token",
    request_only=True,
    value={
        "provider_id": "tracker",
        "display_name": "Acme's tracker",
        "credential": {"token": "…"},
        "enabled_capabilities": {"webhook": True, "polling": True},
        "settings": {"projects": ["WEB"]},
    },
)


class ConnectionFilters(StrictFilters):
    provider_id = ProviderFilter()
    status = django_filters.ChoiceFilter(choices=PRESENT_STATUSES)


@extend_schema(tags=["Connections"])
class ConnectionViewSet(TenantViewSet):
    """A tenant's authorised links to providers."""

    rows = IntegrationConnection.objects.present().select_related("provider")
    serializer_class = Connection
    filterset_class = ConnectionFilters

    @extend_schema(summary="List connections", operation_id="connections_list")
    def list(self, request: Request) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(Connection(page, many=True).data)

    @extend_schema(
        summary="Create a connection",
        description="It starts as pending_verification; verify it to make it active.",
        operation_id="connections_create",
        request=ConnectionCreate,
        responses={201: Connection},
        examples=[_CREATE_EXAMPLE],
    )
    def create(self, request: Request) -> Response:
        connection = services.create_connection(
            tenant_id=principal_of(request).tenant_id, actor=actor_of(request), **validated(self, ConnectionCreate)
        )
        return Response(Connection(connection).data, status=201)

    @extend_schema(summary="Read a connection", operation_id="connections_read")
    def retrieve(self, request: Request, connection_id: Any) -> Response:
        return Response(Connection(self.connection()).data)

    @extend_schema(
        summary="Change a connection",
        description="A changed base_url makes an active connection pending again: its credential was proven elsewhere.",
        operation_id="connections_update",
        request=ConnectionUpdate,
        responses={200: Connection},
    )
    def partial_update(self, request: Request, connection_id: Any) -> Response:
        connection = self.connection()
        changes = validated(self, ConnectionUpdate)
        return Response(Connection(services.update_connection(connection, actor=actor_of(request), **changes)).data)

    @extend_schema(
        summary="Delete a connection",
        description="Its webhook URLs stop working and its secrets are removed; its events stay readable.",
        operation_id="connections_delete",
        responses={204: None},
    )
    def destroy(self, request: Request, connection_id: Any) -> Response:
        services.delete_connection(self.connection(), actor=actor_of(request))
        return Response(status=204)


@extend_schema(tags=["Connections"])
class WaiverViewSet(TenantViewSet):
    """Accepting deliveries that prove nothing, by name and with a reason."""

    rows = IntegrationConnection.objects.present()
    serializer_class = Connection
    filterset_class = StrictFilters

    @extend_schema(
        summary="Accept unsigned deliveries",
        description="For providers that cannot sign: whoever knows the URL can then send events. The acceptance is "
        "shown to staff and in the proof of every event. Signed registrations stay as they are.",
        operation_id="connections_waive_signatures",
        request=WaiverCreate,
        responses={200: Connection},
    )
    def create(self, request: Request, connection_id: Any) -> Response:
        connection = self.connection()
        reason = validated(self, WaiverCreate)["reason"]
        row = services.waive_signatures(connection, actor=actor_of(request), reason=reason)
        return Response(Connection(row).data)

    @extend_schema(
        summary="Refuse unsigned deliveries again",
        operation_id="connections_withdraw_waiver",
        request=None,
        responses={204: None},
    )
    def destroy(self, request: Request, connection_id: Any) -> Response:
        services.withdraw_waiver(self.connection(), actor=actor_of(request))
        return Response(status=204)
