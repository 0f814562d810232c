"""From a stored row to a sealed envelope, off the request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from connections.runtime import adapter_for
from events.envelope import problems, seal
from events.models import AdapterEvent, Source
from providers.canonical import SignalType
from providers.errors import MappingFailed
from providers.registry import UnknownProvider


@dataclass(frozen=True, slots=True)
class Sealed:
    """An envelope and the JSON text of it, which is sent and kept as it is."""

    envelope: dict[str, Any]
    text: bytes


def build_envelope(event: AdapterEvent) -> dict[str, Any]:
    """Map and seal an event; an envelope handed in through the API is already sealed.

    Raises ``MappingFailed``: the row is kept and can be replayed once the mapping is mended.
    """
    return seal_event(event).envelope


def seal_event(event: AdapterEvent) -> Sealed:
    """The same, ready to be sent."""
    try:
        # Through JSON, so that what cannot be sent is found here, where it stops one event only.
        text = orjson.dumps(event.raw if event.source == Source.API else _mapped(event))
        sealed = Sealed(orjson.loads(text), text)
        found = problems(sealed.envelope)
    except MappingFailed:
        raise
    except UnknownProvider:
        raise MappingFailed(f"No adapter for {event.provider_id} is registered in this deployment.") from None
    except Exception as error:  # whatever an adapter raises or returns, one event must not stop the others
        raise MappingFailed(f"The mapping failed with {type(error).__name__}.") from error
    if found:
        raise MappingFailed("The envelope does not fit its schema: " + "; ".join(found[:3]))
    return sealed


def _mapped(event: AdapterEvent) -> dict[str, Any]:
    adapter = adapter_for(event.connection)
    signal = adapter.normalise(SignalType(event.signal_type), event.provider_event_type, event.raw)
    return seal(event, signal, api_version=event.connection.api_version)
