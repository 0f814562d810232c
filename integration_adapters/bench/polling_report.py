"""Figures of the pull road as tables a person reads."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Any

from integration_adapters.bench.report import table, told

_GOALS = (("plain", "the plain loop", 0.75), ("dlt", "dlt", 2.5))
_MEASURES = {
    "stored": "stored",
    "mapped_meanwhile": "stored, and mapped meanwhile by a worker of its own, as the service runs",
    "mapped_after": "stored, and mapped afterwards by the same process",
}
_FLAT_MIB = 8.0
_PEAK_MIB = 120.0


def show(part: str, found: dict[str, Any]) -> None:
    """Print one part."""
    for line in _PARTS[part](found):
        print(line, flush=True)
    print(flush=True)


def _ways(found: dict[str, Any]) -> Iterable[str]:
    ways, number = found["ways"], found["records"]
    yield f"{number} records of about 3 KB, 100 a page; medians of rounds"
    yield from table(
        ("way", "records/s", "spread", "CPU us a record", "PostgreSQL CPU us", "peak MiB"),
        [_row(name, rounds, number) for name, rounds in ways["rounds"].items()],
    )
    road = ways["rounds"]["road"]
    sealing, reading = (
        median(1e6 * one[key] / number for one in road) for key in ("normalising_seconds", "reading_seconds")
    )
    yield f"mapping a record takes {sealing:.0f} us; reading it back first, as delivery does, {reading:.0f} us more"
    for key, title in _MEASURES.items():
        yield f"{title}: {ways['per_second'][key]:.0f} records/s"
        for rival, name, goal in _GOALS:
            yield "  " + told(f"to {name}", ways["ratios"][key][rival], ">=", goal)
    peak, steps = max(one["peak_mib"] for one in road), road[0]["steps_mib"]
    yield f"peak: {peak:.0f} MiB (wanted <= {_PEAK_MIB:.0f}: {'met' if peak <= _PEAK_MIB else 'MISSED'})"
    growth = steps[-1] - steps[0]
    yield f"MiB over the run, a tenth each: {' '.join(f'{step:.0f}' for step in steps)}"
    flat = growth <= _FLAT_MIB
    yield f"growth after the first tenth: {growth:.1f} MiB (wanted <= {_FLAT_MIB}: {'met' if flat else 'MISSED'})"


def _row(name: str, rounds: list[dict[str, Any]], number: int) -> list[str]:
    rates = [one["records"] / one["seconds"] for one in rounds]
    own, postgres = (
        median(1e6 * one[key] / number for one in rounds) for key in ("processor_seconds", "postgres_processor_seconds")
    )
    peak = max(one["peak_mib"] for one in rounds)
    return [
        name,
        f"{median(rates):.0f}",
        f"{min(rates):.0f} to {max(rates):.0f}",
        f"{own:.0f}",
        f"{postgres:.0f}",
        f"{peak:.0f}",
    ]


def _quiet(found: dict[str, Any]) -> Iterable[str]:
    quiet = found["quiet"]
    yield "A poll with nothing new, in a worker that has done some"
    for key, title, goal in (
        ("requests", "requests to the provider", 1.0),
        ("sql_statements", "SQL statements", 3.0),
        ("p50_ms", "milliseconds", 15.0),
    ):
        yield f"{title}: {quiet[key]:.2f} (wanted <= {goal:g}: {'met' if quiet[key] <= goal else 'MISSED'})"
    yield f"p95: {quiet['p95_ms']:.1f} ms; Redis round trips: {quiet['redis_round_trips']:.2f}"


def _day(found: dict[str, Any]) -> Iterable[str]:
    yield "Requests a day where nothing happens, for each part of a stream (a repository, a project, a channel)"
    yield from table(
        ("provider", "stream", "on by default", "requests a poll", "requests a day"),
        (
            [
                provider,
                one["stream"],
                "yes" if one["on"] else "no",
                str(one["requests_a_poll"]),
                str(one["requests_a_day"]),
            ]
            for provider, streams in found["day"].items()
            for one in streams
        ),
    )


_PARTS = {"ways": _ways, "quiet": _quiet, "day": _day}
