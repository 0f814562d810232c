"""Sets up ``.venv``, once for all scripts. Standard library only; also parsed by Pythons too old to run the project."""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
REQUIREMENTS = ROOT / "requirements-dev.txt"
MINIMUM = (3, 11)
CANDIDATES = ("python3", "python3.14", "python3.13", "python3.12", "python3.11", "python")
_PROBE = "import sys, venv, ensurepip; print('%d.%d.%d' % sys.version_info[:3])"
_VERSION = "import sys; print('%d.%d.%d' % sys.version_info[:3])"


class SetupError(Exception):
    """The message tells a person what to do."""


def ensure():
    """Make ``.venv`` match ``requirements-dev.txt`` and return its Python. Does nothing when nothing changed."""
    python = VENV / "bin" / "python"
    stamp = VENV / "installed"
    if _is_current(stamp, python):
        return python
    with _lock():
        if _is_current(stamp, python):
            return python
        if _version(python, _VERSION) < MINIMUM:
            _create(VENV)
        print("Installing Python packages into .venv (once, about a minute) ...", file=sys.stderr, flush=True)
        _install(python)
        stamp.write_text(_fingerprint())
    return python


def run(arguments):
    """Replace this process by ``python arguments`` inside the environment, from the project's directory."""
    try:
        python = ensure()
    except SetupError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    os.chdir(str(ROOT))
    os.execve(str(python), [str(python), *arguments], environment())


def environment():
    """Variables for programs inside the environment: its tools first on PATH, nothing of another environment."""
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__")}
    variables["VIRTUAL_ENV"] = str(VENV)
    variables["PATH"] = os.pathsep.join([str(VENV / "bin"), variables.get("PATH", os.defpath)])
    return variables


def _is_current(stamp, python):
    try:
        return stamp.read_text() == _fingerprint() and python.exists()
    except OSError:
        return False


def _fingerprint():
    # The path is part of it because an environment cannot be moved; the configuration names its Python's version.
    digest = hashlib.sha256(REQUIREMENTS.read_bytes())
    digest.update((VENV / "pyvenv.cfg").read_bytes())
    digest.update(str(VENV).encode())
    return digest.hexdigest()


@contextlib.contextmanager
def _lock():
    """One set-up at a time in this clone; a second one waits and then finds the work done."""
    import fcntl

    directory = ROOT / "var"
    directory.mkdir(exist_ok=True)
    with (directory / "setup.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _create(directory):
    seen = []
    for name in CANDIDATES:
        path = shutil.which(name)
        if path is None:
            continue
        if _version(path, _PROBE) >= MINIMUM:
            if directory.exists():
                shutil.rmtree(str(directory))
            _call([path, "-m", "venv", str(directory)], "Creating .venv")
            return
        version = _version(path, _VERSION)
        if version:
            number = ".".join(map(str, version))
            seen.append("  {} is Python {}{}".format(path, number, "" if version < MINIMUM else ", without venv"))
    raise SetupError(
        "Python 3.11 or newer with the venv and ensurepip modules is needed and none was found.\n"
        + "\n".join(seen)
        + "\nInstall one, for example `apt install python3.11-venv`, `dnf install python3.12` or from python.org."
    )


def _version(python, program):
    """The version ``python`` prints, or ``()`` if it does not run the program."""
    try:
        result = subprocess.run(
            [str(python), "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30
        )
        return tuple(map(int, result.stdout.decode().split("."))) if result.returncode == 0 else ()
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return ()


def _install(python):
    """The file is a complete list of pins, so pip resolves nothing."""
    options = ["-qq", "--no-input", "--disable-pip-version-check", "--no-warn-script-location", "--no-deps"]
    _call([str(python), "-m", "pip", "install", *options, "-r", str(REQUIREMENTS)], "Installing the packages")


def _call(command, what):
    variables = environment()
    # A user's pip configuration for other purposes must not redirect the installation.
    variables.update(PIP_USER="0", PIP_REQUIRE_VIRTUALENV="0")
    for name in ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"):
        variables.pop(name, None)
    if subprocess.call(command, env=variables, stdin=subprocess.DEVNULL) != 0:
        raise SetupError("{} failed: {}".format(what, " ".join(command)))
