"""What the adapters say of their authorisation servers, against the vendors' pages."""

from __future__ import annotations

from typing import Any

import pytest

from providers import registry
from providers.oauth import OAuth2
from providers.token_requests import token_request

CODE = {"grant_type": "authorization_code", "code": "c", "redirect_uri": "https://us.example/cb"}
DECLARED = [slug for slug in sorted(registry.BUILT_IN) if registry.load(slug).oauth is not None]

# Page and token endpoint, how the app proves itself, how the request is encoded.
SERVERS = {
    "bitbucket": (
        *("https://bitbucket.org/site/oauth2/authorize", "https://bitbucket.org/site/oauth2/access_token"),
        *("basic", "form"),
    ),
    "confluence": ("https://auth.atlassian.com/authorize", "https://auth.atlassian.com/oauth/token", "body", "json"),
    "github": (
        *("https://github.com/login/oauth/authorize", "https://github.com/login/oauth/access_token"),
        *("body", "form"),
    ),
    "gitlab": ("https://gitlab.com/oauth/authorize", "https://gitlab.com/oauth/token", "body", "form"),
    "jira": ("https://auth.atlassian.com/authorize", "https://auth.atlassian.com/oauth/token", "body", "json"),
    "linear": ("https://linear.app/oauth/authorize", "https://api.linear.app/oauth/token", "body", "form"),
    "slack": ("https://slack.com/oauth/v2/authorize", "https://slack.com/api/oauth.v2.access", "body", "form"),
}


def declared(slug: str) -> OAuth2:
    oauth = registry.load(slug).oauth
    assert oauth is not None
    return oauth


def test_each_server_is_described_here() -> None:
    assert set(SERVERS) == set(DECLARED)


@pytest.mark.parametrize("slug", DECLARED)
def test_the_page_and_the_token_request_are_the_vendors(slug: str) -> None:
    oauth, (page, token, proof, encoding) = declared(slug), SERVERS[slug]
    assert oauth.authorize_url.replace("{origin}", oauth.default_origin) == page
    request = token_request(oauth, origin="", client_id="id", client_secret="s", fields=CODE)
    assert (request.url, request.encoding) == (token, encoding)
    assert ("Authorization" in request.headers) == (proof == "basic")
    assert ("client_secret" in request.fields) == (proof == "body")
    assert oauth.documentation.startswith("https://")


@pytest.mark.parametrize("slug", DECLARED)
def test_the_access_token_can_be_called_with_as_a_bearer_token(slug: str) -> None:
    adapter, oauth = registry.load(slug), declared(slug)
    settings = {} if oauth.sites is None else {"base_url": oauth.sites.base_url.replace("{id}", "1")}
    config = adapter.client_config(settings, {oauth.credential_name: "granted-token"}, adapter.api_versions[0])
    assert config.headers["Authorization"] == "Bearer granted-token"
    assert oauth.origin_of({**settings, "base_url": config.base_url}) == oauth.default_origin


@pytest.mark.parametrize("slug", DECLARED)
def test_an_address_nobody_knows_belongs_to_no_other_server(slug: str) -> None:
    """Else its owner would be sent what the provider's own server granted."""
    oauth = declared(slug)
    for base_url in (
        "https://evil.example",
        f"https://evil.example{oauth.api_path}",
        f"{oauth.default_origin}.evil.example/",
        f"{oauth.default_base_url or oauth.default_origin}@evil.example/",
        "https://evil.example/https://api.atlassian.com/ex/jira/1",
    ):
        assert oauth.origin_of({"base_url": base_url}) != oauth.default_origin, base_url


@pytest.mark.parametrize(
    ("slug", "settings", "origin"),
    [
        ("github", {"base_url": "https://API.github.com/"}, "https://github.com"),
        ("github", {"base_url": "https://api.acme.ghe.com"}, "https://acme.ghe.com"),
        ("github", {"base_url": "https://git.acme.eu/api/v3"}, "https://git.acme.eu"),
        ("gitlab", {"base_url": "https://git.acme.eu/tools/api/v4/"}, "https://git.acme.eu/tools"),
        ("gitlab", {}, "https://gitlab.com"),
        ("slack", {"base_url": "https://slack-gov.com/api"}, "https://slack-gov.com"),
        ("jira", {"base_url": "https://api.atlassian.com/ex/jira/abc"}, "https://auth.atlassian.com"),
        ("jira", {"base_url": "https://acme.atlassian.net"}, "https://acme.atlassian.net"),
        ("confluence", {"base_url": "https://api.atlassian.com/ex/confluence/a/wiki"}, "https://auth.atlassian.com"),
    ],
)
def test_the_server_follows_from_the_address_of_the_api(slug: str, settings: dict[str, Any], origin: str) -> None:
    assert declared(slug).origin_of(settings) == origin
