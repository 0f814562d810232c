"""Keeps a set of child processes running, and takes all of them along when it ends.

Every child leads a session of its own, so that its whole family can be ended at once, and asks the kernel to be
told when the supervisor dies. One thread: call ``tend`` often.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from integration_adapters.embedded import Engine
from integration_adapters.parent_death import end_with_parent

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 30.0
"""A child that lived this long is healthy: its next end is followed by the first pause again."""
TICK_SECONDS = 0.1
STOP_SECONDS = 12.0
LINES_A_SECOND = 8
LINE_LENGTH = 240
LOG_LIMIT_BYTES = 20 * 1024 * 1024

WARNINGS = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b|\"level\": ?\"(warning|error|critical)\"|^\w+(\.\w+)*Error: ")

Say = Callable[[str, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One child.

    ``shown``: which lines of its log reach the terminal; ``None`` for none.
    ``stops_last``: others stand on it, so it is stopped after them.
    """

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    log: Path
    stop_signal: signal.Signals = signal.SIGTERM
    shown: re.Pattern[str] | None = WARNINGS
    stops_last: bool = False

    @classmethod
    def of_engine(cls, engine: Engine) -> Program:
        """The same supervision for an embedded engine."""
        return cls(
            name=engine.name,
            start=engine.start,
            log=engine.log,
            stop_signal=engine.stop_signal,
            shown=None,
            stops_last=True,
        )

    @classmethod
    def of_command(
        cls,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        shown: re.Pattern[str] | None = WARNINGS,
    ) -> Program:
        """A program whose output goes to its log."""

        def start() -> subprocess.Popen[bytes]:
            with log.open("ab") as output:
                return subprocess.Popen(  # noqa: S603
                    list(command),
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    preexec_fn=end_with_parent(signal.SIGTERM),
                )

        return cls(name=name, start=start, log=log, shown=shown)


@dataclass(slots=True)
class _Child:
    program: Program
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_again_at: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS
    tail: IO[str] | None = None
    shown: list[float] = field(default_factory=list)
    once: bool = False


class Supervisor:
    """Use as a context manager; leaving it stops every child."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._children: list[_Child] = []

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def run(self, program: Program) -> None:
        """Start ``program`` and keep it running from now on."""
        self._start(self._add(program))

    def complete(self, program: Program) -> int:
        """Run ``program`` to its end, tending the others meanwhile, and return its exit code."""
        child = self._add(program)
        child.once = True
        self._start(child)
        self.wait_for(lambda: child.process is None or child.process.poll() is not None, float("inf"))
        code = child.process.returncode if child.process is not None else 1
        self._end(child, 0.0)
        self._children.remove(child)
        return code

    def _add(self, program: Program) -> _Child:
        program.log.parent.mkdir(parents=True, exist_ok=True)
        if program.log.exists() and program.log.stat().st_size > LOG_LIMIT_BYTES:
            program.log.replace(program.log.with_suffix(".log.1"))
        program.log.touch()
        tail = program.log.open(errors="replace")
        tail.seek(0, os.SEEK_END)
        child = _Child(program, tail=tail)
        self._children.append(child)
        return child

    def pids(self) -> dict[str, int]:
        """Process ids of the children that run now, by name."""
        return {c.program.name: c.process.pid for c in self._children if c.process is not None}

    def tend(self) -> None:
        """Show what is worth seeing, notice who ended and start again who is due."""
        now = time.monotonic()
        for child in self._children:
            self._show(child, now)
            if child.once:
                continue
            if child.process is not None and child.process.poll() is not None:
                self._note_end(child, child.process, now)
            if child.process is None and now >= child.start_again_at:
                self._start(child)

    def wait_for(self, done: Callable[[], bool], seconds: float) -> bool:
        """Tend until ``done`` or the time is over; says which."""
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                return False
            self.tend()
            time.sleep(TICK_SECONDS)
        return True

    def stop(self) -> None:
        """End every child and its family: asked first, then forced."""
        for last in (False, True):
            stage = [child for child in reversed(self._children) if child.program.stops_last == last]
            for child in stage:
                if child.process is not None:
                    _signal(child.process.pid, child.program.stop_signal)
            deadline = time.monotonic() + STOP_SECONDS
            for child in stage:
                self._end(child, deadline)
        self._children = []

    def _end(self, child: _Child, deadline: float) -> None:
        if child.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.0, deadline - time.monotonic()))
            if child.process.poll() is None:
                self._say(child.program.name, "does not stop; killed")
            _kill_family(child.process.pid)
            child.process.wait()
            child.process = None
        self._show(child, time.monotonic())
        if child.tail is not None:
            child.tail.close()
            child.tail = None

    def _start(self, child: _Child) -> None:
        child.process = child.program.start()
        child.started_at = time.monotonic()

    def _note_end(self, child: _Child, process: subprocess.Popen[bytes], now: float) -> None:
        # What it started itself would keep its port or its tasks.
        _kill_family(process.pid)
        child.process = None
        if now - child.started_at >= STEADY_SECONDS:
            child.pause = FIRST_PAUSE_SECONDS
        self._say(
            child.program.name,
            f"ended ({_reason(process.returncode)}); starting again in {child.pause:g} s, see {child.program.log}",
        )
        child.start_again_at = now + child.pause
        child.pause = min(child.pause * 2, LONGEST_PAUSE_SECONDS)

    def _show(self, child: _Child, now: float) -> None:
        for text in _complete_lines(child.tail):
            if child.program.shown is None or not child.program.shown.search(text):
                continue
            child.shown = [at for at in child.shown if now - at < 1.0]
            if len(child.shown) < LINES_A_SECOND:
                self._say(child.program.name, readable(text)[:LINE_LENGTH])
            elif len(child.shown) == LINES_A_SECOND:
                self._say(child.program.name, f"and more, see {child.program.log}")
            child.shown.append(now)


def _complete_lines(tail: IO[str] | None) -> Iterator[str]:
    """Lines added since the last call; half a line waits for its other half."""
    while tail is not None:
        position = tail.tell()
        line = tail.readline()
        if not line.endswith("\n"):
            tail.seek(position)
            return
        if line.strip():
            yield line.rstrip()


def readable(line: str) -> str:
    """A structured log line as a person reads it; any other line as it is."""
    try:
        values = json.loads(line)
        level, event = values.pop("level"), values.pop("event")
    except (ValueError, KeyError, TypeError, AttributeError):
        return line
    rest = " ".join(f"{name}={value}" for name, value in values.items() if name not in ("timestamp", "logger"))
    return f"{level}: {event} {rest}".rstrip()


def _reason(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _kill_family(leader: int) -> None:
    """End what is left of the session that ``leader`` led."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
