"""Proving a connection and replacing its credential: verify, rotate and verifications of a connection."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from connections.api import StrictFilters, TenantViewSet, actor_of, validated
from connections.models import ConnectionVerification
from connections.rotation import replace_credential
from connections.verification import verify_connection
from connections.verification_serializers import CredentialReplace, VerificationState, VerifiedConnection


@extend_schema(tags=["Connections"])
class VerificationViewSet(TenantViewSet):
    """What was tried to prove a connection, and trying it."""

    rows = ConnectionVerification.objects.all()
    serializer_class = VerificationState
    filterset_class = StrictFilters

    @extend_schema(
        summary="Verify a connection",
        description="Real calls to the provider, step by step; the connection becomes active, or error with last_error "
        "set. verification.steps says which step failed and what to do.",
        operation_id="connections_verify",
        request=None,
        responses={200: VerifiedConnection},
    )
    def verify(self, request: Request, connection_id: Any) -> Response:
        row = verify_connection(self.connection(), actor=actor_of(request))
        return Response(VerifiedConnection(row).data)

    @extend_schema(
        summary="Replace the credential",
        description="The new one is tried by real calls first. If it is good, the connection uses it from then on and "
        "is active; else nothing changes (422, with the failed step). A connection authorised at the provider is "
        "authorised again instead (409).",
        operation_id="connections_rotate",
        request=CredentialReplace,
        responses={200: VerifiedConnection},
    )
    def rotate(self, request: Request, connection_id: Any) -> Response:
        connection = self.connection()
        row = replace_credential(connection, actor=actor_of(request), **validated(self, CredentialReplace))
        return Response(VerifiedConnection(row).data)

    @extend_schema(
        summary="List verifications",
        description="Newest first; the last 20 are kept.",
        operation_id="connections_verifications",
        responses={200: VerificationState(many=True)},
    )
    def list(self, request: Request, connection_id: Any) -> Response:
        rows = self.get_queryset().filter(connection=self.connection())
        page = self.paginate_queryset(self.filter_queryset(rows))
        return self.get_paginated_response(VerificationState(page, many=True).data)
