"""From the token in a URL to an open door, with all that is needed to judge a request at it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.utils import timezone

from connections.lifecycle import TAKES_EVENTS
from connections.models import IntegrationConnection
from connections.secret_port import REMEMBERED_SECONDS
from connections.secret_store import SecretUnavailable, is_kept_here, secret_store
from providers import registry
from providers.known_secrets import remember
from providers.registry import UnknownProvider
from providers.spi import Adapter, Webhook
from providers.verification import Scheme, UnsignedScheme
from webhooks.models import RegistrationStatus, WebhookRegistration
from webhooks.row_versions import row_versions

OPEN_REGISTRATIONS = (RegistrationStatus.PENDING, RegistrationStatus.ACTIVE)
_MAX_DOORS = 10_000


class Door:
    """An open registration with its adapter, scheme and secrets: what a token leads to.

    ``connection`` is ``None`` at a shared door. Secrets are read when they are first needed and kept as long
    as the door is.
    """

    def __init__(self, registration: WebhookRegistration, adapter: Adapter, webhook: Webhook, scheme: Scheme) -> None:
        self.registration = registration
        self.connection: IntegrationConnection | None = registration.connection
        self.adapter = adapter
        self.webhook = webhook
        self.scheme = scheme
        self.body_limit_bytes = adapter.manifest.body_limit_bytes
        self._secrets: list[tuple[int, bytes, datetime | None]] | None = None

    def secrets(self) -> list[tuple[int, bytes]]:
        """Version and text of each secret that is valid now, current first. Raises ``SecretUnavailable``."""
        if self._secrets is None:
            self._secrets = self._read_secrets()
        for _, secret, _ in self._secrets:
            remember(secret.decode())
        now = timezone.now()
        return [(version, secret) for version, secret, until in self._secrets if until is None or until > now]

    @property
    def is_waived(self) -> bool:
        """Whether deliveries may prove nothing, because somebody accepted that by name."""
        signs_nothing = isinstance(self.scheme, UnsignedScheme)
        return signs_nothing and self.connection is not None and self.connection.waives_signatures

    def _read_secrets(self) -> list[tuple[int, bytes, datetime | None]]:
        registration, store = self.registration, secret_store()
        found: list[tuple[int, bytes, datetime | None]] = [
            (registration.secret_version, store.get(registration.tenant_id, registration.secret_ref).encode(), None)
        ]
        until = registration.previous_secret_until
        if until is not None and until > timezone.now():
            # The secret before the rotation may be gone already; what the current one signs is still good.
            with suppress(SecretUnavailable):
                previous = store.get(registration.tenant_id, registration.previous_secret_ref).encode()
                version = registration.previous_secret_version or registration.secret_version - 1
                found.append((version, previous, until))
        return found


@dataclass(slots=True)
class _Remembered:
    """A door with the versions of the rows it was made from, and how long it is believed unasked."""

    door: Door
    versions: str | None
    believed_until: float  # monotonic


_doors: dict[bytes, _Remembered] = {}


def find_door(provider_id: str, connection_token: str) -> Door | None:
    """The door behind a token, by its hash; ``None`` alike for unknown, closed or mismatched.

    Every token, however malformed, costs one hash and at most two indexed look-ups. A process believes what it
    knows of a door for ``WEBHOOK_DOOR_CACHE_SECONDS``, so closing one takes as long to be known everywhere.
    """
    token_hash = hashlib.sha256(connection_token.encode("utf-8", "surrogatepass")).digest()
    known, now = _doors.get(token_hash), time.monotonic()
    door = known.door if known is not None and now < known.believed_until else _look_up(token_hash, known, now)
    return door if door is not None and door.registration.provider_id == provider_id else None


def _look_up(token_hash: bytes, known: _Remembered | None, now: float) -> Door | None:
    """The door as the database has it now; made anew only where its rows were written since."""
    believed_until = now + settings.WEBHOOK_DOOR_CACHE_SECONDS
    versions = row_versions(token_hash)
    if known is not None and versions is not None and known.versions == versions:
        known.believed_until = believed_until
        return known.door
    door = _read_door(token_hash)
    if door is None:
        _doors.pop(token_hash, None)
        return None
    if len(_doors) >= _MAX_DOORS:
        _doors.clear()
    # A secret that is kept elsewhere, or has a name of its operator's, can change without any of these rows.
    told = versions
    if not is_kept_here(door.registration.secret_ref):
        told, believed_until = None, min(believed_until, now + REMEMBERED_SECONDS)
    # Versions were asked for first: a row written in between is then read twice, never missed.
    _doors[token_hash] = _Remembered(door, told, believed_until)
    return door


def _read_door(token_hash: bytes) -> Door | None:
    registration = WebhookRegistration.objects.select_related("connection").filter(token_hash=token_hash).first()
    return open_door(registration) if registration is not None else None


def open_door(registration: WebhookRegistration) -> Door | None:
    """The registration as a door, or ``None`` while it takes no deliveries."""
    if registration.status not in OPEN_REGISTRATIONS:
        return None
    connection = registration.connection
    if connection is not None and connection.status not in TAKES_EVENTS:
        return None
    try:
        adapter = registry.get(registration.provider_id)
    except UnknownProvider:
        return None
    webhook = adapter.webhook
    scheme = webhook.schemes.get(registration.scheme) if webhook is not None else None
    return Door(registration, adapter, webhook, scheme) if webhook is not None and scheme is not None else None


def routed_connections(door: Door, routes: Sequence[str]) -> list[IntegrationConnection]:
    """The connections a delivery to a shared door belongs to, by what their providers said of them."""
    found = IntegrationConnection.objects.filter(
        routes__provider=door.registration.provider_id, routes__route__in=list(routes), status__in=TAKES_EVENTS
    )
    return [connection for connection in found.distinct() if connection.uses("webhook")]
