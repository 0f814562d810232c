"""Ways to check a signature wrongly, each a mistake somebody made; ``VERIFIERS`` says who must notice."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from providers.verification import Header, HmacScheme, Scheme, UnsignedScheme, Verified, verify
from providers.verification.checking import digest
from providers.verification.parts import Request
from providers.verification.parts import message as signed_message


def takes_everything(*_: Any, **__: Any) -> Verified:
    return Verified(0, b"", datetime.now(UTC))


def takes_the_unsigned(scheme: Scheme, **request: Any) -> Verified:
    """Nothing to check, so nothing is wrong."""
    return Verified(0) if isinstance(scheme, UnsignedScheme) else verify(scheme, **request)


def first_secret_only(scheme: Scheme, *, secrets: Sequence[bytes], **request: Any) -> Verified:
    return verify(scheme, secrets=secrets[:1], **request)


def parses_before_it_verifies(scheme: Scheme, *, body: bytes, **request: Any) -> Verified:
    """Signs what it understood, not what arrived."""
    return verify(scheme, body=orjson.dumps(orjson.loads(body)), **request)


def works_with_an_empty_secret(scheme: Scheme, *, secrets: Sequence[bytes], **request: Any) -> Verified:
    if isinstance(scheme, HmacScheme) and not any(secrets):
        message, _ = signed_message(scheme, Request(request["headers"], request["body"]))
        made = digest(scheme, b"", message).hex()
        if request["headers"].get(_proof_header(scheme), "").endswith(made):
            return Verified(0)
    return verify(scheme, secrets=secrets, **request)


def compares_text(scheme: Scheme, *, headers: Mapping[str, str], **request: Any) -> Verified:
    """``compare_digest`` of text raises ``TypeError`` for anything outside ASCII."""
    hmac.compare_digest(headers.get(_proof_header(scheme), ""), "v1=")
    return verify(scheme, headers=headers, **request)


def takes_any_of_a_list(scheme: Scheme, *, headers: Mapping[str, str], **request: Any) -> Verified:
    """A header sent twice arrives joined; an attacker's value may stand beside a good one."""
    name = _proof_header(scheme)
    return verify(scheme, headers={**headers, name: headers.get(name, "").split(",")[0]}, **request)


def _proof_header(scheme: Scheme) -> str:
    return scheme.signature.name if isinstance(scheme, HmacScheme) and isinstance(scheme.signature, Header) else ""


REFUSALS = (
    "missing_signature_is_refused",
    "wrong_signature_is_refused",
    "flipped_byte_in_the_body_is_refused",
    "other_secret_is_refused",
    "both_secrets_count_during_rotation",
    "empty_secret_verifies_nothing",
)

# Verifier: the checks that must catch it.
VERIFIERS: dict[Callable[..., Verified], tuple[str, ...]] = {
    takes_everything: ("good_signature_is_accepted", *REFUSALS),
    takes_the_unsigned: ("unsigned_door_needs_a_waiver",),
    first_secret_only: ("both_secrets_count_during_rotation",),
    parses_before_it_verifies: ("good_signature_is_accepted", "flipped_byte_in_the_body_is_refused"),
    works_with_an_empty_secret: ("empty_secret_verifies_nothing",),
    compares_text: ("wrong_signature_is_refused",),
    takes_any_of_a_list: ("wrong_signature_is_refused",),
}
