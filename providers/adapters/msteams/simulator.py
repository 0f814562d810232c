"""The far side of this adapter, for development and tests: a team whose outgoing webhook is called, and a chat."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import unquote

import orjson

from providers.adapters.msteams.simulated_messages import Conversations, Refused
from providers.simulation import SimulatedAnswer, SimulatedDelivery

DIRECTORY = "11111111-2222-4333-8444-555555555555"
TEAM = {"id": "19:sim-general@thread.tacv2", "name": "Sim", "aadGroupId": "66666666-7777-4888-8999-000000000000"}
CHANNELS = {"19:sim-general@thread.tacv2": "General", "19:sim-deploys@thread.tacv2": "Deploys"}
PEOPLE = {"Zoe": "aaaaaaaa-0000-4000-8000-000000000001", "Ravi": "aaaaaaaa-0000-4000-8000-000000000002"}
CHAT = "19:sim-chat@thread.v2"
LISTS = {
    **{channel: f"teams/{TEAM['aadGroupId']}/channels/{channel}/messages" for channel in CHANNELS},
    CHAT: f"chats/{CHAT}/messages",
}
# The first message there ever was in each place, always the same: its id and who wrote it. The account is Zoe's.
FIRST = {
    "19:sim-general@thread.tacv2": ("1700000000000", "Ravi"),
    "19:sim-deploys@thread.tacv2": ("1700000001000", "Zoe"),
    CHAT: ("1700000002000", "Zoe"),
}
WORDS = ("deploy web to staging", "who is on call?", "what is broken?")


class Simulator:
    """Answers and takes what a person's token may ask of messages, and lets one mention happen a tick."""

    credential: ClassVar[dict[str, str]] = {"token": "simulated-graph-token"}
    # The only one of the three that somebody other than Microsoft can make.
    webhook_scheme: ClassVar[str] = "outgoing_webhook"

    def __init__(self, *, seed: int, faults: bool) -> None:
        self._random = random.Random(seed)  # noqa: S311 (a reproducible world, not a secret)
        self._faults = faults
        self._clock = datetime.now(UTC) - timedelta(minutes=1)
        self._lag = timedelta()
        self._conversations = Conversations(PEOPLE["Zoe"], lambda: datetime.now(UTC), *LISTS.values())
        for place, (own, author) in FIRST.items():
            began = datetime.fromtimestamp(int(own) / 1000, tz=UTC)
            self._conversations.keep(LISTS[place], own, PEOPLE[author], "<p>Who is on call?</p>", began)

    @classmethod
    def settings(cls, base_url: str) -> dict[str, Any]:
        return {"base_url": f"{base_url}/v1.0"}

    def handle(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        if headers.get("authorization") != f"Bearer {self.credential['token']}":
            return _error(401, "InvalidAuthenticationToken", "Access token is empty or not valid.")
        if self._faults and self._random.random() < 0.05:
            return self._random.choice(
                (_error(503, "ServiceUnavailable", "Try again."), _error(429, "TooManyRequests", "Slow down.", "1"))
            )
        if (method, path) == ("GET", "/v1.0/me"):
            return _answer(200, {"id": PEOPLE["Zoe"], "displayName": "Zoe"})
        if (method, path) == ("GET", "/v1.0/organization"):
            return _answer(200, {"value": [{"id": DIRECTORY, "displayName": "Sim"}]})
        asked = {name: values[-1] for name, values in query.items()}
        base = f"http://{headers.get('host', '')}/v1.0"
        self._conversations.shown_until = datetime.now(UTC) - self._lag if self._lag else None
        try:
            status, told = self._conversations.answer(method, unquote(path.removeprefix("/v1.0/")), asked, body, base)
        except Refused as refused:
            return _error(refused.status, refused.code, str(refused))
        return _answer(status, told) if told else SimulatedAnswer(status)

    def effects(self) -> list[str]:
        return list(self._conversations.made)

    def delay_lists(self, seconds: float) -> None:
        """From now on lists show what was posted only so much later."""
        self._lag = timedelta(seconds=seconds)

    def lose_hidden_text(self) -> None:
        """From now on what nobody sees is taken out of texts."""
        self._conversations.keeps_hidden = False

    def tick(self) -> list[SimulatedDelivery]:
        self._clock = max(self._clock + timedelta(milliseconds=1), datetime.now(UTC))
        channel, name = self._random.choice(list(CHANNELS.items()))
        person, person_id = self._random.choice(list(PEOPLE.items()))
        body = {
            "type": "message",
            "id": str(int(self._clock.timestamp() * 1000)),
            "timestamp": self._clock.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "serviceUrl": "https://smba.trafficmanager.net/sim/",
            "channelId": "msteams",
            "from": {"id": f"29:{person}", "name": person, "aadObjectId": person_id},
            "conversation": {"id": channel, "isGroup": True, "conversationType": "channel"},
            "recipient": None,
            "text": f"<at>Signals</at>&nbsp;{self._random.choice(WORDS)}",
            "channelData": {"channel": {"id": channel, "name": name}, "team": TEAM, "tenant": {"id": DIRECTORY}},
        }
        delivery = SimulatedDelivery({"content-type": "application/json; charset=utf-8"}, orjson.dumps(body))
        return [delivery] * (2 if self._faults and self._random.random() < 0.1 else 1)


def _error(status: int, code: str, message: str, retry_after: str = "") -> SimulatedAnswer:
    headers = {"retry-after": retry_after} if retry_after else {}
    return _answer(status, {"error": {"code": code, "message": message}}, **headers)


def _answer(status: int, body: Any, **headers: str) -> SimulatedAnswer:
    return SimulatedAnswer(status, {"content-type": "application/json", **headers}, orjson.dumps(body))
