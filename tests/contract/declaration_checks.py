"""Checks of what an adapter declares, and of its source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import jsonschema_rs

from providers import registry
from providers.canonical import Category
from tests.contract.subject import Subject

FORBIDDEN_IMPORTS = {
    "django", "rest_framework", "celery", "redis", "psycopg",
    "integration_adapters", "webhooks", "polling", "actions", "events", "connections",
    "requests", "urllib3", "httpx", "aiohttp", "socket", "http", "ssl", "subprocess", "os",
}  # fmt: skip
FORBIDDEN_MODULES = {"urllib.request"}
CLOCKS = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"), ("time", "time")}


def manifest_is_sane(subject: Subject) -> None:
    """Limits are possible, statuses fit their meaning, and the vendor page is named."""
    manifest = subject.adapter.manifest
    assert 0 < manifest.ack_budget_seconds <= 120, "the provider waits between 0 and 120 seconds"
    assert timedelta(0) <= manifest.redelivery_horizon <= timedelta(days=30)
    assert timedelta(seconds=sum(manifest.retry_schedule_seconds)) <= max(
        manifest.redelivery_horizon, timedelta(seconds=1)
    ), "the retry schedule is longer than the redelivery horizon"
    assert 1024 <= manifest.body_limit_bytes <= 128 * 1024 * 1024
    assert manifest.delivery_id_header == manifest.delivery_id_header.lower(), "header names are lower case"
    assert manifest.documentation.startswith("https://"), "the vendor's page is not named"
    assert 200 <= manifest.accepted_status < 300
    assert 200 <= manifest.duplicate_status < 300
    assert 400 <= manifest.rejected_status < 500
    assert 500 <= manifest.fault_status < 600, "our own fault must make the provider try again"
    # A refusal is final for most; the answer to a limit must be one that asks for another try.
    assert manifest.limited_status == 429 or 500 <= manifest.limited_status < 600, (
        "a limit must not look like a refusal"
    )
    assert manifest.timestamp_tolerance_seconds is None or manifest.timestamp_tolerance_seconds > 0
    webhook = subject.adapter.webhook
    assert bool(manifest.vendor_origins) is bool(webhook and webhook.routed), "whose word decides at a shared door?"
    assert all(re.fullmatch(r"https://[a-z0-9.-]+", origin) for origin in manifest.vendor_origins)
    limits = manifest.rate_limit_headers
    for name in (limits.limit, limits.remaining, limits.reset):
        assert name == name.lower(), "header names are lower case"


def quotas_can_be_kept(subject: Subject) -> None:
    """Each quota has a name of its own, limits something, and can be told by its headers from the others."""
    quotas = subject.adapter.manifest.quotas
    names = [quota.name for quota in quotas]
    assert len(set(names)) == len(names), "two quotas share a name"
    for quota in quotas:
        assert quota.name.strip() == quota.name != "", "a quota has no name"
        assert "\n" not in quota.name
        assert quota.units or quota.concurrency or quota.write_spacing_seconds, f"{quota.name} limits nothing"
        assert quota.units >= 0
        assert quota.window_seconds > 0
        assert min(quota.read_cost, quota.write_cost, *(units for _, units in quota.costs)) >= 0
        for pattern in (quota.path, *(pattern for pattern, _ in quota.costs)):
            re.compile(pattern)
        headers = (quota.headers.limit, quota.headers.remaining, quota.headers.reset)
        for header in (*headers, *quota.scope, quota.cost_header, quota.delay_header):
            assert header == header.lower(), "header names and scopes are lower case"
        assert quota.kind != "fixed" or (quota.headers.remaining and quota.headers.reset), (
            f"{quota.name}: without a remainder and a reset nobody knows when its window begins; say rolling"
        )
        if quota.setting:
            assert quota.setting in subject.adapter.settings_schema["properties"], "a setting that does not exist"


def facts_are_complete(subject: Subject) -> None:
    """Slug, label, category, versions and status are what the catalogue needs."""
    adapter = subject.adapter
    assert re.fullmatch(r"[a-z][a-z0-9_]{1,48}", adapter.slug), "the slug is not a plain lower-case word"
    assert adapter.label.strip()
    assert isinstance(adapter.category, Category)
    assert adapter.initial_status in ("alpha", "beta", "GA", "deprecated")
    assert adapter.api_versions
    assert all(isinstance(version, str) and version for version in adapter.api_versions)
    assert len(set(adapter.api_versions)) == len(adapter.api_versions)
    assert adapter.webhook is not None or adapter.streams, "an adapter that can do nothing"
    names = [stream.name for stream in adapter.streams]
    assert len(set(names)) == len(names), "two streams share a name"
    assert all(0 < len(name) <= 60 for name in names)
    assert (subject.folder / "README.md").exists(), "the folder has no README.md"


def schemas_are_schemas(subject: Subject) -> None:
    """Both schemas are valid JSON Schema 2020-12, and what the simulator gives fits them."""
    adapter = subject.adapter
    for schema in (adapter.settings_schema, adapter.credential_schema):
        assert schema.get("type") == "object"
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
    for name, part in adapter.credential_schema.get("properties", {}).items():
        assert part.get("type") == "string", f"credential part {name!r} is not a string"
    if subject.simulator:
        settings = subject.simulator.settings("http://127.0.0.1:1")
        jsonschema_rs.Draft202012Validator(adapter.settings_schema).validate(settings)
        jsonschema_rs.Draft202012Validator(adapter.credential_schema).validate(dict(subject.simulator.credential))


def source_stays_in_its_place(subject: Subject) -> None:
    """No framework, no network of its own, no clock, no tenant, no word about another provider."""
    others = {*registry.BUILT_IN, *registry.slugs()} - {subject.adapter.slug}
    for path in sorted(subject.folder.glob("*.py")):
        text = path.read_text()
        tree = ast.parse(text)
        for module in _imported(tree):
            assert module.split(".")[0] not in FORBIDDEN_IMPORTS, f"{path.name} imports {module}"
            assert module not in FORBIDDEN_MODULES, f"{path.name} imports {module}"
        for name in _names(tree):
            assert "tenant" not in name.lower(), f"{path.name} speaks of a tenant: {name}"
        # The simulator is the far side: it has a clock of its own, as the provider has.
        if path.name != "simulator.py":
            assert not _clocks(tree), f"{path.name} reads the clock"
        for slug in others:
            assert not re.search(rf"\b{slug}\b", text, re.IGNORECASE), f"{path.name} speaks of {slug}"


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg | ast.keyword) and node.arg:
            yield node.arg


def _clocks(tree: ast.AST) -> bool:
    return any(
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name | ast.Attribute)
        and (node.value.id if isinstance(node.value, ast.Name) else node.value.attr, node.attr) in CLOCKS
        for node in ast.walk(tree)
    )


def signal_types_of(folder: Path) -> set[str]:
    """Names of the signal types the adapter's modules mention."""
    return {
        node.attr
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "SignalType"
    }
