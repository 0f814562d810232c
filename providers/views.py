"""The catalogue: /v1/integrations/providers. The same for every tenant."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from providers import registry
from providers.models import IntegrationProvider
from providers.serializers import Provider, ProviderDetail


@extend_schema(tags=["Providers"])
class ProviderViewSet(GenericViewSet[IntegrationProvider]):
    """The tools this deployment can talk to."""

    queryset = IntegrationProvider.objects.filter(registered=True)
    serializer_class = Provider
    filter_backends = ()
    ordering = "pk"

    @extend_schema(summary="List providers", operation_id="providers_list", responses=Provider(many=True))
    def list(self, request: Request) -> Response:
        unknown = sorted(set(request.query_params) - {"cursor", "page_size"})
        if unknown:
            raise ValidationError({name[:100]: ["is not a known query parameter"] for name in unknown[:20]})
        page = self.paginate_queryset(self.get_queryset().filter(pk__in=registry.slugs()))
        return self.get_paginated_response(Provider(page, many=True).data)

    @extend_schema(summary="Read a provider", operation_id="providers_read", responses=ProviderDetail)
    def retrieve(self, request: Request, provider_id: str) -> Response:
        row = self.get_queryset().filter(pk=provider_id, pk__in=registry.slugs()).first()
        if row is None:
            raise Http404
        return Response(ProviderDetail(row).data)

    def get_serializer_class(self) -> Any:
        return ProviderDetail if self.action == "retrieve" else Provider
