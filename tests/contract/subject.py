"""What a contract check is given: an adapter, its fixtures, its simulator, and ways to ask them."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import orjson

from providers.redaction import redact
from providers.simulation import Simulator
from providers.spi import Adapter, ProviderEvent, WebhookRequest
from providers.verification import Verified, verify

FIXTURES = Path(__file__).parent / "fixtures"


@dataclass(frozen=True)
class Fixture:
    """One request of the provider: ``<event>__<case>.json``, the headers it arrives with, and the URL's parameters
    if ``queries.json`` names any for it."""

    path: Path
    headers: dict[str, str]
    body: bytes = field(repr=False)
    query: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def golden_path(self) -> Path:
        return self.path.with_suffix(".golden.json")

    def request(self, body: bytes | None = None) -> WebhookRequest:
        return WebhookRequest(headers=self.headers, body=self.body if body is None else body, query=self.query)


def headers_for(template: dict[str, str], event: str, case: str) -> dict[str, str]:
    """The headers template with both halves of a fixture's name filled in."""
    return {name: value.replace("{event}", event).replace("{case}", case) for name, value in template.items()}


@dataclass(frozen=True)
class Subject:
    """One adapter under test. Without ``simulator`` the checks that call the provider fail, not skip."""

    adapter: Adapter
    directory: Path
    simulator: type[Simulator] | None = None
    verify: Callable[..., Verified] = verify

    @classmethod
    def of(cls, adapter: Adapter, directory: Path | None = None) -> Subject:
        """The adapter with the simulator of its own folder and its fixtures folder."""
        package = type(adapter).__module__.rpartition(".")[0]
        simulator = None
        if (Path(inspect.getfile(type(adapter))).parent / "simulator.py").exists():
            simulator = importlib.import_module(f"{package}.simulator").Simulator
        return cls(adapter, directory or FIXTURES / adapter.slug, simulator)

    @property
    def folder(self) -> Path:
        """The adapter's own folder."""
        return Path(inspect.getfile(type(self.adapter))).parent

    @property
    def calls_nobody(self) -> bool:
        """Whether the adapter only receives: it polls nothing, and there is no credential to prove."""
        return not self.adapter.streams and not self.adapter.credential_schema.get("properties")

    @property
    def header_template(self) -> dict[str, str]:
        path = self.directory / "headers.json"
        return {name.lower(): value for name, value in orjson.loads(path.read_bytes()).items()} if path.exists() else {}

    def fixtures(self) -> list[Fixture]:
        found = []
        queries = self.directory / "queries.json"
        query_of = orjson.loads(queries.read_bytes()) if queries.exists() else {}
        for path in sorted(self.directory.glob("*__*.json")):
            if path.name.endswith(".golden.json"):
                continue
            # Characters no file name should hold are escaped in it as in a URL (%3A).
            event, _, case = unquote(path.stem).partition("__")
            headers = headers_for(self.header_template, event, case)
            found.append(Fixture(path, headers, path.read_bytes(), query_of.get(path.stem, {})))
        return found

    def outcome(self, fixture: Fixture) -> list[dict[str, Any]]:
        """What the adapter makes of a fixture, as plain JSON: the form of the golden files."""
        return [self.told(event) for event in self.adapter.process_webhook(fixture.request())]

    def signal(self, event: ProviderEvent) -> Any:
        """The signal of an event as it is made in service: from the stored, redacted payload."""
        if event.signal_type is None:
            return None
        stored = orjson.loads(orjson.dumps(redact(event.payload, emails=True)))
        return self.adapter.normalise(event.signal_type, event.event_type, stored)

    def told(self, event: ProviderEvent) -> dict[str, Any]:
        signal = self.signal(event)
        return {
            "event_type": event.event_type,
            "signal_type": str(event.signal_type) if event.signal_type else None,
            "ignored_reason": event.ignored_reason,
            "dedupe_key": event.dedupe_key,
            "happening": event.happening,
            "occurred_at": _time(event.occurred_at),
            "correlation_id": event.correlation_id,
            "signal": signal
            and {
                "signal_type": str(signal.signal_type),
                "occurred_at": _time(signal.occurred_at),
                "actor_id": signal.actor_id,
                "severity": str(signal.severity) if signal.severity else None,
                "resource": {name: value for name, value in resource(signal).items() if value is not None},
                "canonical_keys": dict(signal.canonical_keys),
                "fields": dict(signal.fields),
                "attributes": dict(signal.attributes),
            },
        }


def resource(signal: Any) -> dict[str, Any]:
    return {name: getattr(signal.resource, name) for name in type(signal.resource).__dataclass_fields__}


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every member and item of a JSON value."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in members:
        yield (*path, key)
        yield from places(item, (*path, key))


MISSING = object()


def altered(document: Any, path: tuple[Any, ...], new: Any) -> bytes:
    """The document as JSON with one place replaced, or taken away if ``new`` is ``MISSING``."""
    parent = document
    for step in path[:-1]:
        parent = parent[step]
    # Changed and mended in place: a copy for each of thousands of changes would cost most of the time.
    key, whole = path[-1], parent.copy()
    if new is MISSING:
        del parent[key]
    else:
        parent[key] = new
    text = orjson.dumps(document)
    parent.clear()
    parent.update(whole) if isinstance(parent, dict) else parent.extend(whole)
    return text


def shape(path: tuple[Any, ...]) -> tuple[Any, ...]:
    """The path without the numbers of list items: equal for the same member of every item."""
    return tuple("*" if isinstance(step, int) else step for step in path)
