"""Answers that never end, or grow without end: a call to a provider is bounded in size and in time."""

from __future__ import annotations

import gzip
import socketserver
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from providers import client as client_module
from providers.client import ClientConfig, ProviderClient
from providers.errors import ProviderFault, Unreachable
from providers.outbound import OutboundPolicy
from providers.simulation import SimulatedAnswer
from tests.contract.provider_server import serving

LOOPBACK = OutboundPolicy.parse(["127.0.0.1"])
MEGABYTE = 1024 * 1024
Send = Callable[[bytes], None]


def client_of(url: str) -> ProviderClient:
    return ProviderClient(ClientConfig(base_url=url), LOOPBACK)


@contextmanager
def speaking(say: Callable[[Send, threading.Event], None]) -> Iterator[str]:
    """A provider that says what it likes, byte by byte; yields its address."""
    over = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            with suppress(OSError):
                say(self.request.sendall, over)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as listener:
        listener.daemon_threads = True
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.server_address[1]}"
        over.set()
        listener.shutdown()
        thread.join()


def drip(start: bytes, each: bytes) -> Callable[[Send, threading.Event], None]:
    def say(send: Send, over: threading.Event) -> None:
        send(start)
        while not over.wait(0.02):
            send(each)

    return say


def pour(start: bytes, each: bytes) -> Callable[[Send, threading.Event], None]:
    def say(send: Send, over: threading.Event) -> None:
        send(start)
        while not over.is_set():
            send(each)

    return say


@pytest.mark.parametrize(
    "say",
    [
        drip(b"", b"H"),
        drip(b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
        drip(b"HTTP/1.1 200 OK\r\n", b"X-A: a\r\n"),
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"a"),
        drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["status line", "one header", "many headers", "body", "chunks", "provisional answers"],
)
def test_a_provider_that_drips_is_left_without_a_deadline_too(say: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "ANSWER_TIMEOUT_SECONDS", 0.3)
    with speaking(say) as url, client_of(url) as client, pytest.raises(Unreachable):
        client.get("/x")


@pytest.mark.parametrize(
    "say",
    [
        pour(b"HTTP/1.1 200 OK\r\n", b"X-A: a\r\n" * 200),
        pour(b"HTTP/1.1 200 OK\r\nX-A: ", b"a" * 65536),
        pour(b"", b"H" * 65536),
    ],
    ids=["many headers", "one header", "status line"],
)
def test_headers_without_end_are_not_read_to_their_end(say: Any) -> None:
    with speaking(say) as url, client_of(url) as client, pytest.raises(Unreachable):
        client.get("/x")


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"]
)
def test_a_body_without_end_is_cut_off(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_RESPONSE_BYTES", MEGABYTE)
    say = pour(start, b"a" * 65536)
    with speaking(say) as url, client_of(url) as client, pytest.raises(ProviderFault, match="too large"):
        client.get("/x")


@pytest.mark.parametrize("layers", [1, 2])
def test_of_a_compressed_answer_the_size_counts_that_it_unpacks_to(
    layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "MAX_RESPONSE_BYTES", MEGABYTE)
    bomb = bytes(30 * MEGABYTE)
    for _ in range(layers):
        bomb = gzip.compress(bomb)
    assert len(bomb) < MEGABYTE
    encoding = ", ".join(["gzip"] * layers)
    with (
        serving(lambda *_: SimulatedAnswer(200, {"content-encoding": encoding}, bomb)) as server,
        client_of(server.url) as client,
        pytest.raises(ProviderFault, match="too large"),
    ):
        client.get("/x")


def test_a_compressed_answer_is_not_unpacked_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_RESPONSE_BYTES", MEGABYTE)
    bomb = gzip.compress(bytes(60 * MEGABYTE))
    with (
        serving(lambda *_: SimulatedAnswer(200, {"content-encoding": "gzip"}, bomb)) as server,
        client_of(server.url) as client,
    ):
        tracemalloc.start()
        try:
            with pytest.raises(ProviderFault, match="too large"):
                client.get("/x")
            assert tracemalloc.get_traced_memory()[1] < 20 * MEGABYTE
        finally:
            tracemalloc.stop()
