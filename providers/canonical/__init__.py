"""The canonical vocabulary: what a signal can be, whoever sent it."""

from typing import Any

from providers.canonical.category import Category
from providers.canonical.fields import FIELDS
from providers.canonical.signal import Resource, Signal
from providers.canonical.signal_types import Severity, SignalType

JSON = dict[str, Any]

__all__ = ["FIELDS", "JSON", "Category", "Resource", "Severity", "Signal", "SignalType"]
