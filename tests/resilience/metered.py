"""A provider on loopback that counts strictly and bans whoever goes over: for tests of the ledger of quotas.

For each token: a budget of requests in fixed windows that is told in headers, points in a rolling window and a number
of requests at once that are not told. Its clock is not ours. All is counted at arrival; a request is over before its
answer is written, so whoever has read the answer may send the next.
"""

from __future__ import annotations

import email.utils
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CLOCK_AHEAD = 37.25


@dataclass
class Account:
    """What one token has used."""

    windows: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    points: deque[tuple[float, int]] = field(default_factory=deque)
    at_once: int = 0
    most_at_once: int = 0


@dataclass
class Metered:
    """The limits, what was used and what went over."""

    budget: int
    window_seconds: int
    points: int
    points_seconds: float
    costs: Mapping[str, int]
    at_once: int
    work_seconds: float
    url: str = ""
    offences: list[str] = field(default_factory=list)
    accounts: defaultdict[str, Account] = field(default_factory=lambda: defaultdict(Account))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def clock(self) -> float:
        return time.time() + CLOCK_AHEAD

    def arrives(self, token: str, cost: int) -> tuple[int, dict[str, str]]:
        with self.lock:
            now, account = self.clock(), self.accounts[token]
            window = int(now) // self.window_seconds
            account.windows[window] += 1
            account.at_once += 1
            account.most_at_once = max(account.most_at_once, account.at_once)
            while account.points and account.points[0][0] <= now - self.points_seconds:
                account.points.popleft()
            account.points.append((now, cost))
            used = account.windows[window]
            if used > self.budget:
                self.offences.append(f"{used} requests in a window of {token}")
            if sum(points for _, points in account.points) > self.points:
                self.offences.append(f"more than {self.points} points of {token}")
            if account.at_once > self.at_once:
                self.offences.append(f"{account.at_once} requests of {token} at once")
            return (403 if self.offences else 200), {
                "Date": email.utils.formatdate(int(now), usegmt=True),
                "X-Limit": str(self.budget),
                "X-Remaining": str(max(0, self.budget - used)),
                "X-Reset": str((window + 1) * self.window_seconds),
            }

    def leaves(self, token: str) -> None:
        with self.lock:
            self.accounts[token].at_once -= 1


@contextmanager
def running_metered(metered: Metered) -> Iterator[Metered]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = self.headers["Authorization"].removeprefix("Bearer ")
            status, headers = metered.arrives(token, metered.costs[self.command])
            time.sleep(metered.work_seconds)
            metered.leaves(token)
            self.send_response_only(status)
            for name, value in {**headers, "Content-Length": "2"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"{}")

        do_GET = do_POST = _serve  # noqa: N815 - named by the standard library

        def log_message(self, *args: object) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    metered.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield metered
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
