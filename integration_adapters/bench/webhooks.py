"""Everything measured about the push road, part by part."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from integration_adapters.bench import costs, delivered, report, throughput
from integration_adapters.bench.stage import Stage

Part = Callable[[Stage, argparse.Namespace], dict[str, Any]]


def _compare(stage: Stage, options: argparse.Namespace) -> dict[str, Any]:
    return throughput.compare(
        stage, seconds=options.seconds, rounds=options.rounds, sizes=options.size or throughput.SIZES
    )


_PARTS: dict[str, Part] = {
    "throughput": _compare,
    "delivered": lambda stage, _: delivered.measure(stage),
    "forwarding": lambda stage, _: delivered.one_worker(stage),
    "memory": lambda stage, options: costs.watch_memory(stage, long=options.long),
    "costs": lambda stage, _: costs.count(stage),
}
PARTS = tuple(_PARTS)


def measure(directory: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run the parts that were asked for, print each as it is done, and return all figures."""
    found: dict[str, Any] = {"machine": report.machine()}
    for name in options.only or PARTS:
        with Stage(_empty(directory / name), workers=options.workers, threads=options.threads) as stage:
            found[name] = _PARTS[name](stage, options)
        report.show(name, found[name])
    return found


def _empty(directory: Path) -> Path:
    directory.mkdir()
    # PostgreSQL runs as another user when we are root, and must reach its data.
    for place in (directory, directory.parent):
        place.chmod(0o755)
    return directory
