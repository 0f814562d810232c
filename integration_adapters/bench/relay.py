"""A counting wire: stands between the service and PostgreSQL or Redis and notes what passes.

Understands just enough of both protocols to count questions: messages of PostgreSQL's version 3
(https://www.postgresql.org/docs/current/protocol-message-formats.html) and commands of RESP
(https://valkey.io/topics/protocol/).
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict

Dial = Callable[[], socket.socket]


@dataclass(slots=True)
class Passed:
    """Since the last ``clear``. ``asked``: times the service sent something and then waited for an answer."""

    asked: int = 0
    messages: Counter[str] = field(default_factory=Counter)
    sent_bytes: int = 0
    answered_bytes: int = 0


class Relay:
    """Listens on a loopback port and passes on to what ``dial`` connects to. Threads end with the process."""

    def __init__(self, dial: Dial, *, postgres: bool) -> None:
        self._dial = dial
        self._postgres = postgres
        self._lock = threading.Lock()
        self.passed = Passed()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def clear(self) -> None:
        with self._lock:
            self.passed = Passed()

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            far = self._dial()
            turn = _Turn()
            threading.Thread(target=self._pass, args=(near, far, turn, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, turn, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, turn: _Turn, asking: bool) -> None:
        reader = _Messages() if self._postgres else None
        with contextlib.suppress(OSError):
            while part := source.recv(65536):
                with self._lock:
                    self._note(part, turn, reader, asking=asking)
                target.sendall(part)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _note(self, part: bytes, turn: _Turn, reader: _Messages | None, *, asking: bool) -> None:
        passed = self.passed
        if asking:
            passed.sent_bytes += len(part)
            passed.asked += not turn.waiting
            passed.messages.update(reader.kinds(part) if reader else {"command": part.count(b"\r\n*") + 1})
        else:
            passed.answered_bytes += len(part)
        turn.waiting = asking


def through_postgres(url: str) -> tuple[str, Relay]:
    """A URL that leads to the same database, whose socket is a file, through a relay."""
    name = conninfo_to_dict(url)

    def dial() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(f"{name['host']}/.s.PGSQL.5432")
        return connection

    relay = Relay(dial, postgres=True)
    return f"postgresql://{name['user']}@127.0.0.1:{relay.port}/{name['dbname']}?sslmode=disable", relay


def through_redis(url: str) -> tuple[str, Relay]:
    """The same for Redis."""
    place = urlsplit(url)
    relay = Relay(lambda: socket.create_connection((place.hostname, place.port or 6379)), postgres=False)
    return f"redis://127.0.0.1:{relay.port}/0", relay


@dataclass(slots=True)
class _Turn:
    """Whose turn it is on one connection: a question in several pieces is one."""

    waiting: bool = False


class _Messages:
    """The kinds of messages a PostgreSQL client sends; the first has no kind."""

    def __init__(self) -> None:
        self._rest = b""
        self._started = False

    def kinds(self, part: bytes) -> Counter[str]:
        found: Counter[str] = Counter()
        data = self._rest + part
        while len(data) >= 5:
            kind, head = (data[:1].decode("latin-1"), 1) if self._started else ("start", 0)
            length = head + int.from_bytes(data[head : head + 4], "big")
            if len(data) < length:
                break
            # A request for encryption comes before the start proper.
            self._started = self._started or int.from_bytes(data[4:8], "big") == 3 << 16
            found[kind] += 1
            data = data[length:]
        self._rest = data
        return found
