"""Declarations of quotas: what each registered provider names, and what a request counts for."""

from __future__ import annotations

import re
from typing import Any

import pytest

from connections import quota_headers
from connections.quota_ledger import READS, charges, holding, identity, is_split, part_of
from providers import registry
from providers.manifest import Manifest
from providers.quotas import Quota, RateLimitHeaders, Traffic
from tests.quota_rig import manifest

HEADERS = RateLimitHeaders(limit="x-limit", remaining="x-remaining", reset="x-reset")


def counted(slug: str, method: str, path: str, **settings: Any) -> dict[str, tuple[str, float]]:
    """Name, group and units of what a provider counts of a request."""
    quotas = holding(registry.load(slug).manifest.quotas, settings)
    return {charge.quota.name: (charge.group, charge.units) for charge in charges(quotas, method, path)}


def test_the_classes_are_named_most_urgent_first() -> None:
    assert [*Traffic] == ["action", "repair", "poll", "backfill"]


@pytest.mark.parametrize(
    ("slug", "method", "path", "expected"),
    [
        (
            "github",
            "GET",
            "/repos/o/search/issues",
            {"requests": ("", 1), "points": ("", 1)},
        ),
        ("github", "GET", "/search/issues", {"searches": ("", 1), "points": ("", 1)}),
        ("github", "GET", "/api/v3/search/issues", {"searches": ("", 1), "points": ("", 1)}),
        (
            "github",
            "POST",
            "/repos/o/r/hooks",
            {"requests": ("", 1), "points": ("", 5), "writes a minute": ("", 1), "writes an hour": ("", 1)},
        ),
        ("gitlab", "GET", "/api/v4/projects/7/issues", {"requests": ("", 1)}),
        ("gitlab", "GET", "/api/v4/projects/g%2Fp", {"requests": ("", 1), "one project": ("", 1)}),
        ("gitlab", "POST", "/api/v4/projects/7/issues/3/notes", {"requests": ("", 1), "notes": ("", 1)}),
        ("gitlab", "POST", "/api/v4/projects/7/pipeline", {"requests": ("", 1), "new pipelines": ("7", 1)}),
        (
            "gitlab",
            "POST",
            "/api/v4/groups/g%2Fh/hooks/3/events/9/resend",
            {"requests": ("", 1), "resent webhooks": ("", 1)},
        ),
        ("bitbucket", "GET", "/2.0/repositories/w/r/pullrequests", {"repositories": ("", 1)}),
        ("bitbucket", "GET", "/2.0/repositories/w/r/hooks", {"webhooks": ("", 1)}),
        ("bitbucket", "GET", "/2.0/workspaces/w/hooks", {"webhooks": ("", 1)}),
        ("bitbucket", "GET", "/2.0/workspaces/w/members", {"other": ("workspaces", 1)}),
        ("bitbucket", "GET", "/2.0/user", {"other": ("user", 1)}),
        ("azure_devops", "POST", "/org/project/_apis/wit/wiql", {"load": ("", 1)}),
        ("jira", "POST", "/rest/api/3/search/jql", {"points": ("", 101), "writes a second": ("", 1)}),
        ("jira", "GET", "/ex/jira/cloud/rest/api/3/myself", {"points": ("", 1), "reads a second": ("", 1)}),
        (
            "jira",
            "PUT",
            "/rest/api/3/issue/WEB-1",
            {
                "points": ("", 1),
                "writes a second": ("", 1),
                "writes to an issue in 2 seconds": ("WEB-1", 1),
                "writes to an issue in 30 seconds": ("WEB-1", 1),
            },
        ),
        ("linear", "POST", "/graphql", {"requests": ("", 1), "complexity": ("", 10_000)}),
        ("slack", "GET", "/api/conversations.history", {"tier 3": ("conversations.history", 1)}),
        ("slack", "GET", "/api/conversations.list", {"tier 2": ("conversations.list", 1)}),
        (
            "slack",
            "POST",
            "/api/chat.postMessage#C1",
            {"messages": ("chat.postMessage", 1), "messages to a channel": ("C1", 1)},
        ),
        ("slack", "POST", "/api/auth.test", {"special": ("auth.test", 1)}),
        ("msteams", "GET", "/v1.0/me", {"requests": ("", 1)}),
        (
            "msteams",
            "POST",
            "/v1.0/teams/t1/channels/19%3Ac1/messages",
            {"requests": ("", 1), "a team": ("t1", 1), "a channel or chat": ("19%3Ac1", 1)},
        ),
        ("standard_webhooks", "POST", "/anything", {}),
    ],
)
def test_a_provider_counts_a_request_as_its_pages_say(slug: str, method: str, path: str, expected: Any) -> None:
    assert counted(slug, method, path) == {name: (part_of(group), units) for name, (group, units) in expected.items()}


def test_an_app_outside_the_marketplace_has_one_page_a_minute() -> None:
    found = counted("slack", "GET", "/api/conversations.replies", limited=True)
    assert found["history of a limited app"] == (part_of("conversations.replies"), 1)


def test_reading_is_by_the_method() -> None:
    quota = Quota(name="points", units=9, read_cost=1, write_cost=5)
    assert {method: charges([quota], method, "/")[0].units for method in (*READS, "POST", "DELETE")} == {
        "GET": 1,
        "HEAD": 1,
        "OPTIONS": 1,
        "POST": 5,
        "DELETE": 5,
    }


def test_a_quota_with_groups_is_counted_in_parts() -> None:
    assert is_split(Quota(name="a", path=r"/(x)"))
    assert not is_split(Quota(name="a", path=r"/(?:x)"))


def test_whose_quota_it_is_does_not_depend_on_the_order_of_the_credential() -> None:
    one = identity("p", "https://a.example", {"token": "t", "email": "e"})
    assert one == identity("p", "https://a.example", {"email": "e", "token": "t"})
    others = [identity("q", "https://a.example", {"token": "t", "email": "e"}), identity("p", "https://a.example", {})]
    assert one not in others
    assert re.fullmatch(r"[0-9a-f]{64}", one)


class TestManifest:
    def test_a_refusal_is_read_by_the_first_quota_that_tells_anything(self) -> None:
        silent, telling = Quota(name="a"), Quota(name="b", headers=HEADERS)
        assert manifest(silent, telling).rate_limit_headers == HEADERS
        own = RateLimitHeaders(reset="retry-at")
        assert manifest(telling, rate_limit_headers=own).rate_limit_headers == own
        assert manifest(silent).rate_limit_headers == RateLimitHeaders()
        assert isinstance(manifest(), Manifest)


class TestHeaders:
    def test_what_is_not_told_is_not_known(self) -> None:
        assert quota_headers.told(Quota(name="a", headers=HEADERS), {"other": "1"}) is None
        assert quota_headers.told(Quota(name="a"), {"x-limit": "1"}) is None

    def test_of_a_part_the_part_is_known(self) -> None:
        told = quota_headers.told(Quota(name="a", headers=HEADERS), {"x-limit": "5000"})
        assert told == {"limit": 5000.0, "delta": False}

    @pytest.mark.parametrize(
        ("form", "written", "seconds"),
        [
            ("epoch_seconds", "1800000000", 1_800_000_000.0),
            ("epoch_milliseconds", "1800000000500", 1_800_000_000.5),
            ("iso8601", "2027-01-15T08:00:00Z", 1_800_000_000.0),
            ("delta_seconds", "40", 40.0),
        ],
    )
    def test_a_reset_is_read_in_its_form(self, form: Any, written: str, seconds: float) -> None:
        quota = Quota(name="a", headers=RateLimitHeaders(reset="x-reset", reset_format=form))
        assert quota_headers.told(quota, {"x-reset": written}) == {
            "reset": seconds,
            "delta": form == "delta_seconds",
        }

    @pytest.mark.parametrize("written", ["soon", "-1", "1e9", "²", "9" * 400])
    def test_a_reset_that_is_no_number_is_none(self, written: str) -> None:
        assert quota_headers.told(Quota(name="a", headers=HEADERS), {"x-reset": written}) is None

    def test_the_longer_delay_is_waited(self) -> None:
        quotas = [Quota(name="a", delay_header="x-delay"), Quota(name="b", delay_header="x-pause")]
        assert quota_headers.wait_asked(quotas, {"x-delay": "1.5", "x-pause": "2.5"}) == 2.5
        assert quota_headers.wait_asked(quotas, {"x-delay": "0"}) is None
        assert quota_headers.wait_asked(quotas, {"retry-after": "9", "x-delay": "1.5"}) == 9
