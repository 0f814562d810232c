"""Which of the sites a grant reaches a connection leads to, where the provider has such."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as deployment

from connections.errors import ServiceError
from connections.turns import deadline
from providers.client import ClientConfig, ProviderClient
from providers.document import Document
from providers.errors import ProviderFault
from providers.oauth import SiteList
from providers.spi import Adapter
from providers.token_requests import TokenSet

_ID = re.compile(r"[A-Za-z0-9-]{1,100}", re.ASCII)
_TOLD = 20


@dataclass(frozen=True, slots=True)
class Site:
    """One of the places an account reaches. ``url`` is what people browse."""

    site_id: str
    name: str
    url: str


def settings_at_site(
    adapter: Adapter, granted: TokenSet, settings: Mapping[str, Any], *, wanted: str
) -> dict[str, Any]:
    """The settings with the address of the site that is wanted, or of the only one there is.

    ``wanted``: its id, name or address; else the address in the settings says which. Providers without sites change
    nothing. Raises ``ProviderError``, and ``ServiceError`` with the sites to choose from.
    """
    listed = adapter.oauth.sites if adapter.oauth is not None else None
    if listed is None:
        return dict(settings)
    sites = _read(listed, granted)
    if not sites:
        message = f"The account reaches no site of {adapter.label}. Nothing was changed."
        raise ServiceError("OAUTH_NO_SITE", message, status=409)
    named = wanted or str(settings.get("base_url") or "")
    fitting = [site for site in sites if not named or _is_meant(listed, site, named)]
    if len(fitting) != 1:
        names = ", ".join(f"{site.name} ({site.url})" for site in sites[:_TOLD])
        message = f"Which site? The account reaches {names}. Start again and name one as site."
        choice = [{"site": site.site_id, "name": site.name, "url": site.url} for site in sites[:_TOLD]]
        raise ServiceError("OAUTH_SITE_NEEDED", message, {"sites": choice}, status=409)
    site = fitting[0]
    return {
        **settings,
        "base_url": listed.base_url.replace("{id}", site.site_id),
        "site_url": listed.site_url.replace("{url}", site.url),
    }


def _read(listed: SiteList, granted: TokenSet) -> Sequence[Site]:
    parts = urlsplit(listed.url)
    config = ClientConfig(
        base_url=f"{parts.scheme}://{parts.netloc}",
        headers={"Authorization": f"Bearer {granted.access_token}"},
    )
    with ProviderClient(config, deployment.OUTBOUND_POLICY, deadline=deadline()) as client:
        answer = client.get(listed.url).json()
    if not isinstance(answer, list):
        raise ProviderFault("The provider does not say which sites the account reaches.")
    return [site for entry in answer[:1000] if (site := _site(listed, entry)) is not None]


def _site(listed: SiteList, entry: Any) -> Site | None:
    facts = Document(entry)
    site_id, url = facts.text("/id", limit=100) or "", (facts.text("/url", limit=300) or "").rstrip("/")
    scopes = entry.get("scopes") if isinstance(entry, dict) else None
    of_product = isinstance(scopes, list) and any(listed.product in str(scope) for scope in scopes)
    if not of_product or not _ID.fullmatch(site_id) or not url.startswith("https://"):
        return None
    return Site(site_id, facts.text("/name", limit=100) or site_id, url)


def _is_meant(listed: SiteList, site: Site, named: str) -> bool:
    named = named.rstrip("/").casefold()
    known = {
        site.site_id,
        site.name,
        site.url,
        urlsplit(site.url).netloc,
        listed.base_url.replace("{id}", site.site_id),
        listed.site_url.replace("{url}", site.url),
    }
    return named in {name.casefold() for name in known}
