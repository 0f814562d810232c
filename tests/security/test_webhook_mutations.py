"""What vendors' own code signs is taken; changed in any of thousands of ways it is refused, and leaves no row.

Requests go through the real road: door, proof, replay protection, database.
"""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import standardwebhooks
import svix.webhooks
import time_machine
from django.test import Client
from slack_sdk.signature import Clock, SignatureVerifier

from events.models import AdapterEvent
from providers import registry
from providers.verification import key_of
from tests.extent import extent
from tests.factories import make_connection, make_registration
from tests.security.mutations import Attempt, Genuine, mutations
from webhooks.models import QuarantinedDelivery
from webhooks.results import WebhookResult
from webhooks.services import WebhookService

pytestmark = [pytest.mark.django_db]

NUMBER = extent(2_500, 10_000)
# Each so many also comes over HTTP, where an exception would be a 500.
OVER_HTTP_EVERY = 50
NOW = 1_795_392_000
JSON = {"content-type": "application/json"}
VECTORS = json.loads((Path(__file__).parent / "vectors" / "octokit.json").read_text())["vectors"]

STANDARD_SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OTHER_STANDARD_SECRET = "whsec_HxweHRobGBkWFxQVEhMQEQ4PDA0KCwgJBgcEBQIDAAE="
STANDARD_BODY = '{"type":"invoice.paid","timestamp":"2026-11-23T00:00:00Z","data":{"id":"in_1","name":"Zoë"}}'.encode()
CALLBACK_SECRET = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
CALLBACK_BODY = (
    '{"type":"event_callback","team_id":"T0001","api_app_id":"A0001","event":{"type":"message","channel":"C0001",'
    '"user":"U0001","text":"grüße","ts":"1795391999.000100"},"event_id":"Ev0001","event_time":1795391999}'
).encode()


@dataclass(frozen=True)
class Vendor:
    """``made``: whose code signs. ``harmless``: changes the vendor's rules let pass, by name."""

    slug: str
    scheme: str
    secret: str
    genuine: Genuine
    harmless: dict[str, Callable[[Genuine], Attempt]]

    @property
    def key(self) -> bytes:
        webhook = registry.get(self.slug).webhook
        assert webhook
        return key_of(webhook.schemes[self.scheme].secret_form, self.secret.encode())


def octokit() -> Vendor:
    """From a file that the JavaScript library wrote (vectors/sign.mjs): nothing here can sign like it."""

    def attempt(vector: dict[str, str]) -> Attempt:
        headers = {"x-hub-signature-256": vector["signature"], "x-github-event": "issues", "x-github-delivery": "d-1"}
        return Attempt({**JSON, **headers}, vector["body"].encode())

    first, *others = VECTORS
    genuine = Genuine(
        attempt=attempt(first),
        proof=["x-hub-signature-256"],
        prefix="sha256=",
        encoding="hex",
        key=first["secret"].encode(),
        message=lambda asked: asked.body,
        strangers=[attempt(vector) for vector in others if vector["secret"] != first["secret"]],
        now=NOW,
    )
    return Vendor("github", "hmac", first["secret"], genuine, HARMLESS)


def slack_sdk() -> Vendor:
    def signed(secret: str, body: bytes, at: int) -> Attempt:
        signature = SignatureVerifier(secret).generate_signature(timestamp=str(at), body=body)
        headers = {"x-slack-signature": str(signature), "x-slack-request-timestamp": str(at)}
        return Attempt({**JSON, **headers}, body)

    genuine = Genuine(
        attempt=signed(CALLBACK_SECRET, CALLBACK_BODY, NOW),
        proof=["x-slack-signature", "x-slack-request-timestamp"],
        prefix="v0=",
        encoding="hex",
        key=CALLBACK_SECRET.encode(),
        message=lambda asked: b"v0:%b:%b" % (asked.headers["x-slack-request-timestamp"].encode(), asked.body),
        strangers=[signed(f"{CALLBACK_SECRET}{n}", CALLBACK_BODY, NOW) for n in range(50)]
        + [signed(CALLBACK_SECRET[:-1], CALLBACK_BODY, NOW), signed(CALLBACK_SECRET.upper(), CALLBACK_BODY, NOW)],
        signed_at=lambda at: signed(CALLBACK_SECRET, CALLBACK_BODY, at),
        now=NOW,
    )
    return Vendor("slack", "signing_secret", CALLBACK_SECRET, genuine, HARMLESS)


def standard(family: str, library: type[standardwebhooks.Webhook] | type[svix.webhooks.Webhook]) -> Vendor:
    def signed(secret: str, body: bytes, at: int) -> Attempt:
        signature = library(secret).sign("msg_1", datetime.fromtimestamp(at, tz=UTC), body.decode())
        headers = {f"{family}-signature": signature, f"{family}-timestamp": str(at), f"{family}-id": "msg_1"}
        return Attempt({**JSON, **headers}, body)

    def message(asked: Attempt) -> bytes:
        moment = asked.headers[f"{family}-timestamp"].encode()
        return b"%b.%b.%b" % (asked.headers[f"{family}-id"].encode(), moment, asked.body)

    genuine = Genuine(
        attempt=signed(STANDARD_SECRET, STANDARD_BODY, NOW),
        proof=[f"{family}-signature", f"{family}-timestamp", f"{family}-id"],
        prefix="v1,",
        encoding="base64",
        key=bytes(range(32)),
        message=message,
        strangers=[signed(OTHER_STANDARD_SECRET, STANDARD_BODY, NOW + n) for n in range(50)],
        signed_at=lambda at: signed(STANDARD_SECRET, STANDARD_BODY, at),
        now=NOW,
    )
    name = "standard" if family == "webhook" else family
    return Vendor("standard_webhooks", name, STANDARD_SECRET, genuine, HARMLESS | HARMLESS_IN_A_LIST)


# HTTP: names have no letter case and no order, and what is not proof is not looked at.
HARMLESS: dict[str, Callable[[Genuine], Attempt]] = {
    "names in capitals": lambda g: Attempt({k.upper(): v for k, v in g.attempt.headers.items()}, g.attempt.body),
    "names in another order": lambda g: Attempt(dict(reversed(g.attempt.headers.items())), g.attempt.body),
    "a header more": lambda g: g.having("x-signature", "v0=0"),
}


def beside_unsigned_headers(genuine: Genuine) -> Attempt:
    """A retry, so only its id tells that it is one; the other of the two sets stands beside it."""
    assert genuine.signed_at
    retry = genuine.signed_at(genuine.now + 5)
    unsigned = {f"{family}-{part}": "1" for family in ("webhook", "svix") for part in ("id", "timestamp", "signature")}
    return Attempt(unsigned | retry.headers, retry.body)


# Standard Webhooks 1.0.0: the header is a list; unknown versions and other signatures in it are skipped.
HARMLESS_IN_A_LIST: dict[str, Callable[[Genuine], Attempt]] = {
    "unknown version before": lambda g: g.signed_with(f"v2,AAAA {g.signature}"),
    "unknown version after": lambda g: g.signed_with(f"{g.signature} v1a,AAAA"),
    "another secret's beside": lambda g: g.signed_with(f"{g.strangers[0].headers[g.proof[0]]} {g.signature}"),
    "entry that is none": lambda g: g.signed_with(f"garbage {g.signature}"),
    "the same twice": lambda g: g.signed_with(f"{g.signature} {g.signature}"),
    "headers of the other set beside": beside_unsigned_headers,
    "two blanks": lambda g: g.signed_with(f"v1,AAAA  {g.signature} "),
}

VENDORS: dict[str, Callable[[], Vendor]] = {
    "octokit": octokit,
    "slack_sdk": slack_sdk,
    "standardwebhooks": lambda: standard("webhook", standardwebhooks.Webhook),
    "svix": lambda: standard("svix", svix.webhooks.Webhook),
}


@pytest.fixture(params=VENDORS)
def vendor(request: pytest.FixtureRequest) -> Vendor:
    return VENDORS[request.param]()


@pytest.fixture
def door(vendor: Vendor, caplog: pytest.LogCaptureFixture) -> Iterator[str]:
    """Token of an open door for the vendor's secret, at the time the genuine request was signed."""
    # One line a refusal would be most of the work.
    caplog.set_level(logging.ERROR, "webhooks.intake")
    with time_machine.travel(NOW, tick=False):
        _, token, _ = make_registration(make_connection(vendor.slug), scheme=vendor.scheme, secret=vendor.secret)
        yield token


def ask(vendor: Vendor, token: str, attempt: Attempt) -> WebhookResult:
    return WebhookService().process_webhook(vendor.slug, token, attempt.body, attempt.headers)


def test_what_the_vendors_code_signs_is_taken_once(vendor: Vendor, door: str) -> None:
    """UT-IA-01"""
    assert ask(vendor, door, vendor.genuine.attempt).outcome == "accepted"
    assert ask(vendor, door, vendor.genuine.attempt).outcome == "duplicate"
    assert AdapterEvent.objects.count() == 1


def test_an_attacker_here_knows_how_the_vendor_signs(vendor: Vendor) -> None:
    """Else the downgrades below would be refused for a wrong message, not for the algorithm."""
    genuine = vendor.genuine
    raw = hmac.digest(vendor.key, genuine.message(genuine.attempt), "sha256")
    assert genuine.key == vendor.key
    assert genuine.signature == genuine.prefix + genuine.encoded(raw)


def test_thousands_of_changed_requests_are_refused_and_leave_no_row(vendor: Vendor, door: str) -> None:
    """UT-IA-01: no answer but 401, and nothing stored beside the genuine request."""
    assert ask(vendor, door, vendor.genuine.attempt).outcome == "accepted"
    client = Client(raise_request_exception=False)
    url = f"/v1/integrations/webhooks/{vendor.slug}/{door}"
    taken = []
    for count, (how, attempt) in enumerate(mutations(vendor.genuine, NUMBER, seed=20261123)):
        result = ask(vendor, door, attempt)
        if result.success or result.status != 401:
            taken.append(f"{how}: {result.outcome} {result.status} {attempt.headers} {attempt.body[:200]!r}")
        # Over HTTP a name with underscores is the name with hyphens (RFC 3875, section 4.1.18).
        if count % OVER_HTTP_EVERY == 0 and not any("_" in name for name in attempt.headers):
            headers = {name: value for name, value in attempt.headers.items() if name != "content-type"}
            answer = client.post(url, attempt.body, content_type="application/json", headers=headers)
            if answer.status_code != 401:
                taken.append(f"{how} over HTTP: {answer.status_code} {attempt.headers} {attempt.body[:200]!r}")
    assert taken == []
    assert AdapterEvent.objects.count() == 1
    assert QuarantinedDelivery.objects.count() == 0


def test_changes_without_meaning_are_no_reason_to_refuse(vendor: Vendor, door: str) -> None:
    outcomes = {name: ask(vendor, door, change(vendor.genuine)).outcome for name, change in vendor.harmless.items()}
    assert outcomes.pop(next(iter(vendor.harmless))) == "accepted"
    assert set(outcomes.values()) == {"duplicate"}, outcomes
    assert AdapterEvent.objects.count() == 1


@pytest.mark.parametrize("vendor", ["slack_sdk", "standardwebhooks", "svix"], indirect=True)
def test_the_window_is_as_wide_as_the_vendor_says(vendor: Vendor, door: str) -> None:
    signed_at = vendor.genuine.signed_at
    assert signed_at
    outcomes = [ask(vendor, door, signed_at(NOW + step)).success for step in (-301, -300, 0, 60, 61)]
    assert outcomes == [False, True, True, True, False]


def test_the_vendors_code_agrees_about_what_is_genuine() -> None:
    """The other way round: the libraries take what they signed here, and refuse it with another secret."""

    class Stopped(Clock):  # type: ignore[misc]
        def now(self) -> float:
            return NOW

    callback = slack_sdk().genuine.attempt
    assert SignatureVerifier(CALLBACK_SECRET, Stopped()).is_valid_request(callback.body, callback.headers)
    assert not SignatureVerifier(CALLBACK_SECRET[:-1], Stopped()).is_valid_request(callback.body, callback.headers)
    with time_machine.travel(NOW, tick=False):
        for vendor, library in (
            (standard("webhook", standardwebhooks.Webhook), standardwebhooks.Webhook),
            (standard("svix", svix.webhooks.Webhook), svix.webhooks.Webhook),
        ):
            attempt = vendor.genuine.attempt
            library(STANDARD_SECRET).verify(attempt.body, attempt.headers)
            with pytest.raises(svix.webhooks.WebhookVerificationError):
                library(OTHER_STANDARD_SECRET).verify(attempt.body, attempt.headers)
