"""Everything a process tells while a test drives it: log lines down to debug, commands to Redis, what it stores."""

from __future__ import annotations

import io
import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import connection as database

from connections.models import IntegrationConnection
from integration_adapters.logs import configure_logging
from integration_adapters.metrics import exposition
from providers.catalogue import sync_providers
from tests.api import CONNECTIONS, client_of
from tests.security.leakage_canaries import canary, search_everywhere
from tests.security.leakage_parrot import Parrot, ParrotAdapter, parrot_oauth, running_parrot

# Libraries that set a level of their own where nobody else does.
TALKATIVE = ("urllib3", "requests", "celery", "kombu", "amqp", "psycopg", "redis")


@dataclass
class Watch:
    """``plant`` makes a secret that must never be found again; ``call`` keeps what the API answers."""

    planted: dict[str, str] = field(default_factory=dict)
    told: list[tuple[str, Any]] = field(default_factory=list)
    lines: io.StringIO = field(default_factory=io.StringIO)
    commands: list[str] = field(default_factory=list)

    def plant(self, kind: str, shape: str = "words", *, value: str = "") -> str:
        kind = f"{kind} ({shape})"
        self.planted[kind] = value or canary(kind, shape)
        return self.planted[kind]

    def hear(self, place: str, response: Any) -> Any:
        """An answer, with its headers."""
        content = response.content if hasattr(response, "content") else response
        self.told.append((place, content))
        self.told.append((f"headers of {place}", repr(dict(getattr(response, "headers", {})))))
        return response

    def answer(self, method: str, path: str, body: Any = None, *, roles: tuple[str, ...] = (), **headers: str) -> Any:
        """What the API says to a client that is told a secret because it is the one to know it."""
        client = client_of("acme", *(roles or ("tenant_admin", "service")))
        return getattr(client, method)(path, *(() if body is None else (body,)), **headers)

    def call(self, method: str, path: str, body: Any = None, **given: Any) -> Any:
        return self.hear(f"{method} {path.partition('?')[0]}", self.answer(method, path, body, **given))

    def called(self, work: Callable[..., Any], *given: Any) -> None:
        """Call something; what it raises is heard, too."""
        try:
            work(*given)
        except Exception as error:  # noqa: BLE001 - its words are what is looked at
            self.told.append(("an exception", f"{error!r} {error} {error.__cause__!r}"))

    def create(self, parrot: Parrot, credential: dict[str, str]) -> IntegrationConnection:
        """A connection to the parrot, made through the API and active."""
        given = {"provider_id": "parrot", "display_name": "P", "credential": credential}
        uses = {"polling": True, "outbound_actions": True, "webhook": True}
        body = {**given, "settings": {"base_url": parrot.url}, "enabled_capabilities": uses}
        made = self.call("post", CONNECTIONS, body)
        rows = IntegrationConnection.objects.filter(pk=made.json()["connection_id"])
        rows.update(status="active")
        return rows.get()

    def leaks(self, *, admin_too: bool = False) -> list[str]:
        """Where planted secrets are found."""
        lines = self.lines.getvalue()
        assert '"level":"debug"' in lines
        told = [("the log", line) for line in lines.splitlines()]
        told += [("a command to Redis", command) for command in self.commands]
        told.append(("the metrics", exposition()))
        return search_everywhere(self.planted, [*self.told, *told], admin_too=admin_too)


@contextmanager
def watching() -> Iterator[Watch]:
    """Watch, until the block ends."""
    watch = Watch()
    with _logging_all(watch.lines), _monitoring(watch.commands), _statements(watch.told):
        yield watch


@contextmanager
def _logging_all(stream: io.StringIO) -> Iterator[None]:
    """All that is logged with LOG_LEVEL=DEBUG, as it would be written."""
    config = configure_logging(console=False, level="DEBUG", redact_emails=True)
    handler = logging.StreamHandler(stream)
    formatter = dict(config["formatters"]["lines"])
    handler.setFormatter(formatter.pop("()")(**formatter))
    root = logging.getLogger()
    levels = {**dict.fromkeys(TALKATIVE, "DEBUG"), **{name: own["level"] for name, own in config["loggers"].items()}}
    loggers = [root, *map(logging.getLogger, levels)]
    before = [logger.level for logger in loggers]
    root.addHandler(handler)
    for logger, level in zip(loggers, ("DEBUG", *levels.values()), strict=True):
        logger.setLevel(level)
    try:
        yield
    finally:
        root.removeHandler(handler)
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextmanager
def _monitoring(commands: list[str]) -> Iterator[None]:
    """Every command the server is sent, whoever sends it: keys, values and messages, also those that are gone."""
    client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=None)
    end = uuid.uuid4().hex
    with client.monitor() as monitor:

        def listen() -> None:
            for command in monitor.listen():
                if end in command["command"]:
                    return
                commands.append(command["command"])

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        try:
            yield
        finally:
            client.echo(end)
            thread.join(5)


@contextmanager
def _statements(told: list[tuple[str, Any]]) -> Iterator[None]:
    """Every statement with its parameters, also of rows that are gone; a database may log them."""

    def keep(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        told.append(("a statement", sql))
        if sql.startswith("SELECT"):  # what was asked for, perhaps in the wrong place, is not kept
            return execute(sql, params, many, context)
        flat = params if isinstance(params, list | tuple) else (params.values() if isinstance(params, dict) else ())
        told.extend(("a parameter of a statement", getattr(value, "obj", value)) for value in flat)
        return execute(sql, params, many, context)

    with database.execute_wrapper(keep):
        yield


@pytest.fixture
def parrot(settings: Any, db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parrot]:
    """A provider that repeats everything, with its adapter registered."""
    settings.EXTRA_ADAPTERS = {"parrot": "tests.security.leakage_parrot.ParrotAdapter"}
    with running_parrot() as running:
        monkeypatch.setattr(ParrotAdapter, "oauth", parrot_oauth(running), raising=False)
        monkeypatch.setattr(ParrotAdapter, "broken", set())
        sync_providers()
        yield running


@pytest.fixture
def watch(db: None) -> Iterator[Watch]:
    with watching() as running:
        yield running
