"""Checks of the pull road and of ``verify``, against the adapter's own simulator over real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from typing import Any

import orjson
import pytest

from providers.canonical import JSON
from providers.client import ProviderClient
from providers.errors import AuthFailed, Misconfigured, ProviderError, ProviderFault, RateLimited
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer, Simulator
from providers.spi import Page, ProviderEvent, Stream, WebhookRequest, Window
from tests.contract.payload_checks import sound_signal
from tests.contract.provider_server import Answer, Server, serving
from tests.contract.subject import Subject, altered, places, shape
from tests.extent import extent

LOOPBACK = OutboundPolicy.parse(["127.0.0.1"])
EVER = Window(since=datetime(2001, 1, 1, tzinfo=UTC))
MAX_PAGES = 300
GARBAGE = (b"", b"<html>Sorry</html>", b"null", b'"text"', b"{}", b"7", b'{"a": ', b"[1]")


@dataclass
class Part:
    """One partition of one stream, with a client of its own."""

    subject: Subject
    server: Server
    client: ProviderClient
    stream: Stream
    partition: str

    @property
    def name(self) -> str:
        return f"{self.stream.name} {self.partition}".strip()

    def page(self, position: JSON, window: Window = EVER) -> Page:
        settings = _simulator(self.subject).settings(self.server.url)
        return self.stream.page(
            self.client, partition=self.partition, settings=settings, position=position, window=window
        )

    def drain(self, position: JSON, window: Window = EVER) -> list[Page]:
        """All pages of one run."""
        pages: list[Page] = []
        while True:
            page = self.page(position, window)
            assert orjson.loads(orjson.dumps(page.position)) == page.position, f"{self.name}: position is not JSON"
            assert len(orjson.dumps(page.position)) <= 4096, f"{self.name}: the position is not small"
            pages.append(page)
            if not page.more:
                return pages
            assert page.position != position, f"{self.name}: a page leads to itself"
            assert len(pages) < MAX_PAGES, f"{self.name}: no end after {MAX_PAGES} pages"
            position = page.position


def _calls(check: Callable[[Subject], None]) -> Callable[[Subject], None]:
    """The check, where there is somebody to call; else only that the adapter says so."""

    @wraps(check)
    def checked(subject: Subject) -> None:
        if not subject.calls_nobody:
            check(subject)
            return
        with pytest.raises(Misconfigured):
            subject.adapter.client_config({}, {}, subject.adapter.api_versions[0])

    return checked


def _simulator(subject: Subject) -> type[Simulator]:
    assert subject.simulator, "the folder has no simulator.py"
    return subject.simulator


@contextmanager
def served(subject: Subject) -> Iterator[tuple[Simulator, Server, ProviderClient]]:
    """The adapter's own simulator over HTTP, and a client with its credential."""
    simulator = _simulator(subject)(seed=7, faults=False)
    with serving(simulator.handle) as server, _client(subject, server) as client:
        yield simulator, server, client


def _client(subject: Subject, server: Server, credential: dict[str, str] | None = None) -> ProviderClient:
    simulator = _simulator(subject)
    config = subject.adapter.client_config(
        simulator.settings(server.url), credential or dict(simulator.credential), subject.adapter.api_versions[0]
    )
    return ProviderClient(config, LOOPBACK)


def _parts(subject: Subject, server: Server, client: ProviderClient) -> list[Part]:
    settings = _simulator(subject).settings(server.url)
    return [
        Part(subject, server, client, stream, partition)
        for stream in subject.adapter.streams
        for partition in stream.partitions(settings)
    ]


def _events(pages: list[Page]) -> list[ProviderEvent]:
    return [event for page in pages for event in page.events]


def _keys(pages: list[Page]) -> set[str]:
    return {event.dedupe_key for event in _events(pages)}


@_calls
def streams_read_to_the_end(subject: Subject) -> None:
    """Every part ends, one request a page; its events are sound; each stream finds something."""
    with served(subject) as (_, server, client):
        found: dict[str, int] = {stream.name: 0 for stream in subject.adapter.streams}
        for part in _parts(subject, server, client):
            before = len(server.asked)
            pages = part.drain({})
            assert len(server.asked) - before == len(pages), f"{part.name}: more than one request a page"
            events = _events(pages)
            found[part.stream.name] += len(events)
            for event in events:
                _sound(subject, part, event)
        for name, count in found.items():
            assert count, f"{name}: nothing in the simulated world, so nothing is shown"


def _sound(subject: Subject, part: Part, event: ProviderEvent) -> None:
    assert event.event_type
    assert event.dedupe_key, f"{part.name}: an event without dedupe key"
    assert max(map(len, (event.dedupe_key, event.happening, event.ordering_key))) <= 200, part.name
    assert bool(event.ignored_reason) == (event.signal_type is None), f"{part.name}: a reason exactly if ignored"
    assert event.occurred_at is None or event.occurred_at.tzinfo is not None, f"{part.name}: a time without a zone"
    signal = subject.signal(event)
    if signal is not None:
        sound_signal(signal, event.signal_type, part.name)


@_calls
def a_run_goes_on_from_any_page(subject: Subject) -> None:
    """Stopped after any page and taken up from its position by a new client, the run finds the same."""
    with served(subject) as (_, server, client):
        for part in _parts(subject, server, client):
            pages = part.drain({})
            whole = _keys(pages)
            for index in {*range(min(4, len(pages) - 1)), len(pages) - 2} - {-1}:
                position = orjson.loads(orjson.dumps(pages[index].position))
                with _client(subject, server) as another:
                    rest = Part(subject, server, another, part.stream, part.partition).drain(position)
                assert _keys(pages[: index + 1]) | _keys(rest) == whole, f"{part.name}: lost after page {index + 1}"
                # By requests: where pages shift, the edge of one that was read before is read again on purpose.
                assert len(rest) < len(pages), f"{part.name}: page {index + 1} forgotten"


@_calls
def a_quiet_second_poll_is_one_request(subject: Subject) -> None:
    """With nothing new, polling again makes one request a part and brings no new dedupe key."""
    with served(subject) as (_, server, client):
        for part in _parts(subject, server, client):
            first = part.drain({})
            position = first[-1].position
            for poll in ("second", "third"):
                before = len(server.asked)
                again = part.drain(position)
                assert len(server.asked) - before == 1, f"{part.name}: the quiet {poll} poll makes several requests"
                assert _keys(again) <= _keys(first), f"{part.name}: the quiet {poll} poll tells of something new"
                position = again[-1].position


@_calls
def a_window_limits_what_is_told(subject: Subject) -> None:
    """A backfill window in the far past brings nothing of today."""
    past = Window(since=datetime(2001, 1, 1, tzinfo=UTC), until=datetime(2001, 1, 2, tzinfo=UTC))
    with served(subject) as (_, server, client):
        for part in _parts(subject, server, client):
            late = [e for e in _events(part.drain({}, past)) if e.occurred_at and e.occurred_at >= datetime.now(UTC)]
            assert not late
            told = [e for e in _events(part.drain({}, past)) if e.occurred_at and e.occurred_at.year > 2001]
            assert not told, f"{part.name}: told of {told[0].occurred_at} for a window of 2001"


def both_roads_name_a_happening_alike(subject: Subject) -> None:
    """After changes, polls bring new events, and where both roads name a happening they agree on it."""
    if not subject.adapter.streams:
        return
    with served(subject) as (simulator, server, client):
        parts = _parts(subject, server, client)
        before = {part.name: part.drain({}) for part in parts}
        pushed: dict[str, set[str]] = {}
        polled: dict[str, set[str]] = {}
        new = 0
        for _ in range(40):
            for delivery in simulator.tick():
                request = WebhookRequest(headers=dict(delivery.headers), body=delivery.body)
                told = subject.adapter.process_webhook(request)
                _note(pushed, told)
        for part in parts:
            fresh = part.drain(before[part.name][-1].position)
            new += len(_keys(fresh) - _keys(before[part.name]))
            _note(polled, _events(fresh))
        assert new, "forty things happened and polling noticed none"
        shared = pushed.keys() & polled.keys()
        assert shared or not (pushed and polled), "both roads name happenings, and never the same"
        for name in shared:
            # A list shows states, not changes: polling may know no more than that something was updated.
            vague = all(signal_type.endswith("_updated") for signal_type in polled[name])
            assert vague or pushed[name] & polled[name], f"{name}: {pushed[name]} by webhook, {polled[name]} by poll"


def _note(happenings: dict[str, set[str]], events: Sequence[ProviderEvent]) -> None:
    for event in events:
        if event.happening:
            happenings.setdefault(event.happening, set()).add(str(event.signal_type))


@_calls
def failures_are_told_apart(subject: Subject) -> None:
    """401, 429 with a wait, 500 and garbage become the right error, for every stream and for verify."""
    answers: list[tuple[SimulatedAnswer, type[ProviderError], float | None]] = [
        (SimulatedAnswer(401, {}, b"{}"), AuthFailed, None),
        (SimulatedAnswer(429, {"retry-after": "7"}, b"{}"), RateLimited, 7.0),
        (SimulatedAnswer(500, {}, b"oops"), ProviderFault, None),
        (SimulatedAnswer(503, {"retry-after": "11"}, b""), ProviderFault, 11.0),
        *((SimulatedAnswer(200, {"content-type": "application/json"}, body), ProviderFault, None) for body in GARBAGE),
    ]
    with served(subject) as (_, server, client):
        positions = [(part, [{}, part.drain({})[-1].position]) for part in _parts(subject, server, client)]
        for answer, expected, wait in answers:
            server.answer = _constant(answer)
            for part, starts in positions:
                for position in starts:
                    with pytest.raises(expected) as caught:
                        part.page(position)
                    assert type(caught.value) is expected
                    assert caught.value.retry_after_seconds == wait, f"{part.name}: Retry-After was lost"
            with pytest.raises(expected):
                subject.adapter.verify(client)


def _constant(answer: SimulatedAnswer) -> Answer:
    return lambda *_: answer


@_calls
def twisted_answers_are_survived(subject: Subject) -> None:
    """Places of a real answer turned null or of a wrong type: a ``ProviderError`` or a sound page."""
    with served(subject) as (_, server, client):
        for part in {part.stream.name: part for part in _parts(subject, server, client)}.values():
            real = server.answer
            part.page({})
            answer = server.answered[-1]
            document = orjson.loads(answer.body)
            # One item of a list stands for all: each place once by its shape.
            for path in {shape(path): path for path in places(document)}.values():
                for new in extent((None, "x", [None]), (None, "x", 7, [None], {})):
                    body = altered(document, path, new)
                    server.answer = _constant(SimulatedAnswer(200, answer.headers, body))
                    _page_or_provider_error(subject, part, f"{path} = {new!r}")
            server.answer = real


def _page_or_provider_error(subject: Subject, part: Part, what: str) -> None:
    try:
        page = part.page({})
    except ProviderError:
        return
    except Exception as error:
        raise AssertionError(f"{part.name}: {what}: {type(error).__name__}: {error}") from error
    for event in page.events:
        _sound(subject, part, event)


@_calls
def credential_is_proven(subject: Subject) -> None:
    """A good credential names its account; a bad one is refused as such."""
    with served(subject) as (_, server, client):
        identity = subject.adapter.verify(client)
        assert isinstance(identity.account, str)
        assert identity.account, "verify proves nobody"
        assert len(server.asked) >= 1, "verify asked nobody"
        parts: dict[str, Any] = subject.adapter.credential_schema["properties"]
        bad = {
            name: value if parts.get(name, {}).get("x-public") else "wrong-" + value[:4]
            for name, value in _simulator(subject).credential.items()
        }
        with _client(subject, server, bad) as stranger, pytest.raises(AuthFailed):
            subject.adapter.verify(stranger)
