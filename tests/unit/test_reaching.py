"""The way to a provider: which addresses are connected to at all, and what certificates are believed."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from providers import reaching
from providers.errors import Misconfigured, Unreachable
from providers.outbound import OutboundPolicy
from providers.reaching import Reached
from tests.tls_server import listening, make_certificate

NOBODY = OutboundPolicy.parse([])
LOOPBACK = OutboundPolicy.parse(["localhost", "127.0.0.1"])


def leads_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def answer(host: Any, port: Any, *args: Any, **kwargs: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def at(port: int, host: str = "localhost") -> Reached:
    return Reached("https", host, port, "127.0.0.1", trusted=True)


@pytest.fixture
def believing(monkeypatch: pytest.MonkeyPatch) -> Any:
    def believe(authority: Path) -> None:
        context = ssl.create_default_context(cafile=str(authority))
        monkeypatch.setattr(reaching, "_trust", lambda: context)

    return believe


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1", "192.168.1.1"])
def test_a_name_that_leads_inside_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    leads_to(monkeypatch, address)
    with pytest.raises(Misconfigured, match="private address") as refused:
        reaching.resolve("https://api.example/v1", NOBODY)
    assert address not in str(refused.value)


def test_a_public_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    leads_to(monkeypatch, "140.82.112.5")
    found = reaching.resolve("https://api.example/v1", NOBODY)
    assert (found.host, found.port, found.address, found.trusted) == ("api.example", 443, "140.82.112.5", False)


def test_plain_http_is_for_the_operators_list_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    leads_to(monkeypatch, "140.82.112.5")
    with pytest.raises(Misconfigured, match="https"):
        reaching.resolve("http://api.example", NOBODY)
    assert reaching.resolve("http://localhost:81", LOOPBACK).trusted


def test_a_name_that_leads_nowhere_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*args: Any, **kwargs: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)
    with pytest.raises(Unreachable, match=r"api\.example leads to no address"):
        reaching.resolve("https://api.example", NOBODY)


def test_a_good_certificate_tells_its_issuer_and_its_end(tmp_path: Path, believing: Any) -> None:
    public, both = make_certificate(tmp_path, days=30)
    believing(public)
    with listening(both) as server:
        shown = reaching.shake_hands(at(server.port), 5)
    assert (shown.issuer, shown.protocol) == ("Test Authority", "TLSv1.3")
    assert shown.expires_at.tzinfo is not None


@pytest.mark.parametrize(
    ("made", "trusted", "asked", "words"),
    [
        ({"days": -1}, True, "localhost", "expired"),
        ({"host": "other.example"}, True, "localhost", "mismatch"),
        ({}, False, "localhost", "self-signed|self signed"),
    ],
)
def test_a_certificate_that_proves_nothing_is_refused(
    tmp_path: Path, believing: Any, made: dict[str, Any], trusted: bool, asked: str, words: str
) -> None:
    public, both = make_certificate(tmp_path, **made)
    if trusted:
        believing(public)
    with listening(both) as server, pytest.raises(Misconfigured, match=rf"(?i)not valid: .*({words})"):
        reaching.shake_hands(at(server.port, asked), 5)


def test_a_server_that_says_nothing_holds_nobody() -> None:
    with listening(None) as server, pytest.raises(Unreachable, match="no TLS connection"):
        reaching.shake_hands(at(server.port), 0.1)


def test_a_port_nobody_listens_at_is_told() -> None:
    with listening(None) as server:
        closed = server.port
    with pytest.raises(Unreachable):
        reaching.shake_hands(at(closed), 1)
