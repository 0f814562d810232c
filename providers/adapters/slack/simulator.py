"""The far side of this adapter, for development and tests: a small workspace with one app in it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

import orjson

from providers.simulation import SimulatedAnswer, SimulatedDelivery

TEAM, APP, BOT, BOT_USER = "T0SIM0001", "A0SIM0001", "B0SIM0001", "U0SIMBOT1"
CHANNELS = {"C0SIM0001": "general", "C0SIM0002": "deploys"}
PEOPLE = ("U0ZOE0001", "U0RAVI001", "U0MINA001", "U0OLAF001")
WORDS = ("Who is on call?", "The build is green again.", "Lunch?", "Please review &lt;PR 12&gt;.")
_FORM = "application/x-www-form-urlencoded"


class Simulator:
    """Answers ``auth.test`` and ``bots.info``, and lets one thing happen a tick."""

    credential: ClassVar[dict[str, str]] = {"token": "xoxb-simulated-bot-token"}
    webhook_scheme: ClassVar[str] = "signing_secret"

    def __init__(self, *, seed: int, faults: bool) -> None:
        self._random = random.Random(seed)  # noqa: S311 (a reproducible world, not a secret)
        self._faults = faults
        self._clock = datetime.now(UTC) - timedelta(minutes=1)
        self._posted: list[tuple[str, str, str]] = [("C0SIM0001", self._ts(), WORDS[0])]

    @classmethod
    def settings(cls, base_url: str) -> dict[str, Any]:
        return {"base_url": f"{base_url}/api"}

    # The API: errors come with status 200

    def handle(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        if self._faults and self._random.random() < 0.05:
            return self._random.choice(
                (_answer({"ok": False, "error": "internal_error"}), SimulatedAnswer(429, {"retry-after": "1"}, b""))
            )
        authorization = headers.get("authorization", "")
        if not authorization.startswith("Bearer "):
            return _answer({"ok": False, "error": "not_authed"})
        if authorization != f"Bearer {self.credential['token']}":
            return _answer({"ok": False, "error": "invalid_auth"})
        if (method, path) == ("POST", "/api/auth.test"):
            answer = {"url": "https://sim.example/", "team": "Sim", "user": "signals"}
            return _answer({"ok": True, **answer, "team_id": TEAM, "user_id": BOT_USER, "bot_id": BOT})
        if (method, path) == ("GET", "/api/bots.info"):
            if query.get("bot") != [BOT]:
                return _answer({"ok": False, "error": "bot_not_found"})
            return _answer({"ok": True, "bot": {"id": BOT, "app_id": APP, "user_id": BOT_USER, "name": "signals"}})
        return _answer({"ok": False, "error": "unknown_method"})

    # The world

    def tick(self) -> list[SimulatedDelivery]:
        happenings: tuple[Callable[[], list[SimulatedDelivery]], ...] = (
            lambda: [self._event(self._post(self._random.choice(WORDS)))],
            self._mention,
            self._edit,
            self._react,
            self._join,
            self._command,
        )
        told = self._random.choices(happenings, weights=(5, 2, 1, 3, 1, 1))[0]()
        if self._faults and self._random.random() < 0.1:
            again = {"x-slack-retry-num": "1", "x-slack-retry-reason": "http_timeout"}
            told += [SimulatedDelivery({**delivery.headers, **again}, delivery.body) for delivery in told]
        return told

    def _ts(self) -> str:
        """The real time, but never the same moment twice: it names the message."""
        self._clock = max(self._clock + timedelta(milliseconds=1), datetime.now(UTC))
        return f"{int(self._clock.timestamp())}.{self._clock.microsecond:06}"

    def _post(self, text: str) -> dict[str, Any]:
        channel, ts = self._random.choice(list(CHANNELS)), self._ts()
        self._posted = [*self._posted[-49:], (channel, ts, text)]
        message = {"type": "message", "channel": channel, "channel_type": "channel", "ts": ts, "event_ts": ts}
        return {**message, "user": self._random.choice(PEOPLE), "text": text}

    def _mention(self) -> list[SimulatedDelivery]:
        """Told twice: as a message and as a mention."""
        message = self._post(f"<@{BOT_USER}> deploy, please")
        twin = {name: value for name, value in message.items() if name != "channel_type"}
        return [self._event(message), self._event({**twin, "type": "app_mention"})]

    def _edit(self) -> list[SimulatedDelivery]:
        channel, ts, text = self._random.choice(self._posted)
        now, user = self._ts(), self._random.choice(PEOPLE)
        after = {"ts": ts, "user": user, "text": f"{text} (edited {now})", "edited": {"user": user, "ts": now}}
        event = {"type": "message", "subtype": "message_changed", "channel": channel, "ts": now, "event_ts": now}
        return [self._event({**event, "message": after, "previous_message": {"ts": ts, "user": user, "text": text}})]

    def _react(self) -> list[SimulatedDelivery]:
        channel, ts, _ = self._random.choice(self._posted)
        item = {"type": "message", "channel": channel, "ts": ts}
        event = {"type": "reaction_added", "user": self._random.choice(PEOPLE), "reaction": "eyes", "item": item}
        return [self._event({**event, "event_ts": self._ts()})]

    def _join(self) -> list[SimulatedDelivery]:
        where = {"channel": self._random.choice(list(CHANNELS)), "channel_type": "C", "team": TEAM}
        user = self._random.choice(PEOPLE)
        return [self._event({"type": "member_joined_channel", "user": user, **where, "event_ts": self._ts()})]

    def _command(self) -> list[SimulatedDelivery]:
        channel, name = self._random.choice(list(CHANNELS.items()))
        who = {"team_id": TEAM, "api_app_id": APP, "user_id": self._random.choice(PEOPLE)}
        fields = {"command": "/deploy", "text": "web to staging", "channel_id": channel, "channel_name": name}
        body = urlencode({**who, **fields, "trigger_id": f"{self._ts()}.sim"}).encode()
        return [SimulatedDelivery({"content-type": _FORM}, body)]

    def _event(self, event: dict[str, Any]) -> SimulatedDelivery:
        token = hashlib.sha256(orjson.dumps(event)).hexdigest()[:10].upper()
        body = {
            "type": "event_callback",
            "team_id": TEAM,
            "api_app_id": APP,
            "event_id": f"Ev{token}",
            "event_time": int(self._clock.timestamp()),
            "authorizations": [{"team_id": TEAM, "user_id": BOT_USER, "is_bot": True, "is_enterprise_install": False}],
            "event": event,
        }
        return SimulatedDelivery({"content-type": "application/json"}, orjson.dumps(body))


def _answer(body: dict[str, Any]) -> SimulatedAnswer:
    return SimulatedAnswer(200, {"content-type": "application/json; charset=utf-8"}, orjson.dumps(body))
