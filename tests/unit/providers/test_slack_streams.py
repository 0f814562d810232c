"""How channels are read: to the microsecond, whoever posts meanwhile, and alike on both roads."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from providers.canonical import JSON, SignalType
from providers.errors import AuthFailed, ProviderFault, RateLimited, Rejected, StaleMark
from providers.simulation import SimulatedAnswer
from providers.spi import Window
from tests.contract.provider_server import serving
from tests.unit.providers.slack_workspace import ADAPTER, LIVE, PIER, START, Workspace, client, pushed, ts


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    made = Workspace()
    with serving(made.handle) as server:
        made.server = server
        yield made


def test_times_are_asked_for_to_the_microsecond(workspace: Workspace) -> None:
    last = f"{int(START.timestamp()) + 3600}.000113"
    workspace.post(ts(60, 112))
    workspace.post(last)
    first = workspace.run()
    assert first.posted == {ts(60, 112), last}
    again = workspace.run(position=first.position)
    assert again.parameters()["oldest"] == f"{int(START.timestamp()) + 3300}.000113"
    assert len(again.asked) == 1


def test_account_is_asked_once_for_a_cursor(workspace: Workspace) -> None:
    workspace.post(ts(1))
    first = workspace.run()
    assert [urlsplit(path).path for path in first.asked] == ["/auth.test", "/conversations.history"]
    workspace.post(ts(2))
    second = workspace.run(position=first.position)
    assert [urlsplit(path).path for path in second.asked] == ["/conversations.history"]
    assert ts(2) in second.posted


def test_what_is_posted_while_a_run_goes_on_is_read_by_the_next(workspace: Workspace) -> None:
    for minute in range(40):
        workspace.post(ts(minute))
    late = iter(range(41, 60))

    def post_one() -> None:
        workspace.post(ts(next(late)))

    workspace.meanwhile = post_one
    first = workspace.run()
    workspace.meanwhile = lambda: None
    second = workspace.run(position=first.position)
    assert first.posted | second.posted == {ts(minute) for minute in [*range(40), *range(41, 60 - len([*late]))]}
    assert ts(0) in first.posted
    assert ts(0) not in second.posted


def test_half_a_run_moves_no_watermark(workspace: Workspace) -> None:
    for minute in range(40):
        workspace.post(ts(minute))
    with client(workspace.server) as connected:
        position: JSON = {}
        for _ in range(2):
            page = ADAPTER.stream("messages").page(
                connected, partition=PIER, settings={}, position=position, window=LIVE
            )
            position = page.position
    assert page.more
    rest = workspace.run(position=position)
    assert ts(0) in rest.posted
    assert len(page.events) + len(rest.events) == 40


def test_forgotten_cursor_begins_the_run_again(workspace: Workspace) -> None:
    for minute in range(40):
        workspace.post(ts(minute))
    with client(workspace.server) as connected:
        position: JSON = {}
        for _ in range(2):
            position = (
                ADAPTER.stream("messages")
                .page(connected, partition=PIER, settings={}, position=position, window=LIVE)
                .position
            )
    rest = workspace.run(position={**position, "mark": "bmV2ZXI=!"})
    assert rest.posted == {ts(minute) for minute in range(40)}


@pytest.mark.parametrize("stream", ["messages", "replies"])
def test_cursor_that_is_never_known_leaves_a_position_that_still_knows_the_account(
    workspace: Workspace, stream: str
) -> None:
    for minute in range(40):
        workspace.post(ts(minute), thread_ts=ts(0), subtype="thread_broadcast")
    position = {"account": {"team": "T1", "user": "U1BOT", "bot": "B1"}}
    genuine = workspace.server.answer

    def forgetful(method: str, path: str, query: dict[str, list[str]], *rest: Any) -> SimulatedAnswer:
        return genuine(method, path, {**query, "cursor": ["bmV2ZXI=!"]} if "cursor" in query else query, *rest)

    workspace.server.answer = forgetful
    with pytest.raises(StaleMark) as stale:
        workspace.run(stream, position)
    workspace.server.answer = genuine
    again = workspace.run(stream, dict(stale.value.position))
    assert "/auth.test" not in again.asked
    assert again.posted >= {ts(minute) for minute in range(1, 40)}


def test_window_of_the_past_has_both_ends_in_the_question_and_not_its_end_in_the_answer(workspace: Workspace) -> None:
    for minute in range(4):
        workspace.post(ts(minute))
    window = Window(since=START + timedelta(minutes=1), until=START + timedelta(minutes=3))
    run = workspace.run(window=window)
    assert run.posted == {ts(1), ts(2)}
    asked = run.parameters()
    assert (asked["oldest"], asked["latest"], asked["inclusive"]) == (ts(1), ts(3), "true")


def test_own_posts_are_not_told_however_they_name_their_author(workspace: Workspace) -> None:
    workspace.post(ts(1), user="U1BOT", bot_id="B1", app_id="A1")
    # Under another name and picture a bot's message names no user.
    workspace.post(ts(2), subtype="bot_message", bot_id="B1", user=None, username="deployer")
    workspace.post(ts(3), user="U1MARIT", bot_id="B1", app_id="A1")
    workspace.post(ts(4), subtype="bot_message", bot_id="B9", user=None, username="builder")
    run = workspace.run()
    assert run.told == {(f"message:{PIER}:{ts(4)}:posted", "chat_message")}
    assert {event.ignored_reason for event in run.events if event.signal_type is None} == {
        "This app did it itself; telling it would only echo."
    }


@pytest.mark.parametrize(
    ("channel", "kind", "text", "signal_type"),
    [
        (PIER, "channel", "<@U1BOT> deploy &amp; tell", SignalType.CHAT_MENTION),
        (PIER, "channel", "<@U1RAVI> look", SignalType.CHAT_MESSAGE),
        ("D1MARIT", "im", "<@U1BOT> look", SignalType.CHAT_MESSAGE),
    ],
)
def test_both_roads_tell_the_same_of_a_message(
    workspace: Workspace, channel: str, kind: str, text: str, signal_type: SignalType
) -> None:
    message = workspace.post(ts(1, 7), text, channel=channel)
    [polled] = workspace.run(channel=channel).events
    told = pushed({**message, "channel": channel, "channel_type": kind, "event_ts": message["ts"]})
    assert polled.signal_type is told.signal_type is signal_type
    for name in ("happening", "dedupe_key", "ordering_key", "occurred_at", "event_type"):
        assert getattr(polled, name) == getattr(told, name) != ""
    assert ADAPTER.normalise(signal_type, polled.event_type, polled.payload).fields["body"] == (
        "@U1BOT deploy & tell" if "deploy" in text else text.translate({60: None, 62: None})
    )


def test_mention_of_the_app_is_one_happening_as_mention_message_and_poll(workspace: Workspace) -> None:
    message = workspace.post(ts(1), "<@U1BOT> hi")
    [polled] = workspace.run().events
    mention = pushed({**message, "type": "app_mention", "channel": PIER, "event_ts": message["ts"]})
    assert mention.happening == polled.happening
    assert mention.signal_type is polled.signal_type is SignalType.CHAT_MENTION


def test_edit_is_seen_while_its_message_is_read_again_and_is_the_webhooks(workspace: Workspace) -> None:
    message = workspace.post(ts(1), "Low tide at 9")
    first = workspace.run()
    before = dict(message)
    message |= {"text": "Low tide at 10", "edited": {"user": "U1RAVI", "ts": f"{int(START.timestamp()) + 90}.000000"}}
    second = workspace.run(position=first.position)
    edit = next(event for event in second.events if event.signal_type is SignalType.CHAT_MESSAGE_UPDATED)
    change = {"type": "message", "subtype": "message_changed", "channel": PIER, "ts": ts(1.5, 55)}
    told = pushed({**change, "event_ts": ts(1.5, 55), "message": dict(message), "previous_message": before})
    assert (edit.happening, edit.ordering_key) == (told.happening, told.ordering_key)
    assert edit.occurred_at == START + timedelta(seconds=90)
    assert ADAPTER.normalise(SignalType.CHAT_MESSAGE_UPDATED, "", edit.payload).actor_id == "U1RAVI"
    # Once newer messages have moved on, an edit is no longer seen.
    workspace.post(ts(30))
    third = workspace.run(position=second.position)
    message["edited"] = {"user": "U1RAVI", "ts": ts(31)}
    assert not workspace.run(position=third.position).told - third.told


def test_preview_that_changes_a_message_hides_no_edit() -> None:
    text = {"type": "message", "user": "U1MARIT", "text": "See", "ts": ts(1), "edited": {"user": "U1", "ts": ts(2)}}
    change = {"type": "message", "subtype": "message_changed", "channel": PIER, "ts": ts(3), "event_ts": ts(3)}
    told = pushed({**change, "message": {**text, "attachments": [{}]}, "previous_message": text})
    assert (told.signal_type, told.happening) == (None, "")


def test_limited_app_asks_for_few_and_waits_a_minute(workspace: Workspace) -> None:
    workspace.post(ts(1))
    first = workspace.run(limited=True)
    assert first.parameters()["limit"] == "15"
    assert first.pauses[-1] == 60
    assert workspace.run(stream="replies", position=first.position, limited=True).parameters()["limit"] == "15"
    assert workspace.run(position=first.position).pauses == [None]


def answering(workspace: Workspace, body: Any, **headers: str) -> None:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    workspace.server.answer = lambda *_: SimulatedAnswer(200, given, orjson.dumps(body))


@pytest.mark.parametrize("stream", ["messages", "replies"])
def test_refusals_told_with_200_say_what_to_do(workspace: Workspace, stream: str) -> None:
    known = {"account": {"team": "T1", "user": "U1BOT", "bot": "B1"}}
    answering(workspace, {"ok": False, "error": "not_in_channel"})
    with pytest.raises(Rejected, match=r"^Channel C1PIER: .*not_in_channel.*invite the app"):
        workspace.run(stream, known)
    answering(workspace, {"ok": False, "error": "missing_scope", "needed": "channels:history"})
    with pytest.raises(AuthFailed, match="channels:history"):
        workspace.run(stream, known)
    answering(workspace, {"ok": False, "error": "ratelimited"}, retry_after="30")
    with pytest.raises(RateLimited) as limited:
        workspace.run(stream, known)
    assert limited.value.retry_after_seconds == 30


@pytest.mark.parametrize(
    "message",
    [{}, {"ts": 1767225600.0001}, {"ts": "soon"}, {"ts": None, "text": "x"}, {"ts": "1767225600"}],
    ids=["nothing", "number", "word", "null", "no fraction"],
)
def test_message_without_a_time_is_a_fault_and_no_empty_page(workspace: Workspace, message: JSON) -> None:
    answering(workspace, {"ok": True, "messages": [message], "has_more": False})
    with pytest.raises(ProviderFault):
        workspace.run(position={"account": {"team": "T1", "user": "U1BOT"}})
