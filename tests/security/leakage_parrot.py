"""A provider that repeats everything it is sent, in every place of its answers, with an adapter that breaks on demand.

The adapter puts what it knows into the text of its exceptions, as code that nobody reviewed would.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from providers.actions import Command, Done, OneEffect, OutboundAction, WriteRequest
from providers.adapters.fake.webhook import FakeWebhook
from providers.canonical import JSON, Category, Signal, SignalType
from providers.canonical.action_types import ActionType
from providers.client import ClientConfig, ProviderClient, Response
from providers.document import Document
from providers.manifest import Manifest
from providers.minting import CLIENT_PARTS
from providers.oauth import OAuth2
from providers.spi import Adapter, Identity, Page, ProviderEvent, Stream, WebhookRequest, Window

# The limit last: then nothing is sent for a while.
MOODS = ("refuse", "fault", "redirect", "elsewhere", "junk", "rejected", "drop", "ok", "limited")


class Parrot:
    """``mood`` decides over the next answers; ``broken`` names the places in which the adapter breaks."""

    def __init__(self) -> None:
        self.url = ""
        self.mood = "ok"
        self.token_mood = "ok"
        self.sent: list[str] = []
        self.granted: dict[str, Any] = {}

    def heard(self, path: str, headers: Mapping[str, str], body: bytes) -> str:
        """Everything that was sent, as it came and unwrapped."""
        proof = headers.get("authorization", "")
        opened = ""
        if proof.lower().startswith("basic "):
            opened = base64.b64decode(proof[6:]).decode(errors="replace")
        return " ".join((proof, opened, headers.get("x-tenant-id", ""), path, body.decode(errors="replace")))

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        heard = self.heard(path, headers, body)
        self.sent.append(heard)
        proof = headers.get("authorization", "none")
        shout = {"X-Echo": proof, "WWW-Authenticate": proof, "Set-Cookie": f"session={proof}", "ETag": proof}
        where = urlsplit(path).path
        if where in ("/token", "/oauth/token") or where.endswith("/access_tokens"):
            return self._token(headers, body, shout, where)
        status = {"refuse": 401, "fault": 500, "limited": 429, "rejected": 422}.get(self.mood, 200)
        if self.mood == "redirect":
            return 302, {**shout, "Location": f"/elsewhere?{proof.split()[-1]}"}, heard.encode()
        if self.mood == "elsewhere":
            return 307, {**shout, "Location": f"https://{proof.split()[-1]}.example/?q={proof}"}, heard.encode()
        if self.mood == "junk":
            return 200, {**shout, "Content-Type": "text/html"}, b"<html>" + heard.encode()
        told: dict[str, Any] = {"error": heard, "message": heard, "account": f"acme-bot {heard}", "login": heard}
        told |= {"id": heard, "key": heard, "url": f"https://parrot.example/{heard}", "entries": [{"id": heard}]}
        return status, {**shout, "X-Next": heard.replace("\n", " ")}, json.dumps(told).encode()

    def _token(
        self, headers: Mapping[str, str], body: bytes, shout: dict[str, str], where: str
    ) -> tuple[int, dict[str, str], bytes]:
        sent = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        # Names of errors are short words without spaces; so are most secrets.
        most = next((sent[n] for n in ("client_secret", "refresh_token", "code") if n in sent), "error")
        refusals = {
            "refuse_secret": (400, {"error": most}),
            "refuse_refresh": (400, {"error": sent.get("refresh_token", sent.get("code", "e"))}),
            "refuse_code": (401, {"error": sent.get("code_verifier", "e"), "error_description": body.decode()}),
            "ended": (400, {"error": "invalid_grant", "error_description": body.decode()}),
            "client": (401, {"error": "invalid_client", "error_description": str(headers)}),
            "fault": (500, {"error": body.decode()}),
            "useless": (200, {"token_type": body.decode(), "access_token": ""}),
        }
        if self.token_mood in refusals:
            status, told = refusals[self.token_mood]
            return status, shout, json.dumps(told).encode()
        if self.token_mood == "junk":
            return 200, shout, b"<html>" + body
        granted = dict(self.granted)
        if where.endswith("/access_tokens"):
            ends = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
            return 201, shout, json.dumps({"token": granted["access_token"], "expires_at": ends}).encode()
        # It may tell the secrets as scopes, too.
        scope = " ".join(["read", *sent.values(), *(v for v in granted.values() if isinstance(v, str))])
        return 200, shout, json.dumps({"token_type": "bearer", "scope": scope, **granted}).encode()


@contextmanager
def running_parrot() -> Iterator[Parrot]:
    """Listens on loopback; ``parrot.url`` is its address."""
    parrot = Parrot()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            if parrot.mood == "drop":
                parrot.sent.append(parrot.heard(self.path, headers, body))
                self.close_connection = True
                self.connection.close()
                return
            status, shout, content = parrot.answer(self.path, headers, body)
            # The words behind the status repeat it as well.
            self.send_response_only(status, headers.get("authorization", "Fine"))
            for name, value in shout.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - named by the standard library

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    parrot.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield parrot
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Broken(RuntimeError):
    """What nobody foresaw, with everything in its words."""


class ParrotStream(Stream):
    name = "entries"

    def page(
        self, client: ProviderClient, *, partition: str, settings: Mapping[str, Any], position: JSON, window: Window
    ) -> Page:
        answer = client.get("entries")
        ParrotAdapter.break_in("stream", answer)
        events = [
            ProviderEvent(event_type="issue.created", dedupe_key=str(number), payload=entry)
            for number, entry in enumerate(answer.json()["entries"])
        ]
        return Page(events=events, position={"etag": answer.headers.get("etag", ""), "next": answer.headers["x-next"]})


class ParrotComment(OutboundAction):
    type = ActionType.COMMENT_ON_ISSUE
    one_effect = OneEffect.MARKER
    visible_within_seconds = 0

    def request(self, client: ProviderClient, command: Command) -> WriteRequest | Done:
        ParrotAdapter.break_in("request", command)
        return WriteRequest(method="POST", path="comments", json=dict(command.payload))

    def done(self, command: Command, answer: Response) -> Done:
        ParrotAdapter.break_in("done", answer)
        body = Document(answer.json())
        return Done(reference=body.text("/id") or "", url=body.text("/url") or "")

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        ParrotAdapter.break_in("find", client.get("comments"))
        return None


class ParrotWebhook(FakeWebhook):
    def events(self, request: WebhookRequest) -> list[ProviderEvent]:
        ParrotAdapter.break_in("webhook", dict(request.headers))
        return super().events(request)


class ParrotAdapter(Adapter):
    slug = "parrot"
    label = "Parrot"
    category = Category.ISSUE_TRACKER
    api_versions = ("1",)
    development_only = True
    manifest = Manifest(
        ack_budget_seconds=10,
        redelivery_horizon=timedelta(days=1),
        delivery_id_header="",
        pause_seconds=600,  # nobody waits for it
        documentation="-",
    )
    settings_schema: ClassVar[JSON] = {
        "type": "object",
        "properties": {"base_url": {"type": "string"}},
        "additionalProperties": False,
    }
    credential_schema: ClassVar[JSON] = {
        "type": "object",
        "properties": {"email": {"type": "string", "x-public": True}, "token": {"type": "string"}, **CLIENT_PARTS},
        "additionalProperties": False,
    }
    streams = (ParrotStream(),)
    actions = (ParrotComment(),)
    webhook = ParrotWebhook()

    # Where it breaks, and what it knew when it did.
    broken: ClassVar[set[str]] = set()
    knows: ClassVar[dict[str, str]] = {}

    @classmethod
    def break_in(cls, place: str, seen: Any) -> None:
        if place in cls.broken:
            words = " ".join(cls.knows.values())
            content = getattr(seen, "content", b"").decode(errors="replace")
            raise Broken(f"{place}: {seen!r} {content} {words}")

    def normalise(self, signal_type: SignalType, event_type: str, payload: JSON) -> Signal:
        self.break_in("normalise", payload)
        return Signal(signal_type=signal_type)

    def client_config(
        self, settings: Mapping[str, Any], credential: Mapping[str, str], api_version: str
    ) -> ClientConfig:
        type(self).knows = {name: value for name, value in credential.items() if name != "email"}
        self.break_in("client_config", credential)
        proof = f"Bearer {credential.get('token', '')}"
        if "email" in credential:
            pair = base64.b64encode(f"{credential['email']}:{credential['token']}".encode()).decode()
            proof = f"Basic {pair}"
        return ClientConfig(
            base_url=settings["base_url"],
            headers={"Authorization": proof},
            explain=lambda answer: Document(answer.json()).text("/error") or "",
        )

    def verify(self, client: ProviderClient) -> Identity:
        answer = client.get("me")
        self.break_in("verify", answer)
        body = answer.json()
        return Identity(account=body["account"], scopes=(body["login"],), details={"login": body["login"]})


def parrot_oauth(parrot: Parrot, **changes: Any) -> OAuth2:
    values: dict[str, Any] = {
        "authorize_url": "{origin}/authorize",
        "token_url": "{origin}/token",
        "default_origin": parrot.url,
        "default_base_url": parrot.url,
        "scopes": ("read",),
        "client_credentials": True,
        "documentation": "-",
    }
    return OAuth2(**{**values, **changes})
