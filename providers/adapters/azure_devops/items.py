"""What all lists have in common: an item in the shape of a service hook, its event, and refusals in words."""

from __future__ import annotations

from urllib.parse import quote

from providers.adapters.azure_devops import mapping, naming
from providers.canonical import JSON, SignalType
from providers.document import Document, compact
from providers.errors import AuthFailed, ProviderError, ProviderFault, Rejected
from providers.listing import Place
from providers.spi import ProviderEvent

_API_VERSION = "7.1"


def params(**given: str) -> dict[str, str]:
    """The parameters of a request, without those that are empty."""
    return {**compact(given), "api-version": _API_VERSION}


def in_hook_shape(event: str, resource: JSON, place: Place, happened: str = "") -> JSON:
    """The body a subscription would have sent, as far as an item of a list shows it."""
    surroundings = {"collection": {"baseUrl": place.settings["base_url"]}}
    return compact(
        {"eventType": event, "resource": resource, "resourceContainers": surroundings, "createdDate": happened}
    )


def with_page(resource: JSON, place: Place) -> JSON:
    """The item with the address of its repository, which lists leave out."""
    item = Document(resource)
    project, name = item.text("/repository/project/name"), item.text("/repository/name")
    if item.text("/repository/remoteUrl") or not (project and name):
        return resource
    address = f"{place.settings['base_url'].rstrip('/')}/{quote(project)}/_git/{quote(name)}"
    return {**resource, "repository": {**resource["repository"], "remoteUrl": address}}


def event_of(event: str, signal_type: SignalType, payload: JSON) -> ProviderEvent:
    """One event of an item. Raises ``ProviderFault`` where the item does not identify it."""
    document = Document(payload)
    name = naming.happening(event, signal_type, document)
    if not name:
        raise ProviderFault("An item of the provider's list lacks its number, its version or its time.")
    return ProviderEvent(
        event_type=event,
        dedupe_key=f"polled:{name}:{signal_type}",
        payload=payload,
        signal_type=signal_type,
        occurred_at=mapping.occurred_at(signal_type, document),
        happening=name,
        ordering_key=naming.ordering_key(event, document),
    )


def refused(error: ProviderError, what: str, scope: str, where: str) -> ProviderError:
    """A refusal with what a person can do about it; ``where`` begins a sentence."""
    if isinstance(error, AuthFailed) and error.status in (401, 403):
        return AuthFailed(
            f"Azure DevOps refuses to list {what} ({error.status}). {where} must be open to the token's user, and the "
            f"token needs the scope {scope}; it may also be wrong, expired or forbidden by a policy.",
            status=error.status,
        )
    if isinstance(error, Rejected) and error.status == 404:
        return Rejected(f"{where} does not exist, or the token cannot see it (404).", status=404)
    return error
