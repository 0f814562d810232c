"""What is at hand while the hooks of one door are looked after."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from connections.models import IntegrationConnection
from providers import registry
from providers.client import ProviderClient
from providers.errors import Misconfigured
from providers.ledgers import DeliveryLedger, HookWatcher
from providers.registry import UnknownProvider
from providers.spi import Adapter, HookRegistrar, Webhook
from webhooks.models import WatchedHook, WebhookRegistration
from webhooks.repair_lease import Claim, holding

# When a hook is first looked after, its ledger is read so far back.
FIRST_LOOK = timedelta(hours=24)


@dataclass(slots=True)
class HookWork:
    """One door of one connection under a lease. ``url`` is where its hooks post to; it holds the token."""

    claim: Claim
    registration: WebhookRegistration
    connection: IntegrationConnection
    adapter: Adapter
    webhook: Webhook
    client: ProviderClient
    url: str = field(repr=False)
    ends_at: float
    """When no further page or delivery is begun; on the monotonic clock."""
    door_is_open: bool
    """Whether a web process runs, so that what is asked for again can arrive."""
    may_ask: bool = True
    """Whether the provider lets this credential ask for deliveries again."""

    @property
    def ledger(self) -> DeliveryLedger | None:
        return self.webhook.ledger

    @property
    def registrar(self) -> HookRegistrar | None:
        return self.webhook.registrar

    @property
    def watcher(self) -> HookWatcher | None:
        return self.registrar.watcher if self.registrar is not None else None

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.ends_at

    def holding(self) -> AbstractContextManager[datetime]:
        """A transaction in which what was found is written, with the database's time. Raises ``LeaseLost``."""
        return holding(self.claim, self.connection.pk)


def watched_hooks(work: HookWork) -> list[WatchedHook]:
    """A row for each hook there is, the one that waited longest first."""
    hooks = wanted_hooks(work.registration, work.connection)
    with work.holding() as now:
        rows = {row.place: row for row in WatchedHook.objects.filter(registration=work.registration, place__in=hooks)}
        for place, hook_id in hooks.items():
            row = rows.get(place)
            if row is None:
                rows[place] = _new(work, place, hook_id, now)
            elif row.hook_id != hook_id:
                # Made anew: the ledger of the old one went with it.
                row.hook_id, row.walk, row.start = hook_id, {}, {}
                row.save(update_fields=["hook_id", "walk", "start", "updated_at"])
    return sorted(rows.values(), key=lambda row: (row.checked_at or row.created_at, row.place))


def wanted_hooks(registration: WebhookRegistration, connection: IntegrationConnection) -> dict[str, str]:
    """Places with ids of the hooks made there, without those that were taken out of the settings since."""
    hooks = {place: hook_id for place, hook_id in registration.provider_hooks.items() if hook_id}
    try:
        webhook = registry.get(registration.provider_id).webhook
        registrar = webhook.registrar if webhook is not None else None
        places = registrar.targets(connection.settings) if registrar is not None else hooks
    except (UnknownProvider, Misconfigured):
        return hooks
    return {place: hook_id for place, hook_id in hooks.items() if place in places}


def _new(work: HookWork, place: str, hook_id: str, now: datetime) -> WatchedHook:
    since = max(work.registration.created_at, now - FIRST_LOOK)
    row: WatchedHook = WatchedHook.objects.create(
        tenant_id=work.connection.tenant_id,
        connection=work.connection,
        registration=work.registration,
        place=place,
        hook_id=hook_id,
        standing_since=now,
        enabled_seen_at=now,
        created_at=now,
        read_at=since,
        read_to=since,
    )
    return row
