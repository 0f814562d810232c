"""Checks of what an adapter makes of bodies: the documented ones, and everything else."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from unittest import mock

import orjson

from providers.canonical import FIELDS, SignalType
from providers.errors import UnreadablePayload
from providers.spi import ProviderEvent, WebhookRequest
from tests.contract.declaration_checks import signal_types_of
from tests.contract.senders import BODY, sender
from tests.contract.subject import MISSING, Fixture, Subject, altered, headers_for, places, resource
from tests.extent import extent

_TYPES = {"string": str, "boolean": bool, "integer": int, "array": list}


@contextmanager
def no_network() -> Iterator[None]:
    with mock.patch.object(socket.socket, "connect", side_effect=AssertionError("the adapter opened a connection")):
        yield


def every_fixture_is_understood(subject: Subject) -> None:
    """There are fixtures, each becomes at least one sound event, and its golden file is there."""
    fixtures = subject.fixtures()
    assert fixtures or subject.adapter.webhook is None, "there is no fixture"
    with no_network():
        for fixture in fixtures:
            assert fixture.golden_path.exists(), f"{fixture.name} has no golden file"
            events = subject.adapter.process_webhook(fixture.request())
            assert events, f"{fixture.name} tells nothing"
            for event in events:
                _sound(subject, event, fixture.name)
                assert len(event.event_type) <= 120
                assert max(map(len, (event.dedupe_key, event.happening, event.ordering_key))) <= 200, fixture.name


def repetition_has_the_same_keys(subject: Subject) -> None:
    """The same request twice gives the same dedupe keys; two events of it never share one."""
    for fixture in subject.fixtures():
        first, second = (
            [event.dedupe_key for event in subject.adapter.process_webhook(fixture.request())] for _ in range(2)
        )
        assert first == second, f"{fixture.name}: a redelivery would be stored twice"
        assert len(set(first)) == len(first), f"{fixture.name}: one event would hide another"


def declared_events_have_fixtures(subject: Subject) -> None:
    """Every event type offered for subscription, and every signal type the code names, is in a fixture."""
    webhook = subject.adapter.webhook
    if webhook is None:
        return
    # Whoever receives from any sender cannot know the names.
    assert webhook.event_types or subject.calls_nobody, "the webhook declares no event types"
    told = [e for fixture in subject.fixtures() for e in subject.adapter.process_webhook(fixture.request())]
    for declared in webhook.event_types:
        assert any(_belongs(event.event_type, declared) for event in told), f"no fixture for {declared}"
    made = {event.signal_type.name for event in told if event.signal_type}
    unseen = signal_types_of(subject.folder) - made
    assert not unseen, f"the code names signal types no fixture becomes: {sorted(unseen)}"


def fixtures_hit_declared_events(subject: Subject) -> None:
    """What becomes a signal is an event the adapter declares."""
    for fixture in subject.fixtures():
        for event in subject.adapter.process_webhook(fixture.request()):
            declared = subject.adapter.webhook.event_types if subject.adapter.webhook else ()
            known = not declared or any(_belongs(event.event_type, d) for d in declared)
            assert event.signal_type is None or known, f"{fixture.name}: {event.event_type} is mapped but not declared"


def _belongs(event_type: str, declared: str) -> bool:
    return event_type == declared or (
        event_type.startswith(declared) and not event_type[len(declared) : len(declared) + 1].isalnum()
    )


def order_is_declared_and_given(subject: Subject) -> None:
    """The manifest names the entity in order exactly if events carry its key."""
    told = [e for fixture in subject.fixtures() for e in subject.adapter.process_webhook(fixture.request())]
    given = any(event.ordering_key for event in told)
    assert bool(subject.adapter.manifest.ordering_key) == given, "the manifest and the events differ about the order"


def delivery_headers_deliver(subject: Subject) -> None:
    """With the headers an adapter gives for trying things out, every fixture tells what it tells otherwise."""
    webhook = subject.adapter.webhook
    if webhook is None:
        return
    id_header = subject.adapter.manifest.delivery_id_header
    # A signed id comes with the proof.
    proof = sender(next(iter(webhook.schemes.values()))).message().headers
    for fixture in subject.fixtures():
        expected = subject.adapter.process_webhook(fixture.request())
        for event in expected[:1]:
            headers = webhook.delivery_headers(event.event_type, "delivery-1")
            assert all(name == name.lower() for name in headers), "header names are lower case"
            assert all(value.isascii() and value.isprintable() for value in headers.values())
            assert headers.get("content-type"), "a delivery has a content type"
            assert not id_header or id_header in proof or headers.get(id_header) == "delivery-1", (
                f"{id_header} does not hold the delivery id"
            )
            request = WebhookRequest(headers={**headers, **proof}, body=fixture.body, query=fixture.query)
            told = _handled(subject, request, fixture.name)
            assert [(e.event_type, e.signal_type) for e in told or ()] == [
                (e.event_type, e.signal_type) for e in expected
            ], f"{fixture.name} tells something else under the adapter's own headers"


def unknown_events_are_ignored(subject: Subject) -> None:
    """An event nobody mapped is told with a reason, and is neither an error nor a signal."""
    if subject.adapter.webhook is None:
        return
    told = [e for fixture in subject.fixtures() for e in subject.adapter.process_webhook(fixture.request())]
    assert any(event.signal_type is None for event in told), "no fixture shows an unknown or unmapped event"
    template = subject.header_template
    for fixture in subject.fixtures():
        request = WebhookRequest(
            headers=headers_for(template, "never_heard_of_it", "x"), body=fixture.body, query=fixture.query
        )
        known = {event.event_type for event in subject.adapter.process_webhook(fixture.request())}
        for event in _handled(subject, request, f"{fixture.name} under an unknown event") or ():
            # An adapter that reads the type from the body is not misled by the header.
            if event.event_type not in known:
                assert event.signal_type is None, f"{fixture.name}: a signal out of an unknown event"
                _sound(subject, event, fixture.name)


def thin_and_twisted_payloads_are_survived(subject: Subject) -> None:
    """Every place of every fixture missing, null and of wrong types: unreadable or sound, nothing else."""
    strange = extent((None, "x"), (MISSING, None, "x", 7, [], {}, [None]))
    with no_network():
        for fixture in subject.fixtures():
            document = orjson.loads(fixture.body)
            for path in places(document):
                for new in strange:
                    _survives(subject, fixture, altered(document, path, new), f"{path} = {new!r}")
            for name, change in _WHOLE.items():
                _survives(subject, fixture, orjson.dumps(_mapped(document, change)), name)
            for header in fixture.headers:
                others = {name: value for name, value in fixture.headers.items() if name != header}
                _handled(subject, WebhookRequest(headers=others, body=fixture.body), f"{fixture.name} without {header}")


def bodies_that_are_no_object_are_unreadable(subject: Subject) -> None:
    """Broken, cut, empty, non-object and absurdly nested bodies are unreadable, or noted as telling nothing."""
    webhook = subject.adapter.webhook
    if webhook is None:
        return
    junk = [b"", b"\x00", b"\xff\xfe", b"null", b"7", b'"text"', b"[]", b"[1,2]", b"{", b"{]", b"a=b&c", b"NaN"]
    junk += [b'{"a":' * 100_000, b"[" * 100_000, b'{"a":' * 2000 + b"1" + b"}" * 2000]
    with no_network():
        for fixture in subject.fixtures():
            cuts = {len(fixture.body.rstrip()) * part // 8 for part in range(1, 8)}
            for body in [*junk, *(fixture.body[:cut] for cut in cuts)]:
                told = _handled(subject, fixture.request(body), f"{fixture.name}: {body[:30]!r}")
                noted = told and all(event.signal_type is None and event.ignored_reason for event in told)
                assert told is None or noted, f"{fixture.name}: {body[:30]!r} was taken for an event"
            for body in (BODY, b"{}", b'{"a":' * 500 + b"1" + b"}" * 500):
                _handled(subject, fixture.request(body), f"{fixture.name}: {body[:30]!r}")


_WHOLE: dict[str, Callable[[Any], Any]] = {
    "all null": lambda _: None,
    "NUL in every text": lambda value: "\x00" + value if isinstance(value, str) else value,
    "every text long": lambda value: value * 400 if isinstance(value, str) else value,
    "every text odd": lambda value: "\u202e\U0001f600{}%s</script>" if isinstance(value, str) else value,
    "every number large": lambda value: 2**63 - 1 if isinstance(value, int) else value,
    "every number huge": lambda value: -1.5e300 if isinstance(value, int) else value,
    "every text empty": lambda value: "" if isinstance(value, str) else value,
    "all true": lambda _: True,
    "all objects": lambda _: {"a": None},
    "every number text": lambda value: str(value) if isinstance(value, int) else value,
}


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {key: _mapped(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    return change(value)


def _survives(subject: Subject, fixture: Fixture, body: bytes, what: str) -> None:
    for event in _handled(subject, fixture.request(body), f"{fixture.name}: {what}") or ():
        _sound(subject, event, f"{fixture.name}: {what}")


def _handled(subject: Subject, request: WebhookRequest, what: str) -> list[ProviderEvent] | None:
    """The events of a request, or ``None`` if it is unreadable."""
    webhook = subject.adapter.webhook
    assert webhook is not None
    try:
        reply = webhook.handshake(request)
        assert reply is None or 200 <= reply.status < 300, what
        return subject.adapter.process_webhook(request)
    except UnreadablePayload:
        return None
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error


def _sound(subject: Subject, event: ProviderEvent, what: str) -> None:
    """An event and its signal keep the promises of the SPI."""
    for name in ("event_type", "dedupe_key", "ignored_reason", "happening", "ordering_key", "correlation_id"):
        assert isinstance(getattr(event, name), str), f"{what}: {name} is not text"
    assert event.event_type, f"{what}: the event has no type"
    assert event.dedupe_key, f"{what}: the event has no dedupe key"
    assert isinstance(event.payload, dict), f"{what}: the payload is not an object"
    orjson.dumps(event.payload)
    assert bool(event.ignored_reason) == (event.signal_type is None), f"{what}: a reason exactly if it is ignored"
    _aware(event.occurred_at, what)
    try:
        signal = subject.signal(event)
    except Exception as error:
        raise AssertionError(f"{what}: normalise raised {type(error).__name__}: {error}") from error
    if signal is not None:
        sound_signal(signal, event.signal_type, what)


def sound_signal(signal: Any, signal_type: SignalType | None, what: str) -> None:
    assert signal.signal_type is signal_type, f"{what}: normalise changed the signal type"
    _aware(signal.occurred_at, what)
    assert signal.actor_id is None or (isinstance(signal.actor_id, str) and signal.actor_id), f"{what}: actor_id"
    for name, value in signal.fields.items():
        assert name in signal.signal_type.fields, f"{what}: {signal.signal_type} does not list the field {name!r}"
        expected = _TYPES[FIELDS[name][0]]
        assert type(value) is expected, f"{what}: field {name!r} is {type(value).__name__}, not {FIELDS[name][0]}"
        assert not isinstance(value, list) or all(isinstance(item, str) for item in value), f"{what}: {name}"
    for name, value in resource(signal).items():
        assert value is None or type(value) is (int if name == "pr_id" else str), f"{what}: resource {name}"
    for name, value in signal.canonical_keys.items():
        assert type(value) in (str, int), f"{what}: canonical key {name!r} is {type(value).__name__}"
    orjson.dumps(dict(signal.attributes))
    for names in (signal.fields, signal.canonical_keys, signal.attributes):
        assert not any("tenant" in str(name) for name in names), f"{what}: a tenant in the output"


def _aware(moment: datetime | None, what: str) -> None:
    assert moment is None or moment.tzinfo is not None, f"{what}: a time without a zone"
