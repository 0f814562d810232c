"""Boot-time checks of what only the deployment can get wrong."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register


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
