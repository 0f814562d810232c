"""Calls to providers inside web requests: few at once, and over in a bounded time.

The threads that answer API and admin are those that take webhooks. A slow provider holds a request for seconds, so
only ``PROVIDER_TURNS`` of a process may wait for one, and none for longer than its time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.conf import settings

from connections.errors import ServiceError
from providers.deadline import Deadline

COME_BACK_SECONDS = 5

_deadline: ContextVar[Deadline | None] = ContextVar("deadline of calls to providers", default=None)
_in_turn: ContextVar[bool] = ContextVar("whether this request has its turn", default=False)


class _Turns:
    """How many requests of this process are at it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = 0

    def take(self) -> bool:
        with self._lock:
            free = self._taken < settings.PROVIDER_TURNS
            self._taken += free
            return free

    def give_back(self) -> None:
        with self._lock:
            self._taken -= 1


_turns = _Turns()


def deadline() -> Deadline | None:
    """By when the calls of this request or task have to be over; ``None``: each has its own time-outs only."""
    return _deadline.get()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """All calls inside together take no longer. A shorter time around this one stays."""
    outer, own = _deadline.get(), Deadline(seconds)
    token = _deadline.set(outer if outer is not None and outer.left() < own.left() else own)
    try:
        yield
    finally:
        _deadline.reset(token)


@contextmanager
def turn_if_free(seconds: float) -> Iterator[bool]:
    """A turn at calling providers for so long, or the word that there is none. Inside a turn it is the same one."""
    if _in_turn.get():
        yield True
        return
    if not _turns.take():
        yield False
        return
    token = _in_turn.set(True)
    try:
        with within(seconds):
            yield True
    finally:
        _in_turn.reset(token)
        _turns.give_back()


@contextmanager
def turn(seconds: float) -> Iterator[None]:
    """A turn at calling providers for so long. Raises ``ServiceError`` (503) where there is none."""
    with turn_if_free(seconds) as free:
        if not free:
            message = "Other requests are waiting for providers already. Try again shortly."
            details = {"retry_after_seconds": COME_BACK_SECONDS}
            raise ServiceError("TEMPORARILY_UNAVAILABLE", message, details, status=503)
        yield
