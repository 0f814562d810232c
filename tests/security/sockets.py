"""What this process connects to: every attempt is noted, and those that would leave this machine are stopped."""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

Attempt = tuple[str, int]

_watchers: list[list[Attempt]] = []


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if not _watchers or event != "socket.connect":
        return
    address = args[1]
    if isinstance(address, tuple):
        _watchers[-1].append((str(address[0]), int(address[1])))
        if not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "stopped by the test")


# Python itself reports every connect, whichever library makes it; a hook cannot be taken away again.
sys.addaudithook(_audit)


@contextmanager
def watching() -> Iterator[list[Attempt]]:
    """Yields the host and port of every connection that is tried meanwhile, in order."""
    attempts: list[Attempt] = []
    _watchers.append(attempts)
    try:
        yield attempts
    finally:
        _watchers.pop()


@contextmanager
def names_lead(names: dict[str, list[list[str]]]) -> Iterator[list[str]]:
    """A resolver that knows these names alone, besides addresses; each look-up of one gets the next of its answers.

    Yields the names that were looked up.
    """
    asked: list[str] = []
    real: Callable[..., Any] = socket.getaddrinfo

    def resolve(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in names:
            return real(host, port, *args, **kwargs)
        asked.append(name)
        answers = names[name]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return [found for address in answer for found in real(address, port, *args, **kwargs)]

    with patch.object(socket, "getaddrinfo", resolve):
        yield asked
