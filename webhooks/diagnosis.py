"""Why is this door quiet, or failing: one line for people, from a bounded number of indexed reads."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, TextChoices
from django.utils import timezone

from connections.errors import ServiceError
from connections.models import ConnectionStatus, IntegrationConnection
from events.gap_models import GapStatus
from events.models import AdapterEvent, DeliveryGap, DeliveryStatus
from providers import registry
from providers.console.display import span
from providers.registry import UnknownProvider
from providers.spi import TEST_DELIVERY
from providers.verification import Scheme, UnsignedScheme
from webhooks.models import (
    QuarantinedDelivery,
    RegistrationStatus,
    RejectedDelivery,
    WatchedHook,
    WebhookRegistration,
)
from webhooks.opening import NOTED_EVERY
from webhooks.provider_hooks import can_make_hooks, missing_targets
from webhooks.reasons import explained
from webhooks.repair_models import Standing

# Of each connection so many newest events are looked at, whatever road they came by.
EVENTS_LOOKED_AT = 100
QUIET_AFTER = timedelta(days=7)
# A new door that is silent for less is simply new.
STILL_NEW = timedelta(minutes=15)
# Retries of the provider, and hooks that seldom fire, may still come with the old secret.
OLD_SECRET_IDLE = timedelta(minutes=30)
# So many failures to look after a hook are no accident.
FAILS_FROM = 3
LOSS_TOLD_FOR = timedelta(days=1)
_AT_WORK = (Standing.ENABLED, Standing.UNKNOWN)
# Told of in another way than as a refusal.
_TOLD_APART = ("rate_limited", "quarantine_full", "unrouted")


class State(TextChoices):
    """How much a person is needed."""

    FAILING = "failing", "Failing"
    ATTENTION = "attention", "Attention"
    WAITING = "waiting", "Waiting"
    OFF = "off", "Off"
    OK = "ok", "Fine"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """``code`` is from a closed set; ``others`` are further findings, less urgent."""

    state: State
    code: str
    summary: str
    advice: str = ""
    others: tuple[str, ...] = ()


@dataclass(slots=True)
class _Facts:
    registration: WebhookRegistration
    now: datetime
    refused: list[RejectedDelivery] = field(default_factory=list)
    quarantined: dict[str, int] = field(default_factory=dict)
    """Unread deliveries by reason; each reason has room of its own."""
    events: list[tuple[str, str, str]] = field(default_factory=list)
    """Newest first: delivery status, reason for being ignored, code of the last error."""
    troubled: list[WatchedHook] = field(default_factory=list)
    """Hooks at the provider that deliver nothing, or that it does not let us look after."""
    lost: list[DeliveryGap] = field(default_factory=list)
    """Gaps of the last day in which something was lost for good."""

    def ago(self, at: datetime) -> str:
        return f"{span(self.now - at)} ago"


def diagnose(registrations: Sequence[WebhookRegistration]) -> dict[uuid.UUID, Diagnosis]:
    """One line a door. Reads a few statements for all of them, and one more a connection."""
    now = timezone.now()
    facts = {row.pk: _Facts(row, now) for row in registrations}
    recently = now - timedelta(hours=1)
    for refused in RejectedDelivery.objects.filter(
        registration__in=facts, hour__gte=recently.replace(minute=0, second=0, microsecond=0), last_at__gte=recently
    ):
        facts[refused.registration_id].refused.append(refused)
    kept = QuarantinedDelivery.objects.filter(registration__in=facts).order_by()
    for registration_id, reason, number in kept.values_list("registration_id", "reason").annotate(Count("pk")):
        facts[registration_id].quarantined[reason] = number
    troubled = WatchedHook.objects.filter(registration__in=facts).exclude(
        standing__in=_AT_WORK, failures__lt=FAILS_FROM
    )
    for watch in troubled.order_by("place"):
        facts[watch.registration_id].troubled.append(watch)
    lost = DeliveryGap.objects.filter(
        connection__in={row.connection_id for row in registrations}, status=GapStatus.LOST
    )
    for gap in lost.filter(registration_id__in=facts, settled_at__gte=now - LOSS_TOLD_FOR):
        facts[gap.registration_id].lost.append(gap)
    for connection_id in {row.connection_id for row in registrations if row.connection_id}:
        newest = AdapterEvent.objects.filter(connection_id=connection_id).order_by("-event_id")
        columns = ("registration_id", "delivery_status", "ignored_reason", "last_error_code")
        for registration_id, *told in newest.values_list(*columns)[:EVENTS_LOOKED_AT]:
            if registration_id in facts:
                facts[registration_id].events.append((told[0], told[1], told[2]))
    return {key: _line(found) for key, found in facts.items()}


def diagnose_connection(connection: IntegrationConnection) -> Diagnosis:
    """The most urgent finding about a connection's webhooks; the others behind it."""
    doors = WebhookRegistration.objects.filter(connection=connection).exclude(status=RegistrationStatus.DELETED)
    rows = list(doors.select_related("connection").order_by("-registration_id")[:10])
    if not connection.uses("webhook"):
        return Diagnosis(State.OFF, "not_used", "The connection receives no webhooks.")
    if not rows:
        advice = "Add a webhook, and give its URL and secret to the provider, or have the hook made there."
        return Diagnosis(State.WAITING, "no_door", "There is no webhook yet, so nothing can arrive.", advice)
    found = sorted(diagnose(rows).items(), key=lambda item: list(State).index(item[1].state))
    (_, worst), rest = found[0], found[1:]
    return replace(worst, others=worst.others + tuple(f"{key}: {other.summary}" for key, other in rest))


def _line(facts: _Facts) -> Diagnosis:
    closed = _closed(facts)
    if closed is not None:
        return closed
    findings = [found for check in _CHECKS if (found := check(facts)) is not None]
    first, *rest = sorted(findings, key=lambda found: list(State).index(found.state))
    # That deliveries arrive is no news beside a fault.
    others = tuple(other.summary for other in rest if other.state in (State.FAILING, State.ATTENTION))
    return replace(first, others=others + _waiver(facts.registration))


def _closed(facts: _Facts) -> Diagnosis | None:
    row = facts.registration
    if row.status == RegistrationStatus.DELETED:
        if row.provider_hooks:
            return Diagnosis(
                State.ATTENTION, "hooks_left", "Closed, but a hook is left at the provider.", row.hook_error
            )
        return Diagnosis(State.OFF, "deleted", "Closed for good.")
    if row.status == RegistrationStatus.SUSPENDED:
        return Diagnosis(State.OFF, "suspended", "Suspended: deliveries are answered 404.", "Resume it when ready.")
    if row.connection is not None and row.connection.status == ConnectionStatus.SUSPENDED:
        summary = "The connection is suspended: deliveries are answered 404."
        return Diagnosis(State.OFF, "connection_suspended", summary, "Resume the connection when ready.")
    return None


def _cannot_verify(facts: _Facts) -> Diagnosis | None:
    row = facts.registration
    scheme = scheme_of(row)
    if scheme is None:
        summary = "This deployment no longer has the provider's adapter, or this scheme of it."
        return Diagnosis(State.FAILING, "scheme_missing", summary, "Deliveries are answered 404 until it is back.")
    if isinstance(scheme, UnsignedScheme) and not (row.connection and row.connection.waives_signatures):
        reason = explained("unsigned")
        return Diagnosis(State.FAILING, "unsigned", f"Everything is refused: {reason.words}.", reason.advice)
    return None


def _waiver(row: WebhookRegistration) -> tuple[str, ...]:
    """A word on what is believed without proof, however well it works."""
    connection = row.connection
    if connection is None or not connection.waives_signatures or not isinstance(scheme_of(row), UnsignedScheme):
        return ()
    by, reason = connection.unsigned_waiver_by, connection.unsigned_waiver_reason
    return (f"Deliveries prove nothing here; {by} accepted that: {reason}",)


def _untold(facts: _Facts) -> Diagnosis | None:
    row = facts.registration
    if not row.hook_error or row.status == RegistrationStatus.DELETED:
        return None
    if not row.is_untold:
        return Diagnosis(State.ATTENTION, "hooks_unmade", "Hooks at the provider are still to be made.", row.hook_error)
    return Diagnosis(State.FAILING, "secret_untold", "The provider does not know the current secret.", row.hook_error)


def _hook_off(facts: _Facts) -> Diagnosis | None:
    """What the provider says of its hooks; it is put right without anybody, unless something stands in the way."""
    off = [watch for watch in facts.troubled if watch.standing not in _AT_WORK]
    if off:
        first = off[0]
        summary = f"The hook in {first.place} delivers nothing: {first.get_standing_display().lower()}."
        advice = first.last_error or "It is put right within minutes, and what was missed is fetched or polled."
        return Diagnosis(State.FAILING, "hook_off", summary, advice)
    if facts.troubled:
        summary = f"Whether deliveries of the hook in {facts.troubled[0].place} are missed cannot be seen."
        return Diagnosis(State.ATTENTION, "not_looked_after", summary, facts.troubled[0].last_error)
    return None


def _lost(facts: _Facts) -> Diagnosis | None:
    if not facts.lost:
        return None
    number = sum(max(1, gap.lost) for gap in facts.lost)
    deliveries = "delivery was" if number == 1 else "deliveries were"
    advice = "The gaps of the connection say which, and why they could not be had."
    return Diagnosis(State.ATTENTION, "lost", f"{number} {deliveries} lost within the last day.", advice)


def _refused(facts: _Facts) -> Diagnosis | None:
    refused = [row for row in facts.refused if row.reason not in _TOLD_APART]
    if not refused:
        return None
    last = max(refused, key=lambda row: row.last_at)
    number = sum(row.number for row in refused)
    received_at = facts.registration.last_received_at
    # Deliveries that are taken are noted to the minute.
    taken_since = received_at is not None and received_at > last.last_at - NOTED_EVERY
    since = min(row.first_at for row in refused)
    reason = explained(last.reason)
    deliveries = "delivery was" if number == 1 else "deliveries were"
    summary = (
        f"{number} {deliveries} refused since {since:%H:%M} UTC, the last {facts.ago(last.last_at)}: {reason.words}."
    )
    state = State.ATTENTION if taken_since else State.FAILING
    return Diagnosis(state, "refused", f"{summary}{' Others are taken.' if taken_since else ''}", reason.advice)


def _limited(facts: _Facts) -> Diagnosis | None:
    number = sum(row.number for row in facts.refused if row.reason == "rate_limited")
    if not number:
        return None
    summary = f"{number} deliveries were put off within the last hour: {explained('rate_limited').words}."
    return Diagnosis(State.ATTENTION, "rate_limited", summary, explained("rate_limited").advice)


def _unread(facts: _Facts) -> Diagnosis | None:
    if not facts.quarantined:
        return None
    # Of an account nobody connected deliveries are taken even when there is no room to keep them.
    most = max((number for reason, number in facts.quarantined.items() if reason != "unrouted"), default=0)
    if most >= settings.WEBHOOK_QUARANTINE_SIZE:
        reason = explained("quarantine_full")
        return Diagnosis(State.FAILING, "quarantine_full", f"Deliveries are put off: {reason.words}.", reason.advice)
    told = ", ".join(f"{number} because {explained(name).words}" for name, number in sorted(facts.quarantined.items()))
    summary = f"Deliveries came through that could not be read: {told}."
    advice = "Staff see why under Quarantine in the admin, and read them again after a fix or discard them."
    return Diagnosis(State.ATTENTION, "quarantined", summary, advice)


def _undelivered(facts: _Facts) -> Diagnosis | None:
    stuck = [event for event in facts.events if event[0] in (DeliveryStatus.FAILED, DeliveryStatus.DEAD)]
    if not stuck:
        return None
    dead = sum(event[0] == DeliveryStatus.DEAD for event in stuck)
    code = f" ({stuck[0][2]})" if stuck[0][2] else ""
    summary = f"{len(stuck)} of the last {len(facts.events)} events did not reach the platform{code}, {dead} for good."
    advice = "The provider's side is fine. Look at the events, and replay those that are dead once the cause is gone."
    return Diagnosis(State.FAILING if dead else State.ATTENTION, "undelivered", summary, advice)


def _hooks_missing(facts: _Facts) -> Diagnosis | None:
    row = facts.registration
    if not row.provider_hooks or row.connection is None or not can_make_hooks(row):
        return None
    try:
        missing = missing_targets(row.connection, row.provider_hooks)
    except ServiceError:
        return None
    if not missing:
        return None
    summary = f"No hook at the provider in {', '.join(missing)[:200]}."
    return Diagnosis(State.ATTENTION, "hooks_missing", summary, "Make the missing hooks.")


def _never_received(facts: _Facts) -> Diagnosis | None:
    row = facts.registration
    if row.last_received_at is not None:
        return None
    made = sum(bool(hook_id) for hook_id in row.provider_hooks.values())
    summary = f"Nothing has arrived since it was made, {facts.ago(row.created_at)}"
    if made:
        summary += f", though {made} {'hook was' if made == 1 else 'hooks were'} made at the provider."
        advice = "Let something happen there. If nothing comes, see what the provider says of its deliveries."
    else:
        summary += "."
        what = "the URL and the secret" if row.secret_ref else "the URL"
        advice = f"Enter {what} at the provider, then have it send a test."
        if can_make_hooks(row):
            advice = f"Make the hook at the provider, or enter {what} there."
    is_new = facts.now - row.created_at < STILL_NEW
    return Diagnosis(State.WAITING if is_new else State.ATTENTION, "never_received", summary, advice)


def _only_ignored(facts: _Facts) -> Diagnosis | None:
    if not facts.events or any(status != DeliveryStatus.IGNORED for status, _, _ in facts.events):
        return None
    number = "The only event" if len(facts.events) == 1 else f"All of the last {len(facts.events)} events"
    if all(reason == TEST_DELIVERY for _, reason, _ in facts.events):
        advice = "The door works. See at the provider which events the hook is subscribed to."
        return Diagnosis(State.WAITING, "only_tests", "Only test deliveries have arrived so far.", advice)
    summary = f"{number} became no signal: {facts.events[0][1] or 'ignored'}."
    advice = "Subscribe the hook to events this service knows; the provider's page lists them."
    return Diagnosis(State.ATTENTION, "only_ignored", summary, advice)


def _old_secret(facts: _Facts) -> Diagnosis | None:
    row = facts.registration
    until, used = row.previous_secret_until, row.previous_secret_used_at
    if until is None or until <= facts.now:
        return None
    rotated = row.secret_since or row.created_at
    if used is not None and used > rotated and (row.secret_used_at is None or used > row.secret_used_at):
        summary = f"The provider still signs with the old secret, which is valid for {span(until - facts.now)} more."
        return Diagnosis(State.ATTENTION, "old_secret_used", summary, "Enter the new secret at the provider.")
    return None


def _received(facts: _Facts) -> Diagnosis | None:
    row = facts.registration
    if row.last_received_at is None:
        return None
    if facts.now - row.last_received_at > QUIET_AFTER:
        summary = f"Nothing has arrived for {span(facts.now - row.last_received_at)}."
        advice = "If things happened there meanwhile, see whether the provider has switched the hook off."
        return Diagnosis(State.WAITING, "quiet", summary, advice)
    return Diagnosis(
        State.OK, "fine", f"The last delivery came {facts.ago(row.last_received_at)}.", old_secret_note(row)
    )


def old_secret_note(row: WebhookRegistration) -> str:
    """Whether the secret before the current one can go; empty where there is none."""
    now = timezone.now()
    if row.previous_secret_until is None or row.previous_secret_until <= now:
        return ""
    last = max(filter(None, (row.previous_secret_used_at, row.secret_since, row.created_at)))
    idle = f"Nothing has used the old secret for {span(now - last)}"
    if row.secret_used_at is None:
        return f"{idle}, and nothing the new one yet."
    return f"{idle}: it can go." if now - last >= OLD_SECRET_IDLE else f"{idle}; wait a while before it goes."


def scheme_of(row: WebhookRegistration) -> Scheme | None:
    """The scheme of a door, or ``None`` where this deployment no longer has it."""
    try:
        webhook = registry.get(row.provider_id).webhook
    except UnknownProvider:
        return None
    return webhook.schemes.get(row.scheme) if webhook is not None else None


_CHECKS: tuple[Callable[[_Facts], Diagnosis | None], ...] = (
    _cannot_verify,
    _untold,
    _hook_off,
    _refused,
    _limited,
    _unread,
    _undelivered,
    _lost,
    _hooks_missing,
    _never_received,
    _only_ignored,
    _old_secret,
    _received,
)
