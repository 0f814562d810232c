"""Where a tenant cannot send us: a table of addresses to which no connection is opened, whoever asks for it.

Every attempt to connect is noted by Python's own audit events, and a listener on loopback counts who came.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.conf import settings as deployment

from connections.errors import ServiceError
from connections.validation import check_settings
from providers import reaching, registry
from providers.client import MAX_REDIRECTS, ClientConfig, ProviderClient
from providers.deadline import Deadline
from providers.errors import Misconfigured, ProviderError, ProviderFault, Unreachable
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from providers.token_requests import TokenRequest, ask
from tests.contract.provider_server import Server, serving
from tests.security.sockets import names_lead, watching

NOBODY = OutboundPolicy.parse([])
PUBLIC, OTHER_PUBLIC = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"

# Hosts as they may be written into a URL. What a resolver makes of the odd ones differs from system to system.
TABLE = {
    "loopback": ["127.0.0.1", "127.0.0.2", "127.255.255.254", "localhost", "LOCALHOST", "[::1]", "[0:0:0:0:0:0:0:1]"],
    "this host": ["0.0.0.0", "0.1.2.3", "[::]"],
    "private": ["10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.254", "192.168.0.1", "192.168.255.254"],
    "shared": ["100.64.0.1", "100.127.255.254"],
    "link-local and metadata": ["169.254.0.1", "169.254.169.254", "169.254.170.2", "[fe80::1]", "[fe80::1%25lo]"],
    "other metadata": ["[fd00:ec2::254]", "100.100.100.200", "192.0.0.192", "[fd20:ce::254]"],
    "unique local and site-local": ["[fc00::1]", "[fdff:ffff::1]", "[fec0::1]"],
    "protocol assignments": ["192.0.0.1", "192.0.0.8", "192.0.0.170", "192.88.99.1"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "[2001:db8::1]", "[3fff::1]"],
    "benchmarks": ["198.18.0.1", "198.19.255.254", "[2001:2::1]"],
    "multicast": ["224.0.0.1", "239.255.255.255", "[ff02::1]", "[ff0e::1]"],
    "reserved and broadcast": ["240.0.0.1", "255.255.255.254", "255.255.255.255", "[100::1]", "[4000::1]", "[::2]"],
    "mapped": ["[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:10.0.0.1]", "[::ffff:169.254.169.254]"],
    "compatible": ["[::127.0.0.1]", "[::7f00:1]", "[::10.0.0.1]", "[::ffff:0:127.0.0.1]"],
    "6to4": ["[2002:7f00:1::]", "[2002:a00:1::1]", "[2002:a9fe:a9fe::]"],
    "NAT64": ["[64:ff9b::7f00:1]", "[64:ff9b::10.0.0.1]", "[64:ff9b:1::7f00:1]"],
    "Teredo": ["[2001:0:4136:e378:8000:63bf:80ff:fffe]", "[2001::1]"],
    "identifiers and segments": ["[2001:10::1]", "[2001:20::1]", "[5f00::1]"],
    "decimal": ["2130706433", "3232235521", "2852039166", "0"],
    "octal": ["0177.0.0.1", "0177.0.0.01", "017700000001", "0251.0376.0251.0376", "00000177.0.0.1"],
    "hexadecimal": ["0x7f.0.0.1", "0x7f000001", "0x7f.1", "0xa9fea9fe", "0X7F000001"],
    "short": ["127.1", "127.0.1", "10.1", "192.168.1"],
    "other digits": ["１２７.0.0.1", "①②⑦.⓪.⓪.①", "ⓛocalhost", "ｌｏｃａｌｈｏｓｔ"],
    "other dots": ["127。0。0。1", "127．0．0．1"],
    "trailing dots": ["127.0.0.1.", "localhost.", "127.1.", "127.0.0.1.."],
    "escaped": ["%31%32%37.0.0.1", "127%2e0%2e0%2e1", "localhos%74"],
    "users": ["public.example@127.0.0.1", "127.0.0.1:80@127.0.0.1", "a:b@localhost", "@127.0.0.1", "a%40@[::1]"],
}  # fmt: skip
EVERY_HOST = [pytest.param(host, id=f"{kind}: {host}") for kind, hosts in TABLE.items() for host in hosts]


class Listener:
    """Takes connections on every address of this machine and counts them."""

    def __init__(self) -> None:
        self.taken = 0
        self._socket = socket.create_server(("", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            self.taken += 1
            peer.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    running = Listener()
    yield running
    running.close()


def call(base_url: str, policy: OutboundPolicy = NOBODY, path: str = "/x") -> None:
    """As the adapters call; under a deadline, so that nothing is tried twice."""
    config = ClientConfig(base_url=base_url, headers={"Authorization": "Bearer canary"})
    with ProviderClient(config, policy, deadline=Deadline(5)) as client:
        client.get(path)


@pytest.mark.parametrize("host", EVERY_HOST)
def test_no_connection_is_opened_to(host: str, listener: Listener) -> None:
    before = listener.taken
    with watching() as attempts:
        for url in (f"https://{host}:{listener.port}/", f"http://{host}:{listener.port}/", f"https://{host}/"):
            with pytest.raises((Misconfigured, Unreachable)):
                call(url)
            with pytest.raises((Misconfigured, Unreachable)):
                ask(
                    TokenRequest(url=f"{url}token", fields={"grant_type": "client_credentials"}),
                    NOBODY,
                    deadline=Deadline(5),
                )
            with pytest.raises((Misconfigured, Unreachable)):
                reaching.resolve(url, NOBODY)
    assert attempts == []
    assert listener.taken == before


@pytest.mark.parametrize(
    "host", [h for kind in ("loopback", "private", "mapped", "NAT64", "users") for h in TABLE[kind]]
)
def test_nor_is_it_taken_into_the_settings_of_a_connection(host: str, settings: Any) -> None:
    settings.OUTBOUND_POLICY = NOBODY
    with watching() as attempts, pytest.raises(ServiceError):
        check_settings(registry.get("gitlab"), {"base_url": f"https://{host}/api/v4"})
    assert attempts == []


@pytest.mark.parametrize("scheme", ["http", "ftp", "file", "gopher", "unix", "ws", "data", "HTTP", "dict"])
def test_only_https_is_spoken(scheme: str, listener: Listener) -> None:
    with watching() as attempts:
        for host in (PUBLIC, f"127.0.0.1:{listener.port}"):
            with pytest.raises((Misconfigured, Unreachable)):
                call(f"{scheme}://{host}/x")
    assert attempts == []


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "192.0.0.8", "198.18.0.1", "240.0.0.1", "::1", "fc00::1",
     "fe80::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001::1", "fec0::1"],
)  # fmt: skip
@pytest.mark.parametrize("beside", [[], [PUBLIC]], ids=["alone", "first of two"])
def test_a_name_that_leads_there_is_not_followed(address: str, beside: list[str]) -> None:
    with names_lead({"public.example": [[address, *beside]]}), watching() as attempts:
        with pytest.raises(Misconfigured, match="private address"):
            call("https://public.example/")
        with pytest.raises(Misconfigured, match="private address"):
            reaching.resolve("https://public.example/", NOBODY)
    assert attempts == []


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "::1"])
def test_of_several_addresses_of_a_name_only_the_public_one_that_was_vetted_is_tried(address: str) -> None:
    with names_lead({"public.example": [[PUBLIC, address]]}), watching() as attempts, pytest.raises(Unreachable):
        call("https://public.example/")
    assert set(attempts) == {(PUBLIC, 443)}


def test_a_name_that_leads_elsewhere_a_moment_later_is_connected_to_where_it_was_vetted(listener: Listener) -> None:
    answers = [[PUBLIC], ["127.0.0.1"]]
    with names_lead({"public.example": answers}) as asked, watching() as attempts:
        with pytest.raises(Unreachable):
            call(f"https://public.example:{listener.port}/")
        assert set(attempts) == {(PUBLIC, listener.port)}
        assert asked == ["public.example"], "looked up once: what is vetted is what is connected to"
        with pytest.raises(Misconfigured, match="private address"):
            call(f"https://public.example:{listener.port}/")
    assert len(attempts) == 1


def test_tries_of_a_connection_that_does_not_open_stay_with_the_vetted_address() -> None:
    names = {"public.example": [[PUBLIC], ["127.0.0.1"]]}
    client = ProviderClient(ClientConfig(base_url="https://public.example/"), NOBODY)
    with names_lead(names), watching() as attempts, client, pytest.raises(Unreachable):
        client.get("/x")
    assert attempts == [(PUBLIC, 443)] * 3


def test_the_handshake_goes_to_the_address_that_was_vetted() -> None:
    with names_lead({"public.example": [[PUBLIC], ["127.0.0.1"]]}), watching() as attempts:
        reached = reaching.resolve("https://public.example/", NOBODY)
        with pytest.raises(Unreachable):
            reaching.shake_hands(reached, 1)
    assert attempts == [(PUBLIC, 443)]


def test_a_public_address_of_version_6_is_called() -> None:
    with names_lead({"public.example": [[OTHER_PUBLIC]]}), watching() as attempts, pytest.raises(Unreachable):
        call("https://public.example/")
    assert attempts == [(OTHER_PUBLIC, 443)]


# --- redirects -------------------------------------------------------------------------------------------------------


@pytest.fixture
def allowed() -> Iterator[tuple[Server, OutboundPolicy]]:
    """A provider on loopback that the operator's list names with its port."""
    with serving(lambda *_: SimulatedAnswer(200, {}, b"{}")) as server:
        yield server, OutboundPolicy.parse([server.url.removeprefix("http://")])


ELSEWHERE = [
    "http://169.254.169.254/latest/meta-data",
    "https://10.0.0.1/",
    "http://127.0.0.1:{listener}/",
    "http://localhost:{own}/",
    "http://127.1:{own}/",
    "http://[::ffff:127.0.0.1]:{own}/",
    "https://127.0.0.1:{own}/",
    "//127.0.0.1:{listener}/",
    "https://public.example/",
    "http://127.0.0.1:{own}@127.0.0.1:{listener}/",
    "http://user@127.0.0.1:{own}/",
    "http://127.0.0.1:{listener}\\@127.0.0.1:{own}/",
    "http:\\\\127.0.0.1:{listener}/",
    "http://127.0.0.1:{listener}#@127.0.0.1:{own}/",
    "http://127.0.0.1:{listener}?@127.0.0.1:{own}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{listener}/_x",
    "http://[::1",
    "http://127.0.0.1:{listener}\t@127.0.0.1:{own}/",
]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("target", ELSEWHERE)
def test_a_redirect_elsewhere_is_not_followed(
    target: str, status: int, allowed: tuple[Server, OutboundPolicy], listener: Listener
) -> None:
    server, policy = allowed
    port = int(server.url.rsplit(":", 1)[1])
    location = target.format(listener=listener.port, own=port)
    server.answer = lambda *_: SimulatedAnswer(status, {"location": location}, b"")
    before = listener.taken
    with watching() as attempts, pytest.raises(ProviderError):
        call(server.url, policy)
    assert set(attempts) == {("127.0.0.1", port)}
    assert listener.taken == before


def test_a_chain_of_redirects_is_looked_at_at_each_step(
    allowed: tuple[Server, OutboundPolicy], listener: Listener
) -> None:
    server, policy = allowed
    steps = {"/x": "/y", "/y": "/z", "/z": f"http://127.0.0.1:{listener.port}/"}
    server.answer = lambda _method, path, *_: SimulatedAnswer(302, {"location": steps[path]}, b"")
    before = listener.taken
    with pytest.raises(ProviderFault, match="another host"):
        call(server.url, policy)
    assert [path for _, path in server.asked] == ["/x", "/y", "/z"]
    assert listener.taken == before


def test_redirects_without_end_end(allowed: tuple[Server, OutboundPolicy]) -> None:
    server, policy = allowed
    server.answer = lambda *_: SimulatedAnswer(302, {"location": f"/{len(server.asked)}"}, b"")
    with pytest.raises(ProviderFault, match="circle"):
        call(server.url, policy)
    assert len(server.asked) == MAX_REDIRECTS + 1


@pytest.mark.parametrize("path", ["http://169.254.169.254/", "https://public.example/x", "//169.254.169.254/x"])
def test_a_next_page_elsewhere_is_not_fetched(path: str, allowed: tuple[Server, OutboundPolicy]) -> None:
    server, policy = allowed
    port = int(server.url.rsplit(":", 1)[1])
    with watching() as attempts, suppress(ProviderError):
        call(server.url, policy, path)
    assert set(attempts) <= {("127.0.0.1", port)}


# --- the operator's list ---------------------------------------------------------------------------------------------


def test_the_list_opens_what_it_names_and_nothing_beside_it(
    allowed: tuple[Server, OutboundPolicy], listener: Listener
) -> None:
    server, policy = allowed
    port = int(server.url.rsplit(":", 1)[1])
    call(server.url, policy)
    before = listener.taken
    with watching() as attempts:
        for url in (f"http://127.0.0.1:{listener.port}/", f"http://127.0.0.2:{port}/", f"http://localhost:{port}/"):
            with pytest.raises(Misconfigured):
                call(url, policy)
    assert attempts == []
    assert listener.taken == before


@pytest.mark.parametrize("entry", ["127.0.0.1", "127.0.0.0/8", "127.0.0.1:{port}"])
def test_an_address_is_named_as_a_host_with_a_port_or_by_its_network(
    entry: str, allowed: tuple[Server, OutboundPolicy]
) -> None:
    server, _ = allowed
    call(server.url, OutboundPolicy.parse([entry.format(port=server.url.rsplit(":", 1)[1])]))
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{listener}\\@127.0.0.1:{own}/",
        "http://127.0.0.1:{own}\\@127.0.0.1:{listener}/",
        "http://127.0.0.1:{own}@127.0.0.1:{listener}/",
        "http://127.0.0.1:{own}:{listener}/",
        "http://127.0.0.1:{listener}#@127.0.0.1:{own}/",
        "http://127.0.0.1:{listener}%23@127.0.0.1:{own}/",
    ],
)
def test_an_address_that_two_readers_read_differently_is_not_called(
    url: str, allowed: tuple[Server, OutboundPolicy], listener: Listener
) -> None:
    server, policy = allowed
    port = int(server.url.rsplit(":", 1)[1])
    with watching() as attempts, pytest.raises(ProviderError):
        call(url.format(listener=listener.port, own=port), policy)
    assert attempts == []


def test_a_network_on_the_list_does_not_open_names_that_lead_into_it() -> None:
    policy = OutboundPolicy.parse(["127.0.0.0/8"])
    with names_lead({"public.example": [["127.0.0.1"]]}), watching() as attempts, pytest.raises(Misconfigured):
        call("https://public.example/", policy)
    assert attempts == []


def test_nothing_is_on_the_list_unless_the_operator_puts_it_there() -> None:
    assert not deployment.OUTBOUND_POLICY.admits("http://169.254.169.254/")
