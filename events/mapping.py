"""From a stored row to a sealed envelope, off the request."""

from __future__ import annotations

from typing import Any

from connections.runtime import adapter_for
from events.envelope import problems, seal
from events.models import AdapterEvent, Source
from providers.canonical import SignalType
from providers.errors import MappingFailed
from providers.registry import UnknownProvider


def build_envelope(event: AdapterEvent) -> dict[str, Any]:
    """Map and seal an event; an envelope handed in through the API is already sealed.

    Raises ``MappingFailed``: the row is kept and can be replayed once the mapping is mended.
    """
    if event.source == Source.API:
        handed_in: dict[str, Any] = event.raw
        return _checked(handed_in)
    try:
        adapter = adapter_for(event.connection)
        signal = adapter.normalise(SignalType(event.signal_type), event.provider_event_type, event.raw)
    except UnknownProvider:
        raise MappingFailed(f"No adapter for {event.provider_id} is registered in this deployment.") from None
    except Exception as error:  # whatever an adapter raises, the event must be kept
        raise MappingFailed(f"The mapping failed with {type(error).__name__}.") from error
    return _checked(seal(event, signal, api_version=event.connection.api_version))


def _checked(envelope: dict[str, Any]) -> dict[str, Any]:
    found = problems(envelope)
    if found:
        raise MappingFailed("The envelope does not fit its schema: " + "; ".join(found[:3]))
    return envelope
