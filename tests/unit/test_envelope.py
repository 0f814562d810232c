"""The envelope's schema and the documents made from it."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from events.catalogue import documents
from events.compression import pack, unpack
from events.envelope import problems
from providers.canonical import FIELDS, SignalType

ENVELOPE: dict[str, Any] = {
    "signal_id": "0b9f2c1e-6f0c-5a51-9d3e-0d6b1a2c3d4e",
    "tenant_id": "acme",
    "environment": "dev",
    "producer_id": "0b9f2c1e-6f0c-7a51-9d3e-0d6b1a2c3d4e",
    "signal_kind": "event",
    "signal_type": "pr_opened",
    "occurred_at": "2026-11-20T10:00:00Z",
    "ingested_at": "2026-11-20T10:00:01Z",
    "resource": {"repository": "acme/web", "pr_id": 7},
    "payload": {
        "provider_metadata": {
            "provider_id": "fake",
            "connection_id": "0b9f2c1e-6f0c-7a51-9d3e-0d6b1a2c3d4e",
            "provider_event_type": "pr.opened",
            "api_version": "1",
            "source": "webhook",
        },
        "canonical_keys": {"pr_number": 7},
        "event_name": "pr_opened",
        "severity": "info",
        "title": "Fix the door",
        "draft": False,
        "labels": ["bug"],
    },
    "schema_version": "1.0.0",
}


def test_a_whole_envelope_is_valid() -> None:
    assert problems(ENVELOPE) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("signal_id",), "not-a-uuid"),
        (("environment",), "production"),
        (("occurred_at",), "yesterday"),
        (("signal_type",), "PR opened"),
        (("resource", "pr_id"), "7"),
        (("resource", "colour"), "blue"),
        (("payload", "severity"), "loud"),
        (("payload", "draft"), "no"),
        (("payload", "labels"), [1]),
        (("payload", "unheard_of"), "x"),
        (("tenant_id",), ""),
        (("extra",), 1),
    ],
)
def test_every_wrong_part_is_named(path: tuple[str, ...], value: Any) -> None:
    envelope = deepcopy(ENVELOPE)
    part = envelope
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    (problem,) = problems(envelope)
    assert path[0] in problem


@pytest.mark.parametrize("missing", ["signal_id", "tenant_id", "producer_id", "occurred_at", "payload"])
def test_required_parts_are_required(missing: str) -> None:
    assert problems({k: v for k, v in ENVELOPE.items() if k != missing})


@pytest.mark.parametrize("kind", list(SignalType))
def test_every_signal_type_documents_its_fields(kind: SignalType) -> None:
    assert kind.meaning.endswith(".")
    assert kind.fields
    assert set(kind.fields) <= set(FIELDS)


@pytest.mark.parametrize("path", sorted(documents()))
def test_the_published_documents_are_what_the_code_says(path: str) -> None:
    assert (Path(settings.BASE_DIR) / path).read_text() == documents()[path]


def test_packed_payloads_come_back_whole() -> None:
    value = {"text": "é" * 5000, "list": list(range(100)), "nothing": None}
    assert unpack(memoryview(pack(value))) == value
    assert len(pack(value)) < 2000
