"""Carrying out commands against a simulated provider over HTTP, as the runtime does: one request, then its answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import jsonschema_rs

from providers.actions import Command, Done, OutboundAction, WriteRequest
from providers.client import ProviderClient
from providers.errors import Rejected
from providers.outbound import OutboundPolicy
from providers.spi import Adapter
from tests.contract.provider_server import Server, serving


@dataclass(frozen=True)
class Acting:
    """One connection to a simulated provider. ``world`` is its simulator, ``server`` what was asked over HTTP."""

    adapter: Adapter
    world: Any
    server: Server
    client: ProviderClient
    settings: Mapping[str, Any]
    since: datetime = field(default_factory=lambda: datetime.now(UTC))

    def command(
        self, action: str, target: dict[str, Any], payload: dict[str, Any], mark: str | None = None
    ) -> tuple[OutboundAction, Command]:
        """A command that fits the action's schemas."""
        found = self.adapter.action(action)
        jsonschema_rs.validate(found.target_schema, target)
        jsonschema_rs.validate(found.payload_schema, payload)
        command = Command(
            target=target, payload=payload, mark=mark or str(uuid4()), since=self.since, settings=self.settings
        )
        return found, command

    def send(self, action: OutboundAction, command: Command) -> Done:
        """Read what has to be read, write once, and say what came of it."""
        wanted = action.request(self.client, command)
        if isinstance(wanted, Done):
            return wanted
        return self.write(action, command, wanted)

    def write(self, action: OutboundAction, command: Command, wanted: WriteRequest) -> Done:
        """Send the one request; a refusal that says "already so" is success."""
        try:
            answer = self.client.write(
                wanted.method, wanted.path, json=wanted.json, headers=wanted.headers, lane=wanted.lane
            )
        except Rejected as refusal:
            settled = action.settled_by(command, refusal)
            if settled is None:
                raise
            return settled
        return action.done(command, answer)

    def do(self, action: str, target: dict[str, Any], payload: dict[str, Any], mark: str | None = None) -> Done:
        return self.send(*self.command(action, target, payload, mark))

    def find(self, action: str, target: dict[str, Any], payload: dict[str, Any], mark: str) -> Done | None:
        found, command = self.command(action, target, payload, mark)
        return found.find(self.client, command)


@contextmanager
def acting(adapter: Adapter, world: Any, **settings: Any) -> Iterator[Acting]:
    """A connection to this world, with further settings."""
    with serving(world.handle) as server:
        own = {**world.settings(server.url), **settings}
        config = adapter.client_config(own, world.credential, adapter.api_versions[0])
        policy = OutboundPolicy.parse(["127.0.0.1"])
        with ProviderClient(config, policy) as client:
            yield Acting(adapter, world, server, client, own)
