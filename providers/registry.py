"""Which adapters exist: one line each, imported on first use. A deployment adds its own by setting."""

from __future__ import annotations

from functools import cache

from django.conf import settings
from django.utils.module_loading import import_string

from providers.spi import Adapter

BUILT_IN = {
    "azure_devops": "providers.adapters.azure_devops.adapter.AzureDevOpsAdapter",
    "bitbucket": "providers.adapters.bitbucket.adapter.BitbucketAdapter",
    "confluence": "providers.adapters.confluence.adapter.ConfluenceAdapter",
    "fake": "providers.adapters.fake.adapter.FakeAdapter",
    "github": "providers.adapters.github.adapter.GitHubAdapter",
    "gitlab": "providers.adapters.gitlab.adapter.GitLabAdapter",
    "jira": "providers.adapters.jira.adapter.JiraAdapter",
    "linear": "providers.adapters.linear.adapter.LinearAdapter",
    "slack": "providers.adapters.slack.adapter.SlackAdapter",
    "msteams": "providers.adapters.msteams.adapter.TeamsAdapter",
    "standard_webhooks": "providers.adapters.standard_webhooks.adapter.StandardWebhooksAdapter",
}


class UnknownProvider(LookupError):
    """No adapter is registered under that slug."""


def slugs() -> list[str]:
    """Every slug served here, sorted; adapters for development only are left out in production."""
    return sorted(slug for slug in _paths() if not (load(slug).development_only and settings.IS_PRODUCTION))


def get(slug: str) -> Adapter:
    """The adapter for ``slug``. Raises ``UnknownProvider``."""
    if slug not in _paths() or (load(slug).development_only and settings.IS_PRODUCTION):
        raise UnknownProvider(slug)
    return load(slug)


def _paths() -> dict[str, str]:
    return {**BUILT_IN, **settings.EXTRA_ADAPTERS}


@cache
def load(slug: str) -> Adapter:
    """The adapter the registry names, whatever the environment. Raises what importing it raises."""
    adapter = import_string(_paths()[slug])()
    if adapter.slug != slug:
        raise ValueError(f"{type(adapter).__name__} calls itself {adapter.slug!r}, the registry says {slug!r}")
    return adapter  # type: ignore[no-any-return]
