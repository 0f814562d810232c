"""The scripts set up their environment by themselves, once, with whichever suitable Python is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import sys
from _environment import SetupError, ensure
try:
    print(ensure())
except SetupError as error:
    sys.exit(str(error))
"""


class Clone:
    """A clone with no packages to install, and a PATH that holds only what a test puts there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.programs = directory / "bin"
        self.programs.mkdir(parents=True)
        (directory / "script").mkdir()
        shutil.copy(ROOT / "script" / "_environment.py", directory / "script")
        (directory / "script" / "probe.py").write_text(PROGRAM)
        self.requirements = directory / "requirements-dev.txt"
        self.requirements.write_text("")

    def has_old_python(self, name: str) -> None:
        script = self.programs / name
        script.write_text("#!/bin/sh\necho 3.8.10\n")
        script.chmod(0o755)

    def has_this_python(self, name: str) -> None:
        script = self.programs / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        script.chmod(0o755)

    def set_up(self) -> subprocess.CompletedProcess[str]:
        """Run the set-up without HOME, as a bare machine would."""
        environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "VIRTUAL_ENV")}
        return subprocess.run(
            [sys.executable, str(self.directory / "script" / "probe.py")],
            env={**environment, "PATH": str(self.programs)},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path / "a clone")


def test_a_machine_with_only_an_old_python_is_told_what_to_install(clone: Clone) -> None:
    clone.has_old_python("python3")
    result = clone.set_up()
    assert result.returncode == 1
    assert "Python 3.11 or newer" in result.stderr
    assert "is Python 3.8.10" in result.stderr
    assert not (clone.directory / ".venv").exists()


def test_a_newer_python_beside_an_old_one_is_found_and_set_up_once(clone: Clone) -> None:
    clone.has_old_python("python3")
    clone.has_this_python("python3.12")
    first = clone.set_up()
    assert first.returncode == 0, first.stderr
    python = Path(first.stdout.strip())
    assert python == clone.directory / ".venv" / "bin" / "python"
    assert first.stderr.count("\n") == 1  # one line of progress

    second = clone.set_up()
    assert (second.stdout, second.stderr) == (first.stdout, "")

    clone.requirements.write_text("# changed\n")
    assert "Installing" in clone.set_up().stderr
