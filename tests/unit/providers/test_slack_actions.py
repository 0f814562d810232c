"""What is asked of Slack: one request each, one effect each, and texts that call nobody by accident."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema_rs
import orjson
import pytest

from providers.actions import Command, Done, WriteRequest
from providers.adapters.slack.adapter import SlackAdapter
from providers.adapters.slack.mrkdwn_writing import mrkdwn
from providers.adapters.slack.simulator import BOT, BOT_USER, FIRST, PEOPLE, Simulator
from providers.client import ProviderClient
from providers.errors import LacksAccess, ProviderError, ProviderFault, Rejected
from providers.outbound import OutboundPolicy
from providers.quotas import Quota
from providers.simulation import SimulatedAnswer
from tests.contract.provider_server import Server, serving
from tests.contract.subject import FIXTURES as ALL_FIXTURES

ADAPTER = SlackAdapter()
FIXTURES = ALL_FIXTURES / "slack"
PEOPLES, OWN = "C0SIM0001", "C0SIM0002"
MARK, OTHER_MARK = "5f0c2a44-5a11-4d68-9d2c-0a3f4f0e6b11", "0d4b7d31-3c5b-4a66-8a0e-1f2d3c4b5a69"
POST, UPDATE, REACT = "post_chat_message", "update_chat_message", "add_reaction"


class World:
    """A simulated workspace over HTTP and a client of its app."""

    def __init__(self, server: Server, simulator: Simulator, client: ProviderClient) -> None:
        self.server, self.simulator, self.client = server, simulator, client

    def done(self, name: str, command: Command) -> Done:
        action = ADAPTER.action(name)
        request = action.request(self.client, command)
        assert isinstance(request, WriteRequest)
        answer = self.client.write(
            request.method, request.path, json=request.json, headers=request.headers, lane=request.lane
        )
        return action.done(command, answer)

    def find(self, command: Command) -> Done | None:
        return ADAPTER.action(POST).find(self.client, command)

    def messages(self, channel: str = PEOPLES) -> list[dict[str, Any]]:
        asked = {"channel": channel, "include_all_metadata": "true", "limit": "3"}
        found: list[dict[str, Any]] = self.client.get("conversations.history", params=asked).json()["messages"]
        return found

    def post_as(self, user: str, text: str, mark: str, **more: Any) -> None:
        """Somebody else's app posts with a mark."""
        metadata = {"event_type": "ia_action", "event_payload": {"key": mark}}
        moment = datetime.now(UTC)
        ts = f"{int(moment.timestamp())}.{moment.microsecond:06}"
        message = {"type": "message", "user": user, "text": text, "ts": ts, "metadata": metadata, **more}
        self.simulator._channels.post(PEOPLES, message)


@contextmanager
def workspace() -> Iterator[World]:
    simulator = Simulator(seed=1, faults=False)
    with serving(simulator.handle) as server:
        config = ADAPTER.client_config(simulator.settings(server.url), simulator.credential, "")
        with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as client:
            yield World(server, simulator, client)


@pytest.fixture
def world() -> Iterator[World]:
    with workspace() as world:
        yield world


def command(*, mark: str = MARK, since: datetime | None = None, text: str = "Well done.", **target: Any) -> Command:
    payload = {"reaction": target.pop("reaction")} if "reaction" in target else {"text": text}
    begun = since or datetime.now(UTC)
    return Command(target={"channel_id": PEOPLES, **target}, payload=payload, mark=mark, since=begun)


def test_message_is_posted_once_and_named_by_channel_and_time(world: World) -> None:
    told = world.done(POST, command(text="**Well** done, see [this](https://notes.example/?a=1&b=2)."))
    [newest, *_] = world.messages()
    assert told.reference == f"{PEOPLES}:{newest['ts']}"
    assert newest["text"] == "*Well* done, see <https://notes.example/?a=1&amp;b=2|this>."
    assert newest["metadata"] == {"event_type": "ia_action", "event_payload": {"key": MARK}}
    assert len(world.simulator.effects()) == 1


def test_reply_is_posted_below_its_thread_and_found_there(world: World) -> None:
    asked = command(thread_id=FIRST[PEOPLES])
    told = world.done(POST, asked)
    assert world.simulator.effects() == [f"message {told.reference[10:]} in {PEOPLES} below {FIRST[PEOPLES]}"]
    assert world.find(asked) == told
    # It is not in the channel itself, where a message without thread would be looked for.
    assert world.find(command()) is None


def test_answer_is_not_looked_for_below_an_answer(world: World) -> None:
    answer = world.done(POST, command(thread_id=FIRST[PEOPLES], mark=OTHER_MARK)).reference.rpartition(":")[2]
    with pytest.raises(ProviderFault, match="in another one"):
        world.find(command(thread_id=answer))


def test_message_is_found_by_its_own_mark_alone(world: World) -> None:
    asked = command()
    told = world.done(POST, asked)
    assert world.find(asked) == told
    assert world.find(command(mark=OTHER_MARK)) is None


def test_message_is_found_behind_many_others(world: World) -> None:
    asked = command()
    told = world.done(POST, asked)
    for number in range(40):
        world.done(POST, command(mark=OTHER_MARK, text=f"Another one, {number}."))
    before = len(world.server.asked)
    assert world.find(asked) == told
    assert sum("conversations.history" in path for _, path in world.server.asked[before:]) == 3


def test_clocks_may_differ_by_minutes(world: World) -> None:
    told = world.done(POST, command())
    assert world.find(command(since=datetime.now(UTC) + timedelta(minutes=4))) == told


def test_mark_of_another_app_is_neither_ours_nor_absent(world: World) -> None:
    world.post_as(PEOPLE[0], "Well done.", MARK, bot_id="B0OTHER01", app_id="A0OTHER01")
    with pytest.raises(ProviderFault, match="another app or account"):
        world.find(command())
    told = world.done(POST, command())
    world.post_as(PEOPLE[0], "Well done.", MARK, bot_id="B0OTHER01", app_id="A0OTHER01")
    assert world.find(command()) == told


def test_message_that_only_quotes_is_not_the_message(world: World) -> None:
    quoted = {"metadata": {"event_type": "ia_action", "event_payload": {"key": MARK}}}
    world.post_as(BOT_USER, f"{MARK} Well done.", OTHER_MARK, bot_id=BOT, attachments=[quoted])
    assert world.find(command()) is None


def test_list_that_does_not_show_it_yet_says_that_it_is_not_there(world: World) -> None:
    world.simulator.delay_lists(30)
    asked = command()
    told = world.done(POST, asked)
    assert world.find(asked) is None
    world.simulator.delay_lists(0)
    assert world.find(asked) == told


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ok": True},
        {"ok": True, "messages": [], "has_more": True},
        {"ok": False, "error": "not_in_channel"},
        {"ok": False, "error": "missing_scope", "needed": "channels:history"},
        # The same page for ever: not all could be seen.
        {"ok": True, "messages": [], "has_more": True, "response_metadata": {"next_cursor": "again"}},
    ],
)
def test_list_that_could_not_be_read_is_never_an_answer(world: World, body: Any) -> None:
    world.server.answer = lambda *_: SimulatedAnswer(200, {}, orjson.dumps(body))
    with pytest.raises(ProviderError):
        world.find(command())


def test_limited_app_asks_for_fifteen_at_a_time(world: World) -> None:
    ADAPTER.action(POST).find(world.client, replace(command(), settings={"limited": True}))
    assert "limit=15" in world.server.asked[-1][1]


def test_message_is_changed_and_a_second_time_changes_nothing(world: World) -> None:
    asked = command(channel_id=OWN, message_id=FIRST[OWN], text="Deployed, _twice_.")
    told = world.done(UPDATE, asked)
    assert told.reference == f"{OWN}:{FIRST[OWN]}"
    assert world.done(UPDATE, asked) == told
    assert world.simulator.effects() == [f"edit of {FIRST[OWN]} in {OWN}"]


def test_message_of_somebody_else_is_not_changed(world: World) -> None:
    with pytest.raises(Rejected, match="somebody else") as caught:
        world.done(UPDATE, command(message_id=FIRST[PEOPLES]))
    assert (caught.value.code, caught.value.told) == ("cant_update_message", "cant_update_message")
    assert world.simulator.effects() == []


def test_reaction_that_is_there_already_is_what_was_asked(world: World) -> None:
    asked = command(message_id=FIRST[PEOPLES], reaction="tada")
    told = world.done(REACT, asked)
    with pytest.raises(Rejected) as caught:
        world.done(REACT, asked)
    assert ADAPTER.action(REACT).settled_by(asked, caught.value) == told
    assert world.simulator.effects() == [f"reaction tada to {FIRST[PEOPLES]} in {PEOPLES}"]


def test_other_refusals_of_a_reaction_settle_nothing(world: World) -> None:
    asked = command(message_id="1700000009.000100", reaction="tada")
    with pytest.raises(Rejected, match="no such message") as caught:
        world.done(REACT, asked)
    assert ADAPTER.action(REACT).settled_by(asked, caught.value) is None


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (command(channel_id="C0NOWHERE"), "channel_not_found"),
        (command(thread_id="1700000009.000100"), "thread_not_found"),
    ],
)
def test_refusal_told_with_200_is_an_error_with_slacks_word(world: World, asked: Command, code: str) -> None:
    with pytest.raises(Rejected) as caught:
        world.done(POST, asked)
    assert (caught.value.code, caught.value.told, caught.value.sent) == (code, code, True)
    assert world.simulator.effects() == []


def test_scope_that_is_missing_is_named(world: World) -> None:
    world.simulator.token_scopes = "channels:history"
    with pytest.raises(LacksAccess, match="chat:write") as caught:
        world.done(POST, command())
    assert (caught.value.code, caught.value.told) == ("missing_scope", "missing_scope; needed: chat:write")


def test_what_slack_says_of_an_argument_is_passed_on(world: World) -> None:
    with pytest.raises(Rejected) as caught:
        world.client.write("POST", "chat.postMessage", json={"channel": PEOPLES, "text": 5})
    assert caught.value.told == "invalid_arguments; [ERROR] text: not as documented"


@pytest.mark.parametrize("word", ["internal_error", "fatal_error", "request_timeout"])
def test_fault_after_sending_leaves_the_end_open(world: World, word: str) -> None:
    world.server.answer = lambda *_: SimulatedAnswer(200, {}, orjson.dumps({"ok": False, "error": word}))
    with pytest.raises(ProviderFault) as caught:
        world.done(POST, command())
    assert (caught.value.sent, caught.value.code) == (True, word)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"ok":true}', b'{"ok":true,"ts":17.5}', b'{"ok":"true"}'])
def test_answer_that_names_no_message_is_no_success(world: World, body: bytes) -> None:
    world.server.answer = lambda *_: SimulatedAnswer(200, {}, body)
    with pytest.raises(ProviderFault):
        world.done(POST, command())


@pytest.mark.parametrize("text", ["[x]: https://a.example", "x" * 4001, "&" * 801])
def test_text_that_is_no_single_message_is_not_sent(world: World, text: str) -> None:
    with pytest.raises(Rejected):
        world.done(POST, command(text=text))
    assert world.server.asked == []


@pytest.mark.parametrize(
    ("name", "target", "payload"),
    [
        (POST, {"channel_id": "general"}, {"text": "x"}),
        (POST, {"channel_id": "U0ZOE0001"}, {"text": "x"}),
        (POST, {"channel_id": PEOPLES, "thread_id": "yesterday"}, {"text": "x"}),
        (POST, {"channel_id": PEOPLES}, {"text": "x" * 4001}),
        (REACT, {"channel_id": PEOPLES, "message_id": FIRST[PEOPLES]}, {"reaction": ":tada:"}),
    ],
)
def test_command_slack_would_refuse_is_refused_before(name: str, target: Any, payload: Any) -> None:
    action = ADAPTER.action(name)
    valid = [
        jsonschema_rs.Draft202012Validator(schema).is_valid(given)
        for schema, given in ((action.target_schema, target), (action.payload_schema, payload))
    ]
    assert valid.count(False) == 1


@pytest.mark.parametrize(
    "text",
    [
        "<!channel> <!here|here> <!everyone> <!subteam^S123>",
        "`<!here>`",
        "```\n<!here>\n```",
        "    <!here>",
        "&lt;!here&gt; \\<!here>",
        "[<!here>](https://a.example)",
        "[x](!here) [x](<!here>) ![x](!here) <!here>",
        "<https://a.example/|!here>",
        "# <!here>\n> <!here>\n- <!here>",
        "<div>\n<!here>\n</div>",
        "https://a.example><!here>",
    ],
)
def test_nobody_is_called_by_accident(text: str) -> None:
    marks = [part.partition(">")[0] for part in mrkdwn(text).split("<")[1:]]
    assert all(mark.startswith("https://a.example") for mark in marks), mrkdwn(text)


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("<@U0ZOE0001> in <#C0SIM0001>", "<@U0ZOE0001> in <#C0SIM0001>"),
        ("<@S0GROUP01> <@W0ZOE0001>", "&lt;@S0GROUP01&gt; <@W0ZOE0001>"),
        ("a & b < c > d", "a &amp; b &lt; c &gt; d"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("[x](javascript:alert(1)) [y](/etc/passwd)", "[x](javascript:alert(1)) y (/etc/passwd)"),
        ("# Head **bold**\n\nText *em* ~~gone~~", "*Head bold*\n\nText _em_ ~gone~"),
        ("- a\n- b\n  1. c\n  2. d", "• a\n• b\n    1. c\n    2. d"),
        ("> a\n> b", "> a\n> b"),
        ("```py\na < b\n```", "```\na &lt; b\n```"),
        ("![Plan](https://a.example/p.png)", "<https://a.example/p.png|Plan>"),
        ("<https://a.example/x> <mail@a.example>", "<https://a.example/x> <mailto:mail@a.example>"),
    ],
)
def test_markdown_becomes_slacks_own_markup(markdown: str, expected: str) -> None:
    assert mrkdwn(markdown) == expected


@pytest.mark.parametrize(
    "fixture", ["message__channel", "message__reply_in_thread", "message__direct", "app_mention__same_message"]
)
def test_what_came_in_can_be_answered_with_its_own_keys(fixture: str) -> None:
    told = orjson.loads((FIXTURES / f"{fixture}.golden.json").read_bytes())[0]["signal"]
    keys = told["canonical_keys"]
    thread = told["fields"].get("thread_id", keys["message_id"])
    answered = {"channel_id": keys["channel_id"], "workspace_id": keys["workspace_id"], "thread_id": thread}
    for name, target in ((POST, answered), (UPDATE, {**keys, "thread_id": thread}), (REACT, keys)):
        jsonschema_rs.validate(ADAPTER.action(name).target_schema, target)


def test_messages_are_spaced_by_channel() -> None:
    request = ADAPTER.action(POST).request(None, command())  # type: ignore[arg-type]
    assert isinstance(request, WriteRequest)
    spaced: list[Quota] = [quota for quota in ADAPTER.manifest.quotas if quota.write_spacing_seconds]
    assert request.lane == PEOPLES
    assert [quota.write_spacing_seconds for quota in spaced] == [1]
