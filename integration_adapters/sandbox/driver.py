"""Lets things happen in the simulated worlds and sends the webhooks that tell of them, as the providers would."""

from __future__ import annotations

import itertools
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests
from django.db import DatabaseError, close_old_connections

from connections.models import IntegrationConnection
from connections.secret_store import SecretUnavailable, secret_store
from integration_adapters.sandbox.seeding import demo_connections
from integration_adapters.sandbox.worlds import World
from providers import registry
from providers.simulation import SimulatedDelivery
from providers.verification import Header, HmacScheme, Scheme, sign
from webhooks.models import RegistrationStatus, WebhookRegistration
from webhooks.registrations import public_url

TIMEOUT_SECONDS = 10.0
TRIES = 4
"""A provider gives up in the end; what it could not tell is found by polling."""
FIRST_PAUSE_SECONDS = 2.0
POLL_ONLY_EVERY = 4
"""Of each world's happenings every fourth is told by no webhook, only found by polling, where that is done."""
REPEAT_SHARE = 0.08


@dataclass(slots=True)
class _Parcel:
    registration: WebhookRegistration
    delivery: SimulatedDelivery
    due: float
    tries: int = 0


class Driver:
    """Call ``step`` every few seconds."""

    def __init__(self, worlds: Mapping[tuple[str, str], World], target: str, say: Callable[[str], None]) -> None:
        self._worlds = worlds
        self._target = target.rstrip("/")
        self._say = say
        self._session = requests.Session()
        self._session.trust_env = False
        self._turns = itertools.cycle(list(worlds))
        self._parcels: list[_Parcel] = []
        self._happened: Counter[tuple[str, str]] = Counter()
        self._ready = False

    def step(self) -> None:
        """One happening in one world, and every delivery that is due."""
        close_old_connections()
        self._ready = self._ready or self._target_answers()
        if not self._ready:
            return
        try:
            self._happen()
            self._send_due()
        except DatabaseError as error:
            self._say(f"waiting for the database ({type(error).__name__})")

    def _target_answers(self) -> bool:
        """Before the first happening there must be somebody to tell."""
        try:
            return self._session.get(f"{self._target}/health", timeout=TIMEOUT_SECONDS).ok
        except requests.RequestException:
            return False

    def _happen(self) -> None:
        key = next(self._turns)
        registration = _registration(*key)
        if registration is None:
            return
        deliveries = self._worlds[key].tick()
        self._happened[key] += 1
        if self._happened[key] % POLL_ONLY_EVERY == 0 and _is_polled(registration):
            return
        if deliveries and random.random() < REPEAT_SHARE:  # noqa: S311
            deliveries = [*deliveries, deliveries[-1]]
        self._parcels += [_Parcel(registration, delivery, due=time.monotonic()) for delivery in deliveries]

    def _send_due(self) -> None:
        now = time.monotonic()
        due = [parcel for parcel in self._parcels if parcel.due <= now]
        self._parcels = [parcel for parcel in self._parcels if parcel.due > now]
        for parcel in due:
            problem = self._send(parcel)
            if problem:
                parcel.tries += 1
                parcel.due = time.monotonic() + FIRST_PAUSE_SECONDS * 2**parcel.tries
                self._say(f"webhook of {parcel.registration.connection} not taken: {problem}")
                if parcel.tries < TRIES:
                    self._parcels.append(parcel)

    def _send(self, parcel: _Parcel) -> str:
        """Sign and post one delivery; what went wrong, or an empty text."""
        registration = parcel.registration
        url = public_url(registration)
        adapter = registry.get(registration.provider_id)
        if not url or adapter.webhook is None:
            return "the registration is gone"
        try:
            secret = secret_store().get(registration.tenant_id, registration.secret_ref)
        except SecretUnavailable as error:
            return str(error)
        headers = signed_headers(adapter.webhook.schemes[registration.scheme], parcel.delivery, secret.encode())
        try:
            answer = self._session.post(
                self._target + urlsplit(url).path, data=parcel.delivery.body, headers=headers, timeout=TIMEOUT_SECONDS
            )
        except requests.RequestException as error:
            return type(error).__name__
        return "" if answer.status_code < 300 else f"answered {answer.status_code}"


def signed_headers(scheme: Scheme, delivery: SimulatedDelivery, secret: bytes) -> dict[str, str]:
    """Headers of one try: those of the delivery, and the proof a provider adds so that we believe it.

    Where an id is signed it is the one the simulator gave, because it must stay the same on every try.
    """
    headers = {name.lower(): value for name, value in delivery.headers.items()}
    place = scheme.id if isinstance(scheme, HmacScheme) else None
    given = headers.get(place.name, "") if isinstance(place, Header) else ""
    return headers | sign(scheme, body=delivery.body, secret=secret, identifier=given or uuid.uuid4().hex)


def _is_polled(registration: WebhookRegistration) -> bool:
    connection = registration.connection
    return connection is not None and connection.uses("polling")


def _registration(slug: str, tenant_id: str) -> WebhookRegistration | None:
    """The open door of the demonstration's connection; staff may have closed it, or changed its secret."""
    connection: IntegrationConnection | None = demo_connections(slug, tenant_id).first()
    if connection is None:
        return None
    return (
        WebhookRegistration.objects.select_related("connection")
        .filter(connection=connection, status__in=(RegistrationStatus.PENDING, RegistrationStatus.ACTIVE))
        .order_by("registration_id")
        .first()
    )
