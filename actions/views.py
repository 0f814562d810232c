"""Actions: /v1/integrations/actions. Running them is not offered by this version yet."""

from __future__ import annotations

from typing import Any

import django_filters
from django.http import Http404
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from actions.models import ActionStatus, NormalisedAction
from actions.serializers import Action
from connections.api import ProviderFilter, StrictFilters, TenantViewSet
from connections.errors import ServiceError
from connections.tenancy import IsService


class ActionFilters(StrictFilters):
    connection_id = django_filters.UUIDFilter(field_name="connection_id")
    provider_id = ProviderFilter()
    status = django_filters.ChoiceFilter(choices=ActionStatus.choices)


@extend_schema(tags=["Actions"])
class ActionViewSet(TenantViewSet):
    """What was done through a tenant's connections."""

    rows = NormalisedAction.objects.all()
    serializer_class = Action
    filterset_class = ActionFilters

    @extend_schema(summary="List actions", operation_id="actions_list")
    def list(self, request: Request) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(Action(page, many=True).data)

    @extend_schema(summary="Read an action", operation_id="actions_read")
    def retrieve(self, request: Request, action_id: Any) -> Response:
        action = self.get_queryset().filter(pk=action_id).first()
        if action is None:
            raise Http404
        return Response(Action(action).data)


class ExecuteAction(APIView):
    """Run a command."""

    permission_classes = (IsService,)

    @extend_schema(
        tags=["Internal"],
        summary="Run an action",
        description="Not offered by this version yet.",
        operation_id="actions_execute",
        request=None,
        responses={501: OpenApiResponse(description="Not offered by this version.")},
    )
    def post(self, request: Request) -> Response:
        raise ServiceError("NOT_IMPLEMENTED", "Running actions is not offered by this version.", status=501)
