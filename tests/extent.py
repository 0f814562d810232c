"""How much the tests that try many cases try: enough for every change, or, with ``THOROUGH=1``, all there is."""

from __future__ import annotations

import os
from typing import TypeVar

import pytest

Extent = TypeVar("Extent")


def extent(usual: Extent, thorough: Extent) -> Extent:
    """The one or the other, as the environment says."""
    return thorough if os.environ.get("THOROUGH") else usual


# For what takes half a minute and more by itself; its parts are tried with every change.
thorough_only = pytest.mark.skipif(not os.environ.get("THOROUGH"), reason="long; THOROUGH=1 runs it")
