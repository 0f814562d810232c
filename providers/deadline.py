"""A moment by which answers have to be complete, to the byte: silence, dripping headers and dripping bodies alike.

Connecting may take a few seconds more: each address of a host and the TLS handshake have their time-out anew, and
looking up a name cannot be interrupted.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class Deadline:
    """So many seconds from now."""

    def __init__(self, seconds: float) -> None:
        self.begin(seconds)

    def begin(self, seconds: float) -> None:
        """From now on it is so many seconds from now."""
        self._ends_at = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then; negative once it has passed."""
        return self._ends_at - time.monotonic()

    def allows(self, seconds: float) -> float:
        """So many seconds or what is left, but never nothing: to a socket, no time at all means no time-out."""
        return max(0.001, min(seconds, self.left()))


class _TimedReader(io.RawIOBase):
    """The reading side of a socket; no single wait goes beyond the deadline."""

    def __init__(self, sock: socket.socket, reader: io.RawIOBase, deadline: Deadline) -> None:
        self._sock, self._reader, self._deadline = sock, reader, deadline
        self._silence = sock.gettimeout() or deadline.left()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._deadline.left() <= 0:
            raise TimeoutError
        self._sock.settimeout(self._deadline.allows(self._silence))
        return self._reader.readinto(buffer)

    def close(self) -> None:
        self._reader.close()
        super().close()


def timed_pools(deadline: Deadline) -> dict[str, type[HTTPConnectionPool]]:
    """Connection pools by scheme, for a ``PoolManager`` whose answers have to be complete by then."""

    class Answer(http.client.HTTPResponse):
        def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
            super().__init__(sock, *args, **kwargs)
            # http.client reads the status line and the headers as well through this.
            self.fp = io.BufferedReader(_TimedReader(sock, self.fp.detach(), deadline))

    class Plain(HTTPConnection):
        response_class = Answer

    class Encrypted(HTTPSConnection):
        response_class = Answer

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted

    return {"http": PlainPool, "https": EncryptedPool}
