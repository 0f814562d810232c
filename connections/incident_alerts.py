"""HTTP client of the alerting service (EPC-4)."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import jwt
import orjson
import requests
from django.conf import settings

from connections.models import Incident
from connections.platform import platform_session
from connections.secret_store import SecretUnavailable, secret_store
from providers.answers import AnswerTooLarge, read_body
from providers.document import parse_json

SOURCE = "integration-adapters"
PLANE = "tenant_cloud"
CATEGORY = "integration"
TOKEN_SECONDS = 300
MAX_ANSWER_BYTES = 1024 * 1024
_SECRET_NAME = "platform/alerting"
# What it says of an alert it does not know, or has closed already: there is nothing left to resolve.
_NOTHING_OPEN = (404, 409, 410)


class AlertingFailed(Exception):
    """It was not taken. ``for_all``: the service itself is in trouble, so no other message would be taken either."""

    def __init__(self, message: str, *, for_all: bool, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.for_all = for_all
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    content: bytes


class AlertingService:
    """Tells of incidents. Both calls may be repeated: an alert keeps its id and its dedup key."""

    def __init__(self, base_url: str, timeout_seconds: float) -> None:
        self._base_url = base_url
        self._timeout = timeout_seconds

    def raise_alert(self, incident: Incident) -> str:
        """Tell of an open incident and return the id under which the service keeps it. Raises ``AlertingFailed``."""
        answer = self._post("/v1/alerts", incident.tenant_id, alert_of(incident))
        if answer.status not in (200, 201, 202):
            raise _refused(answer.status)
        try:
            kept_as = parse_json(answer.content)["alert_id"]
        except (ValueError, KeyError, TypeError):
            kept_as = None
        if not isinstance(kept_as, str) or not 0 < len(kept_as) <= 100 or not kept_as.isprintable():
            raise AlertingFailed("The alerting service's answer is not understood.", for_all=False)
        return kept_as

    def resolve_alert(self, incident: Incident) -> None:
        """Tell that an incident is over; one it does not know is over as well. Raises ``AlertingFailed``."""
        alert_id = quote(incident.alert_id or str(incident.pk), safe="")
        body = {"actor": SOURCE, "reason": incident.resolution}
        answer = self._post(f"/v1/alerts/{alert_id}/resolve", incident.tenant_id, body)
        if answer.status not in (200, 201, 202, 204, *_NOTHING_OPEN):
            raise _refused(answer.status)

    def _post(self, path: str, tenant_id: str, body: dict[str, Any]) -> _Answer:
        try:
            with platform_session().post(
                self._base_url + path,
                data=orjson.dumps(body),
                headers={**_headers(tenant_id), "Content-Type": "application/json"},
                timeout=(min(3.0, self._timeout), self._timeout),
                allow_redirects=False,
                stream=True,
            ) as raw:
                status, wait = raw.status_code, raw.headers.get("Retry-After", "")
                content = read_body(raw, max_bytes=MAX_ANSWER_BYTES, seconds=self._timeout)
        except AnswerTooLarge:
            raise AlertingFailed("The alerting service's answer is too large.", for_all=False) from None
        except (requests.exceptions.InvalidHeader, UnicodeEncodeError):
            raise AlertingFailed(f"The token of the secret {_SECRET_NAME} cannot be sent.", for_all=False) from None
        except requests.RequestException as error:
            message = f"The alerting service does not answer ({type(error).__name__})."
            raise AlertingFailed(message, for_all=True) from None
        if status == 429 or status >= 500:
            # A past or absurd time is no wish.
            wish = float(wait) if re.fullmatch(r"[0-9]{1,6}", wait, re.ASCII) else 0.0
            message = f"The alerting service cannot take messages now ({status})."
            raise AlertingFailed(message, for_all=True, retry_after_seconds=wish)
        return _Answer(status, content)


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
    ``sub`` and ``tenant_id`` and soon expires is signed with it. Raises ``AlertingFailed`` if it is no such key.
    """
    try:
        secret = secret_store().get(tenant_id, _SECRET_NAME)
    except SecretUnavailable:
        return settings.PLATFORM_TOKEN
    if _is_jwt(secret):
        return secret
    now = int(time.time())
    claims = {"sub": SOURCE, "tenant_id": tenant_id, "iat": now, "exp": now + TOKEN_SECONDS}
    try:
        return jwt.encode(claims, secret, algorithm="HS256")
    except jwt.PyJWTError:
        message = f"The secret {_SECRET_NAME} is neither a JWT nor a key for HS256."
        raise AlertingFailed(message, for_all=False) from None


def _is_jwt(text: str) -> bool:
    try:
        jwt.get_unverified_header(text)
    except jwt.InvalidTokenError:
        return False
    return True


def _refused(status: int) -> AlertingFailed:
    advice = " Its token is not accepted." if status in (401, 403) else ""
    return AlertingFailed(f"The alerting service refused the message ({status}).{advice}", for_all=False)
