"""Rules about the source that no tool of ours checks. The import order is checked by import-linter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from providers import registry

ROOT: Path = settings.BASE_DIR
PACKAGES = ("integration_adapters", "providers", "connections", "events", "webhooks", "polling", "actions")
ADAPTERS = ROOT / "providers" / "adapters"
REGISTRY = ROOT / "providers" / "registry.py"
# Measures with the requests of one real provider; it is no part of the service.
BENCH = ROOT / "integration_adapters" / "bench"
MAX_LINES = 400
MAX_ADAPTER_LINES = 150
FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager", "misc", "util", "helper"}


def sources(*, tests: bool = False) -> Iterator[Path]:
    folders = [*PACKAGES, "script", *(["tests"] if tests else [])]
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            is_code = path.suffix in (".py", ".html") or (folder == "script" and path.is_file() and not path.suffix)
            if is_code and "migrations" not in path.parts:
                yield path


def names_in(text: str, slug: str, label: str) -> list[str]:
    return [line for line in text.splitlines() if re.search(rf"\b({slug}|{re.escape(label)})\b", line, re.IGNORECASE)]


@pytest.mark.parametrize("slug", sorted(registry.BUILT_IN))
def test_only_its_folder_and_its_registry_line_spell_a_providers_name(slug: str) -> None:
    label = registry.load(slug).label
    guilty = {
        str(path.relative_to(ROOT)): lines
        for path in sources()
        if path != REGISTRY
        and not path.is_relative_to(ADAPTERS / slug)
        and not path.is_relative_to(BENCH)
        and (lines := names_in(path.read_text(), slug, label))
    }
    assert guilty == {}


@pytest.mark.parametrize("slug", sorted(registry.BUILT_IN))
def test_the_registry_spells_a_provider_in_one_line(slug: str) -> None:
    lines = names_in(REGISTRY.read_text(), slug, registry.load(slug).label)
    assert len(lines) == 1, lines


def test_no_source_file_is_longer_than_the_budget() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in sources(tests=True)
        if (count := len(path.read_text().splitlines())) > MAX_LINES
    }
    assert long == {}


def test_adapter_files_declare_and_leave_the_rest_to_the_base() -> None:
    long = {
        path.parent.name: count
        for path in ADAPTERS.glob("*/adapter.py")
        if (count := len(path.read_text().splitlines())) > MAX_ADAPTER_LINES
    }
    assert long == {}


def test_no_module_is_named_after_nothing() -> None:
    nameless = [str(path.relative_to(ROOT)) for path in sources(tests=True) if path.stem in FORBIDDEN_NAMES]
    assert nameless == []


def test_every_adapter_folder_is_registered() -> None:
    folders = {path.parent.name for path in ADAPTERS.glob("*/adapter.py")}
    assert folders == set(registry.BUILT_IN)
