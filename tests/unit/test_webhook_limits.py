"""The rate limits at the door: shared through Redis, cheap in blocks, and still there when Redis is not."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from typing import Any

import pytest
import time_machine
from django.conf import settings
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter

from webhooks import limits
from webhooks.limits import BlockCounter

NOBODY = "redis://127.0.0.1:1/0"


class CountingStorage(RedisStorage):
    """Redis, with the number of times it was asked to count."""

    asked = 0

    def incr(self, *args: Any, **kwargs: Any) -> int:
        self.asked += 1
        return super().incr(*args, **kwargs)


def counter(url: str = "") -> tuple[BlockCounter, CountingStorage]:
    """As each process has one."""
    storage = CountingStorage(
        url or settings.REDIS_URL, wrap_exceptions=True, socket_connect_timeout=0.25, socket_timeout=0.25
    )
    return BlockCounter(FixedWindowRateLimiter(storage), FixedWindowRateLimiter(MemoryStorage())), storage


def holder() -> str:
    return f"connection:{uuid.uuid4().hex}"


def taken(spender: BlockCounter, limit: str, name: str, tries: int) -> int:
    return sum(spender.spend(limit, name) is None for _ in range(tries))


def test_a_small_limit_is_exact_also_between_processes() -> None:
    (first, _), (second, _) = counter(), counter()
    name = holder()
    assert taken(first, "5/minute", name, 3) == 3
    assert taken(second, "5/minute", name, 10) == 2
    assert taken(first, "5/minute", name, 10) == 0


def test_a_large_limit_is_never_exceeded_and_wastes_at_most_a_block_a_process() -> None:
    (first, _), (second, _) = counter(), counter()
    name = holder()
    assert taken(first, "1000/minute", name, 15) == 15
    together = 15 + taken(second, "1000/minute", name, 2000) + taken(first, "1000/minute", name, 2000)
    assert 1000 - 2 * 10 <= together <= 1000


def test_one_question_pays_for_a_block() -> None:
    spender, storage = counter()
    assert taken(spender, "1000/minute", holder(), 100) == 100
    assert storage.asked == 10


def test_a_flood_beyond_the_limit_asks_nobody() -> None:
    spender, storage = counter()
    name = holder()
    taken(spender, "5/minute", name, 6)
    asked = storage.asked
    assert taken(spender, "5/minute", name, 1000) == 0
    assert storage.asked == asked


def test_the_wait_is_what_is_left_of_the_window() -> None:
    spender, _ = counter()
    name = holder()
    taken(spender, "2/hour", name, 2)
    waited = spender.spend("2/hour", name)
    assert waited is not None
    assert 3590 <= waited <= 3600


class Clocks:
    """Both clocks of a process, as ``time`` has them: what time it is said to be, and how much really passed."""

    def __init__(self) -> None:
        self.said, self.passed = 1_790_000_000.0, 500.0

    def time(self) -> float:
        return self.said

    def monotonic(self) -> float:
        return self.passed

    def go_on(self, seconds: float) -> None:
        self.said += seconds
        self.passed += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    both = Clocks()
    monkeypatch.setattr(limits, "time", both)
    return both


def test_a_new_window_starts_afresh(clocks: Clocks) -> None:
    # Without Redis, whose clock does not travel.
    spender, _ = counter(NOBODY)
    name = holder()
    with time_machine.travel(clocks.said, tick=False) as clock:
        assert taken(spender, "3/minute", name, 5) == 3
        clocks.go_on(61)
        clock.move_to(clocks.said)
        assert taken(spender, "3/minute", name, 5) == 3


def test_a_clock_that_is_set_back_shuts_no_door_for_longer_than_the_window(clocks: Clocks) -> None:
    spender, _ = counter()
    name = holder()
    clocks.said = time.time()
    assert taken(spender, "3/minute", name, 5) == 3
    clocks.said -= 3600
    waited = spender.spend("3/minute", name)
    assert waited is not None
    assert waited <= 60
    clocks.passed += 61
    assert spender.spend("3/minute", holder()) is None


@pytest.mark.parametrize("limit", ["12000/minute", "100/minute"])
def test_what_is_charged_besides_counts_like_any_other(limit: str) -> None:
    spender, _ = counter()
    name, counted = holder(), 0
    for _ in range(1000):
        if spender.spend(limit, name) is None:
            spender.change(limit, name, -999)
            counted += 1000
    # The last that was let through may be larger than what was left.
    assert 1000 <= counted <= int(limit.partition("/")[0]) + 1000


def test_what_is_given_back_can_be_spent_again() -> None:
    spender, _ = counter()
    name = holder()
    assert taken(spender, "5/minute", name, 5) == 5
    spender.change("5/minute", name, 1)
    assert taken(spender, "5/minute", name, 3) == 1


def test_without_redis_each_process_counts_for_itself() -> None:
    (first, storage), (second, _) = counter(NOBODY), counter(NOBODY)
    name = holder()
    assert taken(first, "5/minute", name, 10) == 5
    assert taken(second, "5/minute", name, 10) == 5
    # Asked once, then left alone for a while.
    assert storage.asked == 1


def test_holders_do_not_share_and_neither_do_limits() -> None:
    spender, _ = counter()
    name = holder()
    assert taken(spender, "1/minute", name, 3) == 1
    assert taken(spender, "1/minute", holder(), 3) == 1
    assert taken(spender, "2/minute", name, 3) == 2


def test_many_holders_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MAX_HOLDERS", 10)
    spender, _ = counter(NOBODY)
    for _ in range(50):
        spender.spend("5/minute", holder())
    assert len(spender._allowances) <= 10


_OTHER_PROCESS = """
import sys
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter
from webhooks.limits import BlockCounter
spender = BlockCounter(FixedWindowRateLimiter(RedisStorage(sys.argv[1])), FixedWindowRateLimiter(MemoryStorage()))
print(sum(spender.spend("50/minute", sys.argv[2]) is None for _ in range(40)))
"""


def test_two_real_processes_share_one_limit() -> None:
    name = holder()
    program = f"import django; django.setup()\n{_OTHER_PROCESS}"
    runs = [
        subprocess.run(
            [sys.executable, "-c", program, settings.REDIS_URL, name], capture_output=True, text=True, check=True
        )
        for _ in range(2)
    ]
    assert [int(run.stdout.split()[-1]) for run in runs] == [40, 10]
