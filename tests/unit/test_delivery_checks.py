"""Settings of delivery that contradict each other, or the ingestion service, are found at boot."""

from __future__ import annotations

from typing import Any

import pytest

from events.checks import check_delivery


def test_the_defaults_are_sound() -> None:
    assert check_delivery() == []


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("DELIVERY_BATCH_SIZE", 0, "events.E001"),
        ("DELIVERY_BATCH_SIZE", 1001, "events.E001"),
        ("PM3_TIMEOUT_SECONDS", 60.0, "events.E002"),
        ("DELIVERY_LEASE_SECONDS", 10, "events.E002"),
    ],
)
def test_a_contradiction_is_told(settings: Any, name: str, value: object, problem: str) -> None:
    setattr(settings, name, value)
    assert [message.id for message in check_delivery()] == [problem]
