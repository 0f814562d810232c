"""What is asked of Teams: one request each, one effect each, and texts that mention nobody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema_rs
import orjson
import pytest

from providers.actions import Command, Done, WriteRequest
from providers.adapters.msteams.adapter import TeamsAdapter
from providers.adapters.msteams.html_writing import html, mark_of, with_mark
from providers.adapters.msteams.simulator import CHAT, FIRST, LISTS, PEOPLE, TEAM, Simulator
from providers.client import ProviderClient
from providers.errors import AuthFailed, LacksAccess, ProviderError, ProviderFault, Rejected
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from tests.contract.provider_server import Server, serving
from tests.contract.subject import FIXTURES as ALL_FIXTURES

ADAPTER = TeamsAdapter()
FIXTURES = ALL_FIXTURES / "msteams"
TEAM_ID = TEAM["aadGroupId"]
GENERAL, DEPLOYS = "19:sim-general@thread.tacv2", "19:sim-deploys@thread.tacv2"
MARK, OTHER_MARK = "5f0c2a44-5a11-4d68-9d2c-0a3f4f0e6b11", "0d4b7d31-3c5b-4a66-8a0e-1f2d3c4b5a69"
POST, UPDATE, REACT = "post_chat_message", "update_chat_message", "add_reaction"
IN_CHANNEL = {"channel_id": GENERAL, "workspace_id": TEAM_ID}
IN_THREAD = {**IN_CHANNEL, "thread_id": FIRST[GENERAL][0]}
IN_CHAT = {"channel_id": CHAT}


class World:
    """A simulated organisation over HTTP and a client of one person in it."""

    def __init__(self, server: Server, simulator: Simulator, client: ProviderClient) -> None:
        self.server, self.simulator, self.client = server, simulator, client
        self.conversations = simulator._conversations

    def done(self, name: str, command: Command) -> Done:
        action = ADAPTER.action(name)
        request = action.request(self.client, command)
        assert isinstance(request, WriteRequest)
        answer = self.client.write(request.method, request.path, json=request.json, lane=request.lane)
        return action.done(command, answer)

    def find(self, command: Command) -> Done | None:
        return ADAPTER.action(POST).find(self.client, command)

    def write_as(self, person: str, content: str, **more: Any) -> None:
        """Somebody writes into the general channel, now."""
        now = datetime.now(UTC)
        own = str(int(now.timestamp() * 1000))
        self.conversations.keep(LISTS[GENERAL], own, PEOPLE[person], content, now).update(more)


@pytest.fixture
def world() -> Iterator[World]:
    simulator = Simulator(seed=1, faults=False)
    with serving(simulator.handle) as server:
        config = ADAPTER.client_config(simulator.settings(server.url), simulator.credential, "")
        with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as client:
            yield World(server, simulator, client)


def command(target: dict[str, Any] | None = None, *, mark: str = MARK, text: str = "Well done.") -> Command:
    return Command(target=target or IN_CHANNEL, payload={"text": text}, mark=mark, since=datetime.now(UTC))


def reacting(reaction: str) -> Command:
    target = {**IN_CHANNEL, "message_id": FIRST[GENERAL][0]}
    return replace(command(target), payload={"reaction": reaction})


@pytest.mark.parametrize("target", [IN_CHANNEL, IN_THREAD, IN_CHAT], ids=["channel", "thread", "chat"])
def test_message_is_posted_once_and_found_by_its_mark_alone(world: World, target: dict[str, Any]) -> None:
    asked = command(target)
    told = world.done(POST, asked)
    assert told.reference.startswith(f"{target['channel_id']}:")
    assert len(world.simulator.effects()) == 1
    assert world.find(asked) == told
    assert world.find(replace(asked, mark=OTHER_MARK)) is None


def test_message_of_a_channel_says_where_it_can_be_seen(world: World) -> None:
    assert world.done(POST, command()).url.startswith("https://teams.example/")
    assert world.done(POST, command(IN_CHAT)).url == ""


def test_text_is_sent_as_html_with_the_mark_in_its_last_paragraph(world: World) -> None:
    request = ADAPTER.action(POST).request(world.client, command(text="**Hi** <at id=0>all</at>"))
    assert isinstance(request, WriteRequest)
    content = request.json["body"]["content"]
    assert content.startswith("<p><strong>Hi</strong> &lt;at id=0&gt;all&lt;/at&gt;\u200c")
    assert content.endswith("</p>")
    assert mark_of(content) == MARK


@pytest.mark.parametrize("target", [IN_CHANNEL, IN_THREAD, IN_CHAT], ids=["channel", "thread", "chat"])
def test_message_is_found_behind_many_others(world: World, target: dict[str, Any]) -> None:
    asked = command(target)
    told = world.done(POST, asked)
    for number in range(60):
        world.done(POST, command(target, mark=OTHER_MARK, text=f"Another one, {number}."))
    before = len(world.server.asked)
    assert world.find(asked) == told
    assert sum("messages" in path for _, path in world.server.asked[before:]) == 2


def test_clocks_may_differ_by_minutes(world: World) -> None:
    asked = command()
    told = world.done(POST, asked)
    assert world.find(replace(asked, since=asked.since + timedelta(minutes=4))) == told


def test_mark_of_another_author_is_neither_ours_nor_absent(world: World) -> None:
    world.write_as("Ravi", with_mark(html("Well done."), MARK))
    with pytest.raises(ProviderFault, match="its author another"):
        world.find(command())
    told = world.done(POST, command())
    world.write_as("Ravi", with_mark(html("Well done."), MARK))
    assert world.find(command()) == told


def test_message_that_quotes_another_is_not_the_other(world: World) -> None:
    quoted = f"<blockquote>{with_mark(html('Well done.'), MARK)}</blockquote>{with_mark(html('Indeed.'), OTHER_MARK)}"
    world.write_as("Zoe", quoted)
    assert world.find(command()) is None


def test_list_that_does_not_show_it_yet_says_that_it_is_not_there(world: World) -> None:
    world.simulator.delay_lists(30)
    asked = command()
    told = world.done(POST, asked)
    assert world.find(asked) is None
    world.simulator.delay_lists(0)
    assert world.find(asked) == told


def test_lost_mark_is_never_taken_for_a_message_that_is_not_there(world: World) -> None:
    world.simulator.lose_hidden_text()
    asked = command(text="**Well** done, see [this](https://notes.example).")
    world.done(POST, asked)
    with pytest.raises(ProviderFault, match="mark"):
        world.find(asked)
    # Another text is another message.
    assert world.find(command(text="Something else.")) is None


@pytest.mark.parametrize(
    "more",
    [
        {"deletedDateTime": "2026-01-01T00:00:00Z", "body": {"contentType": "html", "content": ""}},
        {"deletedDateTime": "2026-01-01T00:00:00Z", "body": {"contentType": "html", "content": ""}, "from": None},
        {"lastEditedDateTime": "2026-01-01T00:00:00Z"},
    ],
    ids=["deleted", "deleted without author", "edited"],
)
def test_own_message_that_was_changed_since_may_have_been_the_one(world: World, more: dict[str, Any]) -> None:
    world.write_as("Zoe", "<p>Changed by hand.</p>", **more)
    with pytest.raises(ProviderFault, match="mark"):
        world.find(command())


def test_messages_of_others_and_of_before_leave_no_doubt(world: World) -> None:
    world.write_as("Ravi", "<p>Well done.</p>")
    world.write_as("Ravi", "", deletedDateTime="2026-01-01T00:00:00Z")
    world.write_as("Zoe", "<p>Well done.</p>", createdDateTime="2023-01-01T00:00:00Z")
    assert world.find(command()) is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"value": None},
        {"value": [], "@odata.nextLink": 5},
        {"value": [], "@odata.nextLink": ""},
        {"value": [], "@odata.nextLink": "https://elsewhere.example/v1.0/next"},
    ],
)
def test_list_that_could_not_be_read_is_never_an_answer(world: World, body: Any) -> None:
    world.server.answer = lambda *_: SimulatedAnswer(200, {}, orjson.dumps(body))
    with pytest.raises(ProviderError):
        world.find(command())


def test_list_without_an_end_is_given_up_without_an_answer(world: World) -> None:
    again = {"value": [], "@odata.nextLink": f"{world.server.url}/v1.0/again"}
    world.server.answer = lambda *_: SimulatedAnswer(200, {}, orjson.dumps(again))
    with pytest.raises(ProviderFault, match="too many"):
        world.find(command())


def test_message_is_changed_and_a_second_time_changes_nothing(world: World) -> None:
    own, _ = FIRST[DEPLOYS]
    asked = command({"channel_id": DEPLOYS, "workspace_id": TEAM_ID, "message_id": own}, text="Deployed, _twice_.")
    told = world.done(UPDATE, asked)
    assert told.reference == f"{DEPLOYS}:{own}"
    assert world.done(UPDATE, asked) == told
    assert world.simulator.effects() == [f"edit of {own} in {LISTS[DEPLOYS]}"]


def test_answer_in_a_thread_is_changed_where_it_is(world: World) -> None:
    posted = world.done(POST, command(IN_THREAD)).reference.rpartition(":")[2]
    world.done(UPDATE, command({**IN_THREAD, "message_id": posted}, text="Better."))
    assert world.simulator.effects()[1:] == [f"edit of {posted} in {LISTS[GENERAL]}/{IN_THREAD['thread_id']}/replies"]


def test_message_in_a_chat_is_changed(world: World) -> None:
    world.done(UPDATE, command({**IN_CHAT, "message_id": FIRST[CHAT][0]}))
    assert len(world.simulator.effects()) == 1


def test_reaction_that_is_there_already_stays_one(world: World) -> None:
    told = world.done(REACT, reacting("tada"))
    assert world.done(REACT, reacting("tada")) == told
    assert world.simulator.effects() == [f"reaction 🎉 to {FIRST[GENERAL][0]} in {LISTS[GENERAL]}"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("like", "👍"), ("+1", "👍"), ("heart", "❤️"), ("laugh", "😆"), ("white_check_mark", "✅"), ("👀", "👀")],
)
def test_names_of_reactions_become_characters(world: World, name: str, expected: str) -> None:
    request = ADAPTER.action(REACT).request(world.client, reacting(name))
    assert isinstance(request, WriteRequest)
    assert request.json == {"reactionType": expected}


@pytest.mark.parametrize(
    "asked",
    [
        reacting("no_such_emoji"),
        command({**IN_CHAT, "thread_id": "1700000000000"}),
        command({"channel_id": GENERAL}),
        command(text="[x]: https://a.example"),
        command(text="<" * 12_000),
    ],
)
def test_what_teams_would_refuse_is_not_sent(world: World, asked: Command) -> None:
    with pytest.raises(Rejected):
        world.done(REACT if "reaction" in asked.payload else POST, asked)
    assert world.server.asked == []


@pytest.mark.parametrize(
    ("target", "valid"),
    [
        (IN_CHANNEL, True),
        (IN_CHAT, True),
        ({"channel_id": GENERAL, "workspace_id": TEAM["id"]}, False),
        ({"channel_id": "general"}, False),
        ({"channel_id": "19:x/../../me"}, False),
        ({**IN_CHANNEL, "thread_id": "../1"}, False),
    ],
)
def test_places_are_named_by_ids(target: Any, valid: bool) -> None:
    assert jsonschema_rs.Draft202012Validator(ADAPTER.action(POST).target_schema).is_valid(target) is valid


@pytest.mark.parametrize(
    "fixture", ["chatMessage__created_reply", "chatMessage__created_in_chat", "message__group_chat"]
)
def test_what_came_in_can_be_answered_with_its_own_keys(fixture: str) -> None:
    told = orjson.loads((FIXTURES / f"{fixture}.golden.json").read_bytes())[0]["signal"]
    keys, thread = told["canonical_keys"], told["fields"].get("thread_id")
    answered = {name: keys[name] for name in ("channel_id", "workspace_id") if name in keys}
    reacted = {**keys, **({"thread_id": thread} if thread else {})}
    for name, target in ((POST, {**answered, **({"thread_id": thread} if thread else {})}), (REACT, reacted)):
        jsonschema_rs.validate(ADAPTER.action(name).target_schema, target)


def test_refusal_is_passed_on_in_graphs_words(world: World) -> None:
    nowhere = {"channel_id": "19:nowhere@thread.tacv2", "workspace_id": TEAM_ID}
    with pytest.raises(Rejected) as caught:
        world.done(POST, command(nowhere))
    assert caught.value.told == "NotFound: Resource could not be discovered."


def test_message_of_somebody_else_is_not_changed(world: World) -> None:
    with pytest.raises(AuthFailed) as caught:
        world.done(UPDATE, command({**IN_CHANNEL, "message_id": FIRST[GENERAL][0]}))
    assert not caught.value.of_the_credential
    assert caught.value.told == "Forbidden: The message belongs to somebody else."


@pytest.mark.parametrize(
    ("code", "message", "of_the_credential"),
    [
        ("Unauthorized", "Message POST is allowed in application-only context only for import purposes.", False),
        ("InvalidAuthenticationToken", "Access token has expired or is not yet valid.", True),
    ],
)
def test_application_that_posts_has_a_good_token_all_the_same(
    world: World, code: str, message: str, of_the_credential: bool
) -> None:
    body = orjson.dumps({"error": {"code": code, "message": message}})
    world.server.answer = lambda *_: SimulatedAnswer(401, {}, body)
    with pytest.raises(AuthFailed) as caught:
        world.done(POST, command())
    assert caught.value.of_the_credential is of_the_credential
    assert isinstance(caught.value, LacksAccess) is not of_the_credential


@pytest.mark.parametrize("body", [b"", b"{}", b'{"id":null}', b"[]"])
def test_answer_that_names_no_message_is_no_success(world: World, body: bytes) -> None:
    world.server.answer = lambda *_: SimulatedAnswer(201, {}, body)
    with pytest.raises(ProviderFault):
        world.done(POST, command())


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"),
        ("@everyone & a < b", "<p>@everyone &amp; a &lt; b</p>"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ("[x](smb://host/share) [y](/path)", "<p>[x](smb://host/share) [y](/path)</p>"),
        ('[x](https://a.example/"onclick=y)', '<p><a href="https://a.example/%22onclick=y">x</a></p>'),
        ("![Plan](https://a.example/p.png)", '<p><a href="https://a.example/p.png">Plan</a></p>'),
        (
            "[![Plan](https://a.example/p.png)](https://a.example)",
            '<p><a href="https://a.example">Plan</a></p>',
        ),
        ("~~a~~\nb", "<p><s>a</s><br />\nb</p>"),
        ('```py" onclick="x\na < b\n```', "<pre><code>a &lt; b\n</code></pre>"),
    ],
)
def test_markdown_becomes_html_that_does_nothing(markdown: str, expected: str) -> None:
    assert html(markdown) == expected
