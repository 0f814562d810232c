"""The short form of ``script/chaos``: every part killed, emptied or away once, under load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.resilience.chaos import is_whole

ROOT = Path(__file__).resolve().parents[2]
WHOLE = {
    "answered 2xx": 5,
    "polled": 2,
    "delivered": 7,
    "lost": 0,
    "twice": 0,
    "not asked for": 0,
    "unaccounted": 0,
    "senders that never ended": 0,
    "faults": [],
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"lost": 1},
        {"twice": 1},
        {"not asked for": 1},
        {"unaccounted": -1},
        {"senders that never ended": 1},
        {"faults": ["an unreadable request"]},
        {"delivered": 6},
    ],
)
def test_the_verdict_sees_every_kind_of_wrong(wrong: dict[str, object]) -> None:
    assert is_whole(WHOLE)
    assert not is_whole({**WHOLE, **wrong})


def test_what_was_answered_2xx_is_delivered_once_whatever_dies() -> None:
    command = [sys.executable, "-m", "tests.resilience.chaos", "--json"]
    load = ["--rate", "30", "--polled", "100", "--redis-gone", "8", "--pause", "2"]
    # Its own engines, whatever this run of the tests uses.
    environment = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "REDIS_URL")}
    ended = subprocess.run([*command, *load], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=360)

    assert ended.stdout, ended.stderr[-3000:]
    report = json.loads(ended.stdout.splitlines()[-1])
    assert report["answered 2xx"] > 200
    assert report["answers"].get("503") or report["answers"].get("no answer"), "nothing was ever hit"
    assert (report["lost"], report["twice"], report["not asked for"]) == (0, 0, 0), report
    assert report["delivered"] == report["answered 2xx"] + report["polled"]
    assert report["unaccounted"] == 0
    assert {int(status) for status in report["answers"] if status.isdigit()} <= {200, 202, 502, 503}
    assert report["faults"] == []
    assert ended.returncode == 0
