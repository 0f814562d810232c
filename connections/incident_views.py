"""Incidents of a connection: /v1/integrations/connections/{id}/incidents."""

from __future__ import annotations

from typing import Any

import django_filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from connections.api import StrictFilters, TenantViewSet
from connections.models import Incident, IncidentStatus


class IncidentState(serializers.ModelSerializer[Incident]):
    """Trouble of a connection. Of each cause one is open at a time."""

    class Meta:
        model = Incident
        fields = (
            "incident_id",
            "connection_id",
            "cause",
            "severity",
            "status",
            "summary",
            "detail",
            "occurrences",
            "reopened",
            "started_at",
            "last_seen_at",
            "resolved_at",
            "resolution",
        )
        read_only_fields = fields


class IncidentFilters(StrictFilters):
    status = django_filters.ChoiceFilter(choices=IncidentStatus.choices)


@extend_schema(tags=["Connections"])
class IncidentViewSet(TenantViewSet):
    """What a person should know of a connection."""

    rows = Incident.objects.all()
    serializer_class = IncidentState
    filterset_class = IncidentFilters

    @extend_schema(
        summary="List incidents",
        description="Newest first. They open and end by themselves: the detail says what a person can do.",
        operation_id="connections_incidents",
        responses={200: IncidentState(many=True)},
    )
    def list(self, request: Request, connection_id: Any) -> Response:
        incidents = self.get_queryset().filter(connection=self.connection())
        page = self.paginate_queryset(self.filter_queryset(incidents))
        return self.get_paginated_response(IncidentState(page, many=True).data)
