"""How much the tests that try many cases try: enough for every change, or, with ``THOROUGH=1``, all there is."""

from __future__ import annotations

import os
from typing import TypeVar

Extent = TypeVar("Extent")


def extent(usual: Extent, thorough: Extent) -> Extent:
    """The one or the other, as the environment says."""
    return thorough if os.environ.get("THOROUGH") else usual
