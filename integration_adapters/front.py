"""Providers' deliveries go straight from the web server to their door; everything else goes to Django.

Sessions, cross-site tokens, logins, pages and Django's own request and answer have no part in a delivery, and cost
more than verifying and storing it. What belongs to every request is here too: identity in logs and traces, a
measurement, headers for what a browser could be made to open, and a database connection that is not used after
it broke.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from django.db import DEFAULT_DB_ALIAS, connections

from connections.errors import error_body
from integration_adapters.middleware import API_POLICY, Identity, tell
from webhooks.door import Answer, take

log = structlog.get_logger(__name__)

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

# The same as the route of that name in ``webhooks.urls``; what is no plain address is Django's to refuse.
_ADDRESS = re.compile(r"/v1/integrations/webhooks/([^/]+)/([^/]+)", re.ASCII)
ROUTE = "v1/integrations/webhooks/<str:provider_id>/<str:connection_token>"
_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_ALWAYS = (("X-Content-Type-Options", "nosniff"), ("Content-Security-Policy", API_POLICY))


class Front:
    """A WSGI application (PEP 3333) in front of Django's."""

    def __init__(self, django: Application) -> None:
        self._django = django

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        address = _ADDRESS.fullmatch(environ["PATH_INFO"])
        if address is None or not environ["PATH_INFO"].isascii():
            return self._django(environ, start_response)
        started = time.perf_counter()
        identity = Identity.of(environ)
        answer = _taken(environ, *address.groups())
        start_response(
            _LINES.get(answer.status, str(answer.status)),
            [
                ("Content-Type", answer.content_type),
                ("Content-Length", str(len(answer.body))),
                *_ALWAYS,
                *(header for header in answer.headers if header not in _ALWAYS),
                *identity.headers,
            ],
        )
        tell(environ["REQUEST_METHOD"], ROUTE, answer.status, time.perf_counter() - started)
        return [answer.body]


def _taken(environ: dict[str, Any], provider_id: str, connection_token: str) -> Answer:
    # What Django does around a request: a connection that broke or is too old is not used again.
    database = connections[DEFAULT_DB_ALIAS]
    database.close_if_unusable_or_obsolete()
    try:
        return take(environ, provider_id, connection_token)
    except Exception:
        log.exception("webhook.failed")
        # Not 500: some providers send nothing more after one.
        body = error_body("TEMPORARILY_UNAVAILABLE", "Temporarily unavailable.")
        return Answer(503, orjson.dumps(body))
    finally:
        database.close_if_unusable_or_obsolete()
