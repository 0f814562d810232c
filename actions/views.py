"""Actions: /v1/integrations/actions reads them, /internal/integrations/actions/execute runs one."""

from __future__ import annotations

from typing import Any

import django_filters
from django.http import Http404
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
)
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from actions.dispatcher import execute
from actions.dry_run import preview
from actions.intake import Wish
from actions.models import OVER, ActionStatus, NormalisedAction
from actions.serializers import TYPES, Action, DryRun, Execute
from connections.api import ProviderFilter, StrictFilters, TenantViewSet, actor_of, find_connection, validated
from connections.tenancy import IsService


class ActionFilters(StrictFilters):
    connection_id = django_filters.UUIDFilter(field_name="connection_id")
    provider_id = ProviderFilter()
    status = django_filters.ChoiceFilter(choices=ActionStatus.choices)
    canonical_type = django_filters.ChoiceFilter(choices=TYPES)
    correlation_id = django_filters.CharFilter(field_name="correlation_id", max_length=200)


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


# Made once: a serializer of a model looks through the model each time it is made.
_ACTION = Action()
_EXAMPLE = OpenApiExample(
    "A comment",
    request_only=True,
    value={
        "provider_id": "tracker",
        "connection_id": "01930000-0000-7000-8000-000000000000",
        "canonical_type": "comment_on_issue",
        "target": {"issue_key": "WEB-12"},
        "payload": {"body": "Deployed to **staging**."},
        "idempotency_key": "deploy-4711-comment",
    },
)


class ExecuteAction(APIView):
    """Run a command."""

    permission_classes = (IsService,)

    @extend_schema(
        tags=["Internal"],
        summary="Run an action",
        description=(
            "Tried at once and answered when it is over. What takes longer, or has to be tried again, is answered 202 "
            "and goes on by itself; read it under Location. The same idempotency_key with the same command gives the "
            "first action again (409 while it runs, 422 with another command). A command that was refused is 200 with "
            "status failed: the answer says whether it was done, not whether it was liked."
        ),
        operation_id="actions_execute",
        request=Execute,
        parameters=[
            OpenApiParameter("dry_run", bool, description="Only say what would be sent."),
            OpenApiParameter(
                "Prefer", str, OpenApiParameter.HEADER, description="respond-async: answer 202 at once (RFC 7240)."
            ),
        ],
        responses={
            200: PolymorphicProxySerializer(
                component_name="ActionOrDryRun", serializers=[Action, DryRun], resource_type_field_name=None
            ),
            202: Action,
            **{code: OpenApiResponse() for code in (404, 409, 422, 502)},
        },
        examples=[_EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        values = validated(self, Execute)
        connection = find_connection(request, values.pop("connection_id"))
        wish = Wish(**values)
        if _flag(request, "dry_run"):
            return Response(DryRun(preview(connection, wish)).data)
        wait = not _prefers_async(request.headers.get("Prefer", ""))
        action = execute(connection, wish, actor=actor_of(request), wait=wait)
        told = _ACTION.to_representation(action)
        if action.status in OVER:
            return Response(told)
        return Response(told, status=202, headers={"Location": f"/v1/integrations/actions/{action.pk}"})


def _prefers_async(header: str) -> bool:
    """RFC 7240: preferences are separated by commas, parameters by semicolons."""
    return any(part.split(";")[0].strip().lower() == "respond-async" for part in header.split(","))


def _flag(request: Request, name: str) -> bool:
    """A query parameter that is true or false; others are refused, because a misspelt dry run would be a real one."""
    unknown = sorted(set(request.query_params) - {name})
    if unknown:
        raise ValidationError({key[:100]: ["is not a known query parameter"] for key in unknown[:20]})
    values = request.query_params.getlist(name) or ["false"]
    if values not in (["true"], ["false"]):
        raise ValidationError({name: ["must be true or false, once"]})
    return values == ["true"]
