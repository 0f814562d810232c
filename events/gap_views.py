"""Gaps of a connection: /v1/integrations/connections/{connection_id}/gaps."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from connections.api import StrictFilters, TenantViewSet
from events.gap_models import DeliveryGap, GapCause, GapStatus


class Gap(serializers.ModelSerializer[DeliveryGap]):
    """A window in which deliveries were missed, and what became of them."""

    connection_id = serializers.UUIDField()
    causes = serializers.DictField(
        child=serializers.IntegerField(min_value=0), help_text="Missed deliveries by what went wrong with them."
    )

    class Meta:
        model = DeliveryGap
        fields = (
            "gap_id",
            "connection_id",
            "registration_id",
            "place",
            "cause",
            "explanation",
            "since",
            "until",
            "repair",
            "status",
            "missing",
            "asked",
            "arrived",
            "fetched",
            "lost",
            "irrelevant",
            "deliberate",
            "causes",
            "looked_at",
            "filled_to",
            "last_error",
            "detected_at",
            "settled_at",
        )
        read_only_fields = fields


class GapFilters(StrictFilters):
    status = django_filters.ChoiceFilter(choices=GapStatus.choices)
    cause = django_filters.ChoiceFilter(choices=GapCause.choices)


@extend_schema(tags=["Webhooks"])
class GapViewSet(TenantViewSet):
    """What one connection missed."""

    rows = DeliveryGap.objects.all()
    serializer_class = Gap
    filterset_class = GapFilters

    def get_queryset(self) -> QuerySet[Any]:
        rows = super().get_queryset()
        return rows if getattr(self, "swagger_fake_view", False) else rows.filter(connection=self.connection())

    @extend_schema(
        summary="List what was missed",
        description="Windows in which deliveries did not come in: found in the provider's ledger of deliveries, or "
        "because a hook was off or nobody listened. Newest first. Each says how it is repaired and how far that is; "
        "missing = arrived + fetched + lost + what is still under way or left to polling.",
        operation_id="webhooks_gaps",
    )
    def list(self, request: Request, connection_id: Any) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(Gap(page, many=True).data)
