"""The rival: a Django view that verifies, inserts the same row and answers. No middleware, no ORM, no limits.

What it leaves out is what the road adds: finding the door, rate and replay, reading and redacting the payload,
deduplication by the provider's id, tallies, metrics, correlation and evidence. ``BENCH_STATEMENT`` is a file with
the insert, ``BENCH_SECRET`` the secret of every door.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
import uuid
from pathlib import Path

import dj_database_url
import uuid6
import zstandard
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

settings.configure(
    DEBUG=False,
    SECRET_KEY="bench",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[],
    DATABASES={"default": dj_database_url.parse(os.environ["DATABASE_URL"], conn_max_age=600)},
    USE_TZ=True,
    LOGGING_CONFIG=None,
)

_STATEMENT = Path(os.environ["BENCH_STATEMENT"]).read_text()
_SECRET = os.environ["BENCH_SECRET"].encode()
_local = threading.local()


def receive(request: HttpRequest) -> HttpResponse:
    body = request.body
    signature = hmac.digest(_SECRET, body, "sha256").hex()
    if not hmac.compare_digest(f"sha256={signature}", request.headers.get("X-Hub-Signature-256", "")):
        return JsonResponse({"status": "refused"}, status=401)
    compressor = getattr(_local, "compressor", None)
    if compressor is None:
        compressor = _local.compressor = zstandard.ZstdCompressor(level=1)
    values = {
        "event_id": uuid6.uuid7(),
        "dedupe_key": f"delivery:{request.headers['X-GitHub-Delivery']}",
        "signature_hash": hashlib.sha256(signature.encode()).digest(),
        "signal_id": uuid.uuid4(),
        "payload": compressor.compress(body),
    }
    with connection.cursor() as cursor:
        cursor.execute(_STATEMENT, values)
    response = JsonResponse({"status": "accepted", "events": 1}, status=202)
    response["Content-Length"] = str(len(response.content))
    return response


urlpatterns = [path("bare", receive)]
application = get_wsgi_application()
