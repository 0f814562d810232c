"""Load for a rig: a provider that redelivers until it is answered, and a tracker to poll."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import requests

from providers.simulation import SimulatedAnswer
from providers.verification import Scheme, sign
from tests.contract.provider_server import serving

PAGE_SIZE = 25
ANSWER_SECONDS = 5.0
RETRY_SECONDS = 0.25


class Sender(threading.Thread):
    """Sends ``rate`` deliveries a second until told to stop; each until it is answered 2xx."""

    def __init__(self, name: str, url: str, scheme: Scheme, secret: str, rate: float) -> None:
        super().__init__(daemon=True)
        self._prefix, self._url, self._scheme, self._secret, self._pause = name, url, scheme, secret.encode(), 1 / rate
        self._ending = threading.Event()
        self._session = requests.Session()
        self._session.trust_env = False
        self.accepted: list[str] = []
        self.statuses: Counter[int] = Counter()
        """Answers by status; 0 stands for none."""

    def finish(self) -> None:
        """Begin no further delivery; the one in hand is brought home."""
        self._ending.set()

    def run(self) -> None:
        number = 0
        while not self._ending.is_set():
            began = time.monotonic()
            key = f"{self._prefix}-{number}"
            body = _event(key)
            while not self._sent(body):
                time.sleep(RETRY_SECONDS)
            self.accepted.append(key)
            number += 1
            time.sleep(max(0.0, self._pause - (time.monotonic() - began)))

    def _sent(self, body: bytes) -> bool:
        headers = sign(self._scheme, body=body, secret=self._secret)
        try:
            status = self._session.post(self._url, body, headers=headers, timeout=ANSWER_SECONDS).status_code
        except requests.RequestException:
            status = 0
        self.statuses[status] += 1
        return 200 <= status < 300


def _event(key: str) -> bytes:
    at = datetime.now(UTC).isoformat()
    issue = {"key": key, "title": "hooked", "state": "open", "updated": at}
    return json.dumps(
        {"type": "issue.created", "id": uuid.uuid4().hex, "at": at, "actor": "zoe", "issue": issue}
    ).encode()


@contextmanager
def tracker(number: int) -> Iterator[str]:
    """A tracker with ``number`` issues, all changed just after live polling began to look; yields its URL."""
    issues: list[dict[str, str]] = []

    def answer(
        method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        since = datetime.fromisoformat(query["since"][0])
        if not issues:
            for n in range(number):
                moment = (since + timedelta(milliseconds=n)).isoformat()
                shape = {"key": f"POLL-{n}", "title": "polled", "state": "open"}
                issues.append({**shape, "created": moment, "updated": moment})
        rows = [issue for issue in issues if datetime.fromisoformat(issue["updated"]) >= since]
        start = int(query.get("cursor", ["0"])[0])
        following = str(start + PAGE_SIZE) if len(rows) > start + PAGE_SIZE else None
        content = {"issues": rows[start : start + PAGE_SIZE], "next": following}
        return SimulatedAnswer(200, {"content-type": "application/json"}, json.dumps(content).encode())

    with serving(answer) as server:
        yield server.url
