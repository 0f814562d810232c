"""What a beat tick costs, and that it costs no more where there are ten times as many connections."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from integration_adapters.bench import report
from integration_adapters.bench.stage import Stage

CONNECTIONS = (10_000, 100_000)
ROUNDS = 20
_IDLE_MS, _DUE_MS = 2.0, 25.0
# What two runs of the same differ by on a machine that does other things as well.
_SAME = 1.25


def measure(directory: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Ticks over few and over many connections, printed as they are found."""
    directory.chmod(0o755)
    found: dict[str, Any] = {"machine": report.machine(), "sizes": []}
    for number in options.connections or CONNECTIONS:
        place = directory / str(number)
        place.mkdir()
        place.chmod(0o755)
        with Stage(place, doors=0) as stage:
            made = stage.run_module("integration_adapters.bench.ticks", str(number), str(options.rounds))
        found["sizes"].append(json.loads(made))
    for line in _told(found["sizes"]):
        print(line, flush=True)
    return found


def _told(sizes: list[dict[str, Any]]) -> Iterable[str]:
    yield "A tick in milliseconds, hand-over included: medians of rounds, with the least and the most"
    rows = (
        ("nothing due", "idle"),
        ("500 due", "due"),
        ("of that, the claim", "claim"),
        ("of that, the hand-over", "hand_over"),
    )
    yield from report.table(
        ("", *(f"{one['connections']} connections" for one in sizes)),
        ([title, *(_figure(one[name]) for one in sizes)] for title, name in rows),
    )
    most = sizes[-1]
    yield report.told("nothing due", most["idle"], "<=", _IDLE_MS)
    yield report.told("500 due", most["due"], "<=", _DUE_MS)
    growth = most["due"]["median"] / sizes[0]["due"]["median"]
    yield f"growth: {growth:.2f} (wanted about 1: {'met' if growth <= _SAME else 'MISSED'})"
    yield "How a claim reads its tables: " + "; ".join(dict.fromkeys(most["plan"]))
    for one in sizes:
        done = one["dispatchers"]
        once = done["claimed"] == done["cursors"]
        yield f"Four dispatchers at once: {done['cursors']} cursors in {done['claimed']} claims ({_once(met=once)})"


def _once(*, met: bool) -> str:
    return "each once" if met else "MISSED"


def _figure(one: dict[str, float]) -> str:
    return f"{one['median']:.1f} ({one['least']:.1f} to {one['most']:.1f})"
