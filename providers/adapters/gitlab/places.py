"""Projects and groups as the settings name them, and as stored bodies do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from providers.adapters.gitlab.registrar import GROUP
from providers.canonical import JSON
from providers.document import compact

API_PATH: Final = "/api/v4"
SITE: Final = "https://gitlab.com"


def distinct(names: Iterable[str]) -> list[str]:
    """Each once; GitLab does not tell apart how a path is capitalised."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(name.lower(), name)
    return list(found.values())


def path_of(partition: str) -> str:
    """``projects/acme%2Fweb`` or ``groups/acme``: a path counts as one part of the address."""
    kind = "groups" if partition.startswith(GROUP) else "projects"
    return f"{kind}/{quote(partition.removeprefix(GROUP), safe='')}"


def project(settings: Mapping[str, Any], partition: str, number: int | None, address: str | None = None) -> JSON:
    """A project as a webhook names it, out of an address below it; without one, as the settings name it."""
    site = (settings.get("base_url") or SITE).removesuffix("/").removesuffix(API_PATH)
    web, below, _ = (address or "").partition("/-/")
    if below:
        # An instance may lie below a path of its host.
        root = site.partition("://")[2].partition("/")[2]
        name = web.partition("://")[2].partition("/")[2].removeprefix(f"{root}/" if root else "")
    else:
        name = "" if partition.startswith(GROUP) or partition.isdigit() else partition
        web = f"{site}/{name}" if name else ""
    return compact({"id": number, "path_with_namespace": name, "web_url": web})
