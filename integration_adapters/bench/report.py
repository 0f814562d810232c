"""Figures as tables a person reads."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from integration_adapters.bench.throughput import WAYS

_SHOWN = ("per_second", "p50", "p95", "p99", "web_cpu_ms", "postgres_cpu_ms")
_TITLES = ("way", "requests/s", "spread", "p50 ms", "p95 ms", "p99 ms", "web CPU ms", "PostgreSQL CPU ms")
_SMALL_BYTES = 16_000
_FLAT_MIB = 8.0
# Ratio, how it is told, what is wanted (at least or at most) at 8 and 25 KB.
_GOALS = (
    ("road_to_bare", "road / bare view", ">=", (0.8, 0.8)),
    ("road_to_pgbench", "road / pgbench", ">=", (0.28, 0.45)),
    ("road_to_pgbench_as_sent", "road / pgbench, body as sent", ">=", (0.28, 0.45)),
    ("p95", "p95 in ms", "<=", (250.0, 250.0)),
    ("p99_to_p50", "p99 / p50", "<=", (3.0, 3.0)),
    ("p99_to_bare", "p99 / p99 of the bare view", "<=", (1.3, 1.3)),
)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "processors": os.cpu_count(),
        "processor": _processor(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("django", "granian", "psycopg")},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def show(part: str, found: dict[str, Any]) -> None:
    """Print one part."""
    for line in _PARTS[part](found):
        print(line, flush=True)
    print(flush=True)


def _throughput(found: dict[str, Any]) -> Iterable[str]:
    for size, figures in found.items():
        number = int(int(size) > _SMALL_BYTES)
        yield f"Bodies of {size} bytes, stored in {figures['payload_bytes']}; medians of rounds"
        rows = []
        for name in WAYS:
            values = [figures[name].get(measure) for measure in _SHOWN]
            speeds = [one["per_second"] for one in figures[name]["rounds"]]
            spread = f"{min(speeds):.0f} to {max(speeds):.0f}"
            rows.append([name, f"{values[0]:.0f}", spread, *map(_number, values[1:])])
        yield from table(_TITLES, rows)
        for key, title, relation, goals in _GOALS:
            yield told(title, figures[key], relation, goals[number])


def told(title: str, found: dict[str, float], relation: str, goal: float) -> str:
    """A figure with its spread over the rounds: where the goal lies within it, the rounds do not agree."""
    value, least, most = found["median"], found["least"], found["most"]
    met = value >= goal if relation == ">=" else value <= goal
    always = least >= goal if relation == ">=" else most <= goal
    verdict = "met" if always else "met, but not in every round" if met else "MISSED"
    return f"{title}: {value:.2f} ({least:.2f} to {most:.2f}; wanted {relation} {goal}: {verdict})"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    """Lines of a Markdown table."""
    yield "| " + " | ".join(titles) + " |"
    yield "|" + "---|" * len(titles)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def _delivered(found: dict[str, Any]) -> Iterable[str]:
    yield f"Webhook to delivered, {found['events']} events, all processes at once"
    yield f"accepted: {found['accepted_per_second']:.0f}/s"
    yield _judged("delivered", found["delivered_per_second"], 400)


def _forwarding(found: dict[str, Any]) -> Iterable[str]:
    for name, figures in found.items():
        yield _judged(f"one forwarding worker, {name}", figures["events_per_second"], 600)


def _judged(title: str, value: float, wanted: float) -> str:
    return f"{title}: {value:.0f}/s (wanted >= {wanted:.0f}{'' if value >= wanted else ', MISSED'})"


def _memory(found: dict[str, Any]) -> Iterable[str]:
    steps = " ".join(f"{step:.0f}" for step in found["resident_mib"])
    yield f"Resident MiB of the web server over {found['requests']} requests, a tenth each: {steps}"
    flat = found["growth_mib"] <= _FLAT_MIB
    yield f"growth after the first tenth: {found['growth_mib']} MiB (wanted <= {_FLAT_MIB}{'' if flat else ', MISSED'})"


def _costs(found: dict[str, Any]) -> Iterable[str]:
    yield "A request costs"
    names = next(iter(found.values()))
    rows = [[name.replace("_", " "), *(f"{figures[name]:.2f}" for figures in found.values())] for name in names]
    yield from table(("what", *(f"{size} bytes" for size in found)), rows)


_PARTS = {
    "throughput": _throughput,
    "delivered": _delivered,
    "forwarding": _forwarding,
    "memory": _memory,
    "costs": _costs,
}
