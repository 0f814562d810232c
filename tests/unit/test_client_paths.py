"""Where requests may go and what counts as sent: names that are no names, certificates nobody vouches for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.client import ClientConfig, ProviderClient
from providers.errors import Rejected, Unreachable
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from tests.contract.provider_server import Server, serving
from tests.tls_server import listening, make_certificate

LOOPBACK = OutboundPolicy.parse(["127.0.0.1"])


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(lambda *_: SimulatedAnswer(200, {}, b"{}")) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[ProviderClient]:
    with ProviderClient(ClientConfig(base_url=server.url), LOOPBACK) as made:
        yield made


@pytest.mark.parametrize("name", ["..", ".", "%2e%2e", "%2E.", "../issues"])
def test_no_name_leads_out_of_its_place(server: Server, client: ProviderClient, name: str) -> None:
    path = f"/repos/acme/{name}/comments"
    calls = (
        lambda: client.get(path),
        lambda: client.write("POST", path, json={}),
        lambda: client.preview(path, {}),
    )
    for call in calls:
        with pytest.raises(Rejected, match="which is no name"):
            call()
    assert server.asked == []


def test_names_with_dots_are_names(server: Server, client: ProviderClient) -> None:
    client.get("/repos/acme/.github/...?since=..")
    assert server.asked == [("GET", "/repos/acme/.github/...?since=..")]


def test_a_certificate_nobody_vouches_for_says_that_nothing_was_sent(tmp_path: Path) -> None:
    _, both = make_certificate(tmp_path, host="127.0.0.1")
    with listening(both) as server:
        config = ClientConfig(base_url=f"https://127.0.0.1:{server.port}")
        with ProviderClient(config, LOOPBACK) as unsure, pytest.raises(Unreachable) as refused:
            unsure.write("POST", "/builds", json={})
    assert refused.value.sent is False
