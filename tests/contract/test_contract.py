"""Every registered adapter keeps the contract."""

from __future__ import annotations

import pytest

from providers import registry
from tests.contract.subject import Subject
from tests.contract.suite import Check, each_check


@pytest.mark.parametrize("slug", registry.slugs())
@each_check
def test_adapter_keeps_the_contract(slug: str, check: Check) -> None:
    """UT-IA-01: among the checks are all that a signature must pass or fail, for every scheme."""
    check(Subject.of(registry.get(slug)))
