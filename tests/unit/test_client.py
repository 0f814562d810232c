"""The guarded client against real servers on loopback."""

from __future__ import annotations

import email.utils
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from providers import client as client_module
from providers.client import ClientConfig, ProviderClient, Response
from providers.deadline import Deadline
from providers.errors import (
    AuthFailed,
    Misconfigured,
    OutOfTime,
    ProviderError,
    ProviderFault,
    RateLimited,
    Rejected,
    Unreachable,
)
from providers.manifest import RateLimitHeaders
from providers.outbound import OutboundPolicy, origin_of
from providers.simulation import SimulatedAnswer
from tests.contract.provider_server import Server, serving

LOOPBACK = OutboundPolicy.parse(["127.0.0.1"])
NOBODY = OutboundPolicy.parse([])

MakeClient = Callable[..., ProviderClient]


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(lambda *_: SimulatedAnswer(200, {}, b"{}")) as running:
        yield running


@pytest.fixture
def make_client(server: Server) -> Iterator[MakeClient]:
    made: list[ProviderClient] = []

    def make(policy: OutboundPolicy = LOOPBACK, **config: Any) -> ProviderClient:
        made.append(ProviderClient(ClientConfig(**{"base_url": server.url, **config}), policy))
        return made[-1]

    yield make
    for client in made:
        client.__exit__(None, None, None)


def always(server: Server, status: int, body: bytes = b"{}", **headers: str) -> None:
    answer = SimulatedAnswer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)
    server.answer = lambda *_: answer


def raised(client: ProviderClient, path: str = "/x") -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        client.get(path)
    return caught.value


def test_a_call_goes_below_the_base_url_with_the_credential(server: Server, make_client: MakeClient) -> None:
    seen: dict[str, Any] = {}

    def answer(method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], body: bytes) -> Any:
        seen.update(method=method, path=path, query=query, headers=headers, body=body)
        return SimulatedAnswer(200, {"X-Kind": "yes"}, b'{"ok": true}')

    server.answer = answer
    client = make_client(base_url=server.url + "/api/v3", headers={"Authorization": "Bearer t"})
    got = client.get("/items", params={"q": "a b"})
    assert (seen["method"], seen["path"], seen["query"]) == ("GET", "/api/v3/items", {"q": ["a b"]})
    assert seen["headers"]["authorization"] == "Bearer t"
    assert got.json() == {"ok": True}
    assert got.headers["x-kind"] == "yes"
    client.post_query("search", json={"a": 1})
    assert (seen["method"], seen["path"], seen["body"]) == ("POST", "/api/v3/search", b'{"a": 1}')
    assert client.requests_made == 2


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (401, AuthFailed, False),
        (403, AuthFailed, False),
        (400, Rejected, False),
        (404, Rejected, False),
        (422, Rejected, False),
        (429, RateLimited, True),
        (408, ProviderFault, True),
        (500, ProviderFault, True),
        (503, ProviderFault, True),
        (599, ProviderFault, True),
    ],
)
def test_each_status_has_its_kind_of_error(
    server: Server, make_client: MakeClient, status: int, kind: type, retryable: bool
) -> None:
    always(server, status, b"secret body")
    error = raised(make_client())
    assert (type(error), error.status, error.retryable) == (kind, status, retryable)
    assert "secret body" not in str(error)


def test_not_modified_is_an_ordinary_answer(server: Server, make_client: MakeClient) -> None:
    always(server, 304, etag='"1"')
    assert make_client().get("/x").status == 304


class TestRetryAfter:
    def test_seconds(self, server: Server, make_client: MakeClient) -> None:
        always(server, 429, retry_after="17")
        assert raised(make_client()).retry_after_seconds == 17

    def test_date(self, server: Server, make_client: MakeClient) -> None:
        always(server, 503, retry_after=email.utils.formatdate(time.time() + 90, usegmt=True))
        wait = raised(make_client()).retry_after_seconds
        assert wait is not None
        assert 85 < wait <= 90

    @pytest.mark.parametrize(
        "value",
        [
            "0", "-5", "soon", "1.5", "٣", "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 99 Oct 99999 99:99:99 GMT", "1e3",
            "Mon, 01 Jan 0000 00:00:00 GMT",
        ],
    )  # fmt: skip
    def test_zero_past_and_junk_are_no_hint(self, server: Server, make_client: MakeClient, value: str) -> None:
        always(server, 429, retry_after=value.encode().decode("latin-1"))
        assert raised(make_client()).retry_after_seconds is None

    def test_no_wait_is_longer_than_a_day(self, server: Server, make_client: MakeClient) -> None:
        for value in ("9" * 400, "99999999"):
            always(server, 429, retry_after=value)
            assert raised(make_client()).retry_after_seconds == 24 * 3600

    def test_the_reset_of_the_quota_where_nothing_else_is_said(self, server: Server, make_client: MakeClient) -> None:
        always(server, 403, x_remaining="0", x_reset=str(int(time.time()) + 60))
        error = raised(make_client(rate_limit_headers=RateLimitHeaders(remaining="x-remaining", reset="x-reset")))
        assert type(error) is RateLimited
        assert error.retry_after_seconds is not None
        assert 55 < error.retry_after_seconds <= 60

    @pytest.mark.parametrize(
        ("form", "written"),
        [
            ("delta_seconds", "600"),
            ("iso8601", "%Y-%m-%dT%H:%M:%S+00:00"),
            ("iso8601", "%Y-%m-%dT%H:%MZ"),
        ],
    )
    def test_the_reset_is_read_in_the_form_the_manifest_names(
        self, server: Server, make_client: MakeClient, form: str, written: str
    ) -> None:
        always(server, 429, x_reset=(datetime.now(UTC) + timedelta(seconds=600)).strftime(written))
        limits = RateLimitHeaders(reset="x-reset", reset_format=form)  # type: ignore[arg-type]
        seconds = raised(make_client(rate_limit_headers=limits)).retry_after_seconds
        assert seconds is not None
        assert 530 < seconds <= 600

    def test_a_fault_does_not_wait_for_the_quota(self, server: Server, make_client: MakeClient) -> None:
        always(server, 502, x_remaining="4000", x_reset=str(int(time.time()) + 3000))
        limits = RateLimitHeaders(remaining="x-remaining", reset="x-reset")
        error = raised(make_client(rate_limit_headers=limits))
        assert (type(error), error.retry_after_seconds) == (ProviderFault, None)

    @pytest.mark.parametrize("form", ["epoch_seconds", "delta_seconds", "iso8601"])
    def test_a_reset_that_cannot_be_read_is_no_hint(self, server: Server, make_client: MakeClient, form: str) -> None:
        always(server, 429, x_reset="soon")
        limits = RateLimitHeaders(reset="x-reset", reset_format=form)  # type: ignore[arg-type]
        assert raised(make_client(rate_limit_headers=limits)).retry_after_seconds is None

    def test_a_refusal_that_says_wait_is_no_refused_credential(self, server: Server, make_client: MakeClient) -> None:
        always(server, 403, retry_after="5")
        assert type(raised(make_client())) is RateLimited


class TestRedirects:
    def test_inside_the_origin_is_followed(self, server: Server, make_client: MakeClient) -> None:
        def answer(method: str, path: str, *_: Any) -> SimulatedAnswer:
            return SimulatedAnswer(200, {}, b'"here"') if path == "/new" else SimulatedAnswer(301, {"location": "/new"})

        server.answer = answer
        assert make_client().get("/old", params={"a": 1}).json() == "here"

    def test_to_another_origin_is_refused_and_the_credential_stays_here(
        self, server: Server, make_client: MakeClient
    ) -> None:
        with serving(lambda *_: SimulatedAnswer(200, {}, b"{}")) as stranger:
            always(server, 302, location=stranger.url + "/steal")
            assert "another host" in str(raised(make_client(headers={"Authorization": "Bearer t"})))
            assert stranger.asked == []

    @pytest.mark.parametrize(
        "location", ["http://[::1", "http://x:99999/", "file:///etc/passwd", "//evil.example/", "http://\xff/"]
    )
    def test_to_an_odd_place_is_a_fault_of_the_provider(
        self, server: Server, make_client: MakeClient, location: str
    ) -> None:
        always(server, 307, location=location)
        assert type(raised(make_client())) is ProviderFault

    def test_in_a_circle_ends(self, server: Server, make_client: MakeClient) -> None:
        always(server, 302, location="/x")
        assert "circle" in str(raised(make_client()))
        assert len(server.asked) == client_module.MAX_REDIRECTS + 1


class TestAddresses:
    def test_a_next_page_elsewhere_is_refused(self, server: Server, make_client: MakeClient) -> None:
        assert type(raised(make_client(), "https://api.evil.example/page2")) is ProviderFault
        assert server.asked == []

    def test_the_default_port_is_the_same_origin(self) -> None:
        assert origin_of("https://x.example:443/a") == origin_of("https://X.example/b")
        assert origin_of("https://x.example:444/") != origin_of("https://x.example/")
        assert origin_of("http://x.example/") != origin_of("https://x.example/")

    def test_plain_http_needs_the_list(self, server: Server, make_client: MakeClient) -> None:
        assert "https" in str(raised(make_client(NOBODY)))
        assert server.asked == []

    @pytest.mark.parametrize(
        "host",
        ["127.0.0.1", "localhost", "10.0.0.1", "192.168.1.1", "169.254.169.254", "[::1]", "0.0.0.0", "2130706433"],
    )
    def test_a_private_address_needs_the_list(self, make_client: MakeClient, host: str) -> None:
        error = raised(make_client(NOBODY, base_url=f"https://{host}:9/"))
        assert type(error) is Misconfigured
        assert "private" in str(error)

    @pytest.mark.parametrize(
        "base_url", ["https://x:99999/", "ftp://x.example/", "https://[::1", "", "nonsense", "https:///x"]
    )
    def test_an_unusable_base_url_is_a_matter_of_settings(self, make_client: MakeClient, base_url: str) -> None:
        with pytest.raises(Misconfigured):
            make_client(base_url=base_url)

    @pytest.mark.parametrize("base_url", ["https://" + "a" * 70 + ".example/", "https://.example/"])
    def test_an_address_nobody_can_call_is_a_matter_of_settings(self, make_client: MakeClient, base_url: str) -> None:
        assert type(raised(make_client(base_url=base_url))) in (Misconfigured, Unreachable)

    @pytest.mark.parametrize("token", ["a\nb", "\u20ac", "a\r\nX-Evil: 1"])
    def test_a_credential_that_cannot_be_sent_is_a_matter_of_settings(
        self, server: Server, make_client: MakeClient, token: str
    ) -> None:
        error = raised(make_client(headers={"Authorization": f"Bearer {token}"}))
        assert type(error) is Misconfigured
        assert token not in str(error)
        assert server.asked == []


def test_nobody_listening_is_unreachable_and_names_no_query(make_client: MakeClient) -> None:
    with serving(lambda *_: SimulatedAnswer(200)) as gone:
        address = gone.url
    error = raised(make_client(base_url=address), "/x?token=abc")
    assert type(error) is Unreachable
    assert "abc" not in str(error)


def test_an_oversized_answer_is_cut_off(
    server: Server, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "MAX_RESPONSE_BYTES", 100_000)
    always(server, 200, b"x" * 100_001)
    assert "too large" in str(raised(make_client()))
    always(server, 200, b"x" * 100_000)
    assert len(make_client().get("/x").content) == 100_000


class TestDeadline:
    def test_when_it_is_over_nothing_more_is_asked(self, server: Server) -> None:
        with ProviderClient(ClientConfig(base_url=server.url), LOOPBACK, deadline=Deadline(-1)) as client:
            error = raised(client)
        assert (type(error), error.category, error.retryable) == (OutOfTime, "network", True)
        assert (server.asked, client.requests_made) == ([], 0)

    def test_answers_before_it_are_whole_and_their_connection_is_used_again(self, server: Server) -> None:
        with ProviderClient(ClientConfig(base_url=server.url), LOOPBACK, deadline=Deadline(30)) as client:
            for body in (b"x" * 300_000, b"", b"y"):
                always(server, 200, body)
                assert client.get("/x").content == body
            assert connections_made(client) == 1

    @pytest.mark.parametrize(
        "said_at_once", [b"", b"HTTP/1.1 200 OK\r\nx-", b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n"]
    )
    def test_silence_and_drips_end_with_it_wherever_they_begin(self, said_at_once: bytes) -> None:
        with dripping(said_at_once) as url, deadline_client(url, 0.4) as client:
            assert type(raised(client)) is OutOfTime

    def test_the_time_is_that_of_all_calls_together(self, server: Server) -> None:
        server.answer = lambda *_: time.sleep(0.15) or SimulatedAnswer(200, {}, b"{}")  # type: ignore[func-returns-value]
        with deadline_client(server.url, 0.4) as client:
            outcomes = [raised_or_none(client) for _ in range(5)]
        assert outcomes[0] is None
        assert type(outcomes[-1]) is OutOfTime

    def test_without_one_a_silent_provider_is_merely_unreachable(
        self, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(client_module, "READ_TIMEOUT_SECONDS", 0.2)
        with dripping(b"", every_seconds=30) as url:
            assert type(raised(make_client(base_url=url))) is Unreachable


def deadline_client(url: str, seconds: float) -> ProviderClient:
    return ProviderClient(ClientConfig(base_url=url), LOOPBACK, deadline=Deadline(seconds))


def raised_or_none(client: ProviderClient) -> ProviderError | None:
    try:
        client.get("/x")
    except ProviderError as error:
        return error
    return None


def connections_made(client: ProviderClient) -> int:
    """How often the one host that was called was connected to."""
    pools = client._session.get_adapter("http://127.0.0.1").poolmanager.pools  # type: ignore[attr-defined]
    (key,) = pools.keys()
    return int(pools[key].num_connections)


@contextmanager
def dripping(said_at_once: bytes, every_seconds: float = 0.05) -> Iterator[str]:
    """A provider that says something, then a byte now and then for ever; yields its address."""
    over = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            with suppress(OSError):
                self.request.sendall(said_at_once)
                while not over.wait(every_seconds):
                    self.request.sendall(b"a")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as listener:
        listener.daemon_threads = True
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.server_address[1]}"
        over.set()
        listener.shutdown()


@pytest.mark.parametrize(
    ("origins", "expected"),
    [
        (["https://x.example"], True),
        (["https://y.example", "https://X.example:443"], True),
        (["http://x.example"], False),
        (["https://x.example:8443"], False),
        (["https://x.example.evil.example"], False),
        ([], False),
    ],
)
def test_whose_address_it_is_is_told_by_scheme_host_and_port(origins: list[str], expected: bool) -> None:
    with ProviderClient(ClientConfig(base_url="https://x.example/api/"), NOBODY) as client:
        assert client.is_at(origins) is expected


def test_an_answer_that_is_not_json_is_the_providers_fault(server: Server, make_client: MakeClient) -> None:
    always(server, 200, b"<html>")
    with pytest.raises(ProviderFault):
        make_client().get("/x").json()


def test_text_cut_in_the_middle_of_a_character_does_not_spoil_an_answer() -> None:
    assert Response(status=200, headers={}, content=b'["cut \\ud83d"]').json() == ["cut \ufffd"]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('<https://x.example/a?page=2>; rel="next", <https://x.example/a?page=9>; rel="last"', "https://x.example/a?page=2"),
        ('<https://x.example/a?ids=1,2>; rel="prev next"', "https://x.example/a?ids=1,2"),
        ('<https://x.example/a>; rel="prev"', ""),
        ("nonsense", ""),
        ("<", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_links_are_read_as_rfc_8288_says(header: str, expected: str) -> None:
    assert Response(status=200, headers={"link": header}, content=b"").link("next") == expected


def test_secrets_are_not_in_the_representation() -> None:
    config = ClientConfig(base_url="https://x.example", headers={"Authorization": "Bearer hidden"})
    assert "hidden" not in repr(config)
    assert "hidden" not in repr(Response(status=200, headers={}, content=b"hidden"))
