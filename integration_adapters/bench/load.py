"""The sender: keep-alive connections that each send the next delivery as soon as the last is answered.

One process, one thread and ``epoll``: at 2000 requests a second it takes about a tenth of a core. Reads a job
as JSON from standard input and writes what happened as JSON to standard output.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from integration_adapters.bench.payloads import SignedRequests

ANSWER_SECONDS = 30.0
_BUFFER = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to send. ``doors`` are pairs of path and secret, taken in turn; ends at ``seconds`` or ``count``."""

    port: int
    doors: Sequence[tuple[str, str]]
    size: int
    connections: int
    warm_seconds: float = 0.0
    seconds: float | None = None
    count: int | None = None


@dataclass(slots=True)
class Sent:
    """What was answered within the measured time; latencies in milliseconds."""

    seconds: float = 0.0
    answered: int = 0
    all_answered: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    slowest: float = 0.0

    @property
    def per_second(self) -> float:
        return self.answered / self.seconds if self.seconds else 0.0


class AnswerUnusable(RuntimeError):
    """The server closed the connection or did not answer in time."""


class _Connection:
    """One connection with one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.started = 0.0
        self._received = b""

    def send(self, request: tuple[bytes, bytes, bytes]) -> None:
        self.started = time.perf_counter()
        missing = sum(map(len, request)) - self.socket.sendmsg(request)
        if missing:
            self.socket.sendall(b"".join(request)[-missing:])

    def receive(self) -> int:
        """The status once the answer is whole, else 0."""
        part = self.socket.recv(_BUFFER)
        if not part:
            raise AnswerUnusable("The server closed the connection.")
        self._received += part
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or len(body) < _content_length(head):
            return 0
        status = int(self._received[9:12])
        self._received = b""
        return status


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    return 0


def run(job: Job) -> Sent:
    """Send until the job is done and every request under way is answered."""
    doors = [SignedRequests(path, secret, job.size) for path, secret in job.doors]
    lines = {line.socket.fileno(): line for line in (_Connection(job.port) for _ in range(job.connections))}
    poll = select.epoll()
    for number in lines:
        poll.register(number, select.EPOLLIN)
    latencies: list[float] = []
    statuses: Counter[int] = Counter()
    began = time.perf_counter()
    measure_from, ends_at = began + job.warm_seconds, began + job.warm_seconds + (job.seconds or float("inf"))
    begun = answered = 0
    for line in lines.values():
        line.send(doors[begun % len(doors)].next())
        begun += 1
    under_way = len(lines)
    while under_way:
        ready = poll.poll(ANSWER_SECONDS)
        if not ready:
            raise AnswerUnusable(f"No answer in {ANSWER_SECONDS:.0f} s.")
        for number, _ in ready:
            line = lines[number]
            status = line.receive()
            if not status:
                continue
            now = time.perf_counter()
            answered += 1
            if measure_from <= now <= ends_at:
                latencies.append(now - line.started)
                statuses[status] += 1
            if now < ends_at and (job.count is None or begun < job.count):
                line.send(doors[begun % len(doors)].next())
                begun += 1
            else:
                under_way -= 1
    return _summary(latencies, statuses, min(time.perf_counter(), ends_at) - measure_from, answered)


def _summary(latencies: list[float], statuses: Counter[int], seconds: float, answered: int) -> Sent:
    latencies.sort()
    at = [latencies[min(len(latencies) - 1, int(len(latencies) * part))] * 1000 for part in (0.5, 0.95, 0.99)]
    named = {str(status): number for status, number in statuses.items()}
    p50, p95, p99 = at
    return Sent(seconds, len(latencies), answered, named, p50, p95, p99, latencies[-1] * 1000)


def main() -> None:
    values: dict[str, Any] = json.load(sys.stdin)
    json.dump(asdict(run(Job(**values))), sys.stdout)


if __name__ == "__main__":
    main()
