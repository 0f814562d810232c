from __future__ import annotations

import pytest

from providers.outbound import OutboundPolicy


def test_a_host_is_admitted_on_every_port() -> None:
    policy = OutboundPolicy.parse(["Build.Internal", " "])
    assert policy.admits("https://build.internal/x")
    assert policy.admits("http://BUILD.internal:8080/x")
    assert not policy.admits("https://other.internal/x")
    assert not policy.admits("https://build.internal.evil.example/x")


def test_a_host_with_a_port_is_admitted_on_that_port_only() -> None:
    policy = OutboundPolicy.parse(["build.internal:8443", "plain.internal:80"])
    assert policy.admits("https://build.internal:8443/x")
    assert not policy.admits("https://build.internal/x")
    assert policy.admits("http://plain.internal/x")


def test_a_network_admits_its_literal_addresses() -> None:
    policy = OutboundPolicy.parse(["10.1.0.0/16", "fd00::/8"])
    assert policy.admits("http://10.1.2.3:9/x")
    assert policy.admits("http://[fd00::1]/x")
    assert not policy.admits("http://10.2.0.1/x")
    assert not policy.admits("http://ten.example/x")


def test_an_address_of_version_6_may_be_listed_with_or_without_brackets() -> None:
    assert OutboundPolicy.parse(["::1"]).admits("http://[::1]:9/x")
    assert OutboundPolicy.parse(["[::1]:9"]).admits("http://[::1]:9/x")
    assert not OutboundPolicy.parse(["[::1]:9"]).admits("http://[::1]:10/x")


@pytest.mark.parametrize("url", ["", "http://", "http://[::1", "http://x:99999/", "nonsense", "http:///path"])
def test_an_unreadable_address_is_never_admitted(url: str) -> None:
    assert not OutboundPolicy.parse(["x", "::1", "0.0.0.0/0"]).admits(url)


@pytest.mark.parametrize("entry", ["https://x.example/", "10.0.0.1/8", "a b", "user@host", "x?y"])
def test_an_entry_that_is_neither_host_nor_network_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        OutboundPolicy.parse([entry])


def test_an_empty_list_admits_nothing() -> None:
    assert not OutboundPolicy.parse([]).admits("http://127.0.0.1/")
