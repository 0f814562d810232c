"""SEC-IA-01: the deployment's own secrets, people's passwords, and what objects say of themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet
from django.conf import settings as deployment
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from actions.intake import Wish
from connections import oauth_return
from connections.exchange import Answer
from connections.models import AccessToken
from connections.oauth import Begun
from connections.runtime import Calling
from connections.token_sources import HeldTokens, MintedSource
from connections.tokens import Usable
from providers.actions import Command, WriteRequest
from providers.client import ClientConfig, Response
from providers.minting import ClientCredentials
from providers.oauth import OAuth2
from providers.spi import WebhookRequest
from providers.token_requests import TokenRequest, TokenSet
from tests.security.leakage_canaries import Searched, canary
from tests.security.leakage_watch import Watch, watch

__all__ = ["watch"]

SECRET = canary("a secret of an object")


@pytest.mark.django_db
def test_a_staff_password_stays_inside_right_or_wrong(watch: Watch, settings: Any) -> None:
    """SEC-IA-01"""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick
    password, wrong, new = (watch.plant(f"a password that is {name}") for name in ("right", "wrong", "new"))
    get_user_model().objects.create_superuser("zoe", "zoe@example.com", password)
    client = Client()
    for tried in (wrong, wrong, password):
        response = client.post(reverse("admin:login"), {"username": "zoe", "password": tried})
        watch.hear("the login", response)
    assert response.status_code == 302
    form = {"old_password": password, "new_password1": new, "new_password2": new + "x"}
    watch.hear("a change", client.post(reverse("admin:password_change"), form))
    watch.hear("a change", client.post(reverse("admin:password_change"), {**form, "new_password2": new}))
    assert get_user_model().objects.get().check_password(new)
    assert watch.leaks() == []


FAILING = """
import django
django.setup()
from integration_adapters.celery import app
from django.conf import settings
from django.db import connection
from django.test import Client
for path in ("/health", "/ready", "/metrics"):
    print(Client(headers={"host": "localhost"}).get(path).content.decode())
for work in (connection.ensure_connection, app.connection().connect):
    try:
        work()
    except Exception:
        import logging
        logging.getLogger("x").exception("failed")
print(app.connection())
try:
    raise RuntimeError(f"{settings.SECRET_KEY} {settings.SECRETS_KEYS} {settings.PLATFORM_TOKEN} {settings.DATABASES} "
                       f"{settings.REDIS_URL}")
except RuntimeError:
    logging.getLogger("x").exception("a fault that tells all it knows")
"""


def test_the_secrets_of_the_environment_are_in_no_line_when_everything_is_down() -> None:
    """SEC-IA-01: database and broker refuse, and a fault prints the settings."""
    planted = {name: canary(name) for name in ("SECRET_KEY", "PLATFORM_TOKEN", "the database", "the broker")}
    planted["SECRETS_KEYS"] = Fernet.generate_key().decode()
    environment = {
        **os.environ,
        "ENVIRONMENT": "dev",
        "DJANGO_SETTINGS_MODULE": "integration_adapters.settings",
        "LOG_LEVEL": "DEBUG",
        "SECRET_KEY": planted["SECRET_KEY"],
        "SECRETS_KEYS": planted["SECRETS_KEYS"],
        "PLATFORM_TOKEN": planted["PLATFORM_TOKEN"],
        "DATABASE_URL": f"postgres://zoe:{planted['the database']}@127.0.0.1:9/x",
        "REDIS_URL": f"redis://:{planted['the broker']}@127.0.0.1:9/0",
    }
    done = subprocess.run(
        [sys.executable, "-c", FAILING],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=deployment.BASE_DIR,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "a fault that tells all it knows" in done.stderr
    searched = Searched(planted)
    searched.look("what was printed", done.stdout)
    searched.look("the log", done.stderr)
    assert searched.found == []


def test_files_below_var_that_hold_a_secret_are_the_owners_alone(tmp_path: Path, monkeypatch: Any) -> None:
    """SEC-IA-01: the environment of the running engines may hold the password of a database that was given."""
    from integration_adapters.development import place

    target = tmp_path / "environment.json"
    monkeypatch.setattr(place, "_ENVIRONMENT", target)
    place.publish({"DATABASE_URL": f"postgres://zoe:{SECRET}@db/x"})
    assert target.stat().st_mode & 0o077 == 0


def objects() -> list[Any]:
    """Everything that carries a secret through the code, with one in it."""
    headers = {"Authorization": f"Bearer {SECRET}", "X-Echo": SECRET}
    now = datetime.now(UTC)
    config = ClientConfig(base_url="https://x.example", headers=headers)
    usable = Usable(AccessToken(), {"token": SECRET}, {"token": SECRET}, {"token": SECRET})
    asked = {"target": {"issue_key": "WEB-1"}, "payload": {"body": SECRET}}
    wish = {"provider_id": "fake", "canonical_type": "comment_on_issue", "idempotency_key": "k"}
    oauth = OAuth2(authorize_url="-", token_url="-", documentation="-")
    return [
        config,
        Response(status=200, headers=headers, content=SECRET.encode()),
        Answer(200, SECRET.encode()),
        Calling(None, config, {"token": SECRET}, usable),  # type: ignore[arg-type]
        usable,
        HeldTokens(SECRET, SECRET),
        MintedSource(ClientCredentials(server=oauth), {}, {"client_secret": SECRET}),
        TokenSet(access_token=SECRET, refresh_token=SECRET),
        TokenRequest(url="https://x.example", fields={"code": SECRET}, headers=headers),
        Begun(authorize_url=SECRET, authorisation=None),  # type: ignore[arg-type]
        oauth_return.Answer(state=SECRET, code=SECRET),
        Wish(**wish, **asked),  # type: ignore[arg-type]
        Command(mark=str(uuid4()), since=now, **asked),
        WriteRequest(method="POST", path="/x", json=asked, headers=headers),
        WebhookRequest(headers=headers, body=SECRET.encode(), query={"token": SECRET}, settings={}, scheme="hmac"),
    ]


@pytest.mark.parametrize("thing", objects(), ids=lambda thing: type(thing).__name__)
def test_an_object_does_not_tell_its_secrets_in_its_repr(thing: Any) -> None:
    """An exception that shows an object, a debugger or an error tracker shows its repr."""
    searched = Searched({"secret": SECRET})
    searched.look("the repr", repr(thing) + str(thing))
    assert searched.found == []
