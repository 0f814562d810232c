"""An adapter that breaks every promise, one at a time.

Each class is the teaching adapter with one vice; ``VICES`` says which checks must catch it. They live in
the test tree, so their folder-wide sins (imports, clock, tenant) are written as source text instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from providers.adapters.fake.adapter import FakeAdapter
from providers.adapters.fake.polling import IssueStream
from providers.adapters.fake.webhook import FakeWebhook
from providers.canonical import JSON, Resource, Signal, SignalType
from providers.client import ProviderClient
from providers.errors import ProviderError
from providers.quotas import Quota
from providers.spi import Identity, Page, Window
from providers.verification import Verified, verify
from tests.contract import hostile_actions, hostile_ledgers, hostile_registrars, hostile_webhooks
from tests.contract.hostile_ledgers import remembering
from tests.contract.hostile_registrars import making_hooks
from tests.contract.hostile_verifiers import REFUSALS
from tests.contract.subject import FIXTURES, Subject

FOLDER = Path(FakeAdapter.__module__.replace(".", "/")).parent


@dataclass(frozen=True)
class HostileSubject(Subject):
    """The vice with the good adapter's folder, unless it brings a source of its own."""

    source: Path = FOLDER

    @property
    def folder(self) -> Path:
        return self.source


def subject(
    adapter: FakeAdapter, *, source: Path = FOLDER, verifier: Callable[..., Verified] = verify
) -> HostileSubject:
    return HostileSubject(adapter, FIXTURES / "fake", hostile_ledgers.World, verifier, source)


# Declarations


class Nameless(FakeAdapter):
    label = " "


class Impossible(FakeAdapter):
    manifest = replace(FakeAdapter.manifest, fault_status=200)


class Dismissive(FakeAdapter):
    manifest = replace(FakeAdapter.manifest, limited_status=403)


class Boundless(FakeAdapter):
    manifest = replace(FakeAdapter.manifest, retry_schedule_seconds=(86400 * 90,))


class BlindClock(FakeAdapter):
    manifest = replace(FakeAdapter.manifest, quotas=(Quota(name="requests", kind="fixed", units=100),))


class TwiceNamed(FakeAdapter):
    manifest = replace(FakeAdapter.manifest, quotas=(Quota(name="requests", units=1), Quota(name="requests", units=2)))


class BadSchema(FakeAdapter):
    settings_schema: ClassVar[JSON] = {"type": "object", "properties": {"projects": {"type": "lots"}}}


class Orderless(FakeAdapter):
    manifest = replace(FakeAdapter.manifest, ordering_key="")


# Payloads


class Mapper(FakeAdapter):
    """Hands each signal through ``change``."""

    def change(self, signal: Signal) -> Signal:
        return signal

    def normalise(self, signal_type: SignalType, event_type: str, payload: JSON) -> Signal:
        return self.change(super().normalise(signal_type, event_type, payload))


class InventsFields(Mapper):
    def change(self, signal: Signal) -> Signal:
        return replace(signal, fields={**signal.fields, "colour": "red"})


class WrongFieldType(Mapper):
    def change(self, signal: Signal) -> Signal:
        return replace(signal, fields={**signal.fields, "title": ["a", "list"]} if "title" in signal.fields else {})


class NaiveSignal(Mapper):
    def change(self, signal: Signal) -> Signal:
        return replace(signal, occurred_at=datetime(2026, 1, 1))  # noqa: DTZ001


class TellsTheTenant(Mapper):
    def change(self, signal: Signal) -> Signal:
        return replace(signal, attributes={"tenant_id": "acme"})


class TextAsNumber(Mapper):
    def change(self, signal: Signal) -> Signal:
        return replace(signal, resource=Resource(pr_id="12"))  # type: ignore[arg-type]


class RaisesOnNull(FakeAdapter):
    def normalise(self, signal_type: SignalType, event_type: str, payload: JSON) -> Signal:
        _ = payload["at"].upper()
        return super().normalise(signal_type, event_type, payload)


# Streams and calls


class Endless(IssueStream):
    """Each page leads to itself."""

    def page(self, client: ProviderClient, **where: Any) -> Page:
        return replace(super().page(client, **where), position={"since": "2001-01-01T00:00:00+00:00"}, more=True)


class Unwritable(IssueStream):
    """A position that no JSON column takes as it is."""

    def page(self, client: ProviderClient, **where: Any) -> Page:
        page = super().page(client, **where)
        return replace(page, position={**page.position, "at": datetime.now(UTC)})


class Talkative(IssueStream):
    """Two requests a page."""

    def page(self, client: ProviderClient, **where: Any) -> Page:
        client.get("/me")
        return super().page(client, **where)


class Skips(IssueStream):
    """Keeps half the place in memory: taken up by another process, a page is lost."""

    def page(self, client: ProviderClient, *, position: JSON, **where: Any) -> Page:
        page = super().page(client, position=position, **where)
        following = self.__dict__.setdefault("following", {})
        if page.more:
            following[page.position["mark"]] = following.get(page.position["mark"], 0) + 1
        if position.get("mark") and following.get(position["mark"], 0) > 0:
            following[position["mark"]] -= 1
            return page
        return page if not position.get("mark") else replace(page, events=())


class StartsAgain(IssueStream):
    """Never remembers where it was."""

    def page(self, client: ProviderClient, *, position: JSON, **where: Any) -> Page:
        page = super().page(client, position={k: v for k, v in position.items() if k == "mark"}, **where)
        return page if page.more else replace(page, position={})


class NewKeys(IssueStream):
    """Every poll tells of the same issues under new keys."""

    def page(self, client: ProviderClient, **where: Any) -> Page:
        page = super().page(client, **where)
        stamp = datetime.now(UTC).timestamp()
        events = [replace(event, dedupe_key=f"{event.dedupe_key}:{stamp}") for event in page.events]
        return replace(page, events=events, position={k: v for k, v in page.position.items() if k != "etag"})


class NoWindow(IssueStream):
    def page(self, client: ProviderClient, *, window: Window, **where: Any) -> Page:
        return super().page(client, window=Window(since=window.since), **where)


class OwnName(IssueStream):
    """Names a happening otherwise than the webhook does."""

    def page(self, client: ProviderClient, **where: Any) -> Page:
        page = super().page(client, **where)
        return replace(page, events=[replace(e, happening=f"poll:{e.happening}") for e in page.events])


class Blind(IssueStream):
    """Never sees anything new."""

    def page(self, client: ProviderClient, *, position: JSON, **where: Any) -> Page:
        page = super().page(client, position=position, **where)
        done = bool(position.get("watermark")) and not position.get("mark")
        return replace(page, events=(), more=False, position=position) if done else page


class NothingWrong(IssueStream):
    """A failure is an empty page."""

    def page(self, client: ProviderClient, *, position: JSON, **where: Any) -> Page:
        try:
            return super().page(client, position=position, **where)
        except ProviderError:
            return Page(events=(), position=position)


class Fragile(IssueStream):
    """Trusts the shape of every item."""

    def page(self, client: ProviderClient, **where: Any) -> Page:
        page = super().page(client, **where)
        for event in page.events:
            _ = event.payload["issue"]["labels"][0].upper()
        return page


class NaiveWatermark(IssueStream):
    def page(self, client: ProviderClient, **where: Any) -> Page:
        page = super().page(client, **where)
        events = [replace(e, occurred_at=e.occurred_at and e.occurred_at.replace(tzinfo=None)) for e in page.events]
        return replace(page, events=events)


class BelievesAnybody(FakeAdapter):
    def verify(self, client: ProviderClient) -> Identity:
        return Identity(account="somebody")


class ProvesNobody(FakeAdapter):
    def verify(self, client: ProviderClient) -> Identity:
        super().verify(client)
        return Identity(account="")


def with_webhook(webhook: FakeWebhook) -> FakeAdapter:
    return type("HostileAdapter", (FakeAdapter,), {"webhook": webhook, "__module__": __name__})()


def with_stream(stream: IssueStream) -> FakeAdapter:
    return type("HostileAdapter", (FakeAdapter,), {"streams": (stream,), "__module__": __name__})()


def unknown_scheme() -> FakeAdapter:
    return with_webhook(type("Open", (FakeWebhook,), {"schemes": {"none": hostile_webhooks.UnknownScheme()}})())


# Vice: the checks that must catch it.
VICES: dict[str, tuple[FakeAdapter, tuple[str, ...]]] = {
    "nameless": (Nameless(), ("facts_are_complete",)),
    "fault answered 200": (Impossible(), ("manifest_is_sane",)),
    "limit answered 403": (Dismissive(), ("manifest_is_sane",)),
    "retries for ever": (Boundless(), ("manifest_is_sane",)),
    "window nobody tells": (BlindClock(), ("quotas_can_be_kept",)),
    "two quotas of one name": (TwiceNamed(), ("quotas_can_be_kept",)),
    "bad schema": (BadSchema(), ("schemas_are_schemas",)),
    "no scheme": (with_webhook(hostile_webhooks.Schemeless()), ("schemes_are_declared_soundly", *REFUSALS)),
    "unknown scheme": (unknown_scheme(), ("schemes_are_declared_soundly",)),
    "secret nobody can make": (with_webhook(hostile_webhooks.ForgottenKey()), ("schemes_are_declared_soundly",)),
    "open by default": (with_webhook(hostile_webhooks.OpenByDefault()), ("schemes_are_declared_soundly",)),
    "pasted secret of no scheme": (with_webhook(hostile_webhooks.UnknownPaste()), ("schemes_are_declared_soundly",)),
    "registrar of no scheme": (with_webhook(hostile_webhooks.LostRegistrar()), ("schemes_are_declared_soundly",)),
    "headers that do not deliver": (with_webhook(hostile_webhooks.Bare()), ("delivery_headers_deliver",)),
    "headers in capitals": (with_webhook(hostile_webhooks.Loud()), ("delivery_headers_deliver",)),
    "order declared, not given": (with_webhook(hostile_webhooks.Unordered()), ("order_is_declared_and_given",)),
    "order given, not declared": (Orderless(), ("order_is_declared_and_given",)),
    "naive time": (with_webhook(hostile_webhooks.NaiveTime()), ("every_fixture_is_understood",)),
    "new key each time": (with_webhook(hostile_webhooks.Forgetful()), ("repetition_has_the_same_keys",)),
    "one key for all": (with_webhook(hostile_webhooks.OneKeyForAll()), ("repetition_has_the_same_keys",)),
    "mapped, not declared": (with_webhook(hostile_webhooks.Undeclared()), ("fixtures_hit_declared_events",)),
    "declared, not mapped": (with_webhook(hostile_webhooks.Overdeclared()), ("declared_events_have_fixtures",)),
    "guesses": (
        with_webhook(hostile_webhooks.Guesses()),
        ("unknown_events_are_ignored", "fixtures_hit_declared_events"),
    ),
    "raises on nulls": (with_webhook(hostile_webhooks.Trusting()), ("thin_and_twisted_payloads_are_survived",)),
    "mapping raises on nulls": (RaisesOnNull(), ("thin_and_twisted_payloads_are_survived",)),
    "swallows junk": (with_webhook(hostile_webhooks.EatsJunk()), ("bodies_that_are_no_object_are_unreadable",)),
    "opens connections": (
        with_webhook(hostile_webhooks.PhonesHome()),
        ("every_fixture_is_understood", "thin_and_twisted_payloads_are_survived"),
    ),
    "undeclared fields": (InventsFields(), ("every_fixture_is_understood", "streams_read_to_the_end")),
    "field of a wrong type": (WrongFieldType(), ("every_fixture_is_understood",)),
    "naive signal": (NaiveSignal(), ("every_fixture_is_understood", "streams_read_to_the_end")),
    "tenant in the output": (TellsTheTenant(), ("every_fixture_is_understood",)),
    "text as pull request number": (TextAsNumber(), ("every_fixture_is_understood",)),
    "page that leads to itself": (with_stream(Endless()), ("streams_read_to_the_end",)),
    "position that is no JSON": (with_stream(Unwritable()), ("streams_read_to_the_end",)),
    "two requests a page": (
        with_stream(Talkative()),
        ("streams_read_to_the_end", "a_quiet_second_poll_is_one_request"),
    ),
    "place kept in memory": (with_stream(Skips()), ("a_run_goes_on_from_any_page",)),
    "starts again": (with_stream(StartsAgain()), ("a_quiet_second_poll_is_one_request",)),
    "same issues, new keys": (with_stream(NewKeys()), ("a_quiet_second_poll_is_one_request",)),
    "window not kept": (with_stream(NoWindow()), ("a_window_limits_what_is_told",)),
    "happening of its own": (with_stream(OwnName()), ("both_roads_name_a_happening_alike",)),
    "sees nothing new": (with_stream(Blind()), ("both_roads_name_a_happening_alike",)),
    "failure as an empty page": (with_stream(NothingWrong()), ("failures_are_told_apart",)),
    "trusts every item": (with_stream(Fragile()), ("twisted_answers_are_survived",)),
    "naive times in polling": (with_stream(NaiveWatermark()), ("twisted_answers_are_survived",)),
    "hooks made twice": (
        with_webhook(making_hooks(hostile_registrars.Doubling())),
        ("an_answer_lost_leaves_one_hook",),
    ),
    "hook with an old secret": (
        with_webhook(making_hooks(hostile_registrars.Forgetful())),
        ("an_answer_lost_leaves_one_hook",),
    ),
    "secret not changed": (with_webhook(making_hooks(hostile_registrars.Unchanging())), ("a_hook_takes_a_new_secret",)),
    "gone is a failure": (
        with_webhook(making_hooks(hostile_registrars.Insistent())),
        ("a_hook_removed_twice_is_gone",),
    ),
    "refusal as a removal": (with_webhook(making_hooks(hostile_registrars.Careless())), ("a_refused_removal_is_told",)),
    "one error for all": (
        with_webhook(making_hooks(hostile_registrars.Blunt())),
        ("refusals_of_a_hook_are_told_apart", "an_answer_lost_leaves_one_hook"),
    ),
    "secret in the words": (
        with_webhook(making_hooks(hostile_registrars.Chatty())),
        ("refusals_of_a_hook_are_told_apart",),
    ),
    "every hook is at work": (
        with_webhook(remembering(watcher=hostile_ledgers.BlindWatcher())),
        ("a_hook_tells_how_it_stands",),
    ),
    "refused is gone": (
        with_webhook(remembering(watcher=hostile_ledgers.Careless())),
        ("refusals_about_a_hook_are_told_apart",),
    ),
    "hook beside the old one": (
        with_webhook(remembering(watcher=hostile_ledgers.Doubling())),
        ("a_hook_that_is_off_delivers_again",),
    ),
    "ledger with holes": (
        with_webhook(remembering(ledger=hostile_ledgers.Shortened())),
        ("the_ledger_tells_every_attempt",),
    ),
    "ledger read to its end": (
        with_webhook(remembering(ledger=hostile_ledgers.WithoutEnd())),
        ("the_ledger_tells_every_attempt",),
    ),
    "one key for all deliveries": (
        with_webhook(remembering(ledger=hostile_ledgers.OneKeyForAll())),
        ("the_ledger_is_compared_by_keys_that_fit",),
    ),
    "another delivery": (
        with_webhook(remembering(ledger=hostile_ledgers.Swapping())),
        ("the_ledger_holds_what_was_sent",),
    ),
    "asks for nothing": (
        with_webhook(remembering(ledger=hostile_ledgers.Deaf())),
        ("what_is_asked_for_again_is_the_same_delivery",),
    ),
    "failure as an empty ledger": (
        with_webhook(remembering(ledger=hostile_ledgers.NothingWrong())),
        ("refusals_of_a_ledger_are_told_apart",),
    ),
    "believes anybody": (BelievesAnybody(), ("credential_is_proven", "failures_are_told_apart")),
    "proves nobody": (ProvesNobody(), ("credential_is_proven",)),
    **hostile_actions.VICES,
}

# Source text: what a folder must not hold. All are caught by ``source_stays_in_its_place``.
SOURCES = {
    "imports the framework": "from django.conf import settings\n",
    "imports an upper layer": "import connections.models\n",
    "opens its own road": "import requests\n",
    "opens it by urllib": "import urllib.request\n",
    "reads the clock": "from datetime import datetime\nNOW = datetime.now()\n",
    "reads the clock by module": "import time\nNOW = time.time()\n",
    "takes a tenant": "def signal(payload, tenant_id):\n    return tenant_id\n",
    "speaks of another provider": "# as GitHub does\n",
}
