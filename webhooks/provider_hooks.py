"""Doors whose hooks are made at the provider through its API: opening, rotating and closing them.

No transaction is open while a provider is asked; the id of each hook is committed as soon as it is known. Each of these
takes a turn (``connections.turns``) of ``PROVIDER_HOOKS_SECONDS``; what is not done by then is left to the task.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from connections import history, validation
from connections.errors import ServiceError
from connections.models import ConnectionStatus, IntegrationConnection
from connections.turns import turn, turn_if_free
from providers import registry
from providers.errors import Misconfigured, OutOfTime, ProviderError
from providers.redaction import redact_text
from providers.registry import UnknownProvider
from providers.spi import HookRegistrar
from webhooks.hook_upkeep import Hooks, create, held, hooks_of, note, reread, settle, signing_secret
from webhooks.models import RegistrationStatus, WebhookRegistration
from webhooks.registrations import (
    IssuedRegistration,
    create_registration,
    delete_registration,
    locked,
    public_url,
    require_hooks_free,
    rotate_secret,
    webhook_of,
)

MAX_TARGETS = 50


def register(
    connection: IntegrationConnection,
    *,
    actor: str,
    events_subscribed: Sequence[str] = (),
    secret: str = "",
    secret_ref: str = "",
    scheme: str = "",
) -> IssuedRegistration:
    """A new door whose hooks are made at the provider, in every place the settings name, or none at all.

    Where that takes too long, the door stays and the task makes the rest; ``hook_error`` names it. Raises
    ``ServiceError``: 400 or 409 for what a person must change first, 502 where the provider failed, 503 while too
    many others wait for theirs.
    """
    scheme = checked_scheme(connection, scheme)
    with turn(settings.PROVIDER_HOOKS_SECONDS):
        return _register(
            connection,
            actor=actor,
            events_subscribed=events_subscribed,
            secret=secret,
            secret_ref=secret_ref,
            scheme=scheme,
        )


def _register(connection: IntegrationConnection, *, actor: str, **values: Any) -> IssuedRegistration:
    issued = create_registration(connection, actor=actor, made_through_api=True, **values)
    row = make_hooks_or_close(issued.registration, actor=actor)
    return IssuedRegistration(row, issued.public_url, issued.secret)


def make_hooks_or_close(registration: WebhookRegistration, *, actor: str) -> WebhookRegistration:
    """The hooks of a new door, whose URL and secret nobody has; where they cannot be made it is closed.

    Raises ``ServiceError`` as ``make_hooks`` does.
    """
    try:
        return make_hooks(registration, actor=actor)
    except ServiceError as error:
        left = close(registration, actor=actor)
        message = f"{error.message} {left.hook_error}".strip() if left.provider_hooks else error.message
        raise ServiceError(error.code, message, error.details, error.status) from None


def checked_scheme(connection: IntegrationConnection, scheme: str) -> str:
    """The scheme hooks of this connection prove themselves with, once all is there that making them needs.

    Raises ``ServiceError`` (400, 409) with what a person has to change first; asks no provider.
    """
    registrar = _registrar(connection)
    if scheme and scheme != registrar.scheme:
        reason = f"must be {registrar.scheme} where the hook is made through the provider's API"
        raise validation.invalid(validation.problem("/scheme", reason))
    _require_callable(connection)
    missing_targets(connection, {})
    return registrar.scheme


def can_make_hooks(registration: WebhookRegistration) -> bool:
    """Whether the provider has an API for hooks like this door's, and the door is still open."""
    try:
        webhook = registry.get(registration.provider_id).webhook
    except UnknownProvider:
        return False
    registrar = webhook.registrar if webhook is not None else None
    is_open = registration.status != RegistrationStatus.DELETED and registration.connection is not None
    return is_open and registrar is not None and registrar.scheme == registration.scheme


def missing_targets(connection: IntegrationConnection, hooks: Mapping[str, str]) -> list[str]:
    """The places where hooks are still to be made. Raises ``ServiceError`` where the settings name none or too many."""
    try:
        targets = list(_registrar(connection).targets(connection.settings))
    except Misconfigured as error:
        raise ServiceError("HOOKS_NOT_POSSIBLE", str(error), status=409) from None
    if len(targets) > MAX_TARGETS:
        message = f"The settings name {len(targets)} places; hooks are made in at most {MAX_TARGETS} at a time."
        raise ServiceError("HOOKS_NOT_POSSIBLE", message, status=409)
    return [target for target in targets if not hooks.get(target)]


def lacks_hooks(registration: WebhookRegistration) -> bool:
    """Whether hooks of this door can be made that are not there."""
    if registration.connection is None or not can_make_hooks(registration):
        return False
    try:
        return bool(missing_targets(registration.connection, registration.provider_hooks))
    except ServiceError:
        # What stands in the way is told when it is tried.
        return True


def make_hooks(registration: WebhookRegistration, *, actor: str) -> WebhookRegistration:
    """Make the hooks that are missing. Those that were made stay, whatever happens to the next.

    What there is no time for is left to the task. Raises ``ServiceError``: 409 for what a person must change first and
    while the task is at it, 502 where the provider failed, 503 while too many others wait for theirs.
    """
    connection = registration.connection
    if connection is None or not can_make_hooks(registration):
        raise ServiceError("HOOKS_NOT_POSSIBLE", "Hooks of this door are made by hand, at the provider.", status=409)
    _require_callable(connection)
    with held(registration) as row:
        _make_missing(row, connection, actor=actor)
    return reread(registration)


def _make_missing(registration: WebhookRegistration, connection: IntegrationConnection, *, actor: str) -> None:
    url, secret = public_url(registration), signing_secret(registration)
    missing = missing_targets(connection, registration.provider_hooks)
    made: list[str] = []
    try:
        with turn(settings.PROVIDER_HOOKS_SECONDS), hooks_of(connection) as hooks:
            for target in missing:
                _make(hooks, registration, target, url, secret)
                made.append(target)
        _nothing_left(registration)
    except OutOfTime:
        _leave_to_task(registration, missing[len(made) :])
    except ProviderError as error:
        reason = redact_text(str(error))
        history.record(connection, "hooks_made", actor=actor, outcome="failed", detail=reason)
        raise _failure(f"The hook could not be made at the provider. {reason}", error) from None
    history.record(connection, "hooks_made", actor=actor, detail=f"In {', '.join(made) or 'no more places'}.")


def rotate(registration: WebhookRegistration, *, actor: str, secret: str = "") -> IssuedRegistration:
    """A new signing secret, and the hooks at the provider are told. Asked again after a failure, it only tells them.

    The old secret verifies during the grace, so nothing is refused meanwhile. Raises ``ServiceError``: where
    the provider could not be told (409, 502), the secret is rotated all the same and a task tries again. Nothing is
    changed while another process is at the hooks (409), or too many others wait for their providers (503).
    """
    with turn(settings.PROVIDER_HOOKS_SECONDS) if registration.provider_hooks else nullcontext():
        return _rotate(registration, actor=actor, secret=secret)


def _rotate(registration: WebhookRegistration, *, actor: str, secret: str) -> IssuedRegistration:
    if registration.is_untold and not secret:
        row = settle_now(registration)
        return IssuedRegistration(row, public_url(row), signing_secret(row))
    issued = rotate_secret(registration, actor=actor, secret=secret)
    if not issued.registration.provider_hooks:
        return issued
    error = settle(issued.registration)
    row = reread(registration)
    if error is not None:
        message = f"The secret is rotated here, but the provider does not know it yet; both verify. {row.hook_error}"
        raise _failure(message, error)
    # Of two rotations that passed each other both end with the newer one.
    return IssuedRegistration(row, issued.public_url, signing_secret(row))


def settle_now(registration: WebhookRegistration) -> WebhookRegistration:
    """Do what is left at the provider, also where the task has given up. Raises ``ServiceError`` (409, 502, 503)."""
    now = timezone.now()
    left = (
        WebhookRegistration.objects.filter(pk=registration.pk).exclude(hook_error="").exclude(hooks_held_until__gt=now)
    )
    left.update(hook_attempts=0, hook_retry_at=now, updated_at=now)
    with turn(settings.PROVIDER_HOOKS_SECONDS):
        error = settle(reread(registration))
    row = reread(registration)
    if error is not None:
        raise _failure(row.hook_error, error)
    # Another process has it in hand, and its end is not known.
    require_hooks_free(row)
    return row


def close(registration: WebhookRegistration, *, actor: str) -> WebhookRegistration:
    """Delete a door, then its hooks at the provider. What could not be removed is shown and tried again by a task.

    The door closes now, whether there is a turn or not.
    """
    registration = reread(registration)
    if not registration.provider_hooks:
        delete_registration(registration, actor=actor)
        return reread(registration)
    with turn_if_free(settings.PROVIDER_HOOKS_SECONDS) as free:
        if free and "" in registration.provider_hooks.values():
            # Only while the URL is known can a hook be found whose id is not.
            with suppress(ServiceError, ProviderError):
                _find_lost(registration)
        delete_registration(registration, actor=actor)
        if free:
            settle(registration)
    return reread(registration)


def leave_provider(connection: IntegrationConnection, *, actor: str) -> None:
    """Before a connection is deleted, and its credential with it: remove all hooks that were made with it.

    Raises ``ServiceError`` (503) where there is no turn: without the credential nobody could remove them later.
    """
    doors = WebhookRegistration.objects.filter(connection=connection).exclude(provider_hooks={})
    if not doors.exists():
        return
    with turn(settings.PROVIDER_HOOKS_SECONDS):
        for registration in doors:
            if registration.status != RegistrationStatus.DELETED:
                close(registration, actor=actor)
            elif registration.hook_retry_at is not None:
                settle(registration)


def _make(hooks: Hooks, registration: WebhookRegistration, target: str, url: str, secret: str) -> None:
    note(registration, target, "")
    try:
        create(hooks, registration, target, url, secret)
    except ProviderError as error:
        if error.category not in ("network", "server"):
            # An answer came, and it was no.
            note(registration, target, None)
        raise


def _leave_to_task(registration: WebhookRegistration, places: Sequence[str]) -> None:
    """There was no time to make hooks in these places, or to hear that they were made."""
    with transaction.atomic():
        row = locked(registration)
        is_untold = row.is_untold
        row.provider_hooks = {**dict.fromkeys(places, ""), **row.provider_hooks}
        if not is_untold:
            # What was made has the current secret, and so will what is to be made.
            row.hooks_told = {"version": row.secret_version, "places": sorted(row.provider_hooks)}
        told = f"The provider was slow, so hooks are still to be made in {', '.join(places)}"
        row.hook_error = f"{told[:400]}. It is tried again."
        row.hook_attempts, row.hook_retry_at = 0, timezone.now()
        row.save(
            update_fields=["provider_hooks", "hooks_told", "hook_error", "hook_attempts", "hook_retry_at", "updated_at"]
        )


def _nothing_left(registration: WebhookRegistration) -> None:
    """The task need not make what now is made."""
    with transaction.atomic():
        row = locked(registration)
        if not row.is_untold and all(row.provider_hooks.values()):
            row.hook_error, row.hook_attempts, row.hook_retry_at = "", 0, None
            row.save(update_fields=["hook_error", "hook_attempts", "hook_retry_at", "updated_at"])


def _find_lost(registration: WebhookRegistration) -> None:
    """Learn the ids of hooks whose making was not answered: making one again finds it by its URL."""
    connection = registration.connection
    if connection is None:
        return
    with held(registration) as row, hooks_of(connection) as hooks:
        url, secret = public_url(row), signing_secret(row)
        for target, hook_id in sorted(row.provider_hooks.items()):
            if not hook_id:
                _make(hooks, row, target, url, secret)


def _registrar(connection: IntegrationConnection) -> HookRegistrar:
    registrar = webhook_of(connection).registrar
    if registrar is None:
        reason = "is not possible: this provider has no API for it; make the hook there by hand"
        raise validation.invalid(validation.problem("/register", reason))
    return registrar


def _require_callable(connection: IntegrationConnection) -> None:
    if not connection.auth_ref:
        message = "Hooks are made with the connection's credential, and it has none; make the hook by hand."
        raise ServiceError("CREDENTIAL_REQUIRED", message, status=409)
    if connection.status != ConnectionStatus.ACTIVE:
        message = f"The connection is {connection.status}; verify it first."
        raise ServiceError("CONNECTION_NOT_ACTIVE", message, {"status": connection.status}, status=409)
    # A provider that we call at an address of our own network can call us at one.
    if not _is_public(settings.PUBLIC_BASE_URL) and not settings.OUTBOUND_POLICY.admits(
        validation.origin(connection.settings)
    ):
        message = (
            f"The provider cannot reach this service at {settings.PUBLIC_BASE_URL}. PUBLIC_BASE_URL must be its https "
            "address on the internet. Until then make the hook by hand, with the address of a tunnel or relay."
        )
        raise ServiceError("PUBLIC_URL_UNREACHABLE", message, status=409)


def _is_public(url: str) -> bool:
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    try:
        return parts.scheme == "https" and ipaddress.ip_address(host).is_global
    except ValueError:
        return parts.scheme == "https" and "." in host and not host.endswith((".localhost", ".local", ".internal"))


def _failure(message: str, error: ProviderError) -> ServiceError:
    details: dict[str, Any] = {"category": error.category}
    if error.retry_after_seconds is not None:
        details["retry_after_seconds"] = round(error.retry_after_seconds)
    code, status = ("PROVIDER_FAILED", 502) if error.retryable else ("PROVIDER_REFUSED", 409)
    return ServiceError(code, message[:1000], details, status)
