"""Every request the adapter sends is one that GitHub's own OpenAPI description describes."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from providers.actions import Command, Done, OutboundAction
from providers.adapters.github.adapter import GitHubAdapter
from providers.adapters.github.ledger import GitHubLedger
from providers.adapters.github.registrar import GitHubRegistrar
from providers.adapters.github.simulator import Simulator
from providers.client import ProviderClient
from providers.errors import ProviderError, Rejected
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer, SimulatedDelivery
from providers.spi import Window
from providers.token_requests import ask
from tests.contract.openapi.described import Described
from tests.contract.provider_server import Answer, Server, serving

ADAPTER = GitHubAdapter()
EXTRACT = Path(__file__).parent / "openapi" / "github.json"
EXAMPLES: dict[str, Any] = orjson.loads((Path(__file__).parent / "fixtures" / "github" / "actions.json").read_bytes())
# Described as a time; its text says "a range", as the syntax of searches has it.
# https://docs.github.com/en/rest/actions/workflow-runs#list-workflow-runs-for-a-repository
RANGES = ("actions/list-workflow-runs-for-repo created",)
PULL = {"repository": "acme/web", "pr_number": 8}
# Where an example names one of several, or the other place a thing can be done to.
VARIANTS = [
    *(("transition_issue", {}, {"state": "closed", "state_reason": why}) for why in ("not_planned", "duplicate")),
    ("transition_issue", {}, {"state": "open", "state_reason": "reopened"}),
    *(("set_commit_status", {}, {"status": state}) for state in ("pending", "failure", "error")),
    ("add_labels", PULL, {}),
    ("assign", PULL, {}),
    ("update_pr", {}, {"state": "open"}),
    ("create_pr", {}, {"source_branch": "zoe:topic"}),
    ("request_review", {}, {"reviewers": ["zoe"]}),
    ("request_review", {}, {"reviewers": ["acme/web"]}),
    ("comment_on_pr", {**PULL, "comment_id": "70055"}, {}),
    ("comment_on_issue", {}, {"body": "é" * 60_000}),
]


@dataclass
class GitHub:
    world: Simulator
    described: Described
    server: Server
    client: ProviderClient


@contextmanager
def github(answer: Answer | None = None, version: str = "") -> Iterator[GitHub]:
    world = Simulator(seed=1, faults=False)
    described = Described(EXTRACT, answer or world.handle, formats_are_wrong_of=RANGES)
    with serving(described.handle) as server:
        config = ADAPTER.client_config(Simulator.settings(server.url), Simulator.credential, version)
        with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as client:
            yield GitHub(world, described, server, client)


def commands(action: OutboundAction) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The example with every choice of its optional fields, and its variants."""
    kind = str(action.type)
    target, payload = EXAMPLES[kind]["target"], EXAMPLES[kind]["payload"]
    needed = action.payload_schema["required"]
    optional = [name for name in payload if name not in needed]
    for count in range(len(optional) + 1):
        for left in itertools.combinations(optional, count):
            chosen = {name: value for name, value in payload.items() if name in (*needed, *left)}
            if chosen:
                yield target, chosen
    for variant, place, given in VARIANTS:
        if variant == kind:
            yield place or target, {**({} if kind == "transition_issue" else payload), **given}


def drive(github: GitHub, action: OutboundAction, target: dict[str, Any], payload: dict[str, Any]) -> None:
    command = Command(target=target, payload=payload, mark=str(uuid.uuid4()), since=datetime.now(UTC))
    request = action.request(github.client, command)
    assert not isinstance(request, Done)
    # What the world refuses (a second pull request of two branches) has been described all the same.
    with suppress(Rejected):
        github.client.write(request.method, request.path, json=request.json, headers=request.headers)
    action.find(github.client, command)


def drive_lists(github: GitHub) -> None:
    for stream in ADAPTER.streams:
        position: dict[str, Any] = {}
        # A run from the beginning, in pages, and one that begins where it ended.
        for since in (timedelta(days=30), timedelta(minutes=1)):
            window = Window(since=datetime.now(UTC) - since)
            while True:
                page = stream.page(github.client, partition="acme/web", settings={}, position=position, window=window)
                position = dict(page.position)
                if not page.more:
                    break
        backfill = Window(since=datetime.now(UTC) - timedelta(days=3), until=datetime.now(UTC))
        stream.page(github.client, partition="acme/api", settings={}, position={}, window=backfill)


def drive_hooks(github: GitHub) -> None:
    registrar, ledger = GitHubRegistrar(), GitHubLedger()
    where: dict[str, Any] = {"target": "acme/web"}
    url = "https://signals.example/v1/integrations/webhooks/github/token-1"
    hook = registrar.create(github.client, **where, url=url, secret="first-secret", events=["push"])
    assert registrar.create(github.client, **where, url=url, secret="first-secret", events=[]) == hook
    where["hook_id"] = hook
    registrar.change_secret(github.client, **where, url=url, secret="second-secret")
    registrar.watcher.state(github.client, **where)
    registrar.watcher.enable(github.client, **where, url=url, secret="second-secret", events=[])
    body = orjson.dumps({"ref": "refs/heads/main", "repository": {"id": 5000, "full_name": "acme/web"}})
    headers = {"x-github-event": "push", "x-github-delivery": str(uuid.uuid4())}
    for attempt in github.world.attempts_of(SimulatedDelivery(headers, body)):
        github.world.attempted(attempt, 500)
    long_ago = datetime.now(UTC) - timedelta(days=3)
    (entry,) = ledger.attempts(github.client, **where, position={}, since=long_ago).entries
    ledger.attempts(github.client, **where, position={"cursor": "v1_1"}, since=long_ago)
    assert ledger.fetch(github.client, **where, attempt_id=entry.attempt_id)
    ledger.redeliver(github.client, **where, attempt_id=entry.attempt_id)
    registrar.delete(github.client, **where)
    registrar.watcher.state(github.client, **where)


def drive_verification() -> set[str]:
    """A person's token, and one of an installation, which has no user."""
    seen = {"total_count": 1, "repositories": [{"owner": {"login": "acme"}}]}
    with github(lambda _, path, *__: SimulatedAnswer(403 if path == "/user" else 200, {}, orjson.dumps(seen))) as other:
        ADAPTER.verify(other.client)
        assert other.described.misfits == []
        return other.described.used


def drive_minting() -> set[str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    credential = {"app_id": "7", "installation_id": "48", "private_key": pem}
    with github(lambda *_: SimulatedAnswer(201, {}, b'{"token": "ghs_7_a.b"}')) as other:
        for minter in ADAPTER.token_minters:
            request = minter.request({"base_url": other.server.url}, credential, datetime.now(UTC))
            ask(request, OutboundPolicy.parse(["127.0.0.1"]))
        assert other.described.misfits == []
        return other.described.used


@pytest.mark.parametrize("action", ADAPTER.actions, ids=lambda action: str(action.type))
def test_an_action_sends_what_is_described_whatever_fields_it_has(action: OutboundAction) -> None:
    with github() as provider:
        for target, payload in commands(action):
            drive(provider, action, target, payload)
        assert provider.described.misfits == []
        assert provider.described.undescribed == [], "the simulator answers as the vendor does not"


def test_everything_the_adapter_asks_is_described_and_nothing_is_described_in_vain() -> None:
    with github() as provider:
        ADAPTER.verify(provider.client)
        drive_lists(provider)
        drive_hooks(provider)
        for action in ADAPTER.actions:
            for target, payload in itertools.islice(commands(action), 1):
                drive(provider, action, target, payload)
        drive(provider, ADAPTER.action("comment_on_pr"), {**PULL, "comment_id": "70055"}, {"body": "Done."})
        assert provider.described.misfits == []
        used = provider.described.used | drive_verification() | drive_minting()
        assert used == provider.described.operations


@pytest.mark.parametrize("version", ["", "2022-11-28"])
def test_requests_carry_what_the_vendor_wants_of_each(version: str) -> None:
    """https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api#headers"""
    sent: list[dict[str, str]] = []

    def answer(method: str, path: str, query: Any, headers: dict[str, str], body: bytes) -> SimulatedAnswer:
        sent.append(headers)
        return SimulatedAnswer(200, {}, b'{"login": "zoe"}')

    with github(answer, version) as provider:
        ADAPTER.verify(provider.client)
    (headers,) = sent
    assert headers["accept"] == "application/vnd.github+json"
    assert headers["x-github-api-version"] == (version or "2026-03-10")
    assert headers["user-agent"]


ISSUES = "/repos/acme/web/issues"


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("POST", "/repos/acme/web/tickets", {"title": "x"}, "Path not found"),
        ("PUT", ISSUES, {"title": "x"}, "Operation put not found"),
        ("GET", f"{ISSUES}/first/comments", None, "Path parameter error: issue_number"),
        ("GET", f"{ISSUES}?state=solved", None, "Invalid query parameter: state"),
        ("GET", f"{ISSUES}?since=yesterday", None, "Invalid query parameter: since"),
        ("GET", f"{ISSUES}?per_page=many", None, "Query parameter error: per_page"),
        ("GET", f"{ISSUES}?updated_since=2026-01-01T00:00:00Z", None, "no parameter updated_since"),
        ("GET", f"{ISSUES}/5/comments?sort=created", None, "no parameter sort"),
        ("POST", ISSUES, None, "Missing required request body"),
        ("POST", ISSUES, {"body": "x"}, "'title' is a required property"),
        ("POST", ISSUES, {"title": "x", "labels": "bug"}, "is not of type 'array'"),
        ("POST", ISSUES, {"title": "x", "assignee": "zoe"}, "no member /assignee"),
        ("POST", ISSUES, {"title": "x", "assignes": ["zoe"]}, "no member /assignes"),
        ("PATCH", f"{ISSUES}/5", {"state": "done"}, "is not one of"),
        ("POST", f"{ISSUES}/5/labels", {"labels": []}, "is not valid under any"),
        ("POST", f"{ISSUES}/5/labels", {"names": ["bug"]}, "no member /names"),
        ("POST", "/repos/acme/web/pulls", {"title": "x", "head": "topic"}, "'base' is a required property"),
        ("POST", "/repos/acme/web/statuses/abc", {"state": "ok"}, "is not one of"),
        ("POST", "/repos/acme/web/hooks", {"nam": "web"}, "Additional properties are not allowed"),
        ("POST", "/repos/acme/web/hooks", {"config": {"addres": "x"}}, "no member /config/addres"),
        ("POST", "/repos/acme/web/hooks/1/deliveries/2/attempts", {"again": True}, "no body is taken"),
    ],
)
def test_what_is_not_described_is_refused(method: Any, path: str, body: Any, words: str) -> None:
    with github() as provider:
        with pytest.raises(ProviderError, match="400"):
            provider.client.write(method, path, json=body)
        (misfit,) = provider.described.misfits
    assert words in misfit
