"""Pytest plugin, loaded with ``-p tests.engines``: real engines before Django reads its settings.

Each test run has its own PostgreSQL and Valkey in a temporary directory, unless DATABASE_URL and REDIS_URL
are given. Worker processes of pytest-xdist inherit the addresses; each takes a Valkey database of its own.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from integration_adapters.embedded import EmbeddedEngines


def _start() -> None:
    directory = Path(tempfile.mkdtemp(prefix="ia-tests-"))
    engines = EmbeddedEngines(directory, durable=False)

    def stop() -> None:
        engines.stop()
        shutil.rmtree(directory, ignore_errors=True)

    atexit.register(stop)
    if not os.environ.get("DATABASE_URL"):
        os.environ["DATABASE_URL"] = engines.start_postgres()
    if not os.environ.get("REDIS_URL"):
        os.environ["REDIS_URL"] = engines.start_valkey()


if "PYTEST_XDIST_WORKER" in os.environ:
    number = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")) + 1
    os.environ["REDIS_URL"] = os.environ["REDIS_URL"].rsplit("/", 1)[0] + f"/{number}"
else:
    _start()
os.environ["ENVIRONMENT"] = "dev"
os.environ["OUTBOUND_ALLOWED"] = "127.0.0.1"
# A door that was just closed is closed: what other processes learn seconds later is tested on its own.
os.environ["WEBHOOK_DOOR_CACHE_SECONDS"] = "0"
for _name in ("PM3_SERVICE_URL", "KMS_SERVICE_URL", "BUDGET_SERVICE_URL", "ERIS_SERVICE_URL", "ALERTING_SERVICE_URL"):
    os.environ[_name] = ""
