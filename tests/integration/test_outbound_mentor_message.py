"""IT-IA-03: a mentor's message goes out to a chat, once, and a receipt of it to the evidence service.

Everything between is real: the API, PostgreSQL, the quota ledger, a chat provider and an evidence service over HTTP.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from actions.models import NormalisedAction
from connections.models import IntegrationConnection
from connections.receipt_outbox import send_due
from connections.tenancy import SERVICE
from providers import registry
from providers.canonical.action_types import ActionType
from providers.simulation import EffectKeeper, SimulatedAnswer
from tests.api import client_of
from tests.contract.provider_server import serving
from tests.contract.subject import FIXTURES
from tests.evidence_service import EvidenceStub
from tests.factories import ACME, make_connection
from tests.tracker import Vice, answer_lost, due_now, settled, work

EXECUTE = "/internal/integrations/actions/execute"
CHAT = ActionType.POST_CHAT_MESSAGE
CHATS = sorted(slug for slug in registry.BUILT_IN if any(a.type is CHAT for a in registry.load(slug).actions))
TEXT = "**Nice catch.** A test for the empty list would keep it so."

pytestmark = pytest.mark.django_db


@dataclass
class Chat:
    """A connection to a simulated chat, the place to write to, and what becomes of the next writes."""

    connection: IntegrationConnection
    target: dict[str, Any]
    world: EffectKeeper
    vices: list[Vice]

    def send(self, **values: Any) -> Any:
        body = {
            "provider_id": self.connection.provider_id,
            "connection_id": str(self.connection.pk),
            "canonical_type": CHAT.value,
            "target": self.target,
            "payload": {"text": TEXT},
            "idempotency_key": "mentor-4711",
            "correlation_id": "review-12",
            **values,
        }
        return client_of(ACME, SERVICE).post(EXECUTE, body)

    @property
    def gate(self) -> str:
        return f"integration.action.{self.connection.provider_id}.{CHAT.value}"


@pytest.fixture(params=CHATS)
def chat(request: pytest.FixtureRequest) -> Iterator[Chat]:
    slug = request.param
    simulator = importlib.import_module(f"providers.adapters.{slug}.simulator").Simulator
    world = simulator(seed=1, faults=False)
    vices: list[Vice] = []

    def answer(*asked: Any) -> SimulatedAnswer:
        before = len(world.effects())
        told: SimulatedAnswer = world.handle(*asked)
        return vices.pop(0)(lambda: told) if vices and len(world.effects()) > before else told

    with serving(answer) as server:
        settings = simulator.settings(server.url)
        connection = make_connection(slug, credential=dict(simulator.credential), settings=settings)
        target = orjson.loads((FIXTURES / slug / "actions.json").read_bytes())[CHAT.value]["target"]
        yield Chat(connection, target, world, vices)


def receipt_of(evidence: EvidenceStub) -> dict[str, Any]:
    send_due()
    [receipt] = evidence.kept.values()
    return receipt


def test_message_is_posted_once_and_leaves_a_receipt(chat: Chat, evidence: EvidenceStub) -> None:
    first = chat.send()
    assert first.status_code == 200, first.content
    told = first.json()
    assert (told["status"], told["attempts"]) == ("completed", 1), told
    assert chat.send().json() == told
    [effect] = chat.world.effects()
    assert told["result"]["reference"].rpartition(":")[2] in effect
    receipt = receipt_of(evidence)
    assert (receipt["gate_id"], receipt["decision"]["status"]) == (chat.gate, "pass")
    assert receipt["result"]["provider_ref"] == told["result"]["reference"]
    assert (receipt["inputs"]["tenant_id"], receipt["inputs"]["correlation_id"]) == (ACME, "review-12")
    # What was said stays with us.
    assert "Nice catch" not in orjson.dumps(receipt).decode()


def test_message_whose_answer_was_lost_is_found_and_not_posted_again(chat: Chat, evidence: EvidenceStub) -> None:
    chat.vices.append(answer_lost)
    assert chat.send().status_code == 202
    due_now()
    settled()
    work()
    told = NormalisedAction.objects.get()
    assert told.status == "completed", told.evidence
    [effect] = chat.world.effects()
    assert told.result["reference"].rpartition(":")[2] in effect
    assert receipt_of(evidence)["decision"]["status"] == "pass"


def test_message_to_no_channel_fails_in_the_providers_words_with_a_receipt(chat: Chat, evidence: EvidenceStub) -> None:
    nowhere = {**chat.target, "channel_id": f"{chat.target['channel_id'][:-1]}9"}
    told = chat.send(target=nowhere).json()
    assert (told["status"], told["error_category"]) == ("failed", "client"), told
    assert chat.world.effects() == []
    assert receipt_of(evidence)["decision"]["status"] == "soft_block"
