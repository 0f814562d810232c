"""Checks of what a provider remembers of its hooks and deliveries, against the adapter's simulator over real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import wraps

import orjson
import pytest

from providers.client import ProviderClient
from providers.errors import AuthFailed, ProviderError, ProviderFault, RateLimited
from providers.ledgers import DeliveryLedger, HookCondition, HookWatcher, LedgerEntry, LedgerRequest
from providers.simulation import LedgerKeeper, SimulatedAnswer, SimulatedAttempt, SwitchedHooks
from providers.spi import ProviderEvent, WebhookRequest
from tests.contract.provider_server import Server
from tests.contract.registrar_checks import URL, Hooks, hooks_of
from tests.contract.stream_checks import GARBAGE
from tests.contract.subject import Subject

Check = Callable[[Subject], None]

EVER = datetime(2001, 1, 1, tzinfo=UTC)
DELIVERIES = 45
MAX_PAGES = 50
# Never many failures in a row: that is another matter.
STATUSES = (202, 200, 503, 202, 0, 202)


def _with_watcher(check: Check) -> Check:
    """Nothing to check where the adapter makes no hooks, or the provider says nothing of them."""

    @wraps(check)
    def checked(subject: Subject) -> None:
        webhook = subject.adapter.webhook
        if webhook is not None and webhook.registrar is not None and webhook.registrar.watcher is not None:
            check(subject)

    return checked


def _with_ledger(check: Check) -> Check:
    @wraps(check)
    def checked(subject: Subject) -> None:
        if subject.adapter.webhook is not None and subject.adapter.webhook.ledger is not None:
            check(subject)

    return checked


@contextmanager
def _watched(subject: Subject) -> Iterator[tuple[Hooks, HookWatcher, SwitchedHooks]]:
    with hooks_of(subject) as hooks:
        assert isinstance(hooks.keeper, SwitchedHooks), "the simulator does not let its hooks be switched"
        assert hooks.registrar.watcher is not None
        yield hooks, hooks.registrar.watcher, hooks.keeper


@_with_watcher
def a_hook_tells_how_it_stands(subject: Subject) -> None:
    """Delivering, switched off and gone are told apart; where it posts to is told as it is."""
    with _watched(subject) as (hooks, watcher, switch):
        where = {"target": hooks.target, "hook_id": hooks.create(hooks.first)}
        state = watcher.state(hooks.client, **where)
        assert state.condition == HookCondition.ENABLED
        assert state.url in ("", URL)
        switch.switch_hooks(on=False)
        assert watcher.state(hooks.client, **where).condition in (HookCondition.DISABLED, HookCondition.PAUSED)
        switch.switch_hooks(on=True)
        assert watcher.state(hooks.client, **where).condition == HookCondition.ENABLED
        hooks.delete(where["hook_id"])
        assert watcher.state(hooks.client, **where).condition == HookCondition.GONE


@_with_watcher
def a_hook_that_is_off_delivers_again(subject: Subject) -> None:
    """One hook is left, switched on, with the same address and secret, also where it was asked for twice."""
    with _watched(subject) as (hooks, watcher, switch):
        hook_id = hooks.create(hooks.first)
        switch.switch_hooks(on=False)
        for _ in range(2):
            given = {"target": hooks.target, "url": URL, "secret": hooks.first, "events": ()}
            made = watcher.enable(hooks.client, hook_id=hook_id, **given)
            assert watcher.state(hooks.client, target=hooks.target, hook_id=made).condition == HookCondition.ENABLED
            assert hooks.keeper.kept_hooks() == [(URL, hooks.first)]
            hook_id = made


@_with_watcher
def refusals_about_a_hook_are_told_apart(subject: Subject) -> None:
    with _watched(subject) as (hooks, watcher, _):
        hook_id = hooks.create(hooks.first)
        _told_apart(hooks.server, lambda: watcher.state(hooks.client, target=hooks.target, hook_id=hook_id))


@dataclass
class Sent:
    """Deliveries that were told to one hook, and the ledger that shows them."""

    subject: Subject
    server: Server
    client: ProviderClient
    ledger: DeliveryLedger
    keeper: LedgerKeeper
    target: str
    hook_id: str
    attempts: list[tuple[SimulatedAttempt, int]]

    def pages(self, since: datetime = EVER) -> list[list[LedgerEntry]]:
        """The whole ledger, page by page."""
        pages, position = [], {}
        while True:
            page = self.ledger.attempts(
                self.client, target=self.target, hook_id=self.hook_id, position=position, since=since
            )
            assert orjson.loads(orjson.dumps(page.position)) == page.position, "the position is not JSON"
            assert len(orjson.dumps(page.position)) <= 4096, "the position is not small"
            pages.append(list(page.entries))
            if not page.more:
                return pages
            assert page.position != position, "a page leads to itself"
            assert len(pages) < MAX_PAGES, f"no end after {MAX_PAGES} pages"
            position = page.position

    def entries(self) -> list[LedgerEntry]:
        return [entry for page in self.pages() for entry in page]

    def told(self, attempt: SimulatedAttempt) -> list[ProviderEvent]:
        return self.read(attempt.delivery.headers, attempt.delivery.body)

    def read(self, headers: object, body: bytes) -> list[ProviderEvent]:
        return self.subject.adapter.process_webhook(WebhookRequest(headers=headers, body=body))  # type: ignore[arg-type]

    def request(self, entry: LedgerEntry) -> LedgerRequest | None:
        given = {"target": self.target, "hook_id": self.hook_id, "attempt_id": entry.attempt_id}
        return entry.request or self.ledger.fetch(self.client, **given)


@contextmanager
def _sent(subject: Subject) -> Iterator[Sent]:
    with hooks_of(subject) as hooks:
        assert isinstance(hooks.keeper, LedgerKeeper), "the simulator keeps no ledger"
        webhook = subject.adapter.webhook
        assert webhook is not None
        assert webhook.ledger is not None
        hook_id = hooks.create(hooks.first)
        attempts: list[tuple[SimulatedAttempt, int]] = []
        while len(attempts) < DELIVERIES:
            for delivery in hooks.world.tick():
                for attempt in hooks.keeper.attempts_of(delivery):
                    status = STATUSES[len(attempts) % len(STATUSES)]
                    hooks.keeper.attempted(attempt, status)
                    attempts.append((attempt, status))
        yield Sent(subject, hooks.server, hooks.client, webhook.ledger, hooks.keeper, hooks.target, hook_id, attempts)


@_with_ledger
def the_ledger_tells_every_attempt(subject: Subject) -> None:
    """All of them, newest first, each with its outcome and by the id its events name; no further back than asked."""
    with _sent(subject) as sent:
        entries = sent.entries()
        assert [entry.delivery_id for entry in entries] == [
            sent.told(attempt)[0].correlation_id for attempt, _ in reversed(sent.attempts)
        ]
        assert len({entry.attempt_id for entry in entries}) == len(entries)
        assert sorted((entry.delivered_at for entry in entries), reverse=True) == [e.delivered_at for e in entries]
        for entry, (attempt, status) in zip(entries, reversed(sent.attempts), strict=True):
            events = sent.told(attempt)
            assert (entry.ok, entry.status) == (200 <= status < 300, status)
            assert {event.correlation_id for event in events} == {entry.delivery_id}
            assert entry.matters or all(event.signal_type is None for event in events), f"{entry.event_type} matters"
            assert entry.event_type.partition(".")[0] == events[0].event_type.partition(".")[0]
            assert entry.delivered_at.tzinfo is not None
        later = sent.pages(since=datetime.now(UTC) + timedelta(hours=1))
        assert len(later) == 1, "it goes on behind what was asked for"


@_with_ledger
def the_ledger_is_compared_by_keys_that_fit(subject: Subject) -> None:
    """The keys of an entry belong to its delivery alone, and name its events wherever these are named by it."""
    with _sent(subject) as sent:
        owners: dict[str, str] = {}
        for entry in sent.entries():
            for key in entry.dedupe_keys:
                assert owners.setdefault(key, entry.delivery_id) == entry.delivery_id, "a key of two deliveries"
        by_delivery = {entry.delivery_id: set(entry.dedupe_keys) for entry in sent.entries()}
        named = [
            (event.dedupe_key, by_delivery[event.correlation_id])
            for attempt, _ in sent.attempts
            for event in sent.told(attempt)
            if event.correlation_id in event.dedupe_key
        ]
        assert named, "no event is named by its delivery"
        assert all(key in keys for key, keys in named)


@_with_ledger
def the_ledger_holds_what_was_sent(subject: Subject) -> None:
    """Out of the ledger it tells the same events, under the same keys."""
    with _sent(subject) as sent:
        for entry, (attempt, _) in zip(sent.entries(), reversed(sent.attempts), strict=True):
            request = sent.request(entry)
            assert request is not None, "the ledger does not hold it"
            assert all(name == name.lower() for name in request.headers)
            kept, told = sent.read(request.headers, request.body), sent.told(attempt)
            assert [_known_by(event) for event in kept] == [_known_by(event) for event in told]


def _known_by(event: ProviderEvent) -> tuple[object, ...]:
    return event.event_type, event.dedupe_key, event.signal_type, event.happening, event.correlation_id


@_with_ledger
def what_is_asked_for_again_is_the_same_delivery(subject: Subject) -> None:
    with _sent(subject) as sent:
        if not sent.ledger.redeliveries_a_minute:
            return
        for entry in sent.entries()[:3]:
            where = {"target": sent.target, "hook_id": sent.hook_id, "attempt_id": entry.attempt_id}
            sent.ledger.redeliver(sent.client, **where)
            again = [event.correlation_id for one in sent.keeper.asked_again() for event in sent.told(one)]
            assert set(again) == {entry.delivery_id}, "it was not asked for, or is another delivery"
        assert sent.keeper.asked_again() == []


@_with_ledger
def refusals_of_a_ledger_are_told_apart(subject: Subject) -> None:
    with _sent(subject) as sent:
        where = {"target": sent.target, "hook_id": sent.hook_id}
        one = sent.entries()[0].attempt_id
        _told_apart(sent.server, lambda: sent.ledger.attempts(sent.client, position={}, since=EVER, **where))
        if sent.ledger.fetches:
            _told_apart(sent.server, lambda: sent.ledger.fetch(sent.client, attempt_id=one, **where))
        if sent.ledger.redeliveries_a_minute:
            asked = lambda: sent.ledger.redeliver(sent.client, attempt_id=one, **where)  # noqa: E731
            _told_apart(sent.server, asked, garbage=False)


def _told_apart(server: Server, call: Callable[[], object], *, garbage: bool = True) -> None:
    """401, 429 with a wait, 500 and garbage become the right error; never "nothing there"."""
    usual = server.answer
    answers: list[tuple[SimulatedAnswer, type[ProviderError], float | None]] = [
        (SimulatedAnswer(401, {}, b"{}"), AuthFailed, None),
        (SimulatedAnswer(429, {"retry-after": "7"}, b"{}"), RateLimited, 7.0),
        (SimulatedAnswer(500, {}, b"oops"), ProviderFault, None),
    ]
    if garbage:
        kind = {"content-type": "application/json"}
        answers += [(SimulatedAnswer(200, kind, body), ProviderError, None) for body in GARBAGE]
    for answer, expected, wait in answers:
        server.answer = lambda *_, answer=answer: answer
        with pytest.raises(ProviderError) as caught:
            call()
        assert expected in (ProviderError, type(caught.value))
        assert caught.value.retry_after_seconds == wait, "Retry-After was lost"
    server.answer = usual
