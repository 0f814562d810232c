"""Webhook registrations of a connection. The providers' own door is in ``webhooks.door``."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from connections.api import StrictFilters, TenantViewSet, actor_of, may_manage, validated
from webhooks import registrations
from webhooks.models import RegistrationStatus, WebhookRegistration
from webhooks.serializers import IssuedRegistrationBody, Registration, RegistrationCreate, SecretRotation


@extend_schema(tags=["Webhooks"])
class RegistrationViewSet(TenantViewSet):
    """The doors of one connection."""

    rows = WebhookRegistration.objects.exclude(status=RegistrationStatus.DELETED).select_related("connection")
    serializer_class = Registration
    filterset_class = StrictFilters

    def get_queryset(self) -> QuerySet[Any]:
        rows = super().get_queryset()
        return rows if getattr(self, "swagger_fake_view", False) else rows.filter(connection=self.connection())

    @extend_schema(summary="List webhook registrations", operation_id="webhooks_list")
    def list(self, request: Request, connection_id: Any) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        context = {"whole_url": may_manage(request)}
        return self.get_paginated_response(Registration(page, many=True, context=context).data)

    @extend_schema(
        summary="Create a webhook registration",
        description="The answer holds the URL to give to the provider and, this once, the signing secret.",
        operation_id="webhooks_create",
        request=RegistrationCreate,
        responses={201: IssuedRegistrationBody},
    )
    def create(self, request: Request, connection_id: Any) -> Response:
        connection = self.connection()
        issued = registrations.create_registration(
            connection, actor=actor_of(request), **validated(self, RegistrationCreate)
        )
        return Response(IssuedRegistrationBody.of(issued), status=201)

    @extend_schema(
        summary="Rotate the signing secret",
        description="The answer holds the new secret, this once. The old one still verifies until "
        "previous_secret_until.",
        operation_id="webhooks_rotate",
        request=SecretRotation,
        responses={200: IssuedRegistrationBody},
    )
    def rotate(self, request: Request, connection_id: Any, registration_id: Any) -> Response:
        registration = self._registration()
        issued = registrations.rotate_secret(registration, actor=actor_of(request), **validated(self, SecretRotation))
        return Response(IssuedRegistrationBody.of(issued))

    @extend_schema(
        summary="Delete a webhook registration",
        description="Its URL answers 404 from now on and its secrets are removed.",
        operation_id="webhooks_delete",
        responses={204: None},
    )
    def destroy(self, request: Request, connection_id: Any, registration_id: Any) -> Response:
        registrations.delete_registration(self._registration(), actor=actor_of(request))
        return Response(status=204)

    def _registration(self) -> WebhookRegistration:
        registration: WebhookRegistration | None = self.get_queryset().filter(pk=self.kwargs["registration_id"]).first()
        if registration is None:
            raise Http404
        return registration
