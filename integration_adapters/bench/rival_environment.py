"""The environment dlt lives in: below ``var/``, made when it is first needed, and no part of the service's own."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_REQUIREMENTS = _ROOT / "requirements-bench.txt"
_DIRECTORY = _ROOT / "var" / "bench-venv"


def python() -> Path:
    """Its interpreter, with what ``requirements-bench.txt`` pins. Raises ``CalledProcessError`` if that fails."""
    found, stamp = _DIRECTORY / "bin" / "python", _DIRECTORY / "installed"
    wanted = hashlib.sha256(_REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return found
    print("Installing dlt into var/bench-venv (once, about a minute) ...", file=sys.stderr, flush=True)
    venv.create(_DIRECTORY, clear=True, with_pip=True)
    options = ["-qq", "--no-input", "--disable-pip-version-check", "--no-deps"]
    subprocess.run(  # noqa: S603
        [str(found), "-m", "pip", "install", *options, "-r", str(_REQUIREMENTS)],
        check=True,
        # As in script/_environment: a user's pip configuration must not redirect the installation.
        env={**os.environ, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"},
    )
    stamp.write_text(wanted)
    return found
