"""Boot-time checks of what only the deployment can get wrong."""

from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as Caution
from django.core.management.base import BaseCommand, SystemCheckError


@register()
def check_identity(**_kwargs: Any) -> list[CheckMessage]:
    """integration_adapters.E001: the way API clients are told apart cannot work."""
    problem = ""
    if settings.IAM_MODE == "local" and settings.IS_PRODUCTION:
        problem = "IAM_MODE=local is for development; set jwks or introspect."
    elif settings.IAM_MODE == "jwks" and not (settings.IAM_JWKS_URL and settings.IAM_ISSUER):
        problem = "IAM_MODE=jwks needs IAM_JWKS_URL and IAM_ISSUER."
    elif settings.IAM_MODE == "introspect" and not settings.IAM_SERVICE_URL:
        problem = "IAM_MODE=introspect needs IAM_SERVICE_URL."
    return [Error(problem, id="integration_adapters.E001")] if problem else []


@register(deploy=True)
def check_deployment(**_kwargs: Any) -> list[CheckMessage]:
    """integration_adapters.W001: no provider could reach the webhook URLs; W002: the database is a file."""
    problems: list[CheckMessage] = []
    if not settings.PUBLIC_BASE_URL.startswith("https://"):
        problems.append(
            Caution("PUBLIC_BASE_URL is not https; webhook URLs begin with it.", id="integration_adapters.W001")
        )
    if not settings.DATABASE_URL.startswith(("postgres://", "postgresql://")):
        problems.append(Caution("DATABASE_URL names no PostgreSQL.", id="integration_adapters.W002"))
    return problems


def refuse_errors(**_kwargs: Any) -> None:
    """End a process whose settings a check refuses. A WSGI server runs no checks, and Celery drops their findings."""
    try:
        BaseCommand().check()
    except SystemCheckError as error:
        sys.exit(str(error))
