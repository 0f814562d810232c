"""``script/manage``: ``manage.py`` against the engines of this clone, which are started for the moment if need be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from integration_adapters import embedded
from integration_adapters.development import place


def main() -> int:
    """Exit code of ``manage.py``."""
    given = place.given_environment()
    del given[place.MARK]
    if given.get("DATABASE_URL") and given.get("REDIS_URL"):
        return _manage(given)
    running = place.published()
    if running is not None:
        return _manage({**running, **{name: value for name, value in given.items() if value}})
    with place.owned("./script/manage", wait=True), embedded.EmbeddedEngines(place.VAR) as engines:
        if not given.get("DATABASE_URL"):
            given["DATABASE_URL"] = engines.start_postgres()
        if not given.get("REDIS_URL"):
            given["REDIS_URL"] = engines.start_valkey()
        return _manage(given)


def _manage(environment: dict[str, str]) -> int:
    command = [sys.executable, str(place.ROOT / "manage.py"), *sys.argv[1:]]
    # Ctrl-C and a terminated shell are the command's to answer; this process waits and then stops the engines.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(command, env=environment, preexec_fn=_listen_again)  # noqa: S603
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    code = child.wait()
    return 128 - code if code < 0 else code


def _listen_again() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
