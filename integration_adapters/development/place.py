"""The clone's ``var`` directory: who uses it now, and with which environment."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
from dotenv import dotenv_values

ROOT = Path(__file__).resolve().parent.parent.parent
VAR = ROOT / "var"
RUN = VAR / "run"
LOGS = VAR / "log"
_LOCK = RUN / "lock"
_ENVIRONMENT = RUN / "environment.json"
# Every process started for this clone carries it, so that what a killed supervisor left behind can be found.
MARK = "INTEGRATION_ADAPTERS_CLONE"


class InUse(RuntimeError):
    """Another process owns the engines of this clone. The text says who."""


@contextlib.contextmanager
def owned(purpose: str, *, wait: bool = False) -> Iterator[None]:
    """Own the engines of this clone. Raises ``InUse`` unless ``wait``; ends with the process, however it ends."""
    RUN.mkdir(parents=True, exist_ok=True)
    with _LOCK.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            handle.seek(0)
            raise InUse(handle.read().strip()) from None
        handle.seek(0)
        handle.truncate()
        handle.write(f"{purpose} (process {os.getpid()})")
        handle.flush()
        _ENVIRONMENT.unlink(missing_ok=True)
        try:
            yield
        finally:
            _ENVIRONMENT.unlink(missing_ok=True)


def given_environment() -> dict[str, str]:
    """What the developer chose: the process's variables, then those of ``.env``."""
    values = {name: value for name, value in dotenv_values(ROOT / ".env").items() if value is not None}
    return {**values, **os.environ, MARK: str(ROOT)}


def publish(environment: Mapping[str, str]) -> None:
    """Tell other processes of this clone which environment the running engines need."""
    own = {name: value for name, value in environment.items() if os.environ.get(name) != value}
    # It can hold the password of a database that was given.
    with os.fdopen(os.open(_ENVIRONMENT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
        json.dump(own, handle, indent=2)


def published() -> dict[str, str] | None:
    """The environment of the running engines, or ``None`` if nobody runs them."""
    try:
        with _LOCK.open() as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads(_ENVIRONMENT.read_text()))
    except OSError:
        pass
    return None


def end_leftovers() -> int:
    """End what a killed supervisor of this clone left behind, and say how many processes that were."""
    leftovers = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == str(ROOT):
                leftovers.append(process)
                process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(leftovers, timeout=5)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=5)
    return len(leftovers)


def empty() -> None:
    """Forget all data and logs of this clone; only for its owner."""
    for entry in VAR.iterdir():
        if entry == RUN or entry.name == "setup.lock":
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
