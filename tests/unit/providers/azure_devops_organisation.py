"""An organisation of Azure DevOps on loopback, whose lists a test fills, and polls of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from providers.adapters.azure_devops.adapter import AzureDevOpsAdapter
from providers.adapters.azure_devops.simulated_lists import Lists, Refused
from providers.canonical import JSON
from providers.client import ProviderClient
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from providers.spi import Page, ProviderEvent, Window
from tests.contract.provider_server import Server

ADAPTER = AzureDevOpsAdapter()
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
LIVE = Window(since=START)
PROJECT = {"id": "p-1", "name": "Web Shop"}
REPOSITORY = {"id": "r-1", "name": "storefront", "project": PROJECT}
ZOE = {"id": "zoe-1", "displayName": "Zoe Lind", "uniqueName": "zoe@acme.example"}


def at(minutes: float = 0, seconds: float = 0) -> str:
    return f"{START + timedelta(minutes=minutes, seconds=seconds):%Y-%m-%dT%H:%M:%S.%f}0Z"


class Organisation:
    """The lists as the service gives them, on loopback."""

    def __init__(self) -> None:
        self.lists = Lists(PROJECT, REPOSITORY)
        self.instead: SimulatedAnswer | None = None
        self.meanwhile: list[Callable[[], object]] = []
        self.server: Server

    def answer(
        self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> SimulatedAnswer:
        if self.instead:
            return self.instead
        try:
            steps = [unquote(step) for step in path.split("/")[2:]]
            found, more = self.lists.answer(steps, {name: values[0] for name, values in query.items()})
        except Refused as refused:
            return SimulatedAnswer(refused.status, {"content-type": "application/json"}, b"{}")
        if self.meanwhile:
            self.meanwhile.pop(0)()
        return SimulatedAnswer(200, {"content-type": "application/json", **more}, orjson.dumps(found))

    def page(self, stream: str, position: JSON, window: Window = LIVE, partition: str = "Web Shop") -> Page:
        settings = {"base_url": f"{self.server.url}/acme"}
        config = ADAPTER.client_config(settings, {"token": "t"}, "7.1")
        with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as client:
            return ADAPTER.stream(stream).page(
                client, partition=partition, settings=settings, position=position, window=window
            )

    def poll(
        self, stream: str, position: JSON | None = None, window: Window = LIVE, partition: str = "Web Shop"
    ) -> Run:
        run = Run(position or {})
        before = len(self.server.asked)
        for _ in range(100):
            page = self.page(stream, run.position, window, partition)
            run.events += page.events
            run.position = orjson.loads(orjson.dumps(page.position))
            if not page.more:
                break
        run.asked = [parse_qs(urlsplit(path).query) for _, path in self.server.asked[before:]]
        return run

    def revise(self, number: int, rev: int, minutes: float, **fields: Any) -> None:
        whole = {
            "System.TeamProject": "Web Shop",
            "System.CreatedDate": at(0),
            "System.CreatedBy": ZOE,
            "System.ChangedDate": at(minutes),
            "System.ChangedBy": ZOE,
            "System.State": "Active",
            "System.Title": "Total is wrong",
            **{name.replace("__", "."): value for name, value in fields.items()},
        }
        watermark = len(self.lists.revisions) + 1
        self.lists.revisions.append({"watermark": watermark, "id": number, "rev": rev, "fields": whole})

    def build(self, number: int, finished: str, **more: Any) -> None:
        build = {"id": number, "result": "succeeded", "finishTime": finished, "buildNumber": str(number), **more}
        self.lists.builds.append({"project": PROJECT, "definition": {"name": "ci"}, **build})

    def request(self, number: int, created: str, closed: str = "", **more: Any) -> JSON:
        ends = {"status": "completed", "closedDate": closed, "closedBy": ZOE} if closed else {"status": "active"}
        repository = {**REPOSITORY, "remoteUrl": "https://dev.azure.com/acme/Web%20Shop/_git/storefront"}
        request = {"pullRequestId": number, "repository": repository, "creationDate": created, **ends, **more}
        self.lists.pull_requests.append(request)
        return request

    def push(self, number: int, minutes: float, *refs: tuple[str, str, str]) -> JSON:
        updates = [{"name": name, "oldObjectId": old, "newObjectId": new} for name, old, new in refs]
        push = {"pushId": number, "date": at(minutes), "refUpdates": updates, "repository": REPOSITORY}
        self.lists.pushes.append({**push, "pushedBy": ZOE})
        return push


class Run:
    def __init__(self, position: JSON) -> None:
        self.position = position
        self.events: list[ProviderEvent] = []
        self.asked: list[dict[str, list[str]]] = []

    @property
    def told(self) -> list[str]:
        return [str(event.signal_type) for event in self.events]

    @property
    def keys(self) -> set[str]:
        return {event.dedupe_key for event in self.events}
