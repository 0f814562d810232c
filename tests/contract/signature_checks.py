"""Checks of an adapter's signature schemes, each scheme with every trick."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

from providers.verification import (
    Ed25519Scheme,
    Header,
    HmacScheme,
    KeySetScheme,
    Scheme,
    SignatureRejected,
    UnsignedScheme,
    Verified,
    new_secret,
)
from tests.contract.senders import BODY, Message, Sender, proof_place, published_keys, sender
from tests.contract.subject import Subject


def doors(subject: Subject) -> list[Door]:
    """The doors that ask for a proof."""
    webhook = subject.adapter.webhook
    if webhook is None:
        return []
    assert webhook.schemes, "a webhook without a signature scheme would take everything"
    return [
        Door(scheme, subject.verify) for scheme in webhook.schemes.values() if not isinstance(scheme, UnsignedScheme)
    ]


@dataclass(frozen=True)
class Door:
    """One scheme, asked with one verifier."""

    scheme: Scheme
    verify: Callable[..., Verified]

    def ask(self, message: Message, secrets: Sequence[bytes]) -> Verified:
        keys = published_keys(self.scheme) if isinstance(self.scheme, KeySetScheme) else None
        return self.verify(
            self.scheme, headers=message.headers, body=message.body, secrets=secrets, published_keys=keys
        )

    def takes(self, message: Message, *senders: Sender) -> Verified:
        try:
            return self.ask(message, [known.secret for known in senders])
        except SignatureRejected as rejection:
            raise AssertionError(f"a good request is refused: {rejection.reason}") from rejection

    def refuses(self, message: Message, *secrets: bytes) -> None:
        try:
            self.ask(message, secrets)
        except SignatureRejected:
            return
        except Exception as error:
            raise AssertionError(f"refused with {type(error).__name__}, not with SignatureRejected") from error
        raise AssertionError("taken without proof")

    def clock(self) -> str:
        """Name of the header that holds the signed time alone, or empty."""
        place = self.scheme.timestamp if isinstance(self.scheme, HmacScheme | Ed25519Scheme) else None
        return place.name if isinstance(place, Header) and not place.separator else ""


def schemes_are_declared_soundly(subject: Subject) -> None:
    """Every scheme is one of ours, and it is known whose secret it takes and which the registrar uses."""
    webhook = subject.adapter.webhook
    if webhook is None:
        return
    assert webhook.schemes, "a webhook without a signature scheme would take everything"
    for name, scheme in webhook.schemes.items():
        assert isinstance(scheme, get_args(Scheme)), f"{name} is not a scheme of providers.verification"
        assert 0 < len(name) <= 50
        try:
            new_secret(scheme.secret_form)
        except ValueError:
            assert name in webhook.secret_from_provider, f"nobody could make a secret for {name}"
    assert isinstance(next(iter(webhook.schemes.values())), UnsignedScheme) is all(
        isinstance(scheme, UnsignedScheme) for scheme in webhook.schemes.values()
    ), "the default scheme proves nothing although another does"
    assert webhook.secret_from_provider <= set(webhook.schemes), "a secret for a scheme that is not there"
    assert webhook.registrar is None or webhook.registrar.scheme in webhook.schemes, "the registrar has no such scheme"


def unsigned_door_needs_a_waiver(subject: Subject) -> None:
    """What proves nothing is never verified; only a waiver, which is not the verifier's business, lets it in."""
    webhook = subject.adapter.webhook
    for scheme in webhook.schemes.values() if webhook else ():
        if isinstance(scheme, UnsignedScheme):
            for secrets in ((), (b"",), (b"secret",)):
                Door(scheme, subject.verify).refuses(Message({}, BODY), *secrets)


def good_signature_is_accepted(subject: Subject) -> None:
    for door in doors(subject):
        scheme, known = door.scheme, sender(door.scheme)
        verified = door.takes(known.message(), known)
        assert verified.secret_index == 0
        signs = isinstance(scheme, HmacScheme | Ed25519Scheme)
        assert (verified.fingerprint is not None) == signs, "only a signature of this request can be a fingerprint"
        assert (verified.signed_at is not None) == scheme.signs_clock


def missing_signature_is_refused(subject: Subject) -> None:
    for door in doors(subject):
        known = sender(door.scheme)
        message = known.message()
        door.refuses(Message({}, BODY), known.secret)
        for name in message.headers:
            door.refuses(message.with_header(name, ""), known.secret)
            door.refuses(message.without_header(name), known.secret)


def wrong_signature_is_refused(subject: Subject) -> None:
    for door in doors(subject):
        place, known = proof_place(door.scheme), sender(door.scheme)
        message = known.message()
        if not isinstance(place, Header):
            _wrong_field_is_refused(door, message, known)
            continue
        whole, prefix = message.headers[place.name], place.prefix
        start = whole.rindex(prefix) + len(prefix) if prefix else 0
        before, good = whole[:start], whole[start:]
        for value in (
            good[:-2],
            good + "00",
            good[:-8] + ("0" if good[-8] != "0" else "1") + good[-7:],
            good.swapcase() if good.swapcase() != good else good[::-1],
            "",
            "=" + good,
            prefix + good if prefix else " =" + good,
            "é" * 32,
            "\u20ac\udce9",
            "\x00",
            "A" * 5000,
            good + " " * 5000,
        ):
            door.refuses(message.with_header(place.name, before + value), known.secret)
        door.refuses(message.with_header(place.name, "\u20ac\udce9"), known.secret)
        if place.separator:
            bad = place.separator.join([prefix + good[::-1]] * 16)
            door.refuses(message.with_header(place.name, f"{bad}{place.separator}{whole}"), known.secret)
        else:
            # A header sent twice arrives joined; an attacker's value may stand beside a good one.
            for joint in (",", ", "):
                door.refuses(message.with_header(place.name, whole + joint + whole), known.secret)


def _wrong_field_is_refused(door: Door, message: Message, known: Sender) -> None:
    secret_or_signature = message.body.rpartition(b'"')[0]
    for body in (b"", b"null", b"[]", b"{", b"7", secret_or_signature, message.body.replace(b'"', b'"x', 3)):
        door.refuses(Message(message.headers, body), known.secret)
    other = sender(door.scheme)
    door.refuses(Message(message.headers, other.message().body), known.secret)


def flipped_byte_in_the_body_is_refused(subject: Subject) -> None:
    for door in doors(subject):
        if not door.scheme.covers_body:
            continue
        known = sender(door.scheme)
        message = known.message()
        body = message.body
        for index in range(len(body)):
            changed = body[:index] + bytes([body[index] ^ 1]) + body[index + 1 :]
            door.refuses(Message(message.headers, changed), known.secret)
        door.refuses(Message(message.headers, body + b" "), known.secret)
        door.refuses(Message(message.headers, b""), known.secret)
        clock = door.clock()
        if clock:
            value = message.headers[clock]
            later = value[:-2] + ("1" if value[-2] != "1" else "2") + value[-1:]
            door.refuses(message.with_header(clock, later), known.secret)


def other_secret_is_refused(subject: Subject) -> None:
    for door in doors(subject):
        door.refuses(sender(door.scheme).message(), sender(door.scheme).secret)


def both_secrets_count_during_rotation(subject: Subject) -> None:
    for door in doors(subject):
        new, old, stranger = (sender(door.scheme) for _ in range(3))
        assert door.takes(new.message(), new, old).secret_index == 0
        assert door.takes(old.message(), new, old).secret_index == 1
        door.refuses(stranger.message(), new.secret, old.secret)


def empty_secret_verifies_nothing(subject: Subject) -> None:
    for door in doors(subject):
        scheme, known = door.scheme, sender(door.scheme)
        message = known.message()
        forged = [message]
        place = proof_place(scheme)
        if isinstance(place, Header):
            forged.append(message.with_header(place.name, place.prefix))
        if isinstance(scheme, HmacScheme):
            forged.append(Sender(scheme, b"").message())
        for secrets in ((), (b"",), (b"", b"")):
            for attempt in forged:
                door.refuses(attempt, *secrets)
        assert door.takes(message, Sender(scheme, b""), known).secret_index == 1
