"""A strict authorisation server with the API it protects, as a real HTTP server on loopback (RFC 6749, 7636, 9207)."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from rest_framework.test import APIClient

from providers.canonical import JSON, Category, Signal, SignalType
from providers.client import ClientConfig, ProviderClient
from providers.manifest import Manifest
from providers.oauth import OAuth2
from providers.spi import Adapter, Identity, Page, ProviderEvent, Stream, Window
from tests.api import client_of
from tests.factories import ACME

PUBLIC = "https://integrations.example"
AUTHORIZE = "/v1/integrations/oauth/gate/authorize"
CALLBACK = "/v1/integrations/oauth/callback"
CLIENT_ID, CLIENT_SECRET = "app-1", "app-secret-0123456789 +&="


@dataclass
class Grant:
    """What a person agreed to on the page, waiting for its code to be exchanged."""

    account: str
    client_id: str
    redirect_uri: str
    scopes: list[str]
    challenge: str
    used: bool = False


@dataclass
class AuthorisationServer:
    """Grants to ``account`` what it is asked for, or ``grants`` only. ``faults``: what a client did wrong.

    ``answer`` replaces the body (and status) of the next answers of the token endpoint, once the request was checked.
    """

    url: str = ""
    account: str = "zoe"
    grants: list[str] | None = None
    issuer: str = ""
    authentication: str = "body"
    encoding: str = "form"
    pkce: bool = True
    answer: tuple[int, bytes, str] | None = None
    sites: list[dict[str, Any]] = field(default_factory=list)
    broken_api: int = 0
    codes: dict[str, Grant] = field(default_factory=dict)
    tokens: dict[str, Grant] = field(default_factory=dict)
    exchanges: list[dict[str, str]] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def begin_anew(self) -> None:
        """Forget everything, for the next test."""
        vars(self).update(vars(AuthorisationServer(url=self.url)))

    def consent(self, authorize_url: str) -> str:
        """Open the page and agree: the address the browser is sent to."""
        parts = urlsplit(authorize_url)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.url}/authorize"
        asked = parse_qs(parts.query, strict_parsing=True)
        assert all(len(values) == 1 for values in asked.values())
        query = {name: values[0] for name, values in asked.items()}
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT_ID
        assert len(query["state"]) >= 43
        if self.pkce:
            assert query["code_challenge_method"] == "S256"
            assert len(query["code_challenge"]) == 43
        else:
            assert "code_challenge" not in query
        code = "code-" + secrets.token_urlsafe(16)
        self.codes[code] = Grant(
            self.account,
            query["client_id"],
            query["redirect_uri"],
            query.get("scope", "").split(),
            query.get("code_challenge", ""),
        )
        told = {"code": code, "state": query["state"], **({"iss": self.issuer} if self.issuer else {})}
        return f"{query['redirect_uri']}?{urlencode(told)}"

    def deny(self, authorize_url: str, error: str = "access_denied") -> str:
        """Open the page and decline."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(authorize_url).query).items()}
        told = {"error": error, "error_description": "<b>call 555</b>", "state": query["state"]}
        return f"{query['redirect_uri']}?{urlencode(told)}"

    def exchange(self, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes, str]:
        """The token endpoint (RFC 6749, section 4.1.3)."""
        sent = self._fields(headers, body)
        self.exchanges.append(sent)
        grant = self.codes.get(sent.get("code", ""))
        if not self._is_authenticated(headers, sent):
            return self._error(401, "invalid_client")
        if sent.get("grant_type") != "authorization_code":
            return self._error(400, "unsupported_grant_type")
        if grant is None or grant.used or sent.get("redirect_uri") != grant.redirect_uri:
            return self._error(400, "invalid_grant")
        grant.used = True
        proof = base64.urlsafe_b64encode(hashlib.sha256(sent.get("code_verifier", "").encode()).digest())
        if self.pkce and proof.rstrip(b"=").decode() != grant.challenge:
            return self._error(400, "invalid_grant")
        if not self.pkce and "code_verifier" in sent:
            self.faults.append("a code verifier that nobody asked for")
        if self.answer is not None:
            return self.answer
        access = "at-" + secrets.token_urlsafe(24)
        self.tokens[access] = grant
        granted = grant.scopes if self.grants is None else self.grants
        told = {
            "access_token": access,
            "token_type": "bearer",
            "expires_in": 3600,
            "refresh_token": "rt-" + secrets.token_urlsafe(24),
            "scope": " ".join(granted),
        }
        return 200, json.dumps(told).encode(), "application/json"

    def read(self, path: str, authorization: str) -> tuple[int, bytes, str]:
        """The API behind it."""
        grant = self.tokens.get(authorization.removeprefix("Bearer "))
        self.reads.append(path)
        if grant is None or not authorization.startswith("Bearer "):
            return self._error(401, "invalid_token")
        if self.broken_api:
            return self._error(self.broken_api, "broken")
        told: Any = {"login": grant.account}
        if path == "/sites":
            told = self.sites
        elif path.endswith("/entries"):
            told = []
        return 200, json.dumps(told).encode(), "application/json"

    def _fields(self, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        kind = headers.get("content-type", "").partition(";")[0]
        wanted = "application/json" if self.encoding == "json" else "application/x-www-form-urlencoded"
        if kind != wanted:
            self.faults.append(f"a token request of type {kind}")
        if kind == "application/json":
            return dict(json.loads(body))
        values = parse_qs(body.decode(), strict_parsing=True)
        if any(len(value) > 1 for value in values.values()):
            self.faults.append("a parameter more than once")
        return {name: value[0] for name, value in values.items()}

    def _is_authenticated(self, headers: Mapping[str, str], sent: Mapping[str, str]) -> bool:
        authorization = headers.get("authorization", "")
        if self.authentication == "body":
            return not authorization and (sent.get("client_id"), sent.get("client_secret")) == (
                CLIENT_ID,
                CLIENT_SECRET,
            )
        if "client_secret" in sent:
            self.faults.append("the client's secret in the body, too")
        pair = base64.b64decode(authorization.removeprefix("Basic ")).decode().split(":", 1)
        return [unquote_plus(part) for part in pair] == [CLIENT_ID, CLIENT_SECRET]

    def _error(self, status: int, name: str) -> tuple[int, bytes, str]:
        return status, json.dumps({"error": name, "error_description": "no"}).encode(), "application/json"


@contextmanager
def running_authorisation_server() -> Iterator[AuthorisationServer]:
    """A server listening on loopback; ``server.url`` is its address."""
    stub = AuthorisationServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            if urlsplit(self.path).path == "/token":
                self._answer(*stub.exchange(headers, body))
            else:
                self._answer(404, b"{}", "application/json")

        def do_GET(self) -> None:
            if urlsplit(self.path).path == "/authorize":
                allow = html.escape(stub.consent(stub.url + self.path))
                self._answer(
                    200,
                    f'<link rel="icon" href="data:,"><h1>May it?</h1><a href="{allow}">Allow</a>'.encode(),
                    "text/html",
                )
                return
            self._answer(*stub.read(urlsplit(self.path).path, self.headers.get("Authorization") or ""))

        def _answer(self, status: int, content: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            if 300 <= status < 400:
                self.send_header("Location", "/token")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class EntryStream(Stream):
    name = "entries"

    def page(
        self, client: ProviderClient, *, partition: str, settings: Mapping[str, Any], position: JSON, window: Window
    ) -> Page:
        events: list[ProviderEvent] = [
            ProviderEvent(event_type="entry", dedupe_key=str(entry), payload={"id": entry})
            for entry in client.get("entries").json()
        ]
        return Page(events=events, position={"read": True})


class GateAdapter(Adapter):
    """A provider behind an authorisation server. ``oauth`` is set by the test that runs the server."""

    slug = "gate"
    label = "Gate"
    category = Category.KNOWLEDGE
    api_versions = ("1",)
    development_only = True
    manifest = Manifest(
        ack_budget_seconds=10, redelivery_horizon=timedelta(days=1), delivery_id_header="", documentation="-"
    )
    settings_schema = {
        "type": "object",
        "required": ["base_url"],
        "properties": {"base_url": {"type": "string"}, "site_url": {"type": "string"}, "room": {"type": "string"}},
        "additionalProperties": False,
    }
    credential_schema = {
        "type": "object",
        "required": ["token"],
        "properties": {"token": {"type": "string"}},
        "additionalProperties": False,
    }
    streams = (EntryStream(),)

    def normalise(self, signal_type: SignalType, event_type: str, payload: JSON) -> Signal:
        return Signal(signal_type=signal_type)

    def client_config(
        self, settings: Mapping[str, Any], credential: Mapping[str, str], api_version: str
    ) -> ClientConfig:
        return ClientConfig(
            base_url=settings["base_url"], headers={"Authorization": f"Bearer {credential.get('token', '')}"}
        )

    def verify(self, client: ProviderClient) -> Identity:
        return Identity(account=client.get("me").json()["login"])


def gate_oauth(server: AuthorisationServer, **changes: Any) -> OAuth2:
    """How that server grants access, as an adapter declares it."""
    values: dict[str, Any] = {
        "authorize_url": "{origin}/authorize",
        "token_url": "{origin}/token",
        "default_origin": server.url,
        "default_base_url": f"{server.url}/api",
        "api_path": "/api",
        "scopes": ("read", "write"),
        "documentation": "-",
    }
    return OAuth2(**{**values, **changes})


def begin(server: AuthorisationServer, tenant_id: str = ACME, **query: Any) -> str:
    """Start an authorisation through the API: the address of the provider's page. ``None`` leaves a parameter out."""
    given = {"display_name": "Our gate", "settings": f'{{"base_url": "{server.url}/api"}}', **query}
    asked = {name: str(value) for name, value in given.items() if value is not None}
    response = client_of(tenant_id).get(AUTHORIZE, asked, HTTP_ACCEPT="application/json")
    assert response.status_code == 200, response.content
    return str(response.json()["authorize_url"])


def come_back(address: str, **headers: str) -> Any:
    """What the browser is answered that the provider sends back; it has no token."""
    parts = urlsplit(address)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == PUBLIC + CALLBACK
    return APIClient(raise_request_exception=False).get(f"{parts.path}?{parts.query}", **headers)
