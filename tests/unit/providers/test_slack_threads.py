"""How replies are read: only of threads that went on, and none passed over."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from providers.canonical import JSON, SignalType
from providers.simulation import SimulatedAnswer
from providers.spi import Window
from tests.contract.provider_server import serving
from tests.unit.providers.slack_workspace import ADAPTER, PIER, START, Workspace, pushed, ts


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    made = Workspace()
    with serving(made.handle) as server:
        made.server = server
        yield made


def reply(workspace: Workspace, thread: str, at: str, **more: Any) -> JSON:
    return workspace.post(at, "Me.", thread_ts=thread, **more)


def test_replies_of_threads_that_went_on_are_told_and_only_these_are_asked_for(workspace: Workspace) -> None:
    for minute in (1, 2, 3):
        workspace.post(ts(minute))
    reply(workspace, ts(1), ts(10))
    reply(workspace, ts(2), ts(11))
    first = workspace.run("replies")
    assert first.posted == {ts(10), ts(11)}
    assert [urlsplit(path).path for path in first.asked[1:]] == [
        "/conversations.history",
        *["/conversations.replies"] * 2,
    ]
    quiet = workspace.run("replies", first.position)
    assert (len(quiet.asked), quiet.events) == (1, [])
    reply(workspace, ts(2), ts(20))
    second = workspace.run("replies", first.position)
    assert second.posted - first.posted == {ts(20)}
    assert [run.get("ts") for run in map(second.parameters, range(2))] == [None, ts(2)]


def test_reply_is_the_webhooks(workspace: Workspace) -> None:
    workspace.post(ts(1))
    message = reply(workspace, ts(1), ts(2))
    [polled] = workspace.run("replies").events
    told = pushed({**message, "channel": PIER, "channel_type": "channel", "event_ts": message["ts"]})
    assert (polled.happening, polled.dedupe_key) == (told.happening, told.dedupe_key)
    assert ADAPTER.normalise(SignalType.CHAT_MESSAGE, "", polled.payload).fields["thread_id"] == ts(1)


def test_reply_that_was_sent_to_the_channel_too_is_one_message(workspace: Workspace) -> None:
    workspace.post(ts(1))
    reply(workspace, ts(1), ts(2), subtype="thread_broadcast")
    keys = [{event.dedupe_key for event in workspace.run(stream).events} for stream in ("messages", "replies")]
    assert keys[0] & keys[1] == {f"message:T1:{PIER}:{ts(2)}"}


def test_long_thread_is_read_page_by_page(workspace: Workspace) -> None:
    workspace.post(ts(1))
    for minute in range(2, 42):
        reply(workspace, ts(1), ts(minute))
    assert workspace.run("replies").posted == {ts(minute) for minute in range(2, 42)}


def test_reply_to_a_thread_seen_already_is_not_passed_over_by_a_newer_one(workspace: Workspace) -> None:
    for minute in range(20):
        workspace.post(ts(minute))
    reply(workspace, ts(19), ts(30))
    first = workspace.run("replies")
    happened: list[str] = []

    def reply_to_both() -> None:
        # After the first page, which shows thread 19, and before the second, which shows thread 0.
        if not happened:
            happened.append(ts(40))
            reply(workspace, ts(19), ts(40))
            reply(workspace, ts(0), ts(41))

    workspace.clock = START + timedelta(minutes=40)
    workspace.meanwhile = reply_to_both
    second = workspace.run("replies", first.position)
    assert second.posted == {ts(41)}
    third = workspace.run("replies", second.position)
    assert ts(40) in third.posted


def test_old_thread_that_went_on_is_not_asked_for_again_once_read(workspace: Workspace) -> None:
    for minute in range(20):
        workspace.post(ts(minute))
    reply(workspace, ts(19), ts(30))
    reply(workspace, ts(0), ts(40))
    first = workspace.run("replies")
    assert first.posted == {ts(30), ts(40)}
    quiet = workspace.run("replies", first.position)
    assert [urlsplit(path).path for path in quiet.asked] == ["/conversations.history"] * 2


def test_thread_that_is_deleted_meanwhile_stops_nothing(workspace: Workspace) -> None:
    for minute in (1, 2):
        workspace.post(ts(minute))
        reply(workspace, ts(minute), ts(minute + 10))
    everything = workspace.server.answer

    def one_gone(method: str, path: str, query: dict[str, list[str]], *rest: Any) -> SimulatedAnswer:
        if query.get("ts") == [ts(2)]:
            return SimulatedAnswer(200, {}, b'{"ok": false, "error": "thread_not_found"}')
        return everything(method, path, query, *rest)

    workspace.server.answer = one_gone
    assert workspace.run("replies").posted == {ts(11)}


def test_thread_that_began_long_before_the_last_message_is_no_longer_looked_at(workspace: Workspace) -> None:
    day = 24 * 60
    workspace.clock = START + timedelta(days=5)
    workspace.post(ts(0))
    workspace.post(ts(2 * day))
    reply(workspace, ts(0), ts(2 * day + 1))
    first = workspace.run("replies")
    assert first.posted == {ts(2 * day + 1)}
    workspace.post(ts(4 * day))
    second = workspace.run("replies", first.position)
    reply(workspace, ts(0), ts(4 * day + 1))
    reply(workspace, ts(2 * day), ts(4 * day + 2))
    assert workspace.run("replies", second.position).posted == {ts(4 * day + 2)}


def test_thread_that_began_before_the_window_is_read_for_its_replies_inside(workspace: Workspace) -> None:
    workspace.post(ts(-120))
    reply(workspace, ts(-120), ts(-60))
    reply(workspace, ts(-120), ts(30))
    reply(workspace, ts(-120), ts(90))
    assert workspace.run("replies").posted == {ts(30), ts(90)}
    hour = Window(since=START, until=START + timedelta(hours=1))
    assert workspace.run("replies", window=hour).posted == {ts(30)}


def test_run_through_many_threads_keeps_a_small_position_and_goes_on_after_any_page(workspace: Workspace) -> None:
    for minute in range(60):
        workspace.post(ts(minute))
        reply(workspace, ts(minute), ts(100 + minute))
    run = workspace.run("replies")
    assert run.posted == {ts(100 + minute) for minute in range(60)}
    assert len(workspace.run("replies", run.position).asked) == 4
