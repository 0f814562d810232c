from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import orjson
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from pytest_django import Settings

from providers import registry
from tests.contract.subject import Subject
from tests.contract.suite import Check, each_check

SLUG = "tool_shed"
PACKAGE = "our_adapters"
PATH = f"{PACKAGE}.{SLUG}.adapter.ToolShedAdapter"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A provider outside this repository, importable, and what the command said."""
    root, out = tmp_path_factory.mktemp("deployment"), StringIO()
    call_command("startprovider", SLUG, label="Tool Shed", package=PACKAGE, root=root, stdout=out)
    (root / PACKAGE / "__init__.py").touch()
    sys.path.insert(0, str(root))
    yield root, out.getvalue()
    sys.path.remove(str(root))
    registry.load.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


@pytest.fixture
def subject(written: tuple[Path, str], settings: Settings) -> Subject:
    settings.EXTRA_ADAPTERS = {SLUG: PATH}
    return Subject.of(registry.get(SLUG), written[0] / "tests" / "contract" / "fixtures" / SLUG)


@each_check
def test_the_written_provider_keeps_the_contract(subject: Subject, check: Check) -> None:
    check(subject)


def test_the_written_golden_files_are_true(subject: Subject) -> None:
    for fixture in subject.fixtures():
        assert orjson.loads(orjson.dumps(subject.outcome(fixture))) == orjson.loads(fixture.golden_path.read_bytes())


def test_the_registry_serves_it_by_a_setting_alone(subject: Subject) -> None:
    assert SLUG in registry.slugs()
    assert subject.adapter.label == "Tool Shed"


def test_the_line_to_add_is_printed(written: tuple[Path, str]) -> None:
    assert f'    "{SLUG}": "{PATH}",' in written[1].splitlines()
    assert f"EXTRA_ADAPTERS={SLUG}={PATH}" in written[1]


def test_the_written_code_is_clean(tmp_path: Path) -> None:
    call_command("startprovider", SLUG, label="Tool Shed", root=tmp_path, stdout=StringIO())
    ruff = [sys.executable, "-m", "ruff"]
    # What the folder's place tells ruff when it lies in the repository.
    place = [
        'lint.isort.known-first-party=["providers","tests"]',
        'lint.extend-per-file-ignores={"test_*.py"=["S101"]}',
    ]
    config = [f"--config={value}" for value in (settings.BASE_DIR / "pyproject.toml", *place)]
    for command in (["check"], ["format", "--check"]):
        asked = [*ruff, *command, *config, "--no-cache", str(tmp_path)]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_overwritten(written: tuple[Path, str]) -> None:
    before = {path: path.read_bytes() for path in written[0].rglob("*.py")}
    with pytest.raises(CommandError, match="exists already"):
        call_command("startprovider", SLUG, package=PACKAGE, root=written[0], stdout=StringIO())
    assert {path: path.read_bytes() for path in written[0].rglob("*.py")} == before


@pytest.mark.parametrize("slug", ["Fake", "two words", "9lives", "a__b", "class", "../x", "x" * 60, "fake"])
def test_a_bad_or_taken_slug_is_refused_and_nothing_is_written(slug: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError):
        call_command("startprovider", slug, root=tmp_path, stdout=StringIO())
    assert list(tmp_path.iterdir()) == []
