"""SEC-IA-01: the platform's services. Their tokens stay inside, whatever the services answer, or whether they do."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from rest_framework.test import APIClient

from connections import incident_outbox, receipt_outbox
from connections.budget import budget
from connections.models import Incident, Receipt
from connections.secret_kms import forget_remembered
from connections.secret_store import secret_store
from events.models import AdapterEvent
from events.outbox import deliver_batch
from tests.api import CONNECTIONS, token_of
from tests.factories import ACME, make_connection, make_event
from tests.identity_service import IdentityService
from tests.incidents import trouble
from tests.platform_stub import listening
from tests.receipts import emit
from tests.security.leakage_canaries import SHAPES
from tests.security.leakage_parrot import Parrot
from tests.security.leakage_watch import Watch, parrot, watch

__all__ = ["parrot", "watch"]

pytestmark = pytest.mark.django_db


class Repeating:
    """All neighbours in one: each answers in its own form and repeats what it was sent with."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.drop = False
        self.proofs: list[str] = []
        self.extra_headers = {"X-Echo": "", "Retry-After": "1"}

    def handle(self, method: str, path: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
        proof = headers.get("authorization", "")
        self.proofs.append(proof)
        told = proof.split()[-1] if proof else ""
        self.extra_headers["X-Echo"] = proof
        if self.drop:
            return 0, None
        error = {"code": told[:60], "message": proof, "retryable": False}
        signals = body.get("signals", []) if isinstance(body, dict) else []
        answer: dict[str, Any] = {
            "results": [
                {"signal_id": signal["signal_id"], "status": "rejected", "error_code": told, "error_message": proof}
                for signal in signals
            ],
            "allowed": False,
            "message": proof,
            "enforcement_action": told,
            "alert_id": told,
            "receipt_id": told,
            "status": "accepted",
            "sub": told,
            "detail": {"error": error},
        }
        return self.status, answer


@pytest.fixture
def repeating(settings: Any) -> Iterator[Repeating]:
    stub = Repeating()
    with listening(stub):
        names = ("PM3", "ERIS", "ALERTING", "BUDGET")
        for name in names:
            setattr(settings, f"{name}_SERVICE_URL", stub.url)
        yield stub


def rounds(watch: Watch, repeating: Repeating) -> None:
    """One of everything that tells the neighbours something, in each of their moods."""
    connection = make_connection(credential={"token": "fake-token-of-the-test"})
    for status, drop in ((200, False), (422, False), (401, False), (500, False), (200, True)):
        repeating.status, repeating.drop = status, drop
        make_event(connection)
        emit(connection)
        trouble(connection)
        watch.called(deliver_batch)
        watch.called(receipt_outbox.send_due)
        watch.called(incident_outbox.send_due)
        decision = budget().ask(ACME, "integration.fake.poll", str(connection.pk))
        watch.told.append(("a decision of the budget", repr(decision)))
        for model in (AdapterEvent, Receipt, Incident):
            model.objects.update(lease_token=None)
    for path in ("/v1/integrations/events", f"{CONNECTIONS}/{connection.pk}/incidents"):
        watch.call("get", path)
    watch.call("get", f"/internal/integrations/connections/{connection.pk}/health")


@pytest.mark.parametrize("shape", SHAPES)
def test_a_tenants_platform_tokens_stay_inside(watch: Watch, repeating: Repeating, shape: str) -> None:
    """SEC-IA-01"""
    planted = {
        name: watch.plant(f"the token for {name}", value=f"{name}-{watch.plant(f'the secret of {name}', shape)}")
        for name in ("pm3", "eris", "budget", "alerting")
    }
    for name, token in planted.items():
        secret_store().put(ACME, token, name=f"platform/{name}")
    rounds(watch, repeating)
    told = " ".join(repeating.proofs)
    assert all(planted[name] in told for name in ("pm3", "eris", "budget"))
    assert watch.leaks(admin_too=shape == "words") == []


def test_the_deployments_platform_token_stays_inside(watch: Watch, repeating: Repeating, settings: Any) -> None:
    """SEC-IA-01"""
    settings.PLATFORM_TOKEN = watch.plant("the platform token")
    rounds(watch, repeating)
    assert settings.PLATFORM_TOKEN in " ".join(repeating.proofs)
    assert watch.leaks() == []


@pytest.mark.parametrize("shape", SHAPES)
def test_key_management_tells_nothing_when_it_is_down_or_talks_nonsense(
    watch: Watch, repeating: Repeating, parrot: Parrot, settings: Any, shape: str
) -> None:
    """SEC-IA-01"""
    token = watch.plant("the token for key management", shape)
    secret_store().put(ACME, token, name="platform/kms")
    settings.KMS_SERVICE_URL = repeating.url
    settings.BUDGET_SERVICE_URL = ""
    connection = make_connection("parrot", credential=None, settings={"base_url": parrot.url})
    connection.auth_ref = f"kms:{uuid.uuid4()}"
    connection.save()
    for status, drop in ((200, False), (401, False), (403, False), (500, False), (200, True)):
        repeating.status, repeating.drop = status, drop
        forget_remembered()
        watch.call("post", f"{CONNECTIONS}/{connection.pk}/verify")
        new = watch.plant(f"a credential for key management, {status} {drop}", shape)
        watch.call("post", f"{CONNECTIONS}/{connection.pk}/rotate", {"credential": {"token": new}})
        body = {"provider_id": "parrot", "display_name": "P", "credential": {"token": new}}
        watch.call("post", CONNECTIONS, {**body, "settings": {"base_url": parrot.url}})
    forget_remembered()
    assert any(token in proof for proof in repeating.proofs)
    assert watch.leaks() == []


def test_a_clients_token_stays_inside_whether_it_is_good_or_not(
    watch: Watch, repeating: Repeating, settings: Any
) -> None:
    """SEC-IA-01"""

    def ask(path: str, token: str) -> None:
        client = APIClient(raise_request_exception=False)
        watch.hear(path, client.get(path, HTTP_AUTHORIZATION=f"Bearer {token}"))

    good = watch.plant("a bearer token of a client", value=token_of(ACME))
    bad = watch.plant("a bearer token that is none")
    for token in (good, bad, good[:-4] + "AAAA"):
        for path in (CONNECTIONS, f"{CONNECTIONS}/{uuid.uuid4()}", "/v1/integrations/nowhere"):
            ask(path, token)
    settings.IAM_MODE, settings.IAM_SERVICE_URL = "introspect", repeating.url
    vouched = watch.plant("a token that is looked at", value=IdentityService().token())
    for status, drop in ((200, False), (401, False), (500, False), (200, True)):
        repeating.status, repeating.drop = status, drop
        ask(CONNECTIONS, vouched)
    assert watch.leaks() == []
