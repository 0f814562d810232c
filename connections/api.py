"""What every API view of a tenant's things starts with."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters
import structlog
from django.db.models import QuerySet
from django.http import Http404
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from connections.models import IntegrationConnection
from connections.tenancy import SERVICE, TENANT_ADMIN, Principal, TenantQuerySet
from providers.models import IntegrationProvider

_PAGING = frozenset({"cursor", "page_size"})


class StrictFilters(django_filters.FilterSet):  # type: ignore[misc]
    """Query filters; a parameter nobody knows is refused like a value nobody knows."""

    def is_valid(self) -> bool:
        unknown = sorted(set(self.data or {}) - set(self.filters) - _PAGING)
        if unknown:
            raise ValidationError({name[:100]: ["is not a known query parameter"] for name in unknown[:20]})
        # An unset variable in a client's script must not become "all of them".
        empty = [name for name in self.filters if (self.data or {}).get(name) == ""]
        if empty:
            raise ValidationError({name: ["must not be empty"] for name in empty})
        return bool(super().is_valid())


class ProviderFilter(django_filters.ModelChoiceFilter):  # type: ignore[misc]
    """A provider by its id; an unknown one is refused."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(field_name="provider", queryset=IntegrationProvider.objects.all(), **kwargs)


class TenantViewSet(GenericViewSet[Any]):
    """Rows of the asking tenant only. Set ``rows``; another tenant's row answers 404 like a missing one."""

    rows: ClassVar[QuerySet[Any]]
    filterset_class: Any = None

    def get_queryset(self) -> QuerySet[Any]:
        rows = self.rows.all()
        if getattr(self, "swagger_fake_view", False):
            return rows.none()
        assert isinstance(rows, TenantQuerySet)  # a plain manager would forget the tenant  # noqa: S101
        return rows.for_tenant(principal_of(self.request).tenant_id)

    def connection(self) -> IntegrationConnection:
        """The tenant's connection named in the path."""
        return find_connection(self.request, self.kwargs["connection_id"])


def principal_of(request: Request) -> Principal:
    """Who asks; the permission classes have made sure that somebody does."""
    principal = request.user
    assert isinstance(principal, Principal)  # noqa: S101
    return principal


def actor_of(request: Request) -> str:
    """The asking client as evidence names it."""
    return f"api:{principal_of(request).subject}"


def may_manage(request: Request) -> bool:
    """Whether the client may see what opens doors."""
    return bool(principal_of(request).roles & {TENANT_ADMIN, SERVICE})


def find_connection(request: Request, connection_id: Any) -> IntegrationConnection:
    """The tenant's connection, or 404."""
    rows = IntegrationConnection.objects.present().for_tenant(principal_of(request).tenant_id)
    connection: IntegrationConnection | None = rows.select_related("provider").filter(pk=connection_id).first()
    if connection is None:
        raise Http404
    structlog.contextvars.bind_contextvars(connection_id=str(connection.pk), provider_id=connection.provider_id)
    return connection


def validated(view: APIView, serializer_class: Any) -> dict[str, Any]:
    """The request's body, checked."""
    serializer = serializer_class(data=view.request.data)
    serializer.is_valid(raise_exception=True)
    values: dict[str, Any] = serializer.validated_data
    return values
