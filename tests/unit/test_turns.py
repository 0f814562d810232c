"""Turns at waiting for providers: few at once, each for a bounded time."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from connections.errors import ServiceError
from connections.turns import deadline, turn, turn_if_free, within


def left() -> float:
    found = deadline()
    assert found is not None
    return found.left()


def test_there_are_so_many_and_each_is_given_back_whatever_happens(settings: Any) -> None:
    settings.PROVIDER_TURNS = 2
    inside, done = threading.Barrier(3), threading.Event()

    def take() -> None:
        with turn(60):
            inside.wait(10)
            done.wait(10)

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    inside.wait(10)
    with pytest.raises(ServiceError) as refused, turn(60):
        pass
    assert (refused.value.status, refused.value.code) == (503, "TEMPORARILY_UNAVAILABLE")
    with turn_if_free(60) as free:
        assert not free
    done.set()
    for thread in threads:
        thread.join()
    for _ in range(3):
        with pytest.raises(KeyError), turn(60):
            raise KeyError


def test_inside_a_turn_it_is_the_same_one_with_the_same_time(settings: Any) -> None:
    settings.PROVIDER_TURNS = 1
    with turn(10), turn(1000), turn_if_free(1000) as free:
        assert free
        assert left() <= 10
    with turn(10):
        pass


def test_of_two_times_the_shorter_counts_and_outside_there_is_none() -> None:
    with within(10):
        with within(1000):
            assert left() <= 10
        with within(1):
            assert left() <= 1
        assert 1 < left() <= 10
    assert deadline() is None
