"""What live polling and backfill share: whose stream is read, and every failure as a ``ProviderError``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from connections.budget import Decision, budget
from connections.budget_port import resource_type
from connections.models import ConnectionStatus, IntegrationConnection
from connections.runtime import adapter_for
from polling.intervals import Bounds
from polling.lease import LeaseLost
from providers import registry
from providers.canonical import JSON
from providers.errors import Misconfigured, ProviderError, ProviderFault
from providers.quotas import Traffic
from providers.spi import Page, Stream

log = structlog.get_logger(__name__)

# A connection on which nothing happens over a weekend has webhooks that work all the same.
WEBHOOKS_REMEMBERED = timedelta(days=3)


class OwnFault(ProviderError):
    """Ours, not the provider's: an adapter raised what it may not, or a page could not be stored."""

    category = "internal"
    retryable = True


@contextmanager
def every_failure_told(connection: IntegrationConnection, stream: str) -> Iterator[None]:
    """Turn a fault of ours into ``OwnFault``, so that it is recorded and stops this stream alone.

    A database that cannot be reached is raised as it is: nothing can be recorded, and the lease ends.
    """
    try:
        yield
    except (ProviderError, LeaseLost, InterfaceError, OperationalError):
        raise
    except Exception as error:
        log.exception("polling_failed", provider_id=connection.provider_id, stream=stream)
        raise OwnFault(f"The page could not be read or stored ({type(error).__name__}).") from error


def may_poll(connection: IntegrationConnection) -> bool:
    """Whether the connection is active and polling is switched on for it."""
    return connection.status == ConnectionStatus.ACTIVE and connection.uses("polling")


def webhooks_arrive(connection: IntegrationConnection) -> bool:
    """Whether a webhook of the connection came lately."""
    arrived = connection.last_webhook_at
    return arrived is not None and timezone.now() - arrived < WEBHOOKS_REMEMBERED


def ask_budget(connection: IntegrationConnection, traffic: Traffic = Traffic.POLL) -> Decision:
    """One unit of the connection's budget for polls; a backfill leaves half of it to live polling."""
    kind = resource_type(connection.provider_id, traffic)
    spare = traffic is Traffic.BACKFILL
    return budget().ask(connection.tenant_id, kind, str(connection.connection_id), spare=spare)


def stream_of(connection: IntegrationConnection, name: str) -> Stream:
    """Raises ``Misconfigured`` where the adapter, or its stream, is not in this deployment."""
    try:
        return adapter_for(connection).stream(name)
    except registry.UnknownProvider:
        raise Misconfigured("This deployment has no adapter for the provider.") from None
    except KeyError:
        raise Misconfigured(f"The adapter has no stream {name!r}.") from None


def repeats(page: Page, seen: list[JSON]) -> bool:
    """Whether going on would read a page of this run again, for ever."""
    return page.more and page.position in seen


def repeated_page() -> ProviderFault:
    return ProviderFault("The provider repeats a page; the run was stopped there.")


def bounds_of(connection: IntegrationConnection, default_seconds: int | None = None) -> Bounds:
    """The connection's own interval, else ``default_seconds``, else the deployment's."""
    own = connection.settings.get("poll_interval_seconds")
    base = own if isinstance(own, int) and own > 0 else (default_seconds or settings.POLL_INTERVAL_SECONDS)
    return Bounds(base=base, minimum=settings.POLL_INTERVAL_MIN_SECONDS, maximum=settings.POLL_INTERVAL_MAX_SECONDS)
