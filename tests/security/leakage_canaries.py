"""Secrets that are planted, every form in which one could come to light, and the places that are searched for them."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import redis
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.db import connection as database
from django.test import Client
from django.urls import reverse

from events.compression import unpack

WORDS = [
    "zwetschge",
    "regenbogen",
    "fensterladen",
    "gartenzaun",
    "mondschein",
    "hagebutte",
    "wolkenbruch",
    "kirchturm",
    "butterbrot",
    "nussknacker",
    "tannenzapfen",
    "murmeltier",
    "sauerampfer",
    "windmuehle",
    "brombeere",
    "schneeflocke",
    "haselmaus",
    "leuchtturm",
    "pflaumenmus",
    "wanderstab",
]
PREFIXES = ("ghp_", "glpat-", "xoxb-", "lin_api_")
SHAPES = ("words", "token")
OURS = ("providers.", "connections.", "events.", "webhooks.", "polling.", "actions.")


def canary(kind: str, shape: str = "words") -> str:
    """A secret of this kind: plain words no pattern catches, or what looks like a vendor's token."""
    chance = random.Random(f"{kind}/{shape}")
    if shape == "words":
        return "-".join(chance.sample(WORDS, 4))
    return chance.choice(PREFIXES) + hashlib.sha256(f"{kind}/{shape}".encode()).hexdigest()[:36]


def forms(secret: str) -> set[bytes]:
    """The secret as it may be written: as it is, for URLs, in JSON, in hexadecimal, and inside Base64 at any place."""
    raw = secret.encode()
    written = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], raw.hex()}
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw).decode()
        # The first and the last characters depend on what stands beside the secret.
        inside = encoded[(0, 2, 3)[before] : len(encoded.rstrip("=")) - (1 if (before + len(raw)) % 3 else 0)]
        written |= {inside, inside.replace("+", "-").replace("/", "_")}
    return {form.encode() for form in written if len(form) >= 6}


class Searched:
    """Finds planted secrets. ``found`` names secret and place."""

    def __init__(self, planted: dict[str, str]) -> None:
        self._forms = [(kind, form) for kind, secret in planted.items() for form in forms(secret)]
        self.found: list[str] = []

    def look(self, place: str, content: Any) -> None:
        text = as_bytes(content)
        for kind, form in self._forms:
            at = text.find(form)
            if at >= 0:
                around = text[max(0, at - 120) : at + len(form) + 60].decode(errors="replace")
                self.found.append(f"{kind} in {place}: {around}")


def as_bytes(value: Any) -> bytes:
    """What can be searched, unpacked where it is compressed."""
    if isinstance(value, memoryview | bytes | bytearray):
        raw = bytes(value)
        try:
            return json.dumps(unpack(raw), ensure_ascii=False).encode()
        except Exception:  # noqa: BLE001 - not packed: searched as it is
            return raw
    return value.encode(errors="surrogateescape") if isinstance(value, str) else repr(value).encode()


def tables() -> Iterator[tuple[str, Any]]:
    """Every value of every column of every table, with its place."""
    with database.cursor() as cursor:
        for table in database.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {database.ops.quote_name(table)}")
            names = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                yield from ((f"{table}.{name}", value) for name, value in zip(names, row, strict=True))
    for session in Session.objects.all():
        yield "a session", session.get_decoded()


def keys() -> Iterator[tuple[str, Any]]:
    """Every key of Redis with what is kept under it."""
    client = redis.Redis.from_url(settings.REDIS_URL)
    readers: dict[bytes, Any] = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
    }
    for key in client.scan_iter(count=1000):
        yield "a key of Redis", key
        yield f"Redis under {key!r}", repr(readers[client.type(key)](key))


def pages(rows_each: int = 1) -> Iterator[tuple[str, str]]:
    """Our lists in the admin that have rows, with pages and histories of the newest, as a superuser sees them."""
    user = get_user_model().objects.filter(username="root").first()
    user = user or get_user_model().objects.create_superuser("root", "root@example.com", "a-long-password-1")
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    for model in admin.site._registry:
        if not model.__module__.startswith(OURS):
            continue
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        rows = list(model._default_manager.order_by("-pk")[:rows_each])
        addresses = [reverse(f"{name}_changelist")] if rows else []
        addresses += [reverse(f"{name}_{page}", args=[row.pk]) for row in rows for page in ("change", "history")]
        for address in addresses:
            response = client.get(address)
            assert response.status_code in (200, 302, 403), address
            yield address, response.content.decode() + repr(response.headers) + response.cookies.output()


def search_everywhere(planted: dict[str, str], told: Iterable[tuple[str, Any]], *, admin_too: bool) -> list[str]:
    """Where planted secrets are found: in what was told, in the tables, in Redis and, if wanted, in the admin."""
    searched = Searched(planted)
    together: dict[str, list[bytes]] = {}
    for source in (told, pages() if admin_too else (), tables(), keys()):
        for place, content in source:
            together.setdefault(place, []).append(as_bytes(content))
    for place, contents in together.items():
        searched.look(place, b"\n".join(contents))
    return searched.found
