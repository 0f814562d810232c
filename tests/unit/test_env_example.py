"""``.env.example`` is the list of variables; one that is missing there cannot be found by anybody."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
READ = re.compile(r"""(?:\benv\.\w+|_required_in_production|environ\.get|getenv)\(\s*["']([A-Z][A-Z0-9_]+)["']""")
LISTED = re.compile(r"^#? ?([A-Z][A-Z0-9_]+)=", re.MULTILINE)


def listed() -> list[str]:
    return LISTED.findall((ROOT / ".env.example").read_text())


def test_every_variable_that_is_read_is_listed_once() -> None:
    read = set(READ.findall((ROOT / "integration_adapters" / "settings.py").read_text()))
    assert len(read) > 20  # the pattern still finds them
    assert sorted(read - set(listed())) == []
    assert sorted(listed()) == sorted(set(listed()))


def test_nothing_is_listed_that_nobody_reads() -> None:
    places = [
        *ROOT.joinpath("integration_adapters").rglob("*.py"),
        ROOT / "compose.yaml",
        ROOT / "Dockerfile",
    ]
    text = "\n".join(path.read_text() for path in places)
    assert [name for name in listed() if name not in text] == []


def test_every_variable_is_explained() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    unexplained = [
        line
        for above, line in itertools.pairwise(lines)
        if LISTED.match(line) and (LISTED.match(above) or not above.startswith("# ") or above.startswith("# ---"))
    ]
    assert unexplained == []
