"""Bringing the provider's side of doors up to date: making hooks, telling them a new secret, removing them.

No transaction is open while a provider is asked. What is due stands in the row, and a row is claimed with a lease
before anything is asked, so a process that dies leaves work the next one finds, and its try counts.

An open door with ``hook_retry_at`` set has hooks that are still to be made or do not know its current secret; a
deleted one has hooks left at the provider. An empty id in ``provider_hooks`` means that a hook may be there or not: it
was not asked for yet, or the answer was lost. Making it again finds it by its URL.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from connections import history
from connections.errors import ServiceError
from connections.models import IntegrationConnection
from connections.runtime import client_for
from connections.secret_store import SecretUnavailable, secret_store
from connections.turns import within
from providers import registry
from providers.client import ProviderClient
from providers.errors import Misconfigured, OutOfTime, ProviderError, ProviderFault, Rejected, Unreachable
from providers.redaction import redact_text
from providers.registry import UnknownProvider
from providers.spi import HookRegistrar
from webhooks.models import RegistrationStatus, WebhookRegistration
from webhooks.registrations import SECRET_UNTOLD, locked, public_url, require_hooks_free

ROWS_A_RUN = 200
# For one run, and for one door, which may be begun at the last moment. Together well under a worker's time limit, and
# not much more than the pause between two runs: those that overlap take processes from polling.
RUN_SECONDS = 20.0
DOOR_SECONDS = 30.0
# Longer than any one door may take; a process that dies leaves it to the next after so long.
LEASE = timedelta(minutes=15)
# What may be of one place alone. Others, such as a refused credential, await us in every place.
OF_ONE_PLACE = (Rejected, Misconfigured, ProviderFault, Unreachable)
# Pauses between tries; after the last one a person has to act.
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 20, 60, 180, 360))


@dataclass(frozen=True, slots=True)
class Hooks:
    """What is needed to speak about the hooks of one door."""

    registrar: HookRegistrar
    client: ProviderClient


def settle_due(seconds: float = RUN_SECONDS) -> int:
    """Go on with what is due at providers, beginning no door after so long; returns how many were looked at."""
    ends_at = time.monotonic() + seconds
    due = WebhookRegistration.objects.filter(hook_retry_at__lte=timezone.now()).order_by("hook_retry_at")
    done = 0
    for row in due.select_related("connection")[:ROWS_A_RUN]:
        if time.monotonic() >= ends_at:
            break
        settle(row)
        done += 1
    return done


def settle(registration: WebhookRegistration) -> ProviderError | None:
    """One try to bring the provider's side of a door up to date; returns what stood in the way.

    Where the secret was rotated meanwhile, the provider may have been told the older one last: it is told again.
    """
    row = _claimed(registration)
    if row is None or row.connection is None:
        return None
    error: ProviderError | None = None
    stood = (row.provider_hooks, row.hooks_told)
    try:
        if not row.connection.auth_ref:
            raise Misconfigured("The connection has no credential any more.")
        with within(DOOR_SECONDS), hooks_of(row.connection) as hooks:
            _remove_all(hooks, row) if row.status == RegistrationStatus.DELETED else _tell_all(hooks, row)
    except ServiceError as problem:
        error = Misconfigured(problem.message)
    except ProviderError as problem:
        error = problem
    _conclude(row, error, stood)
    return settle(reread(row)) if _due_anew(row) else error


def _claimed(registration: WebhookRegistration) -> WebhookRegistration | None:
    """The row for this process alone until the lease ends; ``None`` where nothing is to be done or another is at it.

    The try is counted here already: one that is killed never gets to its conclusion.
    """
    with transaction.atomic():
        row: WebhookRegistration | None = (
            WebhookRegistration.objects.select_for_update(of=("self",))
            .select_related("connection")
            .filter(pk=registration.pk, hook_retry_at__isnull=False)
            .first()
        )
        now = timezone.now()
        if row is None or row.hooks_are_held:
            return None
        if row.hook_attempts != registration.hook_attempts and (row.hook_retry_at or now) > now:
            return None
        if row.hook_attempts > len(PAUSES):
            _give_up(row)
            return None
        row.hook_attempts += 1
        row.hook_retry_at = row.hooks_held_until = now + LEASE
        row.save(update_fields=["hook_attempts", "hook_retry_at", "hooks_held_until", "updated_at"])
    return row


@contextmanager
def held(registration: WebhookRegistration) -> Iterator[WebhookRegistration]:
    """An open door as it is now; nobody else is busy with its hooks meanwhile.

    Raises ``ServiceError``: 409 while another is, 404 once the door is deleted.
    """
    until = timezone.now() + LEASE
    with transaction.atomic():
        row = locked(registration)
        require_hooks_free(row)
        row.hooks_held_until = until
        row.save(update_fields=["hooks_held_until", "updated_at"])
    try:
        yield reread(registration)
    finally:
        WebhookRegistration.objects.filter(pk=row.pk, hooks_held_until=until).update(hooks_held_until=None)


def _give_up(row: WebhookRegistration) -> None:
    """After the last try was killed, which left nobody to say so."""
    row.hook_retry_at = None
    row.hook_error = _trouble(row, "The last try took too long and was ended.", retried=False)
    row.save(update_fields=["hook_retry_at", "hook_error", "updated_at"])
    _record(row, row.hook_error)


def _trouble(row: WebhookRegistration, reason: str, *, retried: bool) -> str:
    told = () if row.status == RegistrationStatus.DELETED else row.places_told
    left = [place for place, hook_id in row.provider_hooks.items() if not hook_id or place not in told]
    places = ", ".join(sorted(left))[:200]
    advice = "It is tried again." if retried else "No more tries: put it right at the provider by hand."
    return f"{f'{reason} Concerned: {places}.'[:400]} {advice}"


def _conclude(row: WebhookRegistration, error: ProviderError | None, stood: tuple[Any, Any]) -> None:
    """Write how the try ended, unless another process has taken over since. ``stood``: what was done before it."""
    left = reread(row)
    changes: dict[str, Any] = {"hook_retry_at": None, "hook_error": "", "updated_at": timezone.now()}
    if error is not None:
        attempts = row.hook_attempts
        if isinstance(error, OutOfTime) and (left.provider_hooks, left.hooks_told) != stood:
            # A slow provider with many places: each try gets some way, and is no failure.
            attempts = changes["hook_attempts"] = 0
        retried = attempts <= len(PAUSES) and row.connection is not None and bool(row.connection.auth_ref)
        changes["hook_error"] = _trouble(left, redact_text(str(error)), retried=retried)
        changes["hook_retry_at"] = timezone.now() + PAUSES[max(attempts - 1, 0)] if retried else None
    elif left.status == RegistrationStatus.DELETED and left.provider_hooks:
        places = ", ".join(sorted(left.provider_hooks))[:300]
        changes["hook_error"] = f"A hook may be left in {places}: look there, and remove it by hand."
    else:
        changes["hooks_told"] = None
    mine = WebhookRegistration.objects.filter(pk=row.pk, hooks_held_until=row.hooks_held_until)
    unchanged = mine.filter(hook_attempts=row.hook_attempts, secret_version=row.secret_version, status=row.status)
    if unchanged.update(**changes):
        _record(row, changes["hook_error"])
    mine.update(hooks_held_until=None)


def _record(row: WebhookRegistration, trouble: str) -> None:
    if row.connection is not None:
        operation = "hooks_removed" if row.status == RegistrationStatus.DELETED else "hooks_told"
        outcome = "failed" if trouble else "ok"
        history.record(row.connection, operation, actor="system:webhooks", outcome=outcome, detail=trouble)


def _due_anew(row: WebhookRegistration) -> bool:
    """Whether the secret was rotated while the provider was told; then telling it is due at once.

    It is rotated then only after the lease has ended, or by a process of a release that does not see the lease.
    """
    outdated = WebhookRegistration.objects.filter(pk=row.pk, secret_version__gt=row.secret_version)
    changes = {"hook_attempts": 0, "hook_retry_at": timezone.now(), "hook_error": SECRET_UNTOLD}
    still_open = outdated.exclude(status=RegistrationStatus.DELETED)
    return row.status != RegistrationStatus.DELETED and bool(still_open.update(**changes))


def _remove_all(hooks: Hooks, row: WebhookRegistration) -> None:
    """Remove every known hook; a place where that fails does not keep the others."""
    failed: ProviderError | None = None
    for target, hook_id in sorted(row.provider_hooks.items()):
        if not hook_id:
            continue
        try:
            hooks.registrar.delete(hooks.client, target=target, hook_id=hook_id)
        except OutOfTime:
            raise
        except OF_ONE_PLACE as error:
            failed = error
            continue
        note(row, target, None)
    if failed is not None:
        raise failed


def _tell_all(hooks: Hooks, row: WebhookRegistration) -> None:
    """Make what may be missing and tell each the secret; a place where that fails does not keep the others."""
    url, secret = public_url(row), signing_secret(row)
    failed: ProviderError | None = None
    for target, hook_id in sorted(row.provider_hooks.items()):
        if hook_id and target in row.places_told:
            continue
        try:
            if not hook_id:
                hook_id = create(hooks, row, target, url, secret)
            # Until the first rotation there is one secret, which the hook was made with; a hook that was found may
            # have an older one.
            if row.secret_version > 1:
                hooks.registrar.change_secret(hooks.client, target=target, hook_id=hook_id, url=url, secret=secret)
        except OutOfTime:
            raise
        except OF_ONE_PLACE as error:
            failed = error
            continue
        _note_told(row, target)
    if failed is not None:
        raise failed


def create(hooks: Hooks, row: WebhookRegistration, target: str, url: str, secret: str) -> str:
    """Make one hook, or find it where it was made before, and commit its id. Raises ``ProviderError``."""
    hook_id = hooks.registrar.create(hooks.client, target=target, url=url, secret=secret, events=row.events_subscribed)
    note(row, target, hook_id)
    return hook_id


def _note_told(registration: WebhookRegistration, target: str) -> None:
    with transaction.atomic():
        row = WebhookRegistration.objects.select_for_update().get(pk=registration.pk)
        if row.secret_version == registration.secret_version:
            row.hooks_told = {"version": row.secret_version, "places": sorted({*row.places_told, target})}
            row.save(update_fields=["hooks_told", "updated_at"])


def note(registration: WebhookRegistration, target: str, hook_id: str | None) -> None:
    """Commit what is known of one hook; ``None``: there is none."""
    with transaction.atomic():
        row = WebhookRegistration.objects.select_for_update().get(pk=registration.pk)
        row.provider_hooks.pop(target, None)
        if hook_id is not None:
            row.provider_hooks[target] = hook_id
        if hook_id and row.status == RegistrationStatus.DELETED:
            # The door was closed while its hook was made.
            row.hook_retry_at = timezone.now()
        row.save(update_fields=["provider_hooks", "hook_retry_at", "updated_at"])
    registration.provider_hooks = row.provider_hooks


@contextmanager
def hooks_of(connection: IntegrationConnection) -> Iterator[Hooks]:
    """The provider's API for hooks, called as this connection. Raises ``Misconfigured``."""
    try:
        webhook = registry.get(connection.provider_id).webhook
    except UnknownProvider:
        webhook = None
    if webhook is None or webhook.registrar is None:
        raise Misconfigured("This deployment no longer has the provider's API for hooks.")
    with client_for(connection) as client:
        yield Hooks(webhook.registrar, client)


def signing_secret(registration: WebhookRegistration) -> str:
    """The current secret of a door. Raises ``ServiceError`` (409) where it cannot be read."""
    try:
        return secret_store().get(registration.tenant_id, registration.secret_ref)
    except SecretUnavailable as error:
        raise ServiceError("SECRET_UNAVAILABLE", f"The signing secret cannot be read: {error}", status=409) from None


def reread(registration: WebhookRegistration) -> WebhookRegistration:
    """The row as it is now."""
    row: WebhookRegistration = WebhookRegistration.objects.select_related("connection").get(pk=registration.pk)
    return row
