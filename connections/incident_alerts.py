"""HTTP client of the alerting service (EPC-4)."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import jwt
from django.conf import settings

from connections.exchange import Answer, NoAnswer, exchange
from connections.models import Incident
from connections.outbox import NotTaken
from connections.secret_store import SecretsUnreachable, SecretUnavailable, secret_store

SOURCE = "integration-adapters"
PLANE = "tenant_cloud"
CATEGORY = "integration"
TOKEN_SECONDS = 300
_SECRET_NAME = "platform/alerting"
# What it says of an alert it does not know, or has closed already: there is nothing left to resolve.
_NOTHING_OPEN = (404, 409, 410)


class AlertingService:
    """Tells of incidents. Both calls may be repeated: an alert keeps its id and its dedup key."""

    def __init__(self, base_url: str, timeout_seconds: float) -> None:
        self._base_url = base_url
        self._timeout = timeout_seconds

    def raise_alert(self, incident: Incident) -> str:
        """Tell of an open incident and return the id under which the service keeps it. Raises ``NotTaken``."""
        answer = self._post("/v1/alerts", incident.tenant_id, alert_of(incident))
        if answer.status not in (200, 201, 202):
            raise _refused(answer.status)
        document = answer.document()
        kept_as = document.get("alert_id") if isinstance(document, dict) else None
        if not isinstance(kept_as, str) or not 0 < len(kept_as) <= 100 or not kept_as.isprintable():
            raise NotTaken("The alerting service's answer is not understood.")
        return kept_as

    def resolve_alert(self, incident: Incident) -> None:
        """Tell that an incident is over; one it does not know is over as well. Raises ``NotTaken``."""
        alert_id = quote(incident.alert_id or str(incident.pk), safe="")
        body = {"actor": SOURCE, "reason": incident.resolution}
        answer = self._post(f"/v1/alerts/{alert_id}/resolve", incident.tenant_id, body)
        if answer.status not in (200, 201, 202, 204, *_NOTHING_OPEN):
            raise _refused(answer.status)

    def _post(self, path: str, tenant_id: str, body: dict[str, Any]) -> Answer:
        headers = _headers(tenant_id)
        try:
            answer = exchange(
                "POST", self._base_url + path, headers, body, timeout_seconds=self._timeout, service="alerting service"
            )
        except NoAnswer as error:
            raise NotTaken(str(error), for_all=error.unreachable) from None
        if answer.status == 429 or answer.status >= 500:
            message = f"The alerting service cannot take messages now ({answer.status})."
            raise NotTaken(message, for_all=True, retry_after_seconds=answer.retry_after_seconds)
        return answer


def alerting() -> AlertingService | None:
    """The configured service; ``None``: the table and the log are all there is."""
    if not settings.ALERTING_SERVICE_URL:
        return None
    return AlertingService(settings.ALERTING_SERVICE_URL, settings.ALERTING_TIMEOUT_SECONDS)


def alert_of(incident: Incident) -> dict[str, Any]:
    """The alert as the service takes it. Everything but the labels is the same with every try."""
    return {
        "alert_id": str(incident.pk),
        "tenant_id": incident.tenant_id,
        "source_module": SOURCE,
        "plane": PLANE,
        "environment": settings.ENVIRONMENT,
        "component_id": str(incident.connection_id),
        "severity": incident.severity,
        "category": CATEGORY,
        "summary": incident.summary,
        "description": incident.detail,
        "labels": {
            "cause": incident.cause,
            "provider_id": incident.connection.provider_id,
            "connection": incident.connection.display_name,
            "occurrences": str(incident.occurrences),
        },
        "started_at": incident.started_at.isoformat(),
        "ended_at": None,
        "dedup_key": f"{incident.connection_id}:{incident.cause}",
        "status": "open",
    }


def _headers(tenant_id: str) -> dict[str, str]:
    token = _token(tenant_id)
    return {"X-Tenant-ID": tenant_id, **({"Authorization": f"Bearer {token}"} if token else {})}


def _token(tenant_id: str) -> str:
    """A token of this tenant, from the secret ``platform/alerting``, else ``PLATFORM_TOKEN``.

    A secret that is a JWT is the token. Any other is the key the service checks tokens with (HS256): one that says
    ``sub`` and ``tenant_id`` and soon expires is signed with it. Raises ``NotTaken`` if it is no such key.
    """
    try:
        secret = secret_store().get(tenant_id, _SECRET_NAME)
    except SecretUnavailable:
        return settings.PLATFORM_TOKEN
    except SecretsUnreachable as error:
        raise NotTaken(str(error), for_tenant=True) from None
    if _is_jwt(secret):
        return secret
    now = int(time.time())
    claims = {"sub": SOURCE, "tenant_id": tenant_id, "iat": now, "exp": now + TOKEN_SECONDS}
    try:
        return jwt.encode(claims, secret, algorithm="HS256")
    except jwt.PyJWTError:
        message = f"The secret {_SECRET_NAME} is neither a JWT nor a key for HS256."
        raise NotTaken(message) from None


def _is_jwt(text: str) -> bool:
    try:
        jwt.get_unverified_header(text)
    except jwt.InvalidTokenError:
        return False
    return True


def _refused(status: int) -> NotTaken:
    advice = " Its token is not accepted." if status in (401, 403) else ""
    return NotTaken(f"The alerting service refused the message ({status}).{advice}")
