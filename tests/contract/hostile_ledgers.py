"""The teaching provider with a ledger of deliveries, and parts that break a promise each; see ``hostile.VICES``."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from providers.adapters.fake.webhook import FakeWebhook
from providers.canonical import JSON
from providers.client import ProviderClient
from providers.document import Document
from providers.errors import ProviderError, ProviderFault, Rejected
from providers.ledgers import (
    DeliveryLedger,
    HookCondition,
    HookState,
    HookWatcher,
    LedgerEntry,
    LedgerPage,
    LedgerRequest,
)
from providers.simulation import SimulatedAnswer, SimulatedAttempt, SimulatedDelivery
from tests.contract import hostile_registrars
from tests.contract.hostile_registrars import Registrar

PAGE = 10


class World(hostile_registrars.World):
    """Hooks can be switched off, and what they delivered is listed newest first."""

    def __init__(self, *, seed: int, faults: bool) -> None:
        super().__init__(seed=seed, faults=faults)
        self._kept: list[JSON] = []
        self._again: list[SimulatedDelivery] = []
        self._at = itertools.count()

    def switch_hooks(self, *, on: bool) -> None:
        for hook in self._hooks.values():
            hook["enabled"] = on

    def attempts_of(self, delivery: SimulatedDelivery) -> list[SimulatedAttempt]:
        hooks = self._hooks.items()
        return [SimulatedAttempt(key, hook["url"], hook["secret"], delivery) for key, hook in hooks]

    def attempted(self, attempt: SimulatedAttempt, status: int) -> None:
        body, number = orjson.loads(attempt.delivery.body), next(self._at)
        at = datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=number)
        headers = dict(attempt.delivery.headers)
        told = {"event": body["id"], "type": body["type"], "at": at.isoformat(), "status": status}
        self._kept.append({"number": str(number), **told, "headers": headers, "body": body})

    def asked_again(self) -> list[SimulatedAttempt]:
        asked, self._again = self._again, []
        return [attempt for delivery in asked for attempt in self.attempts_of(delivery)]

    def handle(self, method: str, path: str, query: dict[str, list[str]], *rest: Any) -> SimulatedAnswer:
        steps = path.strip("/").split("/")
        if steps[0] != "hooks" or len(steps) < 2:
            return super().handle(method, path, query, *rest)
        if steps[1] not in self._hooks:
            return SimulatedAnswer(404, {}, b"{}")
        if len(steps) == 2 and method == "GET":
            return _answer({"enabled": True, **self._hooks[steps[1]], "secret": None})
        if len(steps) == 2:
            return super().handle(method, path, query, *rest)
        if len(steps) == 4:
            entry = next(entry for entry in self._kept if entry["number"] == steps[3])
            if method == "POST":
                self._again.append(SimulatedDelivery(entry["headers"], orjson.dumps(entry["body"])))
            return _answer(entry)
        start = int(query.get("after", ["0"])[0])
        newest_first = self._kept[::-1][start : start + PAGE]
        return _answer({"deliveries": newest_first, "more": start + PAGE < len(self._kept)})


def _answer(body: JSON) -> SimulatedAnswer:
    return SimulatedAnswer(200, {"content-type": "application/json"}, orjson.dumps(body))


class Watcher(HookWatcher):
    """The good one."""

    def state(self, client: ProviderClient, *, target: str, hook_id: str) -> HookState:
        try:
            hook = Document(client.get(f"/hooks/{hook_id}").json())
        except Rejected as refused:
            if refused.status != 404:
                raise
            return HookState(condition=HookCondition.GONE)
        enabled = hook.boolean("/enabled")
        if enabled is None:
            raise ProviderFault("The answer does not describe a hook.")
        condition = HookCondition.ENABLED if enabled else HookCondition.DISABLED
        return HookState(condition=condition, url=hook.text("/url") or "")

    def enable(
        self, client: ProviderClient, *, target: str, hook_id: str, url: str, secret: str, events: Sequence[str]
    ) -> str:
        client.write("PUT", f"/hooks/{hook_id}", json={"enabled": True})
        return hook_id


class Ledger(DeliveryLedger):
    """The good one."""

    retention = timedelta(days=3)
    redeliveries_a_minute = 10

    def attempts(
        self, client: ProviderClient, *, target: str, hook_id: str, position: JSON, since: datetime
    ) -> LedgerPage:
        after = position.get("after", 0)
        page = Document(client.get(f"/hooks/{hook_id}/deliveries", params={"after": after}).json())
        if not isinstance(page.at("/deliveries"), list):
            raise ProviderFault("The answer holds no list of deliveries.")
        entries = [self.entry(delivery) for delivery in page.items("/deliveries")]
        more = bool(page.boolean("/more")) and entries[-1].delivered_at >= since
        return LedgerPage(entries=entries, position={"after": after + len(entries)} if more else {}, more=more)

    def entry(self, delivery: Document) -> LedgerEntry:
        event, at = delivery.text("/event"), delivery.time("/at")
        if event is None or at is None:
            raise ProviderFault("The list holds something that is no delivery.")
        status = delivery.integer("/status") or 0
        return LedgerEntry(
            delivery_id=event,
            attempt_id=delivery.text("/number") or "",
            event_type=delivery.text("/type") or "",
            delivered_at=at,
            ok=200 <= status < 300,
            status=status,
            dedupe_keys=(f"event:{event}",),
            matters=True,
        )

    def redeliver(self, client: ProviderClient, *, target: str, hook_id: str, attempt_id: str) -> None:
        client.write("POST", f"/hooks/{hook_id}/deliveries/{attempt_id}")

    def fetch(self, client: ProviderClient, *, target: str, hook_id: str, attempt_id: str) -> LedgerRequest | None:
        found = Document(client.get(f"/hooks/{hook_id}/deliveries/{attempt_id}").json())
        body = found.at("/body")
        if not isinstance(body, dict):
            raise ProviderFault("The answer does not describe a delivery.")
        return LedgerRequest(headers={"content-type": "application/json"}, body=orjson.dumps(body))


class BlindWatcher(Watcher):
    """Whatever answers is a hook at work."""

    def state(self, client: ProviderClient, **where: Any) -> HookState:
        state = super().state(client, **where)
        return replace(state, condition=HookCondition.ENABLED)


class Careless(Watcher):
    """Any refusal means that the hook is gone."""

    def state(self, client: ProviderClient, **where: Any) -> HookState:
        with suppress(ProviderError):
            return super().state(client, **where)
        return HookState(condition=HookCondition.GONE)


class Doubling(Watcher):
    """Makes another hook each time, and leaves the old one."""

    def enable(self, client: ProviderClient, *, url: str, secret: str, **where: Any) -> str:
        made = client.write("POST", "/hooks", json={"url": url, "secret": secret})
        return str(Document(made.json()).text("/id"))


class Shortened(Ledger):
    """Of each page the last entry is forgotten."""

    def attempts(self, client: ProviderClient, **where: Any) -> LedgerPage:
        page = super().attempts(client, **where)
        return replace(page, entries=page.entries[:-1])


class WithoutEnd(Ledger):
    """Goes on to the beginning of time, whatever was asked for."""

    def attempts(self, client: ProviderClient, *, since: datetime, **where: Any) -> LedgerPage:
        return super().attempts(client, since=datetime.min.replace(tzinfo=UTC), **where)


class OneKeyForAll(Ledger):
    def entry(self, delivery: Document) -> LedgerEntry:
        return replace(super().entry(delivery), dedupe_keys=("event",))


class Swapping(Ledger):
    """Hands out the first delivery for every other one."""

    def fetch(self, client: ProviderClient, *, attempt_id: str, **where: Any) -> LedgerRequest | None:
        return super().fetch(client, attempt_id="0", **where)


class Deaf(Ledger):
    """Asks for nothing."""

    def redeliver(self, client: ProviderClient, **where: Any) -> None:
        client.get("/hooks")


class NothingWrong(Ledger):
    """A failure is an empty ledger."""

    def attempts(self, client: ProviderClient, **where: Any) -> LedgerPage:
        with suppress(ProviderError):
            return super().attempts(client, **where)
        return LedgerPage(entries=(), position={}, more=False)


def remembering(watcher: HookWatcher | None = None, ledger: DeliveryLedger | None = None) -> FakeWebhook:
    registrar = type("Watched", (Registrar,), {"watcher": watcher or Watcher()})()
    return type("Remembering", (FakeWebhook,), {"registrar": registrar, "ledger": ledger or Ledger()})()
