"""The production web server, started alike by the container image, ``script/server`` and ``script/bench``.

``python -m integration_adapters.web`` reads ``HOST``, ``PORT``, ``WEB_WORKERS`` and ``WEB_THREADS``. The numbers were
chosen by measuring: see docs/performance.md.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

APPLICATION = "integration_adapters.serving:application"
WORKERS = 2
# Each thread holds one database connection.
THREADS = 4
METRICS = Path("/tmp/metrics")  # noqa: S108 - a directory of the container's own


def command(
    application: str = APPLICATION,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = WORKERS,
    threads: int = THREADS,
    stop_seconds: int = 30,
) -> list[str]:
    """What Python is to be started with."""
    return [
        *("-m", "granian", "--interface", "wsgi", "--http", "1", "--no-ws"),
        *("--host", host, "--port", str(port)),
        *("--workers", str(workers), "--blocking-threads", str(threads)),
        *("--respawn-failed-workers", "--workers-kill-timeout", str(stop_seconds)),
        application,
    ]


def main() -> None:
    """Become the server. Its processes add up their counters in a directory that starts empty."""
    given = os.environ
    metrics = Path(given.setdefault("PROMETHEUS_MULTIPROC_DIR", str(METRICS)))
    shutil.rmtree(metrics, ignore_errors=True)
    metrics.mkdir(parents=True)
    words = command(
        host=given.get("HOST") or "0.0.0.0",  # noqa: S104 - a container is reached from outside
        port=int(given.get("PORT") or 8000),
        workers=int(given.get("WEB_WORKERS") or WORKERS),
        threads=int(given.get("WEB_THREADS") or THREADS),
    )
    os.execv(sys.executable, [sys.executable, *words])  # noqa: S606


if __name__ == "__main__":
    main()
