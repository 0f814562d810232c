"""Everything a process tells while a test drives it: log lines down to debug, its output, Redis commands, statements."""

from __future__ import annotations

import io
import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import connection as database

from integration_adapters.logs import configure_logging
from integration_adapters.metrics import exposition
from tests.api import client_of
from tests.security.leakage_canaries import canary, search_everywhere

# Libraries that set a level of their own where nobody else does.
TALKATIVE = ("urllib3", "requests", "celery", "kombu", "amqp", "psycopg", "redis")


@dataclass
class Watch:
    """``plant`` makes a secret that must never be found again; ``call`` keeps what the API answers."""

    shape: str
    planted: dict[str, str] = field(default_factory=dict)
    told: list[tuple[str, Any]] = field(default_factory=list)
    lines: io.StringIO = field(default_factory=io.StringIO)
    commands: list[str] = field(default_factory=list)

    def plant(self, kind: str, value: str = "") -> str:
        self.planted[kind] = value or canary(kind, self.shape)
        return self.planted[kind]

    def hear(self, place: str, response: Any) -> Any:
        """An answer, with its headers."""
        content = response.content if hasattr(response, "content") else response
        self.told.append((place, content))
        self.told.append((f"headers of {place}", repr(dict(getattr(response, "headers", {})))))
        return response

    def call(self, method: str, path: str, body: Any = None, *, roles: tuple[str, ...] = (), **headers: str) -> Any:
        client = client_of("acme", *(roles or ("tenant_admin", "service")))
        given = () if body is None else (body,)
        return self.hear(f"{method} {path.partition('?')[0]}", getattr(client, method)(path, *given, **headers))

    def leaks(self) -> list[str]:
        """Where planted secrets are found."""
        lines = self.lines.getvalue()
        assert '"level":"debug"' in lines
        told = [("the log", line) for line in lines.splitlines()]
        told += [("a command to Redis", command) for command in self.commands]
        told.append(("the metrics", exposition()))
        return search_everywhere(self.planted, [*self.told, *told])


@contextmanager
def watching(shape: str) -> Iterator[Watch]:
    """Watch, until the block ends."""
    watch = Watch(shape)
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


@pytest.fixture(params=("words", "token"))
def watch(request: pytest.FixtureRequest, db: None) -> Iterator[Watch]:
    """Watched with secrets of one shape, then of the other."""
    with watching(request.param) as running:
        yield running
