"""How a hook stands at its provider: looked at, shown, and put right where it delivers nothing.

While it delivers nothing, the window is a gap. Putting it right comes last, after its ledger was read and what is
missed was had: with a hook that is made anew the ledger of the old one goes.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.utils import timezone

from connections import history
from connections.incidents import Cause, raise_incident, resolve_incident
from connections.models import Incident, IncidentSeverity, IncidentStatus, IntegrationConnection
from events.gap_models import GapCause
from events.gaps import Found, end_gaps, note_gaps
from events.models import DeliveryGap
from providers.errors import Misconfigured
from webhooks.hook_upkeep import held, note, signing_secret
from webhooks.hook_work import HookWork
from webhooks.lookup import OPEN_REGISTRATIONS
from webhooks.models import WatchedHook
from webhooks.repair_models import UNSETTLED_MISSED, Standing

ACTOR = "system:webhooks"
# A pause that is over sooner is left to the provider.
PATIENCE = timedelta(minutes=10)
# By then it should have been put right.
IS_TROUBLE_AFTER = timedelta(minutes=5)
# Somebody who switches a hook off again and again means it.
CURES_A_DAY = 3

_CAUSES: dict[str, tuple[GapCause, str]] = {
    Standing.PAUSED: (GapCause.HOOK_PAUSED, "The provider paused the hook in {}, as it does after failures."),
    Standing.DISABLED: (GapCause.HOOK_DISABLED, "The hook in {} was switched off at the provider."),
    Standing.GONE: (GapCause.HOOK_GONE, "The hook in {} was removed at the provider."),
    Standing.ELSEWHERE: (GapCause.HOOK_MOVED, "The hook in {} was given another address at the provider."),
}


def look(work: HookWork, watch: WatchedHook) -> None:
    """How the hook stands, written down with the gap that begins or ends.

    Raises ``ProviderError`` and ``LeaseLost``.
    """
    if work.watcher is None:
        return
    state = work.watcher.state(work.client, target=watch.place, hook_id=watch.hook_id)
    standing = Standing(state.condition.value)
    if standing == Standing.ENABLED and work.url and state.url and state.url != work.url:
        standing = Standing.ELSEWHERE
    with work.holding() as now:
        if standing == Standing.ENABLED:
            watch.enabled_seen_at = now
            end_gaps(_gaps_of(watch), now)
        else:
            note_gaps([_gap(work, watch, standing)])
        is_news = standing != watch.standing
        if is_news:
            watch.standing, watch.standing_since = standing, now
        watch.paused_until, watch.expires_at = state.until, state.expires_at
        changed = ("standing", "standing_since", "enabled_seen_at", "paused_until", "expires_at", "updated_at")
        watch.save(update_fields=changed)
        if is_news and standing == Standing.ENABLED and not _off(work.connection).exists():
            resolve_incident(work.connection, Cause.HOOK_OFF, reason="All hooks deliver again.")
        elif standing != Standing.ENABLED and now - watch.standing_since >= IS_TROUBLE_AFTER:
            _is_trouble(work, watch)


def _is_trouble(work: HookWork, watch: WatchedHook) -> None:
    """It was not put right by itself, so somebody should know."""
    reason = watch.last_error or _CAUSES[watch.standing][1].format(watch.place)
    raise_incident(
        work.connection,
        Cause.HOOK_OFF,
        severity=IncidentSeverity.ERROR,
        summary=f"The hook in {watch.place} delivers nothing",
        detail=reason,
    )


def end_trouble() -> int:
    """End incidents of hooks that are not wanted any more, and return how many; the others end when they deliver."""
    rows = Incident.objects.filter(cause=Cause.HOOK_OFF, status=IncidentStatus.OPEN).select_related("connection")
    over = (row.connection for row in rows if not _off(row.connection).exists())
    return sum(resolve_incident(connection, Cause.HOOK_OFF, reason="No such hook is left.") for connection in over)


def _off(connection: IntegrationConnection) -> QuerySet[WatchedHook]:
    hooks: QuerySet[WatchedHook] = WatchedHook.objects.filter(
        connection=connection, registration__status__in=OPEN_REGISTRATIONS
    )
    return hooks.exclude(standing__in=(Standing.ENABLED, Standing.UNKNOWN))


def put_right(work: HookWork, watch: WatchedHook) -> None:
    """Make a hook deliver again, and renew one that is about to end.

    Raises ``ProviderError``, and ``ServiceError`` (409) while somebody else is busy with the door's hooks.
    """
    now = timezone.now()
    if watch.standing == Standing.ENABLED:
        _renew(work, watch, now)
    elif _is_curable(work, watch, now):
        _require_peace(watch, now)
        _cure(work, watch, now)


def _is_curable(work: HookWork, watch: WatchedHook, now: datetime) -> bool:
    if watch.standing in (Standing.GONE, Standing.ELSEWHERE):
        return True
    # What is still to be had from the ledger of this hook comes first.
    if work.ledger is not None and watch.missed.filter(state__in=UNSETTLED_MISSED).exists():
        return False
    if watch.standing == Standing.PAUSED:
        # Nobody to deliver to: it would only be paused again.
        is_short = watch.paused_until is not None and watch.paused_until - now < PATIENCE
        return work.door_is_open and not is_short
    return watch.standing == Standing.DISABLED


def _require_peace(watch: WatchedHook, now: datetime) -> None:
    lately = [at for at in watch.cured_at if datetime.fromisoformat(at) > now - timedelta(days=1)]
    if len(lately) >= CURES_A_DAY:
        raise Misconfigured(
            f"Somebody at the provider keeps switching off or removing the hook in {watch.place}: {len(lately)} times "
            "within a day it was put right. After a day it is tried again; if nobody wants it, delete the registration."
        )


def _cure(work: HookWork, watch: WatchedHook, now: datetime) -> None:
    assert work.watcher is not None  # noqa: S101 - without one nothing is known to be wrong
    assert work.registrar is not None  # noqa: S101 - it has the watcher
    standing = Standing(watch.standing)
    if not work.url:
        raise Misconfigured("The URL of the registration cannot be read from the secret store.")
    with held(work.registration) as row:
        given = {"target": watch.place, "url": work.url, "secret": signing_secret(row), "events": row.events_subscribed}
        if standing in (Standing.GONE, Standing.ELSEWHERE):
            hook_id = work.registrar.create(work.client, **given)
        else:
            hook_id = work.watcher.enable(work.client, hook_id=watch.hook_id, **given)
        # Before the lease is asked for: whoever holds it, the hook is there.
        if row.provider_hooks.get(watch.place) != hook_id:
            note(row, watch.place, hook_id)
    with work.holding():
        watch.hook_id = hook_id
        watch.walk = watch.start = {}
        watch.cured_at = [*watch.cured_at, now.isoformat()][-CURES_A_DAY:]
        watch.save(update_fields=["hook_id", "walk", "start", "cured_at", "updated_at"])
        explanation = _CAUSES[standing][1].format(watch.place)
        how = "It is made anew." if standing in (Standing.GONE, Standing.ELSEWHERE) else "It is switched on again."
        history.record(work.connection, "hook_put_right", actor=ACTOR, detail=f"{explanation} {how}")


def _renew(work: HookWork, watch: WatchedHook, now: datetime) -> None:
    if work.watcher is None or watch.expires_at is None or watch.expires_at - now > work.watcher.renew_before:
        return
    until = work.watcher.renew(work.client, target=watch.place, hook_id=watch.hook_id)
    with work.holding():
        watch.expires_at = until
        watch.save(update_fields=["expires_at", "updated_at"])
        told = f" until {until:%Y-%m-%d %H:%M} UTC" if until else ""
        history.record(work.connection, "hook_renewed", actor=ACTOR, detail=f"The hook in {watch.place}{told}.")


def _gaps_of(watch: WatchedHook) -> QuerySet[DeliveryGap]:
    gaps: QuerySet[DeliveryGap] = DeliveryGap.objects.filter(connection=watch.connection_id)
    return gaps.filter(key__startswith=f"hook:{watch.pk}:")


def _gap(work: HookWork, watch: WatchedHook, standing: Standing) -> Found:
    cause, explanation = _CAUSES[standing]
    return Found(
        connection=work.connection,
        key=f"hook:{watch.pk}:{watch.enabled_seen_at.isoformat()}",
        cause=cause,
        explanation=explanation.format(watch.place),
        since=watch.enabled_seen_at,
        registration_id=watch.registration_id,
        place=watch.place,
    )
