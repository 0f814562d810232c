"""A simulated provider on loopback, and commands sent to it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import jsonschema_rs

from providers.actions import Command, Done, OutboundAction
from providers.client import ProviderClient, Response
from providers.outbound import OutboundPolicy
from providers.spi import Adapter
from tests.contract.provider_server import Server, serving

World = TypeVar("World")


@dataclass
class Commanded(Generic[World]):
    adapter: Adapter
    world: World
    server: Server
    client: ProviderClient
    settings: dict[str, Any]

    def command(self, target: dict[str, Any], payload: dict[str, Any], mark: str = "") -> Command:
        return asked(target, payload, mark, self.settings)

    def send(self, action: OutboundAction, command: Command) -> Response:
        """Ask for it as the runtime does: checked, made into a request, sent once."""
        for schema, given in ((action.target_schema, command.target), (action.payload_schema, command.payload)):
            jsonschema_rs.Draft202012Validator(schema).validate(dict(given))
        request = action.request(self.client, command)
        assert not isinstance(request, Done), "there is nothing to do"
        return self.client.write(request.method, request.path, json=request.json, headers=request.headers)

    def perform(self, kind: str, target: dict[str, Any], payload: dict[str, Any]) -> Done:
        action, command = self.adapter.action(kind), self.command(target, payload)
        return action.done(command, self.send(action, command))

    def find(self, kind: str, command: Command) -> Done | None:
        return self.adapter.action(kind).find(self.client, command)

    @property
    def effects(self) -> list[str]:
        found: list[str] = self.world.effects()  # type: ignore[attr-defined]
        return found


def asked(
    target: dict[str, Any], payload: dict[str, Any], mark: str = "", settings: dict[str, Any] | None = None
) -> Command:
    mark = mark or str(uuid.uuid4())
    return Command(target=target, payload=payload, mark=mark, since=datetime.now(UTC), settings=settings or {})


@contextmanager
def commanded(adapter: Adapter, simulator: type[World]) -> Iterator[Commanded[World]]:
    world: Any = simulator(seed=1, faults=False)  # type: ignore[call-arg]
    with serving(world.handle) as server:
        settings = world.settings(server.url)
        config = adapter.client_config(settings, world.credential, adapter.api_versions[0])
        with ProviderClient(config, OutboundPolicy.parse(["127.0.0.1"])) as client:
            yield Commanded(adapter, world, server, client, settings)
