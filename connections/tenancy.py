"""Tenants: who is asking, and querysets that cannot forget it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from django.db import models
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

TENANT_ADMIN = "tenant_admin"
TENANT_READER = "tenant_reader"
SERVICE = "service"
ROLES = (TENANT_ADMIN, TENANT_READER, SERVICE)

# Owner of what serves many tenants at once, such as the one door of an app. No token can name it.
SHARED_TENANT = "*"


@dataclass(frozen=True, slots=True)
class Principal:
    """The API client behind a request: taken from a verified token, never from the body or the path."""

    subject: str
    tenant_id: str
    roles: frozenset[str]

    # DRF and Django ask these of request.user.
    is_authenticated = True
    is_active = True

    @property
    def pk(self) -> str:
        return self.subject


class TenantQuerySet(models.QuerySet[Any]):
    """Every API view starts with ``for_tenant``; another tenant's row is simply not there (404)."""

    def for_tenant(self, tenant_id: str) -> Self:
        return self.filter(tenant_id=tenant_id)


TenantManager = models.Manager.from_queryset(TenantQuerySet)


class HasTenantRole(BasePermission):
    """Readers read, admins manage, services do both."""

    def has_permission(self, request: Request, view: Any) -> bool:
        roles: frozenset[str] = getattr(request.user, "roles", frozenset())
        if request.method in SAFE_METHODS:
            return bool(roles & {TENANT_ADMIN, TENANT_READER, SERVICE})
        return bool(roles & {TENANT_ADMIN, SERVICE})


class IsService(BasePermission):
    """For ``/internal``: platform services only."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return SERVICE in getattr(request.user, "roles", frozenset())
