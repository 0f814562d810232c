"""Ways to check a signature wrongly, each a mistake somebody made; ``VERIFIERS`` says who must notice."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from providers.verification import HmacScheme, Scheme, Verified, sign, verify


def takes_everything(*_: Any, **__: Any) -> Verified:
    return Verified(0, b"", datetime.now(UTC))


def first_secret_only(scheme: Scheme, *, secrets: Sequence[bytes], **request: Any) -> Verified:
    return verify(scheme, secrets=secrets[:1], **request)


def parses_before_it_verifies(scheme: Scheme, *, body: bytes, **request: Any) -> Verified:
    """Signs what it understood, not what arrived."""
    return verify(scheme, body=orjson.dumps(orjson.loads(body)), **request)


def works_with_an_empty_secret(scheme: Scheme, *, secrets: Sequence[bytes], **request: Any) -> Verified:
    headers, body = request["headers"], request["body"]
    if scheme.header in headers and isinstance(scheme, HmacScheme) and not any(secrets):
        stamp = (
            int(headers[scheme.timestamp_header]) if scheme.signs_clock and scheme.timestamp_header in headers else 0
        )
        if headers[scheme.header] == sign(scheme, body=body, secret=b"", timestamp=stamp)[scheme.header]:
            return Verified(0)
    return verify(scheme, secrets=secrets, **request)


def compares_text(scheme: Scheme, *, headers: Mapping[str, str], **request: Any) -> Verified:
    """``compare_digest`` of text raises ``TypeError`` for anything outside ASCII."""
    hmac.compare_digest(headers.get(scheme.header, ""), "v1=")
    return verify(scheme, headers=headers, **request)


def takes_any_of_a_list(scheme: Scheme, *, headers: Mapping[str, str], **request: Any) -> Verified:
    """A header sent twice arrives joined; an attacker's value may stand beside a good one."""
    first = headers.get(scheme.header, "").split(",")[0]
    return verify(scheme, headers={**headers, scheme.header: first}, **request)


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
    takes_everything: REFUSALS,
    first_secret_only: ("both_secrets_count_during_rotation",),
    parses_before_it_verifies: ("good_signature_is_accepted", "flipped_byte_in_the_body_is_refused"),
    works_with_an_empty_secret: ("empty_secret_verifies_nothing",),
    compares_text: ("wrong_signature_is_refused",),
    takes_any_of_a_list: ("wrong_signature_is_refused",),
}
