"""A deployment that contradicts itself does not start, whichever process is asked to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from integration_adapters.checks import check_deployment

ROOT = Path(__file__).resolve().parents[2]
CELERY = ("-m", "celery", "-A", "integration_adapters")
PROCESSES = {
    "web": ("-c", "import integration_adapters.wsgi"),
    "worker": (*CELERY, "worker", "--pool", "solo", "--without-gossip", "--without-mingle"),
    "beat": (*CELERY, "beat", "--pidfile", ""),
}


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("PUBLIC_BASE_URL", "http://127.0.0.1:8000", "integration_adapters.W001"),
        ("DATABASE_URL", "sqlite:///db.sqlite3", "integration_adapters.W002"),
    ],
)
def test_a_deployment_left_on_a_default_of_development_is_told(
    settings: Any, name: str, value: str, problem: str
) -> None:
    settings.PUBLIC_BASE_URL = "https://integrations.example.com"
    settings.DATABASE_URL = "postgresql://db.example.com/integrations"
    assert check_deployment() == []
    setattr(settings, name, value)
    assert [message.id for message in check_deployment()] == [problem]


@pytest.mark.parametrize("process", PROCESSES)
def test_no_process_starts_on_settings_a_check_refuses(process: str) -> None:
    environment = {**os.environ, "KMS_SERVICE_URL": "kms.example.com"}
    command = [sys.executable, *PROCESSES[process]]
    started = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert started.returncode != 0
    assert "connections.E006" in started.stderr


def test_the_web_process_starts_on_sound_settings() -> None:
    started = subprocess.run(
        [sys.executable, *PROCESSES["web"]], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False
    )
    assert started.returncode == 0, started.stderr
