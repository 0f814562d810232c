"""Production starts with keys of its own or not at all."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

ROOT = Path(__file__).resolve().parents[2]
DEVELOPMENT_KEY = "development-only-key-never-used-outside-a-developers-machine"
OWN_SECRETS_KEY = base64.urlsafe_b64encode(b"a key of nobody's but this test.").decode()
DEVELOPMENT_SECRETS_KEY = "ZGV2ZWxvcG1lbnQtb25seS1rZXktbmV2ZXItdXNlZC0="


def start(**values: str) -> subprocess.CompletedProcess[str]:
    """A web process that loads its settings, as a WSGI server does: no checks are run there."""
    own = {
        "ENVIRONMENT": "prod",
        "SECRET_KEY": "an-own-key-" * 6,
        "SECRETS_KEYS": OWN_SECRETS_KEY,
        **values,
    }
    command = [sys.executable, "-c", "from django.conf import settings; settings.SECRETS_KEYS"]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "integration_adapters.settings", **own}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_production_starts_with_keys_of_its_own() -> None:
    assert start(SECRETS_KEYS=f"{Fernet.generate_key().decode()}, {OWN_SECRETS_KEY}").returncode == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", ""),
        ("SECRET_KEY", "  "),
        ("SECRET_KEY", DEVELOPMENT_KEY),
        ("SECRETS_KEYS", ""),
        ("SECRETS_KEYS", " , "),
        ("SECRETS_KEYS", DEVELOPMENT_SECRETS_KEY),
        ("SECRETS_KEYS", f"{OWN_SECRETS_KEY},{DEVELOPMENT_SECRETS_KEY}"),
        ("SECRETS_KEYS", "not-a-fernet-key"),
    ],
)
def test_production_refuses_to_start_without_them(name: str, value: str) -> None:
    started = start(**{name: value})
    assert started.returncode != 0
    last = started.stderr.strip().splitlines()[-1]
    assert "ImproperlyConfigured" in last
    assert name in last
    assert not value.strip() or value not in started.stderr
