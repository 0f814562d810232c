"""Children of the supervisor are real processes: they are kept running, shown, and taken along."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from integration_adapters import supervisor as supervising
from integration_adapters.supervisor import Program, Supervisor

ROOT = Path(__file__).resolve().parents[3]


class Terminal:
    """What a person would have read."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, who: str, text: str) -> None:
        self.lines.append(f"{who}: {text}")


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


@pytest.fixture
def supervisor(terminal: Terminal) -> Iterator[Supervisor]:
    with Supervisor(terminal.say) as running:
        yield running


def program(tmp_path: Path, code: str, name: str = "child", shown: re.Pattern[str] | None = None) -> Program:
    return Program.of_command(
        name,
        [sys.executable, "-uc", textwrap.dedent(code)],
        log=tmp_path / f"{name}.log",
        environment=dict(os.environ),
        shown=shown or supervising.WARNINGS,
    )


def eventually(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_a_child_killed_with_sigkill_is_started_again(
    supervisor: Supervisor, terminal: Terminal, tmp_path: Path
) -> None:
    supervisor.run(program(tmp_path, "import time; time.sleep(60)"))
    first = supervisor.pids()["child"]
    os.kill(first, signal.SIGKILL)
    assert supervisor.wait_for(lambda: supervisor.pids().get("child", first) != first, 10)
    assert any("ended (SIGKILL)" in line for line in terminal.lines)


def test_a_child_that_keeps_failing_is_started_with_growing_pauses(
    supervisor: Supervisor, terminal: Terminal, tmp_path: Path
) -> None:
    supervisor.run(program(tmp_path, "raise SystemExit(3)"))
    assert supervisor.wait_for(lambda: len(terminal.lines) >= 3, 15)
    pauses = [float(re.findall(r"in ([0-9.]+) s", line)[0]) for line in terminal.lines[:3]]
    assert pauses == sorted(pauses)
    assert pauses[2] >= 2 * pauses[1]
    assert "exit code 3" in terminal.lines[0]


def test_stopping_takes_grandchildren_along(supervisor: Supervisor, tmp_path: Path) -> None:
    note = tmp_path / "grandchild"
    supervisor.run(
        program(
            tmp_path,
            f"""
            import pathlib, subprocess, sys, time
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            pathlib.Path({str(note)!r}).write_text(str(child.pid))
            time.sleep(60)
            """,
        )
    )
    assert eventually(lambda: note.exists() and note.read_text() != "")
    grandchild = int(note.read_text())
    supervisor.stop()
    assert eventually(lambda: not psutil.pid_exists(grandchild) or _is_gone(grandchild))


def test_a_child_that_ignores_the_signal_is_killed(
    supervisor: Supervisor, terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervising, "STOP_SECONDS", 0.5)
    ready = tmp_path / "ready"
    supervisor.run(
        program(
            tmp_path,
            f"""
            import pathlib, signal, time
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            pathlib.Path({str(ready)!r}).touch()
            time.sleep(60)
            """,
        )
    )
    assert eventually(ready.exists)
    pid = supervisor.pids()["child"]
    supervisor.stop()
    assert _is_gone(pid)
    assert terminal.lines == ["child: does not stop; killed"]


def test_only_lines_worth_seeing_reach_the_terminal(supervisor: Supervisor, terminal: Terminal, tmp_path: Path) -> None:
    code = r"""
        print("all is well")
        print('{"attempt": 2, "event": "broker lost", "level": "error", "timestamp": "2026-01-01T00:00:00Z"}')
        print("[2026-01-01: WARNING/MainProcess] slow")
        print("arrived: something")
        import time; time.sleep(60)
    """
    supervisor.run(program(tmp_path, code, shown=re.compile(f"{supervising.WARNINGS.pattern}|^arrived")))
    assert supervisor.wait_for(lambda: len(terminal.lines) >= 3, 10)
    assert [line.split(": ", 1)[1] for line in terminal.lines] == [
        "error: broker lost attempt=2",
        "[2026-01-01: WARNING/MainProcess] slow",
        "arrived: something",
    ]
    assert "all is well" in (tmp_path / "child.log").read_text()


def test_a_flood_of_lines_is_cut_short_on_the_terminal(
    supervisor: Supervisor, terminal: Terminal, tmp_path: Path
) -> None:
    assert supervisor.complete(program(tmp_path, "for n in range(500): print('ERROR', n)")) == 0
    assert len(terminal.lines) <= 2 * (supervising.LINES_A_SECOND + 1)
    assert any("and more, see" in line for line in terminal.lines)


def test_a_program_that_is_run_once_gives_its_exit_code_and_is_not_started_again(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    assert supervisor.complete(program(tmp_path, "raise SystemExit(4)")) == 4
    supervisor.tend()
    assert supervisor.pids() == {}


def test_what_others_stand_on_is_stopped_last(terminal: Terminal, tmp_path: Path) -> None:
    order = tmp_path / "order"
    code = f"""
        import pathlib, signal, sys, time
        def stop(*_):
            time.sleep(0.5 if NAME == "web" else 0)
            with open({str(order)!r}, "a") as f: f.write(NAME + " ")
            sys.exit()
        signal.signal(signal.SIGTERM, stop)
        pathlib.Path({str(tmp_path)!r}, NAME + ".ready").touch()
        time.sleep(60)
    """
    with Supervisor(terminal.say) as running:
        for name, last in (("engine", True), ("web", False)):
            simple = program(tmp_path, f"NAME = {name!r}\n" + textwrap.dedent(code), name=name)
            running.run(Program(name=name, start=simple.start, log=simple.log, stops_last=last))
        assert eventually(lambda: all((tmp_path / f"{n}.ready").exists() for n in ("engine", "web")))
    assert order.read_text().split() == ["web", "engine"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells children of their parent's death")
def test_children_end_when_the_supervisor_itself_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = f"""
        import pathlib, sys, time
        from integration_adapters.supervisor import Program, Supervisor
        with Supervisor(print) as running:
            running.run(Program.of_command("child", [sys.executable, "-c", "import time; time.sleep(60)"],
                        log=pathlib.Path({str(tmp_path)!r}) / "child.log", environment={{}}))
            pathlib.Path({str(note)!r}).write_text(str(running.pids()["child"]))
            time.sleep(60)
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT)
    try:
        assert eventually(lambda: note.exists() and note.read_text() != "")
    finally:
        parent.kill()
        parent.wait()
    assert eventually(lambda: _is_gone(int(note.read_text())))


def _is_gone(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True
