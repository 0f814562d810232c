"""Running another program to its end while watching its memory."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import psutil

SAMPLE_SECONDS = 0.1
STEPS = 10


class _Memory(threading.Thread):
    """Proportional set size of a process and its children, in MiB, by the clock all processes share."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self.samples: list[tuple[float, float]] = []

    def run(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            with contextlib.suppress(psutil.Error):
                family = (self._process, *self._process.children(recursive=True))
                size = sum(one.memory_full_info().pss for one in family)
                self.samples.append((time.monotonic(), size / 2**20))

    def stop(self) -> None:
        self._ended.set()
        self.join()


def run(words: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """What the program printed as JSON, with ``peak_mib`` and ``steps_mib`` from its ``began_at`` to its ``ended_at``.

    Raises ``CalledProcessError`` if it fails.
    """
    with subprocess.Popen(list(words), env=dict(environment), stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        memory = _Memory(process.pid)
        memory.start()
        try:
            printed, _ = process.communicate()
        finally:
            memory.stop()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(words))
    found: dict[str, Any] = json.loads(printed)
    begun, ended = found["began_at"], found["ended_at"]
    during = [(at - begun, size) for at, size in memory.samples if begun <= at <= ended]
    found["peak_mib"] = max((size for _, size in during), default=0.0)
    length = (ended - begun) / STEPS
    found["steps_mib"] = [
        max((size for at, size in during if step * length <= at <= (step + 1) * length), default=0.0)
        for step in range(STEPS)
    ]
    return found
