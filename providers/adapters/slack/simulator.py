"""The far side of this adapter, for development and tests: a small workspace with one app in it."""

from __future__ import annotations

import email.utils
import hashlib
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

import orjson

from providers.adapters.slack.simulated_lists import Channels, Refused
from providers.adapters.slack.simulated_writes import SCOPES, Writes
from providers.simulation import SimulatedAnswer, SimulatedDelivery

TEAM, APP, BOT, BOT_USER = "T0SIM0001", "A0SIM0001", "B0SIM0001", "U0SIMBOT1"
CHANNELS = {"C0SIM0001": "general", "C0SIM0002": "deploys"}
PEOPLE = ("U0ZOE0001", "U0RAVI001", "U0MINA001", "U0OLAF001")
# The first messages there ever were, always the same: one of the app and one of a person, each in its channel.
FIRST = {"C0SIM0002": "1700000000.000100", "C0SIM0001": "1700000001.000100"}
WORDS = ("Who is on call?", "The build is green again.", "Lunch?", "Please review &lt;PR 12&gt;.")
_FORM = "application/x-www-form-urlencoded"


class Simulator:
    """Answers who asks and what was posted, takes what the app posts, and lets one thing happen a tick."""

    credential: ClassVar[dict[str, str]] = {"token": "xoxb-simulated-bot-token"}
    webhook_scheme: ClassVar[str] = "signing_secret"

    def __init__(self, *, seed: int, faults: bool) -> None:
        self._random = random.Random(seed)  # noqa: S311 (a reproducible world, not a secret)
        self._faults = faults
        self.token_scopes = "channels:history,chat:write,reactions:write,users:read"
        self._clock = datetime.now(UTC) - timedelta(minutes=1)
        self._lag = timedelta()
        self._channels = Channels(*CHANNELS)
        self._writes = Writes(self._channels, lambda: self._own(self._ts(), ""))
        self._begin()

    @classmethod
    def settings(cls, base_url: str) -> dict[str, Any]:
        return {"base_url": f"{base_url}/api", "channels": list(CHANNELS), "streams": ["messages", "replies"]}

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
            told = _answer({"ok": True, **answer, "team_id": TEAM, "user_id": BOT_USER, "bot_id": BOT})
            return replace(told, headers={**told.headers, "x-oauth-scopes": self.token_scopes})
        if (method, path) == ("GET", "/api/bots.info"):
            if query.get("bot") != [BOT]:
                return _answer({"ok": False, "error": "bot_not_found"})
            return _answer({"ok": True, "bot": {"id": BOT, "app_id": APP, "user_id": BOT_USER, "name": "signals"}})
        asked = {name: values[-1] for name, values in query.items()}
        lists = {
            "/api/conversations.history": self._channels.history,
            "/api/conversations.replies": self._channels.replies,
        }
        self._channels.shown_until = _ts_of(datetime.now(UTC) - self._lag) if self._lag else Channels.shown_until
        name = path.removeprefix("/api/")
        write = self._writes.methods.get(name) if method == "POST" else None
        if write is not None and SCOPES[name] not in self.token_scopes.split(","):
            lacking = {"needed": SCOPES[name], "provided": self.token_scopes}
            return _answer({"ok": False, "error": "missing_scope", **lacking})
        try:
            if method == "GET" and path in lists:
                return _answer(lists[path](asked))
            if write is not None:
                return _answer({"ok": True, **write(headers, body)})
        except Refused as refused:
            more = {"response_metadata": {"messages": refused.messages}} if refused.messages else {}
            return _answer({"ok": False, "error": str(refused), **more})
        return _answer({"ok": False, "error": "unknown_method"})

    def effects(self) -> list[str]:
        return list(self._writes.made)

    def delay_lists(self, seconds: float) -> None:
        """From now on lists show what was posted only so much later."""
        self._lag = timedelta(seconds=seconds)

    # The world

    def _begin(self) -> None:
        """Some weeks of messages and threads, the last of them some hours ago, and one of long ago in each channel."""
        self._channels.post("C0SIM0002", self._own(FIRST["C0SIM0002"]))
        self._channels.post("C0SIM0001", self._message(FIRST["C0SIM0001"], PEOPLE[0], WORDS[0]))
        for number in range(40):
            when = self._clock - timedelta(hours=12 * (40 - number), microseconds=number)
            message = self._message(_ts_of(when), self._random.choice(PEOPLE), WORDS[number % len(WORDS)])
            self._channels.post("C0SIM0001", message)
            if number % 4 == 0:
                self._channels.post("C0SIM0002", self._own(_ts_of(when + timedelta(minutes=1))))
            for reply in range(20 if number == 20 else number % 3):
                later = _ts_of(when + timedelta(minutes=5 + reply))
                answer = self._message(later, self._random.choice(PEOPLE), "Me.")
                self._channels.post(
                    "C0SIM0001", {**answer, "thread_ts": message["ts"], "parent_user_id": message["user"]}
                )
            answers = self._channels.latest("C0SIM0002", 1)
            if answers and number % 8 == 0:
                answer = self._message(_ts_of(when + timedelta(minutes=2)), PEOPLE[0], "Thanks!")
                self._channels.post("C0SIM0002", {**answer, "thread_ts": answers[0]["ts"]})

    def tick(self) -> list[SimulatedDelivery]:
        happenings: tuple[Callable[[], list[SimulatedDelivery]], ...] = (
            lambda: [self._event(self._post(self._random.choice(WORDS)))],
            self._mention,
            self._reply,
            self._edit,
            self._react,
            self._join,
            self._command,
        )
        told = self._random.choices(happenings, weights=(5, 2, 3, 2, 3, 1, 1))[0]()
        if self._faults and self._random.random() < 0.1:
            again = {"x-slack-retry-num": "1", "x-slack-retry-reason": "http_timeout"}
            told += [SimulatedDelivery({**delivery.headers, **again}, delivery.body) for delivery in told]
        return told

    def _ts(self) -> str:
        """The real time, but never the same moment twice: it names the message."""
        self._clock = max(self._clock + timedelta(milliseconds=1), datetime.now(UTC))
        return _ts_of(self._clock)

    def _message(self, ts: str, user: str, text: str) -> dict[str, Any]:
        return {"type": "message", "user": user, "text": text, "ts": ts, "team": TEAM}

    def _own(self, ts: str, text: str = "Deployed.") -> dict[str, Any]:
        """What the app posts: it comes back in the list."""
        return {**self._message(ts, BOT_USER, text), "bot_id": BOT, "app_id": APP}

    def _post(self, text: str, **more: str) -> dict[str, Any]:
        """Post a message and return the event that tells of it."""
        channel, ts = more.pop("channel", "") or self._random.choice(list(CHANNELS)), self._ts()
        message = {**self._message(ts, self._random.choice(PEOPLE), text), **more}
        self._channels.post(channel, message)
        return {**message, "channel": channel, "channel_type": "channel", "event_ts": ts}

    def _some(self) -> tuple[str, dict[str, Any]]:
        """A message of somebody of late, and its channel."""
        channel = self._random.choice(list(CHANNELS))
        messages = [message for message in self._channels.latest(channel, 10) if message["user"] != BOT_USER]
        return channel, self._random.choice(messages)

    def _mention(self) -> list[SimulatedDelivery]:
        """Told twice: as a message and as a mention."""
        message = self._post(f"<@{BOT_USER}> deploy, please")
        twin = {name: value for name, value in message.items() if name != "channel_type"}
        return [self._event(message), self._event({**twin, "type": "app_mention"})]

    def _reply(self) -> list[SimulatedDelivery]:
        channel, message = self._some()
        thread = message.get("thread_ts", message["ts"])
        return [self._event(self._post("On it.", channel=channel, thread_ts=thread))]

    def _edit(self) -> list[SimulatedDelivery]:
        channel, message = self._some()
        now, before = self._ts(), dict(message)
        # The time of an edit is in whole seconds, that of its event is not.
        edited = {"user": message["user"], "ts": f"{now.partition('.')[0]}.000000"}
        message |= {"text": f"{message['text'].partition(' (edited')[0]} (edited {now})", "edited": edited}
        event = {"type": "message", "subtype": "message_changed", "channel": channel, "ts": now, "event_ts": now}
        return [self._event({**event, "message": dict(message), "previous_message": before})]

    def _react(self) -> list[SimulatedDelivery]:
        channel, message = self._some()
        item = {"type": "message", "channel": channel, "ts": message["ts"]}
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


def _ts_of(moment: datetime) -> str:
    return f"{int(moment.timestamp())}.{moment.microsecond:06}"


def _answer(body: dict[str, Any]) -> SimulatedAnswer:
    headers = {"content-type": "application/json; charset=utf-8", "date": email.utils.formatdate(usegmt=True)}
    return SimulatedAnswer(200, headers, orjson.dumps(body))
