"""Keys that providers publish for their signatures: kept here, fetched by a task, never while a request waits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.db.models import F, Q
from django.db.models.functions import Now

from providers import registry
from providers.client import ClientConfig, ProviderClient
from providers.document import Document
from providers.errors import ProviderError, ProviderFault
from providers.verification import KeySetScheme, Scheme
from webhooks.lookup import OPEN_REGISTRATIONS
from webhooks.models import PublishedKeys, WebhookRegistration

log = structlog.get_logger(__name__)

REFRESH_AFTER = timedelta(hours=12)
# An unknown key may be a new one, or anybody's invention: at most so often is the provider asked for it.
RETRY_AFTER = timedelta(minutes=1)


def published_keys(scheme: KeySetScheme) -> Mapping[str, Any] | None:
    """The provider's key set as last fetched, or ``None`` if there is none yet."""
    row = PublishedKeys.objects.filter(url=scheme.keys_url).only("document").first()
    return row.document if row is not None and row.document else None


def ask_for_newer(url: str) -> None:
    """Note that a request named a key this set does not hold; written once a minute, however many ask."""
    PublishedKeys.objects.get_or_create(url=url)
    rested = Q(wanted_at=None) | Q(wanted_at__lte=Now() - RETRY_AFTER)
    PublishedKeys.objects.filter(rested, url=url).update(wanted_at=Now())


def refresh_published_keys() -> int:
    """Fetch what is missing, old or asked for, and return how many sets came."""
    needed = _needed()
    for url in needed - set(PublishedKeys.objects.values_list("url", flat=True)):
        PublishedKeys.objects.get_or_create(url=url)
    stale = Q(fetched_at=None) | Q(fetched_at__lte=Now() - REFRESH_AFTER) | Q(wanted_at__gt=F("fetched_at"))
    rested = Q(tried_at=None) | Q(tried_at__lte=Now() - RETRY_AFTER)
    return sum(_fetch(row) for row in PublishedKeys.objects.filter(stale, rested, url__in=needed))


def _needed() -> set[str]:
    """Addresses of the key sets that an open door relies on; of other providers nobody asks."""
    doors = WebhookRegistration.objects.filter(status__in=OPEN_REGISTRATIONS)
    return {
        scheme.keys_url
        for slug in registry.slugs()
        for name, scheme in _schemes(slug).items()
        if isinstance(scheme, KeySetScheme) and doors.filter(provider_id=slug, scheme=name).exists()
    }


def _schemes(slug: str) -> Mapping[str, Scheme]:
    webhook = registry.get(slug).webhook
    return webhook.schemes if webhook is not None else {}


def _fetch(row: PublishedKeys) -> bool:
    PublishedKeys.objects.filter(pk=row.pk).update(tried_at=Now())
    try:
        document = _get(row.url)
        keys_url = Document(document).text("/jwks_uri")
        if keys_url:
            document = _get(keys_url)
        if not any(key.text("/kty") for key in Document(document).items("/keys")):
            raise ProviderFault("The answer holds no keys.")
    except ProviderError as error:
        log.warning("published_keys.failed", url=row.url, error=str(error))
        PublishedKeys.objects.filter(pk=row.pk).update(last_error=str(error)[:300])
        return False
    PublishedKeys.objects.filter(pk=row.pk).update(document=document, fetched_at=Now(), last_error="")
    return True


def _get(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    config = ClientConfig(base_url=f"{parts.scheme}://{parts.netloc}")
    with ProviderClient(config, settings.OUTBOUND_POLICY) as client:
        value = client.get(parts.path).json()
    if not isinstance(value, dict):
        raise ProviderFault("The answer is not an object.")
    return value
