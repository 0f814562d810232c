"""Settings that contradict each other are found at boot."""

from __future__ import annotations

from typing import Any

import pytest

from polling.checks import check_polling


def test_the_defaults_are_sound() -> None:
    assert check_polling() == []


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("POLL_LEASE_SECONDS", 20, "polling.W001"),
        ("POLL_INTERVAL_MIN_SECONDS", 4000, "polling.E001"),
        ("POLL_INTERVAL_MIN_SECONDS", 0, "polling.E001"),
        ("BUDGET_FAIL_MODE", "ajar", "polling.E002"),
        ("EVENT_RETENTION_DAYS", 13, "polling.W002"),
    ],
)
def test_a_contradiction_is_told(settings: Any, name: str, value: object, problem: str) -> None:
    setattr(settings, name, value)
    assert [message.id for message in check_polling()] == [problem]
