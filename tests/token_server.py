"""A strict token endpoint (RFC 6749, sections 4.4, 5, 6) with the API it protects, as an HTTP server on loopback.

Refresh tokens rotate: each is used up by its use. One that comes again ends the whole family (RFC 9700, section
4.14.2), unless ``grace`` is on: then it is answered as the first time.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import jwt

from connections.models import IntegrationConnection, OAuthClient
from connections.secret_store import secret_store
from connections.tokens import keep_granted
from providers.token_requests import TokenSet
from tests.factories import ACME, make_connection

CLIENT_ID, CLIENT_SECRET = "app-1", "client-secret-canary-000001"

Answer = tuple[int, bytes]


@dataclass
class TokenServer:
    """``faults`` must stay empty: what a client did wrong. ``answers`` are given instead, one a request, in turn:
    a status and a body, or a function that is called with the answer that would have been given.
    """

    url: str = ""
    expires_in: int | None = 7200
    grace: bool = False
    rotates: bool = True
    answers: list[Answer | Callable[[Answer], Answer]] = field(default_factory=list)
    good: set[str] = field(default_factory=set)
    current: str = ""
    used: dict[str, Answer] = field(default_factory=dict)
    ended: bool = False
    granted: int = 0
    requests: list[dict[str, str]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    app_key: Any = None
    retry_after: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, *, expires_in: float | None = 7200) -> TokenSet:
        """The set a person's authorisation led to."""
        self.current = "rt-" + secrets.token_urlsafe(16)
        return TokenSet(access_token=self._access(), refresh_token=self.current, expires_in=expires_in)

    def token(self, headers: Mapping[str, str], body: bytes) -> Answer:
        sent = {name: values[0] for name, values in parse_qs(body.decode(), strict_parsing=True).items()}
        with self.lock:
            self.requests.append(sent)
            instead = self.answers.pop(0) if self.answers else None
            if isinstance(instead, tuple):
                return instead
            if not headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
                self.faults.append("not a form")
            if (sent.get("client_id"), sent.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
                return _error(401, "invalid_client")
            answer = self._granted(sent)
        return instead(answer) if instead is not None else answer

    def installation(self, path: str, headers: Mapping[str, str]) -> Answer:
        """A token for an app's installation, for whoever holds the app's key."""
        self.requests.append({"path": path})
        if self.answers and isinstance(self.answers[0], tuple):
            return self.answers.pop(0)  # type: ignore[return-value]
        signed = headers.get("authorization", "").removeprefix("Bearer ")
        try:
            claims = jwt.decode(signed, self.app_key, algorithms=["RS256"], issuer="Iv1.app")
        except jwt.InvalidTokenError as error:
            self.faults.append(f"JWT: {error}")
            return 401, b'{"message": "A JSON web token could not be decoded"}'
        if not 0 < claims["exp"] - time.time() <= 600 or not -90 <= claims["iat"] - time.time() <= 0:
            self.faults.append("times of the JWT")
        if path != "/api/v3/app/installations/42/access_tokens":
            return 404, b'{"message": "Not Found"}'
        self.granted += 1
        ends = datetime.now(tz=UTC) + timedelta(hours=1)
        body = {"token": self._access(), "expires_at": ends.isoformat(), "permissions": {"issues": "write"}}
        return 201, json.dumps(body).encode()

    def api(self, headers: Mapping[str, str]) -> Answer:
        token = headers.get("authorization", "").removeprefix("Bearer ")
        self.calls.append(token)
        return (200, b'{"id": 1, "username": "zoe"}') if token in self.good else (401, b'{"message": "401"}')

    def _granted(self, sent: Mapping[str, str]) -> Answer:
        match sent.get("grant_type"):
            case "refresh_token":
                return self._refreshed(sent.get("refresh_token", ""))
            case "client_credentials":
                return self._answer({})
        self.faults.append(f"grant_type {sent.get('grant_type')}")
        return _error(400, "unsupported_grant_type")

    def _refreshed(self, token: str) -> Answer:
        if self.grace and token in self.used:
            return self.used[token]
        if self.ended or token != self.current:
            self.ended = True
            self.good.clear()
            return _error(400, "invalid_grant")
        if not self.rotates:
            return self._answer({})
        self.current = "rt-" + secrets.token_urlsafe(16)
        self.good.clear()
        answer = self.used[token] = self._answer({"refresh_token": self.current})
        return answer

    def _answer(self, more: dict[str, Any]) -> Answer:
        self.granted += 1
        life = {"expires_in": self.expires_in} if self.expires_in is not None else {}
        body = {"access_token": self._access(), "token_type": "Bearer", "scope": "api", **life, **more}
        return 200, json.dumps(body).encode()

    def _access(self) -> str:
        token = "at-" + secrets.token_urlsafe(16)
        self.good.add(token)
        return token


def _error(status: int, code: str) -> Answer:
    return status, json.dumps({"error": code, "error_description": "told by the server, canary-000002"}).encode()


@contextmanager
def running_tokens() -> Iterator[TokenServer]:
    """Listens on loopback; ``server.url`` is its address."""
    stub = TokenServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            if self.path.endswith("/access_tokens"):
                status, content = stub.installation(self.path, headers)
            else:
                status, content = stub.token(headers, body) if self.path.endswith("/token") else stub.api(headers)
            if status == 0:
                self.close_connection = True
                self.connection.close()
                return
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            if stub.retry_after:
                self.send_header("Retry-After", stub.retry_after)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _serve  # noqa: N815 - named by the standard library

        def log_message(self, *args: object) -> None: ...

    class Server(ThreadingHTTPServer):
        request_queue_size = 64

    server = Server(("127.0.0.1", 0), Handler)
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


def make_client(server: TokenServer, **values: Any) -> OAuthClient:
    """The operator's app at this server, for every tenant."""
    return OAuthClient.objects.create(
        **{
            "provider_id": "gitlab",
            "origin": server.url,
            "client_id": CLIENT_ID,
            "secret_ref": secret_store().put("*", CLIENT_SECRET),
            **values,
        }
    )


def authorised(server: TokenServer, *, tenant_id: str = ACME, expires_in: float | None = 7200) -> IntegrationConnection:
    """An active connection a person has just authorised; its access token lasts ``expires_in`` seconds."""
    connection = make_connection("gitlab", tenant_id, credential=None, settings={"base_url": f"{server.url}/api/v4"})
    client = OAuthClient.objects.filter(origin=server.url).first() or make_client(server)
    connection.auth_ref = keep_granted(tenant_id, "gitlab", server.begin(expires_in=expires_in), client=client)
    connection.save()
    return connection
