"""Checks of an adapter's signature schemes, each scheme with every trick."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

from providers.verification import HmacScheme, Scheme, SignatureRejected, Verified
from tests.contract.subject import Subject, signed

SECRET = b"contract-secret-0123456789abcdefghij"
OTHER = b"another-secret-0123456789abcdefghijk"
# Blanks and order as no encoder would write them: only a check of the raw bytes accepts it.
BODY = b'{ "b":1 ,\n "a": "\xc3\xa9" }'


def doors(subject: Subject) -> list[Door]:
    webhook = subject.adapter.webhook
    if webhook is None:
        return []
    assert webhook.schemes, "a webhook without a signature scheme would take everything"
    for name, scheme in webhook.schemes.items():
        assert isinstance(scheme, get_args(Scheme)), f"{name} is not a scheme of providers.verification"
        assert 0 < len(name) <= 50
    assert webhook.secret_chosen_by in ("us", "provider")
    return [Door(scheme, subject.verify) for scheme in webhook.schemes.values()]


@dataclass(frozen=True)
class Door:
    """One scheme, asked with one verifier."""

    scheme: Scheme
    verify: Callable[..., Verified]

    def takes(self, headers: dict[str, str], secrets: tuple[bytes, ...] = (SECRET,)) -> Verified:
        try:
            return self.verify(self.scheme, headers=headers, body=BODY, secrets=secrets)
        except SignatureRejected as rejection:
            raise AssertionError(f"a good request is refused: {rejection.reason}") from rejection

    def refuses(self, headers: dict[str, str], body: bytes = BODY, secrets: tuple[bytes, ...] = (SECRET,)) -> None:
        try:
            self.verify(self.scheme, headers=headers, body=body, secrets=secrets)
        except SignatureRejected:
            return
        except Exception as error:
            raise AssertionError(f"refused with {type(error).__name__}, not with SignatureRejected") from error
        raise AssertionError("taken without proof")


def good_signature_is_accepted(subject: Subject) -> None:
    for door in doors(subject):
        scheme = door.scheme
        verified = door.takes(signed(scheme, BODY, SECRET))
        assert verified.secret_index == 0
        covers_body = isinstance(scheme, HmacScheme)
        assert (verified.fingerprint is not None) == covers_body, "only a signature of the body can be a fingerprint"
        assert (verified.signed_at is not None) == (covers_body and scheme.signs_clock)


def missing_signature_is_refused(subject: Subject) -> None:
    for door in doors(subject):
        scheme = door.scheme
        headers = signed(scheme, BODY, SECRET)
        door.refuses({})
        for name in headers:
            if name == scheme.header or (isinstance(scheme, HmacScheme) and scheme.signs_clock):
                door.refuses({**headers, name: ""})
                door.refuses({other: value for other, value in headers.items() if other != name})


def wrong_signature_is_refused(subject: Subject) -> None:
    for door in doors(subject):
        scheme = door.scheme
        headers = signed(scheme, BODY, SECRET)
        good = headers[scheme.header]
        for value in (
            good[:-1],
            good + "0",
            good[:-1] + ("0" if good[-1] != "0" else "1"),
            good.swapcase() if good.swapcase() != good else good[::-1],
            scheme.prefix,
            scheme.prefix * 2 + good.removeprefix(scheme.prefix) if scheme.prefix else "=" + good,
            scheme.prefix + "é" * 32,
            "\u20ac\udce9",
            good + "," + good,
            good + ", " + good,
            "A" * 5000,
            good + " " * 5000,
        ):
            door.refuses({**headers, scheme.header: value})


def flipped_byte_in_the_body_is_refused(subject: Subject) -> None:
    for door in doors(subject):
        scheme = door.scheme
        if not isinstance(scheme, HmacScheme):
            continue
        headers = signed(scheme, BODY, SECRET)
        for index in range(len(BODY)):
            changed = BODY[:index] + bytes([BODY[index] ^ 1]) + BODY[index + 1 :]
            door.refuses(headers, changed)
        door.refuses(headers, BODY + b" ")
        door.refuses(headers, b"")
        if scheme.signs_clock:
            later = str(int(headers[scheme.timestamp_header]) + 1)
            door.refuses({**headers, scheme.timestamp_header: later})


def other_secret_is_refused(subject: Subject) -> None:
    for door in doors(subject):
        scheme = door.scheme
        door.refuses(signed(scheme, BODY, OTHER))


def both_secrets_count_during_rotation(subject: Subject) -> None:
    for door in doors(subject):
        scheme = door.scheme
        assert door.takes(signed(scheme, BODY, SECRET), secrets=(SECRET, OTHER)).secret_index == 0
        assert door.takes(signed(scheme, BODY, OTHER), secrets=(SECRET, OTHER)).secret_index == 1
        door.refuses(signed(scheme, BODY, b"third-secret-0123456789abcdefghijklm"), secrets=(SECRET, OTHER))


def empty_secret_verifies_nothing(subject: Subject) -> None:
    for door in doors(subject):
        scheme = door.scheme
        for secrets in ((), (b"",), (b"", b"")):
            door.refuses(signed(scheme, BODY, SECRET), secrets=secrets)
            if isinstance(scheme, HmacScheme):
                door.refuses(signed(scheme, BODY, b""), secrets=secrets)
            door.refuses({scheme.header: scheme.prefix}, secrets=secrets)
        assert door.takes(signed(scheme, BODY, SECRET), secrets=(b"", SECRET)).secret_index == 1
