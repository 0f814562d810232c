"""Synchronous actions over HTTP, one after the other, against a tracker that answers at once.

``python -m … prepare ADDRESS`` makes a connection and a token and prints both; ``serve PORT`` is the tracker.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import django

PROVIDER, CREDENTIAL = "fake", {"token": "bench"}


def prepare(address: str) -> None:
    django.setup()
    from connections.models import ConnectionStatus, IntegrationConnection
    from connections.services import create_connection
    from integration_adapters.authentication import issue_local_token
    from providers.catalogue import sync_providers

    sync_providers()
    connection = create_connection(
        tenant_id="bench",
        provider_id=PROVIDER,
        display_name="Bench",
        credential=CREDENTIAL,
        settings={"base_url": address},
        actor="system:bench",
    )
    IntegrationConnection.objects.filter(pk=connection.pk).update(status=ConnectionStatus.ACTIVE)
    token = issue_local_token(tenant_id="bench", roles=("service",), subject="bench", ttl_seconds=3600)
    json.dump({"connection_id": str(connection.pk), "token": token}, sys.stdout)


def serve(port: int) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            content = json.dumps({"id": asked.get("id"), "url": "https://tracker.invalid/1"}).encode()
            self.send_response_only(201)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    else:
        prepare(sys.argv[2])
