"""Circuit breakers for tests, and time that passes over them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import F

from connections import breaker
from connections.breaker_models import ConnectionBreaker
from connections.models import IntegrationConnection
from providers.errors import ProviderError, ProviderFault
from tests.factories import make_connection

DOWN = ProviderFault("The provider failed (503).", status=503)
TIMES = ("opened_at", "retry_at", "trial_until", "last_error_at")


def fail(connection: IntegrationConnection, times: int = 1, error: ProviderError = DOWN) -> None:
    for _ in range(times):
        breaker.failed(breaker.admit(connection), error)


def work(connection: IntegrationConnection, times: int = 1) -> None:
    for _ in range(times):
        breaker.succeeded(breaker.admit(connection))


def opened(**values: Any) -> IntegrationConnection:
    """A connection whose calls failed until its breaker opened."""
    connection = make_connection(**values)
    fail(connection, breaker.OPENS_AFTER)
    return connection


def later(seconds: float) -> None:
    """Time passes: everything that was noted of breakers is so much older."""
    ConnectionBreaker.objects.update(**{name: F(name) - timedelta(seconds=seconds) for name in TIMES})
