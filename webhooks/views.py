"""Webhook registrations of a connection. The providers' own door is in ``webhooks.door``."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from connections.api import StrictFilters, TenantViewSet, actor_of, may_manage, validated
from webhooks import provider_hooks, registrations
from webhooks.diagnosis import diagnose
from webhooks.models import RegistrationStatus, RejectedDelivery, WebhookRegistration
from webhooks.serializers import (
    IssuedRegistrationBody,
    Registration,
    RegistrationCreate,
    Rejection,
    SecretRotation,
)

_PROVIDER_FAILED = OpenApiResponse(description="The provider failed.")


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
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        context = {"whole_url": may_manage(request), "diagnoses": diagnose(page)}
        return self.get_paginated_response(Registration(page, many=True, context=context).data)

    @extend_schema(summary="Read a webhook registration", operation_id="webhooks_read")
    def retrieve(self, request: Request, connection_id: Any, registration_id: Any) -> Response:
        context = {"whole_url": may_manage(request)}
        return Response(Registration(self._registration(), context=context).data)

    @extend_schema(
        summary="Create a webhook registration",
        description="The answer holds the URL to give to the provider and, this once, the signing secret.\n\n"
        "With register the hooks are made at the provider as well, in all places the settings name or in none: the "
        "connection must be active and have a credential that may manage webhooks there. 400 and 409 name what a "
        "person has to change first; 502 means that the provider failed, and that it may be tried again. What a slow "
        "provider leaves no time for is made afterwards: until then hook_error names the places.",
        operation_id="webhooks_create",
        request=RegistrationCreate,
        responses={201: IssuedRegistrationBody, 502: _PROVIDER_FAILED},
    )
    def create(self, request: Request, connection_id: Any) -> Response:
        connection = self.connection()
        values = validated(self, RegistrationCreate)
        make = provider_hooks.register if values.pop("register", False) else registrations.create_registration
        issued = make(connection, actor=actor_of(request), **values)
        return Response(IssuedRegistrationBody.of(issued), status=201)

    @extend_schema(
        summary="Rotate the signing secret",
        description="The answer holds the new secret, this once. The old one still verifies until "
        "previous_secret_until. Asked again before the new one was used, only the new one is replaced, and the old one "
        "keeps its time. Hooks that were made through the provider's API are given the new secret; where that "
        "fails (409, 502) both secrets verify, a task tries again, and so does asking once more. 409 `HOOKS_BUSY`: the "
        "hooks are being worked on, and nothing was changed.",
        operation_id="webhooks_rotate",
        request=SecretRotation,
        responses={200: IssuedRegistrationBody, 502: _PROVIDER_FAILED},
    )
    def rotate(self, request: Request, connection_id: Any, registration_id: Any) -> Response:
        registration = self._registration()
        issued = provider_hooks.rotate(registration, actor=actor_of(request), **validated(self, SecretRotation))
        return Response(IssuedRegistrationBody.of(issued))

    @extend_schema(
        summary="Delete a webhook registration",
        description="Its URL answers 404 from now on and its secrets are removed. Hooks that were made through the "
        "provider's API are removed there; where that fails, a task tries again.",
        operation_id="webhooks_delete",
        responses={204: None},
    )
    def destroy(self, request: Request, connection_id: Any, registration_id: Any) -> Response:
        provider_hooks.close(self._registration(), actor=actor_of(request))
        return Response(status=204)

    @extend_schema(
        summary="Drop the secret before the last rotation",
        description="Ends the grace now: what the old secret signs is refused from now on. See secret_used_at and "
        "previous_secret_used_at for whether the provider has changed over.",
        operation_id="webhooks_drop_previous_secret",
        request=None,
        responses={204: None},
    )
    def drop_previous_secret(self, request: Request, connection_id: Any, registration_id: Any) -> Response:
        registrations.drop_previous_secret(self._registration(), actor=actor_of(request))
        return Response(status=204)

    def _registration(self) -> WebhookRegistration:
        registration: WebhookRegistration | None = self.get_queryset().filter(pk=self.kwargs["registration_id"]).first()
        if registration is None:
            raise Http404
        return registration


@extend_schema(tags=["Webhooks"])
class RejectionViewSet(TenantViewSet):
    """What was refused at one registration."""

    rows = RejectedDelivery.objects.exclude(registration__status=RegistrationStatus.DELETED)
    serializer_class = Rejection
    filterset_class = StrictFilters

    @extend_schema(
        summary="List refused deliveries",
        description="One row a reason and hour, kept for two weeks by default: how many, which headers, what to do. "
        "Neither bodies nor header values are kept.",
        operation_id="webhooks_rejections",
    )
    def list(self, request: Request, connection_id: Any, registration_id: Any) -> Response:
        doors = WebhookRegistration.objects.exclude(status=RegistrationStatus.DELETED)
        door = doors.filter(connection=self.connection(), pk=registration_id).first()
        if door is None:
            raise Http404
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()).filter(registration=door))
        return self.get_paginated_response(Rejection(page, many=True).data)
