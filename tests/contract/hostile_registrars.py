"""The teaching provider with hooks, and registrars that break a promise, one each; see ``hostile.VICES``."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson

from providers.adapters.fake.simulator import Simulator
from providers.adapters.fake.webhook import FakeWebhook
from providers.client import ProviderClient
from providers.document import Document
from providers.errors import ProviderError, ProviderFault, Rejected
from providers.simulation import SimulatedAnswer
from providers.spi import HookRegistrar

JSON = dict[str, Any]


class World(Simulator):
    """Answers ``/hooks`` too."""

    def __init__(self, *, seed: int, faults: bool) -> None:
        super().__init__(seed=seed, faults=faults)
        self._hooks: dict[str, JSON] = {}
        self._numbers = itertools.count(1)

    def kept_hooks(self) -> list[tuple[str, str]]:
        return [(hook["url"], hook["secret"]) for hook in self._hooks.values()]

    def handle(self, method: str, path: str, *rest: Any) -> SimulatedAnswer:
        if not path.startswith("/hooks"):
            return super().handle(method, path, *rest)
        given, hook_id = rest[-1], path.removeprefix("/hooks").strip("/")
        if method == "GET":
            shown = [{"id": known, "url": hook["url"]} for known, hook in self._hooks.items()]
            return SimulatedAnswer(200, {}, orjson.dumps({"hooks": shown}))
        if method == "POST":
            hook_id = f"h{next(self._numbers)}"
            self._hooks[hook_id] = {}
        if hook_id not in self._hooks:
            return SimulatedAnswer(404, {}, b"{}")
        if method == "DELETE":
            del self._hooks[hook_id]
            return SimulatedAnswer(204)
        self._hooks[hook_id] |= orjson.loads(given)
        return SimulatedAnswer(200, {}, orjson.dumps({"id": hook_id}))


class Registrar(HookRegistrar):
    """The good one."""

    scheme = "hmac"

    def targets(self, settings: Mapping[str, Any]) -> Sequence[str]:
        return ["everything"]

    def create(self, client: ProviderClient, *, target: str, url: str, secret: str, events: Sequence[str]) -> str:
        known = self.known(client, url)
        body = {"url": url, "secret": secret}
        answer = (
            client.write("PUT", f"/hooks/{known}", json=body) if known else client.write("POST", "/hooks", json=body)
        )
        hook_id = Document(answer.json()).text("/id")
        if not hook_id:
            raise ProviderFault("The answer names no hook.")
        return hook_id

    def known(self, client: ProviderClient, url: str) -> str:
        hooks = Document(client.get("/hooks").json())
        if not isinstance(hooks.at("/hooks"), list):
            raise ProviderFault("The answer holds no list of hooks.")
        return next((hook.text("/id") or "" for hook in hooks.items("/hooks") if hook.text("/url") == url), "")

    def change_secret(self, client: ProviderClient, *, target: str, hook_id: str, url: str, secret: str) -> None:
        client.write("PUT", f"/hooks/{hook_id}", json={"secret": secret})

    def delete(self, client: ProviderClient, *, target: str, hook_id: str) -> None:
        try:
            client.write("DELETE", f"/hooks/{hook_id}")
        except Rejected as refused:
            if refused.status != 404:
                raise


class Doubling(Registrar):
    """Never looks whether there is one."""

    def known(self, client: ProviderClient, url: str) -> str:
        return ""


class Forgetful(Registrar):
    """Takes over what there is without its new secret."""

    def create(self, client: ProviderClient, *, url: str, **how: Any) -> str:
        return self.known(client, url) or super().create(client, url=url, **how)


class Unchanging(Registrar):
    def change_secret(self, client: ProviderClient, **how: Any) -> None:
        pass


class Insistent(Registrar):
    """What is gone already is a failure."""

    def delete(self, client: ProviderClient, *, target: str, hook_id: str) -> None:
        client.write("DELETE", f"/hooks/{hook_id}")


class Careless(Registrar):
    """Any refusal is as good as a removal."""

    def delete(self, client: ProviderClient, **which: Any) -> None:
        with suppress(ProviderError):
            super().delete(client, **which)


class Blunt(Registrar):
    """Every trouble is a refusal."""

    def create(self, client: ProviderClient, **how: Any) -> str:
        try:
            return super().create(client, **how)
        except ProviderError as error:
            raise Rejected(str(error)) from None


class Chatty(Registrar):
    """Tells the secret in its words."""

    def create(self, client: ProviderClient, *, secret: str, **how: Any) -> str:
        try:
            return super().create(client, secret=secret, **how)
        except ProviderError as error:
            error.args = (f"{error} while setting {secret}",)
            raise


def making_hooks(maker: HookRegistrar) -> FakeWebhook:
    return type("Hooked", (FakeWebhook,), {"registrar": maker})()
