"""The suite itself: each check catches the adapter that breaks its promise, and passes the good one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jsonschema_rs
import pytest

from providers.adapters.fake.adapter import FakeAdapter
from providers.verification import Verified
from tests.contract import hostile
from tests.contract.declaration_checks import source_stays_in_its_place
from tests.contract.hostile_ledgers import remembering
from tests.contract.hostile_registrars import Registrar, making_hooks
from tests.contract.hostile_verifiers import VERIFIERS
from tests.contract.suite import CHECKS, Check

# How a check says no: an assertion, ``pytest.raises`` that saw nothing, or a schema that does not validate.
CAUGHT_BY = (AssertionError, pytest.fail.Exception, jsonschema_rs.ValidationError)
BY_NAME = {check.__name__: check for check in CHECKS}
CAUGHT = [
    pytest.param(adapter, BY_NAME[name], id=f"{vice} - {name}")
    for vice, (adapter, names) in hostile.VICES.items()
    for name in names
]


@pytest.mark.parametrize(("adapter", "check"), CAUGHT)
def test_vice_is_caught(adapter: FakeAdapter, check: Check) -> None:
    with pytest.raises(CAUGHT_BY):
        check(hostile.subject(adapter))


@pytest.mark.parametrize(
    ("verifier", "check"),
    [pytest.param(v, BY_NAME[name], id=f"{v.__name__} - {name}") for v, names in VERIFIERS.items() for name in names],
)
def test_bad_verifier_is_caught(verifier: Callable[..., Verified], check: Check) -> None:
    """UT-IA-01 from the other side: a verifier that takes too much, or raises, does not get through."""
    with pytest.raises(CAUGHT_BY):
        check(hostile.subject(FakeAdapter(), verifier=verifier))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_adapter_without_vices_passes_in_the_same_frame(check: Check) -> None:
    check(hostile.subject(FakeAdapter()))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_so_does_one_that_makes_hooks(check: Check) -> None:
    check(hostile.subject(hostile.with_webhook(making_hooks(Registrar()))))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_so_does_one_whose_provider_remembers(check: Check) -> None:
    check(hostile.subject(hostile.with_webhook(remembering())))


@pytest.mark.parametrize("source", hostile.SOURCES.values(), ids=hostile.SOURCES.keys())
def test_source_out_of_its_place_is_caught(source: str, tmp_path: Path) -> None:
    (tmp_path / "mapping.py").write_text(source)
    with pytest.raises(AssertionError):
        source_stays_in_its_place(hostile.subject(FakeAdapter(), source=tmp_path))


def test_every_check_has_a_vice_it_catches() -> None:
    names = [*VERIFIERS.values(), *(names for _, names in hostile.VICES.values())]
    assert {name for several in names for name in several} | {source_stays_in_its_place.__name__} == set(BY_NAME)
